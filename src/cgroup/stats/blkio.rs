//! What went to and came from block devices.

use serde::Serialize;

use super::{Place, Pressure};
use crate::host::cgroup::Version;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<Entry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    io_queued_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Entry {
    major: u64,
    minor: u64,
    /// Read, Write, Sync, Async, Discard or Total; empty for a number that has no direction.
    #[serde(skip_serializing_if = "str::is_empty")]
    op: String,
    value: u64,
}

impl BlockIo {
    pub fn read(place: &Place) -> BlockIo {
        if place.version == Version::V2 {
            return BlockIo::of_v2(place);
        }
        // BFQ counts its own; where it is not built in, or counts nothing, the throttle does.
        let first = |names: [&str; 2]| {
            names.into_iter().map(|name| of_v1(&place.text(name))).find(|all| !all.is_empty()).unwrap_or_default()
        };
        let of = |name: &str| {
            let (bfq, older) = (format!("blkio.bfq.{name}_recursive"), format!("blkio.{name}_recursive"));
            first([&bfq, &older])
        };
        BlockIo {
            io_service_bytes_recursive: first([
                "blkio.bfq.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes_recursive",
            ]),
            io_serviced_recursive: first(["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"]),
            io_queued_recursive: of("io_queued"),
            io_service_time_recursive: of("io_service_time"),
            io_wait_time_recursive: of("io_wait_time"),
            io_merged_recursive: of("io_merged"),
            io_time_recursive: of("time"),
            sectors_recursive: of("sectors"),
            psi: None,
        }
    }

    fn of_v2(place: &Place) -> BlockIo {
        let mut all = BlockIo { psi: place.pressure("io.pressure"), ..BlockIo::default() };
        for line in place.text("io.stat").lines() {
            let Some((device, values)) = line.split_once(' ') else { continue };
            let Some((major, minor)) = numbers(device) else { continue };
            for (key, value) in values.split_whitespace().filter_map(|word| word.split_once('=')) {
                let (list, op) = match key {
                    "rbytes" => (&mut all.io_service_bytes_recursive, "Read"),
                    "wbytes" => (&mut all.io_service_bytes_recursive, "Write"),
                    "dbytes" => (&mut all.io_service_bytes_recursive, "Discard"),
                    "rios" => (&mut all.io_serviced_recursive, "Read"),
                    "wios" => (&mut all.io_serviced_recursive, "Write"),
                    "dios" => (&mut all.io_serviced_recursive, "Discard"),
                    _ => continue,
                };
                if let Ok(value) = value.parse() {
                    list.push(Entry { major, minor, op: op.to_owned(), value });
                }
            }
        }
        all
    }
}

/// Lines `8:0 Read 4096` or `8:0 4096`; the sum over all devices at the end is left out.
fn of_v1(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (device, op, value) = match words.as_slice() {
            [device, op, value] => (*device, *op, *value),
            [device, value] => (*device, "", *value),
            _ => return None,
        };
        let (major, minor) = numbers(device)?;
        Some(Entry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// `8:0`
fn numbers(device: &str) -> Option<(u64, u64)> {
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_v1_are_read_to_the_sum() {
        let entry = |minor, op: &str, value| Entry { major: 8, minor, op: op.to_owned(), value };
        assert_eq!(of_v1("8:0 Read 5\n8:0 Total 5\nTotal 5\n"), [entry(0, "Read", 5), entry(0, "Total", 5)]);
        assert_eq!(of_v1("8:16 7\n"), [entry(16, "", 7)]);
        assert_eq!(of_v1("x\n8:x Read 1\n8:0 Read -1\n"), []);
    }
}
