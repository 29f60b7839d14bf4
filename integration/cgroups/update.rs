//! `update`: each limit is read back from its file; what is not given stays; what is refused changes nothing.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::runtime::outcome_with_stdin;
use crate::harness::{Bundle, Container, Outcome, cgroups};

/// A running container with these limits.
fn launched(resources: Value) -> Container {
    let container = Container::new(Bundle::sleeping().set("/linux/resources", resources));
    container.launch();
    container
}

/// `update --resources - ID`, as containerd and CRI-O call it.
#[track_caller]
fn update(container: &Container, resources: &Value) -> Outcome {
    let mut command = container.command();
    command.args(["update", "--resources", "-", &container.id]).stdin(Stdio::piped());
    outcome_with_stdin(command, &resources.to_string())
}

/// `update FLAGS ID`.
#[track_caller]
fn update_by(container: &Container, flags: &[&str]) -> Outcome {
    container.call(&[&["update"], flags, &[&container.id]].concat())
}

/// What a file of the container's cgroup holds: the first of a pair on v1, the second on v2.
#[track_caller]
fn holds(container: &Container, controller: &str, v1: (&str, &str), v2: (&str, &str)) {
    let (file, value) = if cgroups::is_v1(controller) { v1 } else { v2 };
    if !file.is_empty() {
        assert_eq!(container.cgroup_file(controller, file).as_deref(), Some(value), "{file}");
    }
}

