//! config-linux.md, "Huge page limits", "Network", "PIDs", "RDMA", "Unified".

use serde_json::{Value, json};

use super::limits::{created, holds};
use crate::harness::{Bundle, Container, cgroups};

fn with(resources: Value) -> Bundle {
    Bundle::sleeping().set("/linux/resources", resources)
}

/// "`0` is a valid limit value for the `pids` cgroup controller from the kernel's perspective and SHOULD be treated as
/// such by runtimes": the program runs, and can start no other.
#[test]
fn no_process_beside_the_program() {
    need_controller!("pids");
    only_rt!(); // runc 1.1 and crun 1.8 take 0 for "not set"
    let bundle = Bundle::sh("echo first; cat /proc/self/limits; echo last");
    let container = Container::new(bundle.set("/linux/resources", json!({ "pids": { "limit": 0 } })));
    let outcome = container.run();
    assert_eq!(outcome.stdout, "first\n");
    assert!(outcome.stderr.contains("can't fork"), "{outcome:?}");
    let container = created(json!({ "pids": { "limit": 0 } }));
    holds(&container, "pids", ("pids.max", "0"), ("pids.max", "0"));
}

/// "`limit` (int64, OPTIONAL)": an object without it sets nothing.
#[test]
fn an_absent_number_of_processes_is_no_limit() {
    need_controller!("pids");
    let container = created(json!({ "pids": {} }));
    holds(&container, "pids", ("pids.max", "max"), ("pids.max", "max"));
    only_rt!();
    Container::new(with(json!({ "pids": { "limit": -2 } }))).create().refused_with(&["/linux/resources/pids/limit"]);
    Container::new(with(json!({ "pids": { "limit": "9" } }))).create().refused_with(&["/linux/resources/pids/limit"]);
}

/// "`hugepageLimits` defines the hugepage sizes and limits for HugeTLB controller reservation accounting [...] Otherwise
/// [...] this should fallback to the page fault accounting": both files of each size, up to the largest uint64.
#[test]
fn each_size_of_huge_pages_is_limited() {
    let Some(root) = cgroups::directory("hugetlb", "/") else {
        skip!("no hugetlb controller");
    };
    only_rt!(); // runc and crun do not use cgroup2 controllers on a hybrid host
    let is_v1 = cgroups::is_v1("hugetlb");
    let sizes = std::fs::read_dir("/sys/kernel/mm/hugepages").unwrap().flatten();
    let kilobytes = sizes.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.trim_start_matches("hugepages-").trim_end_matches("kB").parse::<u64>().unwrap()
    });
    let name = |kb: u64| match kb {
        kb if kb >= 1 << 20 => format!("{}GB", kb >> 20),
        kb if kb >= 1 << 10 => format!("{}MB", kb >> 10),
        kb => format!("{kb}KB"),
    };
    for kb in kilobytes {
        for (limit, shown) in [(kb << 12, (kb << 12).to_string()), (0, "0".into()), (u64::MAX, "max".into())] {
            let size = name(kb);
            let limits = json!([{ "pageSize": size, "limit": limit }]);
            let container = created(json!({ "hugepageLimits": limits }));
            for part in ["", "rsvd."] {
                let file = format!("hugetlb.{size}.{part}{}", if is_v1 { "limit_in_bytes" } else { "max" });
                let path = root.join(container.cgroup().trim_start_matches('/')).join(&file);
                let held = std::fs::read_to_string(path).unwrap();
                assert!(held.trim() == shown || is_v1 && shown == "max", "{file}: {held}");
            }
        }
    }
}

/// "The value has the format `<size><unit-prefix>B` (64KB, 2MB, 1GB), and must match [...] the corresponding control file".
#[test]
fn bad_sizes_of_huge_pages_are_refused() {
    only_rt!();
    for size in ["2mB", "MB", "2", "2M", "-2MB", "02MB", "../2MB"] {
        let limits = json!([{ "pageSize": size, "limit": 1 }]);
        let container = Container::new(with(json!({ "hugepageLimits": limits })));
        container.create().refused_with(&["/linux/resources/hugepageLimits/0/pageSize"]);
        container.assert_nothing_left();
    }
    // A size that this machine has not.
    let container = Container::new(with(json!({ "hugepageLimits": [{ "pageSize": "3MB", "limit": 1 }] })));
    container.create().refused_with(&["/linux/resources/hugepageLimits/0"]);
    container.assert_nothing_left();
}

/// "`classID` is the network class identifier the cgroup's network packets will be tagged with".
#[test]
fn the_network_class_is_set() {
    let container = Container::new(with(json!({ "network": { "classID": 1_048_577 } })));
    if cgroups::directory("net_cls", "/").is_none() {
        only_rt!(); // others ignore it
        container.create().refused_with(&["/linux/resources/network/classID"]);
        container.assert_nothing_left();
        skip!("no net_cls controller: refused, and that was tested");
    }
    container.create().ok();
    assert_eq!(container.cgroup_file("net_cls", "net_cls.classid").as_deref(), Some("1048577"));
}

