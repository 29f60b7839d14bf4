//! linux.resources.cpu: shares, bandwidth, real-time bandwidth and cpusets.

use oci_spec::runtime::LinuxCpu;

use super::resources::Planner;
use crate::host::cgroup::Version;

/// Plans [CPU limits]. `0` is what managers send for "not set" and writes nothing, except for `idle`.
///
/// [CPU limits]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cpu
pub(super) fn plan(cpu: &LinuxCpu, planner: &mut Planner) {
    plan_shares(cpu, planner);
    plan_realtime(cpu, planner);
    plan_bandwidth(cpu, planner);
    for (name, list) in [("cpus", cpu.cpus()), ("mems", cpu.mems())] {
        let pointer = format!("/cpu/{name}");
        if let Some(list) = list.as_ref().filter(|l| !l.is_empty())
            && let Some(version) = planner.version("cpuset", &pointer, false)
        {
            planner.write(version, format!("cpuset.{name}"), list, &pointer);
        }
    }
}

fn plan_shares(cpu: &LinuxCpu, planner: &mut Planner) {
    let idle = cpu.idle();
    if let Some(idle) = idle {
        match planner.version("cpu", "/cpu/idle", idle == 0) {
            _ if !matches!(idle, 0 | 1) => planner.error("/cpu/idle", "must be 0 or 1"),
            Some(version) => {
                let write = planner.write(version, "cpu.idle", idle, "/cpu/idle");
                if idle == 0 {
                    // Linux 5.15; before it nothing is ever idle.
                    write.on_missing = super::OnMissing::Prefer;
                }
            }
            None => {}
        }
    }
    let Some(shares) = cpu.shares().filter(|s| *s != 0) else { return };
    if idle == Some(1) {
        planner.warn("/cpu/shares", "ignored: /cpu/idle gives the lowest weight, the kernel refuses another");
        return;
    }
    match planner.version("cpu", "/cpu/shares", shares == 1024) {
        Some(Version::V1) => {
            planner.write(Version::V1, "cpu.shares", shares, "/cpu/shares");
        }
        Some(Version::V2) => {
            planner.write(Version::V2, "cpu.weight", weight_of_shares(shares), "/cpu/shares");
        }
        None => {}
    }
}

/// cgroup v1 shares (2 … 1024 … 262144) as a cgroup v2 weight (1 … 100 … 10000).
///
/// The quadratic through the logarithms of minimum, default and maximum, as agreed on by runc, crun and Kubernetes;
/// the older linear formula gave the default of 1024 shares a weight of 39.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn plan_realtime(cpu: &LinuxCpu, planner: &mut Planner) {
    let period =
        cpu.realtime_period().filter(|p| *p != 0).map(|p| ("realtimePeriod", "cpu.rt_period_us", p.to_string()));
    let runtime =
        cpu.realtime_runtime().filter(|r| *r != 0).map(|r| ("realtimeRuntime", "cpu.rt_runtime_us", r.to_string()));
    for (name, file, value) in period.into_iter().chain(runtime) {
        let pointer = format!("/cpu/{name}");
        match planner.version("cpu", &pointer, false) {
            Some(Version::V1) => planner.write(Version::V1, file, value, &pointer).again_at_the_end = true,
            Some(Version::V2) => planner.error(&pointer, "cgroup v2 has no real-time limits"),
            None => {}
        }
    }
}