/// Memory: raised, lowered, taken away, with and without swap, in every order.
#[test]
fn memory_is_updated() {
    need_controller!("memory");
    let container = launched(json!({ "memory": { "limit": 64 << 20, "swap": 128 << 20 } }));
    let expect = |limit: u64, swap: u64| {
        let (limit, left, both) = (limit << 20, (swap - limit) << 20, swap << 20);
        let [limit, left, both] = [limit, left, both].map(|bytes| bytes.to_string());
        holds(&container, "memory", ("memory.limit_in_bytes", &limit), ("memory.max", &limit));
        if container.cgroup_file("memory", "memory.swap.max").is_some() || cgroups::is_v1("memory") {
            holds(&container, "memory", ("memory.memsw.limit_in_bytes", &both), ("memory.swap.max", &left));
        }
    };
    expect(64, 128);
    for (limit, swap) in [(256, 512), (32, 64), (64, 64), (32, 256)] {
        let limits = json!({ "memory": { "limit": limit << 20, "swap": swap << 20 } });
        update(&container, &limits).ok();
        expect(limit, swap);
    }
    // One of the two: the other stays what it was.
    update_by(&container, &["--memory", "128m"]).ok();
    expect(128, 256);
    update_by(&container, &["--memory-swap=512m"]).ok();
    expect(128, 512);
    update_by(&container, &["--memory", "1g", "--memory-swap", "2G"]).ok();
    expect(1024, 2048);
    update_by(&container, &["--memory-reservation", "16m"]).ok();
    holds(&container, "memory", ("memory.soft_limit_in_bytes", "16777216"), ("memory.low", "16777216"));
    expect(1024, 2048);
    update_by(&container, &["--memory=-1", "--memory-swap=-1"]).ok();
    holds(&container, "memory", ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
}

/// Without a limit there is none of memory and swap together either: the next limit is not held against that of before.
#[test]
fn a_limit_that_was_taken_away_leaves_nothing_behind() {
    need_controller!("memory");
    only_rt!(); // others remember no limits
    let container = launched(json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 } }));
    update_by(&container, &["--memory=-1"]).ok();
    holds(&container, "memory", ("memory.memsw.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
    update_by(&container, &["--memory=128m"]).ok();
    holds(&container, "memory", ("memory.limit_in_bytes", "134217728"), ("memory.max", "134217728"));
    if container.cgroup_file("memory", "memory.swap.max").is_some() || cgroups::is_v1("memory") {
        let unlimited = "9223372036854771712";
        holds(&container, "memory", ("memory.memsw.limit_in_bytes", unlimited), ("memory.swap.max", "max"));
    }
}

/// CPU time and weight, by document and by flag.
#[test]
fn cpu_is_updated() {
    need_controller!("cpu");
    let container = launched(json!({ "cpu": { "shares": 1024, "quota": 50_000, "period": 100_000 } }));
    update(&container, &json!({ "cpu": { "shares": 512, "quota": 0, "period": 0 } })).ok();
    holds(&container, "cpu", ("cpu.shares", "512"), ("cpu.weight", "59"));
    holds(&container, "cpu", ("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000"));
    update_by(&container, &["--cpu-quota", "20000"]).ok();
    holds(&container, "cpu", ("cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 100000"));
    update_by(&container, &["--cpu-period", "200000"]).ok();
    holds(&container, "cpu", ("cpu.cfs_period_us", "200000"), ("cpu.max", "20000 200000"));
    update_by(&container, &["--cpu-share", "2048"]).ok();
    holds(&container, "cpu", ("cpu.shares", "2048"), ("cpu.weight", "174"));
    update_by(&container, &["--cpu-quota=-1"]).ok();
    // systemd takes its own period then.
    let file = if cgroups::is_v1("cpu") { "cpu.cfs_quota_us" } else { "cpu.max" };
    let quota = container.cgroup_file("cpu", file).unwrap();
    assert!(quota == "-1" || quota.starts_with("max "), "{quota}");
    update_by(&container, &["--cpu-quota=30000"]).ok();
    holds(&container, "cpu", ("cpu.cfs_quota_us", "30000"), ("cpu.max", "30000 200000"));
    holds(&container, "cpu", ("cpu.cfs_period_us", "200000"), ("", ""));
}

/// "`burst`" and "`idle`"; shares are forgotten by an idle cgroup, and come back with its end.
#[test]
fn burst_and_idle_are_updated() {
    need_controller!("cpu");
    only_rt!(); // newer than Debian's runc and crun
    let container = launched(json!({ "cpu": { "shares": 512, "quota": 50_000, "period": 100_000 } }));
    update_by(&container, &["--cpu-burst", "20000"]).ok();
    holds(&container, "cpu", ("cpu.cfs_burst_us", "20000"), ("cpu.max.burst", "20000"));
    update_by(&container, &["--cpu-burst", "0", "--cpu-quota", "10000"]).ok();
    holds(&container, "cpu", ("cpu.cfs_burst_us", "0"), ("cpu.max.burst", "0"));
    update_by(&container, &["--cpu-idle", "1"]).ok();
    holds(&container, "cpu", ("cpu.idle", "1"), ("cpu.idle", "1"));
    update_by(&container, &["--cpu-idle=0"]).ok();
    holds(&container, "cpu", ("cpu.idle", "0"), ("cpu.idle", "0"));
    holds(&container, "cpu", ("cpu.shares", "512"), ("cpu.weight", "59"));
}

/// "If specified with any (valid) positive value, it MUST be no smaller than `burst`": the one that the container has.
#[test]
fn a_quota_below_the_burst_is_named() {
    need_controller!("cpu");
    only_rt!(); // newer than Debian's runc and crun
    let container = launched(json!({ "cpu": { "quota": 50_000, "burst": 20_000 } }));
    if container.cgroup_file("cpu", if cgroups::is_v1("cpu") { "cpu.cfs_burst_us" } else { "cpu.max.burst" }).is_none()
    {
        skip!("this kernel has no bursts");
    }
    update_by(&container, &["--cpu-quota=10000"]).refused_with(&["--cpu-quota", "burst, 20000"]);
    update_by(&container, &["--cpu-burst=60000"]).refused_with(&["--cpu-burst", "quota, 50000"]);
    for (quota, burst) in [(10_000, 5000), (70_000, 60_000)] {
        update(&container, &json!({ "cpu": { "quota": quota, "burst": burst } })).ok();
        let [quota, burst] = [quota, burst].map(|us: u32| us.to_string());
        holds(&container, "cpu", ("cpu.cfs_quota_us", &quota), ("cpu.max", &format!("{quota} 100000")));
        holds(&container, "cpu", ("cpu.cfs_burst_us", &burst), ("cpu.max.burst", &burst));
    }
}

/// Real-time bandwidth, which only v1 has, where the kernel was built with it.
#[test]
fn real_time_bandwidth_is_updated() {
    let container = launched(json!({}));
    if container.cgroup_file("cpu", "cpu.rt_period_us").is_none() {
        skip!("no real-time groups here");
    }
    update_by(&container, &["--cpu-rt-period", "500000"]).ok();
    holds(&container, "cpu", ("cpu.rt_period_us", "500000"), ("", ""));
}

/// CPUs and memory nodes.
#[test]
fn the_cpuset_is_updated() {
    need_controller!("cpuset");
    let container = launched(json!({}));
    update_by(&container, &["--cpuset-cpus", "0", "--cpuset-mems", "0"]).ok();
    holds(&container, "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    holds(&container, "cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
}

/// The number of processes: at work at once, and none again.
#[test]
fn the_number_of_processes_is_updated() {
    need_controller!("pids");
    let container = launched(json!({ "pids": { "limit": 100 } }));
    update(&container, &json!({ "pids": { "limit": 20 } })).ok();
    holds(&container, "pids", ("pids.max", "20"), ("pids.max", "20"));
    let outcome = container.exec_sh("i=0; while [ $i -lt 40 ]; do sleep 9 & i=$((i+1)); done 2>&1; echo all");
    assert!(!outcome.stdout.contains("all"), "{outcome:?}");
    update_by(&container, &["--pids-limit", "-1"]).ok();
    holds(&container, "pids", ("pids.max", "max"), ("pids.max", "max"));
}

/// Block devices: a throttle for each by itself, and the weight where there is a file for it.
#[test]
fn block_io_is_updated() {
    need_block_io!();
    let Some(controller) = ["blkio", "io"].into_iter().find(|name| cgroups::directory(name, "/").is_some()) else {
        skip!("no blkio controller here");
    };
    let disks = std::fs::read_dir("/sys/block").unwrap().flatten();
    let Some(number) = disks.filter_map(|disk| std::fs::read_to_string(disk.path().join("dev")).ok()).next() else {
        skip!("no block device");
    };
    only_rt!(); // others update the weight alone
    let number = number.trim();
    let (major, minor) = number.split_once(':').unwrap();
    let (major, minor): (i64, i64) = (major.parse().unwrap(), minor.parse().unwrap());
    let rate = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let container = launched(json!({ "blockIO": { "throttleReadBpsDevice": rate(1 << 20) } }));
    update(&container, &json!({ "blockIO": { "throttleWriteIOPSDevice": rate(100) } })).ok();
    let limits = if controller == "io" {
        vec![("io.max", format!("{number} rbps=1048576 wbps=max riops=max wiops=100"))]
    } else {
        let files = [("blkio.throttle.read_bps_device", "1048576"), ("blkio.throttle.write_iops_device", "100")];
        files.map(|(file, rate)| (file, format!("{number} {rate}"))).to_vec()
    };
    for (file, expected) in limits {
        assert_eq!(container.cgroup_file(controller, file).as_deref(), Some(expected.as_str()));
    }
    update(&container, &json!({ "blockIO": { "throttleReadBpsDevice": rate(0), "throttleWriteIOPSDevice": rate(0) } }))
        .ok();
    let file = if controller == "io" { "io.max" } else { "blkio.throttle.read_bps_device" };
    assert_eq!(container.cgroup_file(controller, file).as_deref(), Some(""));

    let weights = ["blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"];
    match weights.into_iter().find(|file| container.cgroup_file(controller, file).is_some()) {
        Some(file) => {
            update_by(&container, &["--blkio-weight", "500"]).ok();
            let weight = container.cgroup_file(controller, file).unwrap();
            assert!(weight.contains(if file == "io.weight" { "4950" } else { "500" }), "{file}: {weight}");
        }
        None => drop(update_by(&container, &["--blkio-weight", "500"]).refused_with(&["--blkio-weight", "weight"])),
    }
}

/// Huge pages; on a hybrid host their controller is enabled when it is first needed.
#[test]
fn huge_pages_are_updated() {
    let Some(root) = cgroups::directory("hugetlb", "/") else {
        skip!("no hugetlb controller");
    };
    only_rt!(); // others do not update them
    let container = launched(json!({}));
    update(&container, &json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] })).ok();
    let file = if cgroups::is_v1("hugetlb") { "hugetlb.2MB.limit_in_bytes" } else { "hugetlb.2MB.max" };
    let path = root.join(container.cgroup().trim_start_matches('/')).join(file);
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "4194304");
}

