//! config-linux.md, "CPU": what limits.rs does not show, and what is refused.

use serde_json::{Value, json};

use super::limits::{created, holds};
use crate::harness::{Bundle, Container, cgroups};

fn with(cpu: Value) -> Bundle {
    Bundle::sleeping().set("/linux/resources", json!({ "cpu": cpu }))
}

/// "`shares` specifies a relative share of CPU time": on cgroup v2 the weight that means the same.
#[test]
fn shares_become_the_weight_of_v2() {
    need_controller!("cpu");
    only_rt!(); // runc 1.1 and crun 1.8 convert by the older formula
    for (shares, weight) in [(2, "1"), (1024, "100"), (2048, "174"), (262_144, "10000")] {
        let container = created(json!({ "cpu": { "shares": shares } }));
        holds(&container, "cpu", ("cpu.shares", &shares.to_string()), ("cpu.weight", weight));
    }
}

/// "`quota` specifies the total amount of time": -1 is no limit, and a period alone changes the period alone.
#[test]
fn a_quota_may_be_unlimited() {
    need_controller!("cpu");
    let container = created(json!({ "cpu": { "quota": -1, "period": 50_000 } }));
    holds(&container, "cpu", ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max 50000"));
    let container = created(json!({ "cpu": { "period": 50_000 } }));
    holds(&container, "cpu", ("cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000"));
    let container = created(json!({ "cpu": { "quota": 50_000 } }));
    holds(&container, "cpu", ("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000"));
}

/// "`quota` [...] MUST be no smaller than `burst`", "`burst` [...] MUST be no larger than any positive `quota`".
#[test]
fn a_burst_above_the_quota_is_refused() {
    only_rt!();
    need_controller!("cpu");
    let container = Container::new(with(json!({ "quota": 5000, "burst": 5001 })));
    container.create().refused_with(&["/linux/resources/cpu/burst"]);
    container.assert_nothing_left();
    let equal = created(json!({ "cpu": { "quota": 5000, "burst": 5000 } }));
    holds(&equal, "cpu", ("cpu.cfs_burst_us", "5000"), ("cpu.max.burst", "5000"));
}

/// "`idle`: 0: default behavior, 1: SCHED_IDLE": with 1 the shares have no effect, and the kernel would refuse them.
#[test]
fn idle_goes_before_shares() {
    need_controller!("cpu");
    only_rt!();
    let container = Container::new(with(json!({ "idle": 1, "shares": 512 })));
    let outcome = container.create().ok();
    assert!(outcome.stderr.contains("/linux/resources/cpu/shares"), "{outcome:?}");
    holds(&container, "cpu", ("cpu.idle", "1"), ("cpu.idle", "1"));
    let container = created(json!({ "cpu": { "idle": 0, "shares": 512 } }));
    holds(&container, "cpu", ("cpu.shares", "512"), ("cpu.weight", "59"));
    Container::new(with(json!({ "idle": 2 }))).create().refused_with(&["/linux/resources/cpu/idle"]);
}

/// "`realtimeRuntime`", "`realtimePeriod`": written on v1, in an order that the kernel takes; cgroup v2 has none.
#[test]
fn realtime_limits_are_written_or_refused() {
    need_controller!("cpu");
    only_rt!();
    let both = json!({ "realtimeRuntime": 1000, "realtimePeriod": 500_000 });
    if !cgroups::is_v1("cpu") {
        for name in ["realtimeRuntime", "realtimePeriod"] {
            let one = json!({ name: both[name] });
            Container::new(with(one)).create().refused_with(&[&format!("/linux/resources/cpu/{name}")]);
        }
        return;
    }
    if !cgroups::directory("cpu", "/").unwrap().join("cpu.rt_period_us").exists() {
        skip!("this kernel has no real-time groups");
    }
    let container = created(json!({ "cpu": { "realtimePeriod": 500_000 } }));
    holds(&container, "cpu", ("cpu.rt_period_us", "500000"), ("", ""));
    // A group can only hand on what its parents have.
    let container = Container::new(with(both));
    let outcome = container.create();
    if outcome.code == 0 {
        holds(&container, "cpu", ("cpu.rt_runtime_us", "1000"), ("", ""));
    } else {
        outcome.refused_with(&["cpu.rt_runtime_us", "/linux/resources/cpu/realtimeRuntime"]);
        container.assert_nothing_left();
    }
}

/// "`cpus`: This is a comma-separated list, with dashes to represent ranges": in the kernel's own form.
#[test]
fn lists_of_cpus_are_taken_as_they_are() {
    need_controller!("cpuset");
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let container = created(json!({ "cpu": { "cpus": online.trim(), "mems": "0" } }));
    holds(&container, "cpuset", ("cpuset.cpus", online.trim()), ("cpuset.cpus", online.trim()));
}

/// What the kernel refuses is named, and what cannot be is refused before.
#[test]
fn bad_limits_are_refused() {
    only_rt!();
    need_controller!("cpu");
    need_controller!("cpuset");
    for (cpu, words) in [
        (json!({ "quota": 1 }), ["/linux/resources/cpu/quota", "EINVAL"]),
        (json!({ "period": 1 }), ["/linux/resources/cpu/period", "EINVAL"]),
        (json!({ "quota": -2 }), ["/linux/resources/cpu/quota", "-1"]),
        (json!({ "shares": -1 }), ["/linux/resources/cpu/shares", "0"]),
        (json!({ "cpus": "a-b" }), ["/linux/resources/cpu/cpus", "EINVAL"]),
        (json!({ "mems": "77" }), ["/linux/resources/cpu/mems", "mems"]),
        (json!({ "burst": "x" }), ["/linux/resources/cpu/burst", "integer"]),
    ] {
        let container = Container::new(with(cpu));
        container.create().refused_with(&words);
        container.assert_nothing_left();
    }
}
