//! config-linux.md, "Memory": what limits.rs does not show, and what is refused.

use serde_json::{Value, json};

use super::limits::{created, holds};
use crate::harness::{Bundle, Container, cgroups};

fn with(memory: Value) -> Bundle {
    Bundle::sleeping().set("/linux/resources", json!({ "memory": memory }))
}

/// "Values for memory specify the limit in bytes, or `-1` for unlimited memory": also of the reservation.
#[test]
fn every_limit_may_be_unlimited() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": -1, "reservation": -1, "swap": -1 } }));
    holds(&container, "memory", ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
    holds(&container, "memory", ("memory.soft_limit_in_bytes", "9223372036854771712"), ("memory.low", "max"));
    holds(&container, "memory", ("memory.memsw.limit_in_bytes", "9223372036854771712"), ("memory.swap.max", "max"));
}

/// "`swap` sets limit of memory+Swap usage": no swap at all where both are equal.
#[test]
fn swap_counts_memory_and_swap_together() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 } }));
    holds(&container, "memory", ("memory.memsw.limit_in_bytes", "67108864"), ("memory.swap.max", "0"));
}

/// What managers send for "not set" writes nothing.
#[test]
fn zero_is_not_set() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": 0, "reservation": 0, "swap": 0 } }));
    holds(&container, "memory", ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
}

/// "`swappiness` sets swappiness parameter of vmscan. The values are from 0 to 100." cgroup v2 has none: refused.
#[test]
fn the_swappiness_is_set() {
    need_controller!("memory");
    only_rt!();
    for value in [0, 60, 100] {
        if cgroups::is_v1("memory") {
            let container = created(json!({ "memory": { "swappiness": value } }));
            assert_eq!(container.cgroup_file("memory", "memory.swappiness"), Some(value.to_string()));
        } else {
            Container::new(with(json!({ "swappiness": value })))
                .create()
                .refused_with(&["/linux/resources/memory/swappiness"]);
        }
    }
    let container = Container::new(with(json!({ "swappiness": 101 })));
    container.create().refused_with(&["/linux/resources/memory/swappiness", "100"]);
    container.assert_nothing_left();
}

/// "`disableOOMKiller`: If enabled (`false`), tasks [...] are immediately killed by the OOM killer": that is the default.
#[test]
fn the_oom_killer_is_on_unless_disabled() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "disableOOMKiller": false } }));
    if let Some(control) = container.cgroup_file("memory", "memory.oom_control") {
        assert!(control.contains("oom_kill_disable 0"), "{control}");
    }
    if !cgroups::is_v1("memory") {
        only_rt!(); // others ignore it
        Container::new(with(json!({ "disableOOMKiller": true })))
            .create()
            .refused_with(&["/linux/resources/memory/disableOOMKiller"]);
    }
}

/// "`useHierarchy` enables or disables hierarchical memory accounting": the kernel always does it, `false` is warned about.
#[test]
fn the_hierarchy_is_always_used() {
    need_controller!("memory");
    only_rt!();
    for (value, warnings) in [(true, 0), (false, 1)] {
        let container = Container::new(with(json!({ "useHierarchy": value })));
        let outcome = container.create().ok();
        assert_eq!(outcome.stderr.matches("/linux/resources/memory/useHierarchy").count(), warnings, "{outcome:?}");
        if cgroups::is_v1("memory") {
            assert_eq!(container.cgroup_file("memory", "memory.use_hierarchy").as_deref(), Some("1"));
        }
    }
}

/// "`checkBeforeUpdate` enables container memory usage check before setting a new limit": a new container uses nothing.
#[test]
fn the_check_lets_a_fitting_limit_through() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": 64 << 20, "checkBeforeUpdate": true } }));
    holds(&container, "memory", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
}

/// "If enabled (`true`), runtime MAY check if a new memory limit is lower than the current usage, and MUST reject the new
/// limit": on v1 the kernel does it; on v2 nobody would, and the container would be killed.
#[test]
fn a_limit_below_the_usage_is_rejected() {
    need_controller!("memory");
    only_rt!(); // runc 1.1 and crun 1.8 do not know it
    let mut limits = json!({ "limit": 64 << 20 });
    if cgroups::is_v1("memory") {
        limits["swappiness"] = json!(0); // or the kernel makes room
    }
    let script = "dd if=/dev/zero of=/dev/shm/used bs=1M count=16 2>/dev/null; echo up; sleep 1000";
    let container = Container::new(Bundle::sh(script).set("/linux/resources", json!({ "memory": limits })));
    container.launch().until_output("up");
    let document = container.bundle.beside("resources.json");
    std::fs::write(&document, r#"{ "memory": { "limit": 4194304, "checkBeforeUpdate": true } }"#).unwrap();
    let update = container.call(&["update", "--resources", document.to_str().unwrap(), &container.id]);
    update.refused_with(&["/memory/limit"]);
    holds(&container, "memory", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    assert_eq!(container.status(), "running");
}

/// A limit that kills the container's init on its way is said as that, wherever it died.
#[test]
fn a_limit_that_init_cannot_live_with_is_told() {
    need_controller!("memory");
    only_rt!();
    for _ in 0..5 {
        let container = Container::new(with(json!({ "limit": 4096, "swap": 4096 })));
        let outcome = container.create().refused();
        let words = ["lack of memory", "(in use: "];
        assert!(words.iter().any(|words| outcome.stderr.contains(words)), "{outcome:?}");
        container.assert_nothing_left();
    }
}

/// "`kernel` - sets hard limit for kernel memory", NOT RECOMMENDED: part of the limit since Linux 5.4, and "`kernelTCP`"
/// on v2 too. Asking for one is warned about.
#[test]
fn limits_of_kernel_memory_are_warned_about() {
    need_controller!("memory");
    only_rt!();
    let outcome = Container::new(with(json!({ "kernel": 32 << 20, "kernelTCP": 1 << 20 }))).create().ok();
    for (name, is_warned) in [("kernel", true), ("kernelTCP", !cgroups::is_v1("memory"))] {
        assert_eq!(outcome.stderr.contains(&format!("/linux/resources/memory/{name}:")), is_warned, "{outcome:?}");
    }
}

/// What contradicts itself is refused with its place.
#[test]
fn bad_limits_are_refused() {
    only_rt!();
    need_controller!("memory");
    for (memory, pointer) in [
        (json!({ "limit": -2 }), "/linux/resources/memory/limit"),
        (json!({ "reservation": -7 }), "/linux/resources/memory/reservation"),
        (json!({ "limit": 8 << 20, "swap": 4 << 20 }), "/linux/resources/memory/swap"),
        (json!({ "limit": -1, "swap": 4 << 20 }), "/linux/resources/memory/swap"),
        (json!({ "limit": "64M" }), "/linux/resources/memory/limit"),
        (json!({ "limit": 1.5 }), "/linux/resources/memory/limit"),
        (json!({ "limit": u64::MAX }), "/linux/resources/memory/limit"),
        (json!({ "disableOOMKiller": 1 }), "/linux/resources/memory/disableOOMKiller"),
    ] {
        let container = Container::new(with(memory));
        container.create().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}