/// "`unified`": any file of cgroup2.
#[test]
fn unified_values_are_updated() {
    need_cgroup!();
    let Some(root) = cgroups::hierarchies().into_iter().find(|hierarchy| hierarchy.v2) else {
        skip!("no cgroup2 here");
    };
    only_rt!(); // runc and crun want pure cgroup v2
    let container = launched(json!({}));
    update(&container, &json!({ "unified": { "cgroup.max.descendants": "7" } })).ok();
    let path = root.path.join(container.cgroup().trim_start_matches('/')).join("cgroup.max.descendants");
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "7");
}

/// Device rules are exchanged for others while the container uses its devices.
#[test]
fn device_rules_are_updated() {
    need_root!("limit devices");
    only_rt!(); // others leave them as they are
    let deny = json!({ "allow": false, "access": "rwm" });
    let kmsg = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw" });
    let bundle = Bundle::sh("while :; do : < /dev/zero || echo denied; done")
        .set("/linux/resources", json!({ "devices": [deny] }))
        .capabilities(&["CAP_SYSLOG"])
        .push("/linux/devices", json!({ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11 }));
    let container = Container::new(bundle);
    container.launch();
    let can_open = || {
        let outcome = container.exec_sh(": < /dev/kmsg");
        outcome.code == 0 || !outcome.stderr.contains("Operation not permitted")
    };
    assert!(!can_open());
    for _ in 0..5 {
        update(&container, &json!({ "devices": [deny, kmsg] })).ok();
        assert!(can_open());
        update(&container, &json!({ "devices": [deny] })).ok();
        assert!(!can_open());
    }
    update(&container, &json!({ "devices": [] })).ok();
    assert!(!can_open(), "an empty list changes nothing");
    assert_eq!(container.output(), "", "a device of the default list was denied in between");
}