/// "`priorities` specifies a list of objects of the priorities assigned to traffic": `name` is an "interface name in
/// runtime network namespace".
#[test]
fn the_network_priorities_are_set() {
    let priorities = json!([{ "name": "lo", "priority": 500 }]);
    let container = Container::new(with(json!({ "network": { "priorities": priorities } })));
    if cgroups::directory("net_prio", "/").is_none() {
        only_rt!(); // others ignore it
        container.create().refused_with(&["/linux/resources/network/priorities/0"]);
        container.assert_nothing_left();
        skip!("no net_prio controller: refused, and that was tested");
    }
    container.create().ok();
    assert!(container.cgroup_file("net_prio", "net_prio.ifpriomap").unwrap().contains("lo 500"));
}

/// "`rdma`: The name of the device to limit is the entry key", "You MUST specify at least one of the `hcaHandles` or
/// `hcaObjects` in a given entry".
#[test]
fn rdma_devices_are_limited_where_there_are_some() {
    only_rt!();
    let container = Container::new(with(json!({ "rdma": { "mlx5_1": {} } })));
    container.create().refused_with(&["/linux/resources/rdma/mlx5_1", "hcaHandles"]);
    container.assert_nothing_left();
    let device = std::fs::read_dir("/sys/class/infiniband").ok().and_then(|mut list| list.next()?.ok());
    let name = device.as_ref().map_or("mlx5_1".into(), |device| device.file_name().into_string().unwrap());
    let limit = json!({ &name: { "hcaHandles": 3, "hcaObjects": 10_000 } });
    let container = Container::new(with(json!({ "rdma": limit })));
    if device.is_none() || cgroups::directory("rdma", "/").is_none() {
        container.create().refused_with(&["/linux/resources/rdma/mlx5_1"]);
        container.assert_nothing_left();
        skip!("no rdma device and controller: refused, and that was tested");
    }
    container.create().ok();
    let held = container.cgroup_file("rdma", "rdma.max").unwrap();
    assert!(held.contains(&format!("{name} hca_handle=3 hca_object=10000")), "{held}");
}

/// "The OCI runtime MUST ensure that the needed cgroup controllers are enabled for the cgroup."
#[test]
fn unified_enables_the_controller() {
    need_cgroup!();
    let Some(root) = cgroups::hierarchies().into_iter().find(|hierarchy| hierarchy.v2) else {
        skip!("no cgroup2 here");
    };
    only_rt!(); // runc and crun want pure cgroup v2
    let values =
        [("hugetlb", "hugetlb.2MB.max", "4194304"), ("memory", "memory.high", "8388608"), ("pids", "pids.max", "9")];
    let here: Vec<_> = values.iter().filter(|(name, ..)| root.controllers.iter().any(|have| have == name)).collect();
    if here.is_empty() {
        skip!("no cgroup2 controller here");
    }
    for (controller, file, value) in here {
        let container = created(json!({ "unified": { *file: value } }));
        let directory = root.path.join(container.cgroup().trim_start_matches('/'));
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(read("cgroup.controllers").split_whitespace().any(|have| have == *controller), "{controller}");
        assert_eq!(read(file).trim(), *value);
    }
}

/// "Configuration unknown to the runtime MUST still be written to the relevant file": what the kernel does not know
/// either is an error that names the file.
#[test]
fn unified_writes_what_only_the_kernel_can_judge() {
    need_cgroup!();
    if !cgroups::hierarchies().iter().any(|hierarchy| hierarchy.v2) {
        skip!("no cgroup2 here");
    }
    only_rt!();
    for (key, value) in [("cgroup.nosuch", "1"), ("cgroup.max.depth", "deep"), ("cgroup.max.depth", "\n")] {
        let container = Container::new(with(json!({ "unified": { key: value } })));
        container.create().refused_with(&[key, &format!("/linux/resources/unified/{key}")]);
        container.assert_nothing_left();
    }
}

/// Files that move, stop or kill processes hold no limit; a container whose cgroup is frozen would never be created.
#[test]
fn unified_gives_no_commands() {
    need_cgroup!();
    only_rt!(); // others hang
    for (file, value) in [
        ("cgroup.freeze", "1"),
        ("cgroup.kill", "1"),
        ("cgroup.procs", "1"),
        ("cgroup.threads", "1"),
        ("cgroup.type", "threaded"),
    ] {
        let container = Container::new(with(json!({ "unified": { file: value } })));
        container.create().refused_with(&[&format!("/linux/resources/unified/{file}")]);
        container.assert_nothing_left();
    }
}

/// "If the conversion is not possible the runtime MUST generate an error": a v2 file of a controller that is on v1.
#[test]
fn what_cannot_be_converted_is_refused() {
    only_rt!();
    if !cgroups::is_v1("pids") {
        // The other direction: real-time limits and swappiness have no file on v2.
        let container = Container::new(with(json!({ "cpu": { "realtimePeriod": 1_000_000 } })));
        container.create().refused_with(&["/linux/resources/cpu/realtimePeriod"]);
        container.assert_nothing_left();
        return;
    }
    let container = Container::new(with(json!({ "unified": { "pids.max": "9" } })));
    container.create().refused_with(&["/linux/resources/unified/pids.max"]);
    container.assert_nothing_left();
}
