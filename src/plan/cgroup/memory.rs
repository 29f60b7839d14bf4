//! linux.resources.memory.

use oci_spec::runtime::LinuxMemory;

use super::resources::{MemoryCheck, Planner};
use crate::host::cgroup::Version;

/// Plans [memory limits]. `-1` is no limit; `0` is what managers send for "not set" and writes nothing.
///
/// [memory limits]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#memory
pub(super) fn plan(memory: &LinuxMemory, planner: &mut Planner) {
    let set = |value: Option<i64>| value.filter(|v| *v != 0);
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    for (name, value) in
        [("limit", limit), ("reservation", memory.reservation()), ("swap", swap), ("kernelTCP", memory.kernel_tcp())]
    {
        if value.is_some_and(|v| v < -1) {
            planner.error(&format!("/memory/{name}"), "must be a number of bytes, or -1 for no limit");
            return;
        }
    }
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap != -1
        && (limit == -1 || swap < limit)
    {
        planner.error("/memory/swap", "limits memory and swap together, so it must not be below /memory/limit");
        return;
    }
    plan_limits(memory, limit, swap, planner);

    if let Some(swappiness) = memory.swappiness() {
        match planner.version("memory", "/memory/swappiness", false) {
            _ if swappiness > 100 => planner.error("/memory/swappiness", "must be from 0 to 100"),
            Some(Version::V1) => {
                planner.write(Version::V1, "memory.swappiness", swappiness, "/memory/swappiness");
            }
            Some(Version::V2) => planner.error("/memory/swappiness", "cgroup v2 has no swappiness for each cgroup"),
            None => {}
        }
    }
    if let Some(disable) = memory.disable_oom_killer() {
        match planner.version("memory", "/memory/disableOOMKiller", !disable) {
            Some(Version::V1) => {
                let value = u8::from(disable);
                planner.write(Version::V1, "memory.oom_control", value, "/memory/disableOOMKiller");
            }
            Some(Version::V2) if disable => {
                planner.error("/memory/disableOOMKiller", "the OOM killer of cgroup v2 cannot be disabled");
            }
            _ => {}
        }
    }
    if memory.use_hierarchy() == Some(false) {
        planner.warn("/memory/useHierarchy", "ignored: Linux accounts memory hierarchically always since 5.11");
    }
    #[allow(deprecated)]
    if memory.kernel().is_some_and(|v| v > 0) {
        planner.warn("/memory/kernel", "ignored: kernel memory is part of /memory/limit since Linux 5.4");
    }
    plan_kernel_tcp(memory.kernel_tcp(), planner);
}

/// On v1 it is a limit of its own still; on v2 the memory of sockets counts with the rest.
fn plan_kernel_tcp(limit: Option<i64>, planner: &mut Planner) {
    const POINTER: &str = "/memory/kernelTCP";
    let Some(limit) = limit.filter(|v| *v != 0) else { return };
    match planner.version("memory", POINTER, limit < 0) {
        Some(Version::V1) => {
            let write = planner.write(Version::V1, "memory.kmem.tcp.limit_in_bytes", limit, POINTER);
            if limit < 0 {
                write.on_missing = super::OnMissing::Prefer;
            }
        }
        Some(Version::V2) if limit > 0 => {
            planner.warn(POINTER, "ignored: cgroup v2 counts it as part of /memory/limit");
        }
        _ => {}
    }
}

