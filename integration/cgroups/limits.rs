//! "resources": each value in its file, and at work.

use serde_json::{Value, json};

use crate::harness::{Bundle, Container, cgroups};

/// Creates a container with these resources and gives it back for a look at its files.
pub fn created(resources: Value) -> Container {
    let container = Container::new(Bundle::sleeping().set("/linux/resources", resources));
    container.create().ok();
    container
}

/// Asserts what a file of the container's cgroup holds; a machine without the file skips it.
#[track_caller]
pub fn holds(container: &Container, controller: &str, v1: (&str, &str), v2: (&str, &str)) {
    let (file, value) = if cgroups::is_v1(controller) { v1 } else { v2 };
    if !cgroups::has(controller) || file.is_empty() {
        return;
    }
    assert_eq!(container.cgroup_file(controller, file).as_deref(), Some(value), "{file}");
}

/// "`limit` - sets limit of memory usage", "`reservation`", "`swap` - sets limit of memory+Swap usage".
#[test]
fn memory_values_are_written() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20 } }));
    holds(&container, "memory", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    holds(&container, "memory", ("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432"));
    holds(&container, "memory", ("memory.memsw.limit_in_bytes", "100663296"), ("memory.swap.max", "33554432"));
}

/// -1 is no limit.
#[test]
fn unlimited_memory_is_accepted() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "limit": -1, "swap": -1 } }));
    holds(&container, "memory", ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
}

/// "`swappiness`" and "`disableOOMKiller`" (v1).
#[test]
fn swappiness_and_the_oom_killer_are_set() {
    if !cgroups::is_v1("memory") {
        skip!("memory is not on cgroup v1 here");
    }
    let container = created(json!({ "memory": { "limit": 64 << 20, "disableOOMKiller": true } }));
    let control = container.cgroup_file("memory", "memory.oom_control").unwrap();
    assert!(control.contains("oom_kill_disable 1"), "{control}");
}

/// "`kernelTCP` - sets hard limit for kernel TCP buffer memory": on v2 there is none, and `limit` counts it.
#[test]
fn the_memory_of_tcp_buffers_is_limited_on_v1() {
    need_controller!("memory");
    let container = created(json!({ "memory": { "kernelTCP": 8 << 20 } }));
    holds(&container, "memory", ("memory.kmem.tcp.limit_in_bytes", "8388608"), ("", ""));
}

/// "`shares`, `quota`, `period`": cpu.
#[test]
fn cpu_values_are_written() {
    need_controller!("cpu");
    let container = created(json!({ "cpu": { "shares": 512, "quota": 50_000, "period": 200_000 } }));
    holds(&container, "cpu", ("cpu.shares", "512"), ("", ""));
    holds(&container, "cpu", ("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 200000"));
    holds(&container, "cpu", ("cpu.cfs_period_us", "200000"), ("cpu.max", "50000 200000"));
}

/// "`burst`", and "`idle`". (runc 1.1 and crun 1.8 know some of it.)
#[test]
fn burst_and_idle_are_written() {
    need_controller!("cpu");
    let container = created(json!({ "cpu": { "quota": 50_000, "period": 100_000, "burst": 20_000 } }));
    holds(&container, "cpu", ("cpu.cfs_burst_us", "20000"), ("cpu.max.burst", "20000"));
    let container = created(json!({ "cpu": { "idle": 1 } }));
    holds(&container, "cpu", ("cpu.idle", "1"), ("cpu.idle", "1"));
}

