//! CPU time, throttling, and the set of CPUs.

use serde::Serialize;

use super::{Place, Pressure};
use crate::host::cgroup::Version;

const NS_PER_US: u64 = 1000;
/// The kernel tells user space of 100 ticks a second, whatever it uses itself.
const NS_PER_TICK: u64 = 10_000_000;

#[derive(Debug, Default, Serialize)]
pub struct Cpu {
    usage: Usage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Default, Serialize)]
struct Usage {
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    /// Nanoseconds.
    throttled_time: u64,
}

impl Cpu {
    pub fn read(cpu: Option<Place>, account: Option<Place>) -> Cpu {
        let usage = account.map(|place| Usage::read(&place)).unwrap_or_default();
        let Some(cpu) = cpu else { return Cpu { usage, ..Cpu::default() } };
        let number = |key| cpu.number_of("cpu.stat", key).unwrap_or(0);
        let throttling = Throttling {
            periods: number("nr_periods"),
            throttled_periods: number("nr_throttled"),
            throttled_time: match cpu.version {
                Version::V1 => number("throttled_time"),
                Version::V2 => number("throttled_usec") * NS_PER_US,
            },
        };
        Cpu { usage, throttling, psi: cpu.pressure("cpu.pressure") }
    }
}

impl Usage {
    fn read(place: &Place) -> Usage {
        if place.version == Version::V2 {
            let time = |key| place.number_of("cpu.stat", key).unwrap_or(0) * NS_PER_US;
            let (total, kernel, user) = (time("usage_usec"), time("system_usec"), time("user_usec"));
            return Usage { total, kernel, user, ..Usage::default() };
        }
        let ticks = |key| place.number_of("cpuacct.stat", key).unwrap_or(0) * NS_PER_TICK;
        let percpu = place.text("cpuacct.usage_percpu");
        let (percpu_user, percpu_kernel) = by_cpu(&place.text("cpuacct.usage_all"));
        Usage {
            total: place.number("cpuacct.usage").unwrap_or(0),
            percpu: percpu.split_whitespace().filter_map(|number| number.parse().ok()).collect(),
            percpu_kernel,
            percpu_user,
            kernel: ticks("system"),
            user: ticks("user"),
        }
    }
}

/// The columns of `cpu user system`.
fn by_cpu(text: &str) -> (Vec<u64>, Vec<u64>) {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1).map(str::parse::<u64>);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    };
    text.lines().skip(1).filter_map(line).unzip()
}

#[derive(Debug, Default, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

impl CpuSet {
    pub fn read(place: &Place) -> CpuSet {
        let number = |name: &str| place.number(&format!("cpuset.{name}")).unwrap_or(0);
        let (cpus, mems) = match place.version {
            Version::V1 => ("cpuset.cpus", "cpuset.mems"),
            Version::V2 => ("cpuset.cpus.effective", "cpuset.mems.effective"),
        };
        CpuSet {
            cpus: members(&place.text(cpus)),
            cpu_exclusive: number("cpu_exclusive"),
            mems: members(&place.text(mems)),
            mem_hardwall: number("mem_hardwall"),
            mem_exclusive: number("mem_exclusive"),
            memory_migrate: number("memory_migrate"),
            memory_spread_page: number("memory_spread_page"),
            memory_spread_slab: number("memory_spread_slab"),
            memory_pressure: number("memory_pressure"),
            sched_load_balance: number("sched_load_balance"),
            sched_relax_domain_level: place.text("cpuset.sched_relax_domain_level").trim().parse().unwrap_or(0),
        }
    }
}

/// The members of `0-3,7`.
fn members(list: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_their_members() {
        assert_eq!(members("0-3,7\n"), [0, 1, 2, 3, 7]);
        assert_eq!(members(""), [0; 0]);
        assert_eq!(members("3-1,x,5"), [5]);
    }

    #[test]
    fn the_columns_of_all_cpus_are_told_apart() {
        assert_eq!(by_cpu("cpu user system\n0 1 2\n1 3 4\n"), (vec![1, 3], vec![2, 4]));
        assert_eq!(by_cpu(""), (vec![], vec![]));
    }
}