/// The flags stand over the document, and 0 is "not given".
#[test]
fn flags_win_over_the_document() {
    need_controller!("pids");
    need_controller!("cpu");
    only_rt!(); // runc ignores the flags beside a document
    let container = launched(json!({ "cpu": { "shares": 512 } }));
    let file = container.bundle.beside("resources.json");
    std::fs::write(&file, r#"{"pids":{"limit":20},"cpu":{"shares":0,"cpus":""},"memory":{"limit":0}}"#).unwrap();
    update_by(&container, &["-r", file.to_str().unwrap(), "--pids-limit", "30"]).ok();
    holds(&container, "pids", ("pids.max", "30"), ("pids.max", "30"));
    holds(&container, "cpu", ("cpu.shares", "512"), ("cpu.weight", "59"));
}

/// A created and a paused container are updated too, a stopped one is not.
#[test]
fn only_what_lives_is_updated() {
    need_controller!("pids");
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    update_by(&container, &["--pids-limit", "20"]).ok();
    container.start().ok();
    holds(&container, "pids", ("pids.max", "20"), ("pids.max", "20"));
    container.call(&["pause", &container.id]).ok();
    update_by(&container, &["--pids-limit", "21"]).ok();
    container.call(&["resume", &container.id]).ok();
    holds(&container, "pids", ("pids.max", "21"), ("pids.max", "21"));
    container.stop();
    update_by(&container, &["--pids-limit", "22"]).refused_with(&["container not running"]);
    container.delete().ok();
    update_by(&container, &["--pids-limit", "22"]).refused_with(&["does not exist"]);
}

/// A limit that the kernel refuses, behind some that it took: all are as they were, and the error says so.
#[test]
fn a_refused_limit_changes_nothing() {
    need_controller!("cpuset");
    need_controller!("memory");
    need_controller!("cpu");
    need_controller!("pids");
    only_rt!(); // others leave a half of it
    let container = launched(json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 50 } }));
    let refused =
        json!({ "memory": { "limit": 128 << 20 }, "pids": { "limit": 20 }, "cpu": { "quota": 1, "shares": 512 } });
    update(&container, &refused).refused_with(&["nothing is changed", "/cpu/quota"]);
    holds(&container, "memory", ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    holds(&container, "pids", ("pids.max", "50"), ("pids.max", "50"));
    holds(&container, "cpu", ("cpu.shares", "1024"), ("cpu.weight", "100"));
    assert_eq!(container.status(), "running");
}