fn plan_limits(memory: &LinuxMemory, limit: Option<i64>, swap: Option<i64>, planner: &mut Planner) {
    if let Some(limit) = limit {
        match planner.version("memory", "/memory/limit", limit == -1) {
            Some(Version::V1) => {
                // The kernel holds limit <= limit with swap: lowering starts with this one, raising with the other.
                planner.write(Version::V1, "memory.limit_in_bytes", limit, "/memory/limit").again_at_the_end = true;
                if limit == -1 && swap.is_none() {
                    let write = planner.write(Version::V1, "memory.memsw.limit_in_bytes", -1, "/memory/limit");
                    write.on_missing = super::OnMissing::Prefer;
                }
            }
            Some(Version::V2) => {
                if let (true, Ok(limit_bytes)) = (memory.check_before_update() == Some(true), u64::try_from(limit)) {
                    let pointer = planner.pointer("/memory/limit");
                    planner.plan.memory_check = Some(MemoryCheck { limit_bytes, pointer });
                }
                planner.write(Version::V2, "memory.max", or_max(limit), "/memory/limit");
            }
            None => {}
        }
    }
    if let Some(swap) = swap {
        match planner.version("memory", "/memory/swap", swap == -1) {
            Some(Version::V1) => {
                let write = planner.write(Version::V1, "memory.memsw.limit_in_bytes", swap, "/memory/swap");
                if swap == -1 {
                    write.on_missing = super::OnMissing::Prefer;
                }
            }
            Some(Version::V2) if swap == -1 => {
                let write = planner.write(Version::V2, "memory.swap.max", "max", "/memory/swap");
                write.on_missing = super::OnMissing::Prefer;
            }
            Some(Version::V2) => match limit {
                Some(limit) => {
                    let write = planner.write(Version::V2, "memory.swap.max", swap - limit, "/memory/swap");
                    if swap == limit {
                        // Without swap in the kernel there is no file, and no swap to limit either.
                        write.on_missing = super::OnMissing::Prefer;
                    }
                }
                None => planner.error("/memory/swap", "limits memory and swap together: it needs /memory/limit too"),
            },
            None => {}
        }
    }
    if let Some(reservation) = memory.reservation().filter(|r| *r != 0) {
        match planner.version("memory", "/memory/reservation", reservation == -1) {
            Some(Version::V1) => {
                planner.write(Version::V1, "memory.soft_limit_in_bytes", reservation, "/memory/reservation");
            }
            Some(Version::V2) => {
                planner.write(Version::V2, "memory.low", or_max(reservation), "/memory/reservation");
            }
            None => {}
        }
    }
}

fn or_max(limit: i64) -> String {
    if limit == -1 { "max".into() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::{check, planned, v2};

    #[test]
    fn converts_memory_limits() {
        check(&[
            (r#"{"memory":{"limit":4096}}"#, "memory.limit_in_bytes=4096", "memory.max=4096"),
            (r#"{"memory":{"limit":-1}}"#, "memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1", "memory.max=max"),
            (r#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#, "", ""),
            (
                r#"{"memory":{"limit":4096,"swap":12288,"reservation":2048}}"#,
                "memory.limit_in_bytes=4096 memory.memsw.limit_in_bytes=12288 memory.soft_limit_in_bytes=2048",
                "memory.max=4096 memory.swap.max=8192 memory.low=2048",
            ),
            (
                r#"{"memory":{"limit":4096,"swap":-1}}"#,
                "memory.limit_in_bytes=4096 memory.memsw.limit_in_bytes=-1",
                "memory.max=4096 memory.swap.max=max",
            ),
            (
                r#"{"memory":{"limit":4096,"swap":4096}}"#,
                "memory.limit_in_bytes=4096 memory.memsw.limit_in_bytes=4096",
                "memory.max=4096 memory.swap.max=0",
            ),
            (r#"{"memory":{"reservation":-1}}"#, "memory.soft_limit_in_bytes=-1", "memory.low=max"),
            (r#"{"memory":{"limit":4096,"swap":4095}}"#, "!/memory/swap", "!/memory/swap"),
            (r#"{"memory":{"limit":-1,"swap":4096}}"#, "!/memory/swap", "!/memory/swap"),
            (r#"{"memory":{"swap":4096}}"#, "memory.memsw.limit_in_bytes=4096", "!/memory/swap"),
            (r#"{"memory":{"limit":-2}}"#, "!/memory/limit", "!/memory/limit"),
            (r#"{"memory":{"swappiness":0}}"#, "memory.swappiness=0", "!/memory/swappiness"),
            (r#"{"memory":{"swappiness":101}}"#, "!/memory/swappiness", "!/memory/swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, "memory.oom_control=1", "!/memory/disableOOMKiller"),
            (r#"{"memory":{"disableOOMKiller":false}}"#, "memory.oom_control=0", ""),
            (r#"{"memory":{"kernelTCP":4096}}"#, "memory.kmem.tcp.limit_in_bytes=4096", ""),
            (r#"{"memory":{"kernelTCP":-1}}"#, "memory.kmem.tcp.limit_in_bytes=-1", ""),
            (r#"{"memory":{"kernelTCP":0}}"#, "", ""),
            (r#"{"memory":{"kernelTCP":-2}}"#, "!/memory/kernelTCP", "!/memory/kernelTCP"),
        ]);
    }

    #[test]
    fn kernel_memory_is_ignored_with_a_warning() {
        let (writes, faults) = planned(r#"{"memory":{"kernel":4096,"kernelTCP":4096,"useHierarchy":true}}"#, &v2());
        assert_eq!((writes.len(), faults.errors.len(), faults.warnings.len()), (0, 0, 2));
        let (_, faults) = planned(r#"{"memory":{"kernel":-1,"kernelTCP":-1}}"#, &v2());
        assert_eq!((faults.errors.len(), faults.warnings.len()), (0, 0));
    }
}
