//! What the container uses: the numbers of its cgroups, in the form that runc's `events` has given them.
//!
//! A number that the kernel does not have is left out, or 0 where the form always has it.

mod blkio;
mod cpu;
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CgroupPaths, file};
use crate::host::cgroup::Version;

/// Everything that is known about a container's use of the machine.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    cpu: cpu::Cpu,
    cpuset: cpu::CpuSet,
    memory: memory::Memory,
    pids: Pids,
    blkio: blkio::BlockIo,
    /// By size of the pages.
    hugetlb: BTreeMap<String, HugePages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdma: Option<Rdma>,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    current: u64,
    /// 0: no limit.
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
struct HugePages {
    usage: u64,
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Serialize)]
struct Rdma {
    rdma_limit: Vec<RdmaDevice>,
    rdma_current: Vec<RdmaDevice>,
}

#[derive(Debug, Serialize)]
struct RdmaDevice {
    device: String,
    hca_handles: u32,
    hca_objects: u32,
}

/// Time lost by waiting for a resource, see <https://docs.kernel.org/accounting/psi.html>.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Pressure {
    some: Stall,
    full: Stall,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    /// Microseconds.
    total: u64,
}

impl Stats {
    /// Reads the numbers of all controllers.
    pub fn read(paths: &CgroupPaths) -> Stats {
        let at = |controller| Place::of(paths, controller);
        Stats {
            cpu: cpu::Cpu::read(at("cpu"), at("cpuacct")),
            cpuset: at("cpuset").map(|place| cpu::CpuSet::read(&place)).unwrap_or_default(),
            memory: at("memory").map(|place| memory::Memory::read(&place)).unwrap_or_default(),
            pids: at("pids").map(|place| Pids::read(&place)).unwrap_or_default(),
            blkio: at("blkio").map(|place| blkio::BlockIo::read(&place)).unwrap_or_default(),
            hugetlb: at("hugetlb").map(|place| read_huge_pages(&place)).unwrap_or_default(),
            rdma: at("rdma").and_then(|place| Rdma::read(&place)),
        }
    }
}

/// Where the files of a controller are.
struct Place {
    version: Version,
    directory: PathBuf,
}

impl Place {
    /// The v1 hierarchy of the controller if there is one, else cgroup2, which may have it or not.
    fn of(paths: &CgroupPaths, controller: &str) -> Option<Place> {
        match paths.v1_directory(controller) {
            Some(directory) => Some(Place { version: Version::V1, directory: directory.to_owned() }),
            None => paths.v2_limits().map(|directory| Place { version: Version::V2, directory: directory.to_owned() }),
        }
    }

    /// A whole file; empty when it is not there.
    fn text(&self, name: &str) -> String {
        file::read(&self.directory.join(name)).unwrap_or_default()
    }

    /// The only number of a file; `max` is the largest there is.
    fn number(&self, name: &str) -> Option<u64> {
        number_of(self.text(name).trim())
    }

    /// The number behind a word at the beginning of a line.
    fn number_of(&self, name: &str, key: &str) -> Option<u64> {
        number_of(file::value_of(&self.text(name), key)?.trim())
    }

    /// A file of lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
    fn pressure(&self, name: &str) -> Option<Pressure> {
        if self.version == Version::V1 { None } else { Pressure::parse(&self.text(name)) }
    }
}

fn number_of(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

impl Pids {
    fn read(place: &Place) -> Pids {
        let limit = place.number("pids.max").filter(|limit| *limit != u64::MAX);
        Pids { current: place.number("pids.current").unwrap_or(0), limit: limit.unwrap_or(0) }
    }
}

fn read_huge_pages(place: &Place) -> BTreeMap<String, HugePages> {
    let mut found = BTreeMap::new();
    for size in page_sizes(&place.directory) {
        let file = |name: &str| format!("hugetlb.{size}.{name}");
        let number = |name: &str| place.number(&file(name)).unwrap_or(0);
        let pages = match place.version {
            Version::V1 => HugePages {
                usage: number("usage_in_bytes"),
                max: number("max_usage_in_bytes"),
                failcnt: number("failcnt"),
            },
            Version::V2 => HugePages {
                usage: number("current"),
                max: 0,
                failcnt: place.number_of(&file("events"), "max").unwrap_or(0),
            },
        };
        found.insert(size, pages);
    }
    found
}

/// `2MB`, of each file `hugetlb.2MB.…`.
fn page_sizes(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |name: &str| name.strip_prefix("hugetlb.")?.split_once('.').map(|(size, _)| size.to_owned());
    let mut sizes: Vec<_> = names.filter_map(|entry| size(entry.file_name().to_str()?)).collect();
    sizes.sort();
    sizes.dedup();
    sizes
}

impl Rdma {
    /// None where the machine has no such device.
    fn read(place: &Place) -> Option<Rdma> {
        let of = |name| place.text(name).lines().filter_map(RdmaDevice::parse).collect();
        let rdma = Rdma { rdma_limit: of("rdma.max"), rdma_current: of("rdma.current") };
        (!rdma.rdma_limit.is_empty() || !rdma.rdma_current.is_empty()).then_some(rdma)
    }
}

impl RdmaDevice {
    /// `mlx4_0 hca_handle=2 hca_object=max`
    fn parse(line: &str) -> Option<RdmaDevice> {
        let mut words = line.split_whitespace();
        let mut device = RdmaDevice { device: words.next()?.to_owned(), hca_handles: 0, hca_objects: 0 };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = if value == "max" { u32::MAX } else { value.parse().ok()? };
            match key {
                "hca_handle" => device.hca_handles = value,
                "hca_object" => device.hca_objects = value,
                _ => {}
            }
        }
        Some(device)
    }
}

impl Pressure {
    /// None where the kernel does not measure it.
    fn parse(text: &str) -> Option<Pressure> {
        let stall = |kind: &str| {
            let mut stall = Stall::default();
            let values = file::value_of(text, kind)?;
            for (key, value) in values.split_whitespace().filter_map(|word| word.split_once('=')) {
                match key {
                    "avg10" => stall.avg10 = value.parse().ok()?,
                    "avg60" => stall.avg60 = value.parse().ok()?,
                    "avg300" => stall.avg300 = value.parse().ok()?,
                    "total" => stall.total = value.parse().ok()?,
                    _ => {}
                }
            }
            Some(stall)
        };
        Some(Pressure { some: stall("some")?, full: stall("full").unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests;
