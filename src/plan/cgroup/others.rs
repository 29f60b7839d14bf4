//! The small controllers: pids, hugetlb, net_cls and net_prio, rdma.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::resources::{OnMissing, Planner};
use crate::host::cgroup::Version;

/// Plans the [number of tasks]: `-1` is no limit, `0` is none at all.
///
/// [number of tasks]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#pids
pub(super) fn plan_pids(limit: i64, planner: &mut Planner) {
    if limit < -1 {
        planner.error("/pids/limit", "must be a number of tasks, or -1 for no limit");
        return;
    }
    if let Some(version) = planner.version("pids", "/pids/limit", limit == -1) {
        let value = if limit == -1 { "max".into() } else { limit.to_string() };
        planner.write(version, "pids.max", value, "/pids/limit");
    }
}

/// Plans [huge page limits]: of reservations where the kernel counts them, and of page faults.
///
/// [huge page limits]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#huge-page-limits
pub(super) fn plan_hugepages(limits: &[LinuxHugepageLimit], planner: &mut Planner) {
    for (index, limit) in limits.iter().enumerate() {
        let size = limit.page_size();
        if !is_page_size(size) {
            planner.error(
                &format!("/hugepageLimits/{index}/pageSize"),
                format!("{size:?} is not a page size such as 64KB, 2MB or 1GB"),
            );
            continue;
        }
        // oci-spec holds the spec's uint64 as an i64: `spec` has made its largest number of all that are larger.
        let bytes = limit.limit();
        let pointer = format!("/hugepageLimits/{index}");
        let Some(version) = planner.version("hugetlb", &pointer, bytes == i64::MAX) else { continue };
        let name = if version == Version::V1 { "limit_in_bytes" } else { "max" };
        planner.write(version, format!("hugetlb.{size}.{name}"), bytes, &pointer);
        planner.write(version, format!("hugetlb.{size}.rsvd.{name}"), bytes, &pointer).on_missing = OnMissing::Prefer;
    }
}

fn is_page_size(size: &str) -> bool {
    let digits = size.trim_end_matches("B").trim_end_matches(['K', 'M', 'G']);
    let unit = &size[digits.len()..];
    matches!(unit, "KB" | "MB" | "GB") && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Plans [network classes and priorities], which only cgroup v1 has.
///
/// [network classes and priorities]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network
pub(super) fn plan_network(network: &LinuxNetwork, planner: &mut Planner) {
    if let Some(class_id) = network.class_id()
        && planner.version("net_cls", "/network/classID", class_id == 0).is_some()
    {
        planner.write(Version::V1, "net_cls.classid", class_id, "/network/classID");
    }
    for (index, priority) in network.priorities().iter().flatten().enumerate() {
        let pointer = format!("/network/priorities/{index}");
        if priority.name().is_empty() || priority.name().contains([' ', '\n', '/']) {
            planner.error(&pointer, format!("{:?} is not the name of an interface", priority.name()));
        } else if planner.version("net_prio", &pointer, false).is_some() {
            let value = format!("{} {}", priority.name(), priority.priority());
            planner.write(Version::V1, "net_prio.ifpriomap", value, &pointer);
        }
    }
}

/// Plans [RDMA limits].
///
/// [RDMA limits]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#rdma
pub(super) fn plan_rdma(rdma: &HashMap<String, LinuxRdma>, planner: &mut Planner) {
    let mut devices: Vec<_> = rdma.iter().collect();
    devices.sort_by_key(|(name, _)| *name);
    for (name, limits) in devices {
        let pointer = format!("/rdma/{}", name.replace('~', "~0").replace('/', "~1"));
        let values = [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())];
        let values: Vec<_> =
            values.into_iter().filter_map(|(key, value)| value.map(|v| format!("{key}={v}"))).collect();
        if values.is_empty() {
            planner.error(&pointer, "needs hcaHandles or hcaObjects");
        } else if name.is_empty() || name.contains([' ', '\n']) {
            planner.error(&pointer, format!("{name:?} is not the name of a device"));
        } else if let Some(version) = planner.version("rdma", &pointer, false) {
            planner.write(version, "rdma.max", format!("{name} {}", values.join(" ")), &pointer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::{check, planned};
    use super::*;
    use crate::host::cgroup::Layout;

    #[test]
    fn plans_the_small_controllers() {
        check(&[
            (r#"{"pids":{"limit":0}}"#, "pids.max=0", "pids.max=0"),
            (r#"{"pids":{"limit":-1}}"#, "pids.max=max", "pids.max=max"),
            (r#"{"pids":{"limit":-2}}"#, "!/pids/limit", "!/pids/limit"),
            (
                r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4096}]}"#,
                "hugetlb.2MB.limit_in_bytes=4096 hugetlb.2MB.rsvd.limit_in_bytes=4096",
                "hugetlb.2MB.max=4096 hugetlb.2MB.rsvd.max=4096",
            ),
            (
                r#"{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}"#,
                "!/hugepageLimits/0/pageSize",
                "!/hugepageLimits/0/pageSize",
            ),
            (r#"{"network":{"classID":1048577}}"#, "net_cls.classid=1048577", "!/network/classID"),
            (r#"{"network":{"priorities":[]}}"#, "", ""),
            (
                r#"{"network":{"priorities":[{"name":"eth0","priority":500}]}}"#,
                "net_prio.ifpriomap=eth0_500",
                "!/network/priorities/0",
            ),
            (
                r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"a":{"hcaObjects":1}}}"#,
                "rdma.max=a_hca_object=1 rdma.max=mlx5_1_hca_handle=3_hca_object=10000",
                "rdma.max=a_hca_object=1 rdma.max=mlx5_1_hca_handle=3_hca_object=10000",
            ),
            (r#"{"rdma":{"x":{}}}"#, "!/rdma/x", "!/rdma/x"),
        ]);
    }

    #[test]
    fn no_limit_of_huge_pages_needs_no_controller() {
        let limits = |limit: i64| format!(r#"{{"hugepageLimits":[{{"pageSize":"2MB","limit":{limit}}}]}}"#);
        for (limit, errors) in [(i64::MAX, 0), (i64::MAX - 1, 1)] {
            let (writes, faults) = planned(&limits(limit), &Layout::None);
            assert_eq!((writes.len(), faults.errors.len()), (0, errors), "{limit}");
        }
    }

    #[test]
    fn knows_page_sizes() {
        for size in ["64KB", "2MB", "1GB", "16GB"] {
            assert!(is_page_size(size), "{size}");
        }
        for size in ["", "MB", "2", "2B", "2M", "2mB", "2KMB", "-2MB", "2MB.max", "é"] {
            assert!(!is_page_size(size), "{size}");
        }
    }
}