fn plan_bandwidth(cpu: &LinuxCpu, planner: &mut Planner) {
    let quota = cpu.quota().filter(|q| *q != 0);
    let period = cpu.period().filter(|p| *p != 0);
    if quota.is_some_and(|q| q < -1) {
        planner.error("/cpu/quota", "must be a number of microseconds, or -1 for no limit");
        return;
    }
    if let (Some(quota), Some(burst)) = (quota, cpu.burst())
        && let Ok(quota) = u64::try_from(quota)
        && burst > quota
    {
        planner.error("/cpu/burst", "must not be larger than /cpu/quota");
        return;
    }
    if let Some(burst) = cpu.burst() {
        let version = planner.version("cpu", "/cpu/burst", burst == 0);
        let file = if version == Some(Version::V1) { "cpu.cfs_burst_us" } else { "cpu.max.burst" };
        if let Some(version) = version {
            // burst <= quota holds in the kernel: before the quota when both are lowered, after it when raised.
            let write = planner.write(version, file, burst, "/cpu/burst");
            write.again_at_the_end = true;
            if burst == 0 {
                // Linux 5.14; before it nothing ever bursts.
                write.on_missing = super::OnMissing::Prefer;
            }
        }
    }
    let pointer = if quota.is_some() { "/cpu/quota" } else { "/cpu/period" };
    if quota.is_none() && period.is_none() {
        return;
    }
    match planner.version("cpu", pointer, quota.is_none_or(|q| q == -1)) {
        Some(Version::V1) => {
            if let Some(period) = period {
                // The ratio to the old quota may be refused by the parent's limit; then the quota goes first.
                planner.write(Version::V1, "cpu.cfs_period_us", period, "/cpu/period").again_at_the_end = true;
            }
            if let Some(quota) = quota {
                planner.write(Version::V1, "cpu.cfs_quota_us", quota, "/cpu/quota").again_at_the_end = true;
            }
        }
        Some(Version::V2) => match (quota, period) {
            (Some(quota), period) => {
                let quota = if quota == -1 { "max".into() } else { quota.to_string() };
                let value = period.map_or_else(|| quota.clone(), |p| format!("{quota} {p}"));
                planner.write(Version::V2, "cpu.max", value, pointer);
            }
            (None, Some(period)) => {
                planner.write(Version::V2, "cpu.max", period, pointer).after_first_word = true;
            }
            (None, None) => {}
        },
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::{check, planned, v2};
    use super::*;

    #[test]
    fn converts_shares_by_the_agreed_formula() {
        for (shares, weight) in
            [(0, 1), (1, 1), (2, 1), (3, 2), (1024, 100), (2048, 174), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        let weights: Vec<_> = (2..=262_144).map(weight_of_shares).collect();
        assert!(weights.is_sorted());
    }

    #[test]
    fn converts_cpu_limits() {
        check(&[
            (r#"{"cpu":{"shares":512}}"#, "cpu.shares=512", "cpu.weight=59"),
            (r#"{"cpu":{"shares":0,"quota":0,"period":0}}"#, "", ""),
            (r#"{"cpu":{"idle":1,"shares":512}}"#, "cpu.idle=1", "cpu.idle=1"),
            (r#"{"cpu":{"idle":0,"shares":2}}"#, "cpu.idle=0 cpu.shares=2", "cpu.idle=0 cpu.weight=1"),
            (r#"{"cpu":{"idle":2}}"#, "!/cpu/idle", "!/cpu/idle"),
            (r#"{"cpu":{"quota":50000}}"#, "cpu.cfs_quota_us=50000", "cpu.max=50000"),
            (r#"{"cpu":{"quota":-1}}"#, "cpu.cfs_quota_us=-1", "cpu.max=max"),
            (
                r#"{"cpu":{"quota":50000,"period":200000}}"#,
                "cpu.cfs_period_us=200000 cpu.cfs_quota_us=50000",
                "cpu.max=50000_200000",
            ),
            (r#"{"cpu":{"quota":-1,"period":9}}"#, "cpu.cfs_period_us=9 cpu.cfs_quota_us=-1", "cpu.max=max_9"),
            (
                r#"{"cpu":{"quota":5000,"burst":1000}}"#,
                "cpu.cfs_burst_us=1000 cpu.cfs_quota_us=5000",
                "cpu.max.burst=1000 cpu.max=5000",
            ),
            (r#"{"cpu":{"quota":5000,"burst":5001}}"#, "!/cpu/burst", "!/cpu/burst"),
            (r#"{"cpu":{"quota":-2}}"#, "!/cpu/quota", "!/cpu/quota"),
            (r#"{"cpu":{"realtimePeriod":1000}}"#, "cpu.rt_period_us=1000", "!/cpu/realtimePeriod"),
            (r#"{"cpu":{"realtimeRuntime":-1}}"#, "cpu.rt_runtime_us=-1", "!/cpu/realtimeRuntime"),
            (r#"{"cpu":{"realtimeRuntime":0}}"#, "", ""),
            (r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#, "cpuset.cpus=0-1 cpuset.mems=0", "cpuset.cpus=0-1 cpuset.mems=0"),
            (r#"{"cpu":{"cpus":"","mems":""}}"#, "", ""),
        ]);
    }

    #[test]
    fn a_period_alone_keeps_the_quota() {
        let (writes, _) = planned(r#"{"cpu":{"period":20000}}"#, &v2());
        assert_eq!(writes, ["cpu.max=20000"]);
    }
}