/// Also what began as its parent's, which on cgroup v2 an empty file says: the kernel takes nothing empty from a cpuset that
/// has processes, so it is what was in force.
#[test]
fn an_empty_cpuset_is_set_back_to_what_was_in_force() {
    need_controller!("cpuset");
    only_rt!(); // others leave a half of it
    if cgroups::is_v1("cpuset") {
        skip!("a cpuset of cgroup v1 is never empty");
    }
    let container = launched(json!({}));
    let in_force =
        || ["cpuset.cpus.effective", "cpuset.mems.effective"].map(|file| container.cgroup_file("cpuset", file));
    let before = in_force();
    if before[0].as_deref() == Some("0") {
        skip!("there is one CPU");
    }
    let refused = json!({ "cpu": { "cpus": "0", "mems": "0" }, "unified": { "cgroup.max.depth": "deep" } });
    update(&container, &refused).refused_with(&["nothing is changed", "/unified/cgroup.max.depth"]);
    assert_eq!(in_force(), before);
}

/// What the kernel did not take is not missed when all is set back: a device that is not there.
#[test]
fn what_was_never_written_needs_no_setting_back() {
    need_block_io!();
    only_rt!(); // others leave a half of it
    let container = launched(json!({}));
    let throttle = json!([{ "major": 4000, "minor": 77, "rate": 9 }]);
    update(&container, &json!({ "blockIO": { "throttleReadBpsDevice": throttle } })).refused_with(&[
        "nothing is changed",
        "/blockIO/throttleReadBpsDevice/0",
        "ENODEV",
    ]);
}

/// What is wrong is said with its pointer or its flag, before anything is changed.
#[test]
fn a_wrong_limit_is_named() {
    need_controller!("memory");
    need_controller!("pids");
    only_rt!();
    let container = launched(json!({ "pids": { "limit": 50 } }));
    for (document, words) in [
        (json!({ "pids": { "limit": -2 } }), &["resources.json", "/pids/limit"][..]),
        (json!({ "memory": { "limit": "1g" } }), &["/memory/limit", "must be an integer"]),
        (json!({ "memory": { "limit": 4096, "swap": 2048 } }), &["/memory/swap"]),
        (json!([]), &["resources.json"]),
    ] {
        update(&container, &document).refused_with(words);
    }
    let mut command = container.command();
    command.args(["update", "--resources", "-", &container.id]);
    outcome_with_stdin(command, "{").refused_with(&["resources.json", "not JSON"]);
    for (flags, words) in [
        (&["--pids-limit", "x"][..], "--pids-limit"),
        (&["--memory", "1x"], "--memory: \"1x\""),
        (&["--memory", "4096", "--memory-swap", "1024"], "--memory-swap"),
        (&["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema: config.json has no /linux/intelRdt"),
        (&["-r", "/no/such/file"], "/no/such/file"),
    ] {
        update_by(&container, flags).refused_with(&[words]);
    }
    holds(&container, "pids", ("pids.max", "50"), ("pids.max", "50"));
}

/// What others accept and ignore; nothing at all is no error.
#[test]
fn kernel_memory_is_passed_over_in_updates() {
    let container = launched(json!({}));
    update_by(&container, &["--kernel-memory", "4096", "--kernel-memory-tcp=4096"]).ok();
    update(&container, &json!({})).ok();
}

/// What `docker update`, `podman update` and the CRI send: whole structures, most of it 0, null or empty.
#[test]
fn the_documents_of_managers_change_what_they_mean() {
    need_controller!("memory");
    need_controller!("cpu");
    let container = launched(json!({ "memory": { "limit": 64 << 20 }, "cpu": { "shares": 512 } }));
    let docker = json!({
        "memory": { "limit": 100 << 20, "reservation": 0, "swap": 200 << 20 },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": "" },
        "blockIO": { "weight": 0 }, "devices": null
    });
    update(&container, &docker).ok();
    holds(&container, "memory", ("memory.limit_in_bytes", "104857600"), ("memory.max", "104857600"));
    holds(&container, "cpu", ("cpu.shares", "512"), ("cpu.weight", "59"));
}
