//! linux.resources.blockIO.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::resources::Planner;
use crate::host::cgroup::Version;

/// Plans [block I/O limits].
///
/// [block I/O limits]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#block-io
pub(super) fn plan(block_io: &LinuxBlockIo, planner: &mut Planner) {
    if let Some(weight) = block_io.weight().filter(|w| *w != 0) {
        plan_weight(None, weight, "/blockIO/weight", planner);
    }
    if let Some(weight) = block_io.leaf_weight().filter(|w| *w != 0) {
        plan_leaf_weight("blkio.leaf_weight", weight, "/blockIO/leafWeight", planner);
    }
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        let number = format!("{}:{}", device.major(), device.minor());
        if device.weight().is_none() && device.leaf_weight().is_none() {
            planner.error(&format!("/blockIO/weightDevice/{index}"), "needs a weight or a leafWeight");
        }
        if let Some(weight) = device.weight() {
            plan_weight(Some(&number), weight, &format!("/blockIO/weightDevice/{index}/weight"), planner);
        }
        if let Some(weight) = device.leaf_weight() {
            let pointer = format!("/blockIO/weightDevice/{index}/leafWeight");
            plan_leaf_weight("blkio.leaf_weight_device", format!("{number} {weight}"), &pointer, planner);
        }
    }
    for (name, devices, v1, v2) in [
        ("throttleReadBpsDevice", block_io.throttle_read_bps_device(), "read_bps_device", "rbps"),
        ("throttleWriteBpsDevice", block_io.throttle_write_bps_device(), "write_bps_device", "wbps"),
        ("throttleReadIOPSDevice", block_io.throttle_read_iops_device(), "read_iops_device", "riops"),
        ("throttleWriteIOPSDevice", block_io.throttle_write_iops_device(), "write_iops_device", "wiops"),
    ] {
        for (index, device) in devices.iter().flatten().enumerate() {
            plan_throttle(device, v1, v2, &format!("/blockIO/{name}/{index}"), planner);
        }
    }
}

/// The controller is called blkio on v1 and io on v2.
fn version(pointer: &str, planner: &mut Planner) -> Option<Version> {
    match planner.version("blkio", pointer, true) {
        Some(version) => Some(version),
        None => planner.version("io", pointer, false),
    }
}

/// The weight of all devices, or of one. BFQ's file where that scheduler is built in: its range is that of the spec.
fn plan_weight(device: Option<&str>, weight: u16, pointer: &str, planner: &mut Planner) {
    if weight > 1000 {
        planner.error(pointer, "must be from 10 to 1000");
        return;
    }
    let of_device = |weight: u16| match (device, weight) {
        (None, weight) => weight.to_string(),
        // None of its own any more, as for a throttle.
        (Some(device), 0) => format!("{device} default"),
        (Some(device), weight) => format!("{device} {weight}"),
    };
    match version(pointer, planner) {
        Some(Version::V1) => {
            let files = match device {
                None => ("blkio.weight", "blkio.bfq.weight"),
                Some(_) => ("blkio.weight_device", "blkio.bfq.weight_device"),
            };
            // CFQ's file knows no `default`.
            let first = of_device(weight).replace("default", "0");
            planner.write(Version::V1, files.0, first, pointer).otherwise = Some((files.1, of_device(weight)));
        }
        Some(Version::V2) => {
            let converted = of_device(if weight == 0 { 0 } else { io_weight(weight) });
            planner.write(Version::V2, "io.bfq.weight", of_device(weight), pointer).otherwise =
                Some(("io.weight", converted));
        }
        None => {}
    }
}

/// 10…1000 as 1…10000.
fn io_weight(weight: u16) -> u16 {
    let above = u32::from(weight.clamp(10, 1000)) - 10;
    u16::try_from(1 + above * 9999 / 990).expect("10000 at most")
}

fn plan_leaf_weight(file: &'static str, value: impl std::fmt::Display, pointer: &str, planner: &mut Planner) {
    match version(pointer, planner) {
        Some(Version::V1) => {
            planner.write(Version::V1, file, value, pointer);
        }
        Some(Version::V2) => planner.error(pointer, "cgroup v2 has no leaf weights"),
        None => {}
    }
}

fn plan_throttle(device: &LinuxThrottleDevice, v1: &str, v2: &str, pointer: &str, planner: &mut Planner) {
    let (number, rate) = (format!("{}:{}", device.major(), device.minor()), device.rate());
    match version(pointer, planner) {
        Some(Version::V1) => {
            planner.write(Version::V1, format!("blkio.throttle.{v1}"), format!("{number} {rate}"), pointer);
        }
        Some(Version::V2) => {
            let rate = if rate == 0 { "max".into() } else { rate.to_string() };
            planner.write(Version::V2, "io.max", format!("{number} {v2}={rate}"), pointer);
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::check;
    use super::*;

    #[test]
    fn converts_weights() {
        for (weight, expected) in [(1, 1), (10, 1), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(weight), expected);
        }
    }

    #[test]
    fn converts_block_io_limits() {
        check(&[
            (r#"{"blockIO":{"weight":500}}"#, "blkio.weight=500", "io.bfq.weight=500"),
            (r#"{"blockIO":{"weight":0,"leafWeight":0}}"#, "", ""),
            (r#"{"blockIO":{"weight":1001}}"#, "!/blockIO/weight", "!/blockIO/weight"),
            (r#"{"blockIO":{"leafWeight":10}}"#, "blkio.leaf_weight=10", "!/blockIO/leafWeight"),
            (
                r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":500}]}}"#,
                "blkio.weight_device=8:0_500",
                "io.bfq.weight=8:0_500",
            ),
            (
                r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":0}]}}"#,
                "blkio.weight_device=8:0_0",
                "io.bfq.weight=8:0_default",
            ),
            (
                r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}"#,
                "!/blockIO/weightDevice/0",
                "!/blockIO/weightDevice/0",
            ),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],
                    "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#,
                "blkio.throttle.read_bps_device=8:0_600 blkio.throttle.write_iops_device=8:16_0",
                "io.max=8:0_rbps=600 io.max=8:16_wiops=max",
            ),
        ]);
    }
}