/// "`cpus`, `mems`": cpuset, also in parents that never had one.
#[test]
fn the_cpuset_is_written() {
    need_controller!("cpuset");
    let container = created(json!({ "cpu": { "cpus": "0", "mems": "0" } }));
    holds(&container, "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    holds(&container, "cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    if cgroups::directory("cpuset", "/").is_some() {
        assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    }
}

/// "`limit` specifies the maximum number of tasks in the cgroup": written and at work.
#[test]
fn the_number_of_processes_is_limited() {
    need_controller!("pids");
    let script = "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done 2>&1; echo all";
    let container = Container::new(Bundle::sh(script).set("/linux/resources/pids", json!({ "limit": 30 })));
    let output = container.run().stdout;
    assert!(output.contains("can't fork") && !output.contains("all"), "{output}");
}

/// "`0` is a valid limit value", -1 is none.
#[test]
fn unlimited_processes_are_accepted() {
    need_controller!("pids");
    let container = created(json!({ "pids": { "limit": -1 } }));
    holds(&container, "pids", ("pids.max", "max"), ("pids.max", "max"));
}

/// The memory limit at work: the program is killed by the OOM killer, and `run` says 137.
#[test]
fn a_program_beyond_its_memory_is_killed() {
    if !cgroups::has("memory") {
        skip!("no memory controller");
    }
    let bundle = Bundle::args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=96M", "count=1"]);
    let container =
        Container::new(bundle.set("/linux/resources/memory", json!({ "limit": 32 << 20, "swap": 32 << 20 })));
    assert_eq!(container.run().code, 137);
    container.assert_nothing_left();
}

/// "`blockIO`": weight and throttles (v1), for a device that need not exist.
#[test]
fn block_io_throttles_are_written() {
    if !cgroups::has("blkio") && !cgroups::has("io") {
        skip!("no blkio controller here");
    }
    let Some(name) = std::fs::read_dir("/sys/block")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("dev").exists())
    else {
        skip!("no block device");
    };
    let number = std::fs::read_to_string(name.join("dev")).unwrap().trim().to_owned();
    let (major, minor) = number.split_once(':').unwrap();
    let (major, minor): (i64, i64) = (major.parse().unwrap(), minor.parse().unwrap());
    let container = created(
        json!({ "blockIO": { "throttleReadBpsDevice": [{ "major": major, "minor": minor, "rate": 1_048_576 }], "throttleWriteIOPSDevice": [{ "major": major, "minor": minor, "rate": 100 }] } }),
    );
    if cgroups::is_v1("blkio") {
        assert_eq!(
            container.cgroup_file("blkio", "blkio.throttle.read_bps_device").unwrap(),
            format!("{number} 1048576")
        );
        assert_eq!(
            container.cgroup_file("blkio", "blkio.throttle.write_iops_device").unwrap(),
            format!("{number} 100")
        );
    }
}

/// "`hugepageLimits`". On a hybrid host hugetlb is on the cgroup2 mount.
#[test]
fn huge_pages_are_limited() {
    let Some(root) = cgroups::directory("hugetlb", "/") else {
        skip!("no hugetlb controller");
    };
    only_rt!(); // runc and crun do not use cgroup2 controllers on a hybrid host
    let container = created(json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] }));
    let path = root.join(container.cgroup().trim_start_matches('/')).join("hugetlb.2MB.max");
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "4194304");
}

/// "`unified`: Configuration unknown to the runtime MUST still be written to the relevant file."
#[test]
fn unified_values_are_written() {
    need_cgroup!();
    let Some(root) = cgroups::hierarchies().into_iter().find(|hierarchy| hierarchy.v2) else {
        skip!("no cgroup2 here");
    };
    only_rt!(); // runc and crun want pure cgroup v2
    let container = created(json!({ "unified": { "cgroup.max.descendants": "7" } }));
    let path = root.path.join(container.cgroup().trim_start_matches('/')).join("cgroup.max.descendants");
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "7");
}

/// "The runtime MUST generate an error when the configuration refers to a cgroup controller that is not present."
#[test]
fn unified_without_the_controller_is_refused() {
    let there = cgroups::hierarchies()
        .iter()
        .any(|hierarchy| hierarchy.v2 && hierarchy.controllers.iter().any(|name| name == "memory"));
    if there {
        skip!("memory is a cgroup2 controller here");
    }
    let container =
        Container::new(Bundle::sleeping().set("/linux/resources/unified", json!({ "memory.high": "1048576" })));
    container.create().refused_with(&["memory.high"]);
    container.assert_nothing_left();
}

/// A value that the kernel refuses is an error that names the file and leaves nothing.
#[test]
fn a_value_that_the_kernel_refuses_is_named() {
    need_controller!("cpuset");
    let container = Container::new(Bundle::sleeping().set("/linux/resources/cpu", json!({ "cpus": "4096" })));
    container.create().refused_with(&["cpuset.cpus"]);
    container.assert_nothing_left();
}

/// "`kernel` [...] MUST be ignored" as are other values that this kernel has not: they are no reason to fail.
#[test]
fn kernel_memory_is_passed_over() {
    need_controller!("memory");
    created(json!({ "memory": { "limit": 64 << 20, "kernel": 32 << 20, "kernelTCP": -1 } }));
}

/// "`network`: `classID`, `priorities`", where this machine has not these controllers.
#[test]
fn a_missing_v1_controller_is_an_error_or_nothing() {
    let container = Container::new(Bundle::sleeping().set("/linux/resources/network", json!({ "classID": 1_048_577 })));
    if cgroups::directory("net_cls", "/").is_some() {
        skip!("net_cls is here");
    }
    let outcome = container.create();
    assert!(outcome.code == 0 || outcome.stderr.contains("net_cls"), "{outcome:?}");
}
