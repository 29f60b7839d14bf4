//! Memory, and memory and swap together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Place, Pressure};
use crate::host::cgroup::Version;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    cache: u64,
    usage: Entry,
    /// Memory and swap together, on v2 too.
    swap: Entry,
    kernel: Entry,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: Entry,
    /// All of memory.stat.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

/// Bytes.
#[derive(Debug, Default, Serialize)]
struct Entry {
    limit: u64,
    usage: u64,
    max: u64,
    /// How often the limit was met.
    failcnt: u64,
}

impl Memory {
    pub fn read(place: &Place) -> Memory {
        let text = place.text("memory.stat");
        let pair =
            |line: &str| line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), value.parse().ok()?)));
        let raw: BTreeMap<String, u64> = text.lines().filter_map(pair).collect();
        let of = |key: &str| raw.get(key).copied().unwrap_or(0);
        match place.version {
            Version::V1 => Memory {
                cache: of("cache"),
                usage: Entry::of_v1(place, "memory"),
                swap: Entry::of_v1(place, "memory.memsw"),
                kernel: Entry::of_v1(place, "memory.kmem"),
                kernel_tcp: Entry::of_v1(place, "memory.kmem.tcp"),
                raw,
                psi: None,
            },
            Version::V2 => {
                let mut usage = Entry::of_v2(place, "memory");
                usage.failcnt = place.number_of("memory.events", "max").unwrap_or(0);
                let swap = Entry::of_v2(place, "memory.swap");
                let swap = Entry {
                    limit: swap.limit.saturating_add(usage.limit),
                    usage: swap.usage + usage.usage,
                    max: swap.max + usage.max,
                    failcnt: place.number_of("memory.swap.events", "max").unwrap_or(0),
                };
                let kernel = Entry { usage: of("kernel"), ..Entry::default() };
                let psi = place.pressure("memory.pressure");
                Memory { cache: of("file"), usage, swap, kernel, kernel_tcp: Entry::default(), raw, psi }
            }
        }
    }
}

impl Entry {
    fn of_v1(place: &Place, prefix: &str) -> Entry {
        let number = |name: &str| place.number(&format!("{prefix}.{name}")).unwrap_or(0);
        Entry {
            limit: number("limit_in_bytes"),
            usage: number("usage_in_bytes"),
            max: number("max_usage_in_bytes"),
            failcnt: number("failcnt"),
        }
    }

    fn of_v2(place: &Place, prefix: &str) -> Entry {
        let number = |name: &str| place.number(&format!("{prefix}.{name}")).unwrap_or(0);
        Entry { limit: number("max"), usage: number("current"), max: number("peak"), failcnt: 0 }
    }
}
