//! The numbers of directories that look like cgroups, and of a real one.

use serde_json::{Value, json};

use super::super::testbed::{Testbed, skip};
use super::*;

/// A directory with these files, and the statistics read from it.
fn read(version: Version, files: &[(&str, &str)]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let path = directory.path().to_owned();
    let all = "cpu,cpuacct,cpuset,memory,pids,blkio,hugetlb,rdma";
    let paths = match version {
        Version::V1 => CgroupPaths { v1: vec![(all.into(), path)], ..CgroupPaths::default() },
        Version::V2 => CgroupPaths { v2: Some(path), ..CgroupPaths::default() },
    };
    serde_json::to_value(Stats::read(&paths)).unwrap()
}

#[test]
fn the_files_of_v2_become_the_numbers_of_v1() {
    let pressure =
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
    let stats = read(
        Version::V2,
        &[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
            ),
            ("cpu.pressure", pressure),
            ("cpuset.cpus.effective", "0-1\n"),
            ("memory.current", "4096\n"),
            ("memory.max", "8192\n"),
            ("memory.peak", "6000\n"),
            ("memory.swap.current", "100\n"),
            ("memory.swap.max", "max\n"),
            ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n"),
            ("memory.stat", "anon 5\nfile 6\nkernel 7\n"),
            ("pids.current", "2\n"),
            ("pids.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"),
            ("hugetlb.2MB.current", "2097152\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("rdma.max", "mlx4_0 hca_handle=2 hca_object=max\n"),
            ("rdma.current", "mlx4_0 hca_handle=1 hca_object=20\n"),
        ],
    );
    for (pointer, expected) in [
        ("/cpu/usage/total", json!(30_000)),
        ("/cpu/usage/user", json!(20_000)),
        ("/cpu/usage/kernel", json!(10_000)),
        ("/cpu/throttling", json!({"periods": 4, "throttledPeriods": 3, "throttledTime": 2000})),
        ("/cpu/psi/some", json!({"avg10": 1.5, "avg60": 0.25, "avg300": 0.0, "total": 1234})),
        ("/cpu/psi/full/total", json!(5)),
        ("/cpuset/cpus", json!([0, 1])),
        ("/memory/usage", json!({"limit": 8192, "usage": 4096, "max": 6000, "failcnt": 9})),
        ("/memory/swap/usage", json!(4196)),
        ("/memory/swap/limit", json!(u64::MAX)),
        ("/memory/cache", json!(6)),
        ("/memory/kernel/usage", json!(7)),
        ("/memory/raw/anon", json!(5)),
        ("/pids", json!({"current": 2, "limit": 0})),
        ("/blkio/ioServiceBytesRecursive/1", json!({"major": 8, "minor": 0, "op": "Write", "value": 2})),
        ("/blkio/ioServicedRecursive/2", json!({"major": 8, "minor": 0, "op": "Discard", "value": 6})),
        ("/hugetlb/2MB", json!({"usage": 2_097_152, "max": 0, "failcnt": 3})),
        ("/rdma/rdma_limit/0", json!({"device": "mlx4_0", "hca_handles": 2, "hca_objects": u32::MAX})),
        ("/rdma/rdma_current/0/hca_objects", json!(20)),
    ] {
        assert_eq!(stats.pointer(pointer), Some(&expected), "{pointer}: {stats:#}");
    }
}

#[test]
fn the_files_of_v1_are_read() {
    let stats = read(
        Version::V1,
        &[
            ("cpuacct.usage", "30\n"),
            ("cpuacct.usage_percpu", "10 20 \n"),
            ("cpuacct.stat", "user 2\nsystem 1\n"),
            ("cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 2000\n"),
            ("cpuset.cpus", "0,2\n"),
            ("cpuset.sched_relax_domain_level", "-1\n"),
            ("memory.usage_in_bytes", "1\n"),
            ("memory.memsw.limit_in_bytes", "2\n"),
            ("memory.kmem.failcnt", "3\n"),
            ("memory.kmem.tcp.max_usage_in_bytes", "4\n"),
            ("memory.stat", "cache 5\n"),
            ("pids.current", "2\n"),
            ("pids.max", "17\n"),
            ("blkio.throttle.io_serviced_recursive", "8:0 Read 3\nTotal 3\n"),
            ("hugetlb.2MB.failcnt", "6\n"),
        ],
    );
    for (pointer, expected) in [
        ("/cpu/usage", json!({"total": 30, "percpu": [10, 20], "kernel": 10_000_000, "user": 20_000_000})),
        ("/cpu/throttling/throttledTime", json!(2000)),
        ("/cpuset/cpus", json!([0, 2])),
        ("/cpuset/sched_relax_domain_level", json!(-1)),
        ("/memory/usage/usage", json!(1)),
        ("/memory/swap/limit", json!(2)),
        ("/memory/kernel/failcnt", json!(3)),
        ("/memory/kernelTCP/max", json!(4)),
        ("/memory/cache", json!(5)),
        ("/pids", json!({"current": 2, "limit": 17})),
        ("/blkio", json!({"ioServicedRecursive": [{"major": 8, "minor": 0, "op": "Read", "value": 3}]})),
        ("/hugetlb/2MB/failcnt", json!(6)),
    ] {
        assert_eq!(stats.pointer(pointer), Some(&expected), "{pointer}: {stats:#}");
    }
    assert_eq!(stats.get("rdma"), None);
}

#[test]
fn a_directory_without_files_has_the_form_all_the_same() {
    for version in [Version::V1, Version::V2] {
        let stats = read(version, &[]);
        assert_eq!(stats["memory"]["usage"], json!({"limit": 0, "usage": 0, "max": 0, "failcnt": 0}));
        assert_eq!(stats["blkio"], json!({}));
    }
    assert_eq!(Pressure::parse("nonsense"), None);
}

#[test]
fn a_real_cgroup_has_numbers() {
    let Some(mut testbed) = Testbed::new(r#"{"pids":{"limit":17}}"#) else { return };
    if testbed.layout.version_of("pids").is_none() || testbed.layout.version_of("memory").is_none() {
        return skip("needs memory and pids");
    }
    testbed.spawn("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; exec sleep 100");
    // The shell may not have begun, and small amounts are not charged at once.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let stats = serde_json::to_value(Stats::read(testbed.paths())).unwrap();
        assert_eq!(stats["pids"], json!({"current": 1, "limit": 17}));
        let used = |pointer: &str| stats.pointer(pointer).and_then(Value::as_u64).unwrap();
        if used("/memory/usage/usage") > 0 && used("/cpu/usage/total") > 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{stats:#}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
