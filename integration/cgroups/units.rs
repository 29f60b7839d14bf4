//! Limits of a container that is a unit of systemd: what systemd does to its units changes none of them, on v1 and on v2.
//!
//! A reload of systemd disturbs whoever speaks to it, so these tests run alone (integration/run.sh, vm/guest/suite.sh).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, Mode, cgroups, mode};

/// One reload at a time.
static RELOAD: Mutex<()> = Mutex::new(());

/// The files that hold limits, of v1 and of v2.
const FILES: &[&str] = &[
    "blkio.throttle.read_bps_device",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpu.max",
    "cpu.shares",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "devices.list",
    "io.max",
    "memory.high",
    "memory.limit_in_bytes",
    "memory.low",
    "memory.max",
    "memory.memsw.limit_in_bytes",
    "memory.oom.group",
    "memory.soft_limit_in_bytes",
    "memory.swap.max",
    "memory.swappiness",
    "pids.max",
];

fn limits(container: &Container) -> BTreeMap<PathBuf, String> {
    let directories = cgroups::existing(&container.cgroup());
    let files = directories.iter().flat_map(|directory| FILES.iter().map(|name| directory.join(name)));
    files.filter_map(|path| std::fs::read_to_string(&path).ok().map(|text| (path, text))).collect()
}

fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output().unwrap();
    assert!(output.status.success(), "systemctl {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn limited() -> Bundle {
    let mut bundle = Bundle::sleeping().limited();
    bundle = bundle.set("/linux/resources/devices", json!([{ "allow": false, "access": "rwm" }]));
    let disk = ["vda", "sda", "nvme0n1", "ubda"].into_iter();
    let disk = disk.filter_map(|name| std::fs::read_to_string(format!("/sys/block/{name}/dev")).ok()).next();
    for (controller, pointer, value) in [
        ("cpu", "/linux/resources/cpu", json!({ "shares": 2048, "quota": 12500, "period": 50000 })),
        ("cpuset", "/linux/resources/cpu/cpus", json!("0")),
        ("memory", "/linux/resources/memory/reservation", json!(16 << 20)),
    ] {
        if cgroups::has(controller) {
            bundle = bundle.set(pointer, value);
        }
    }
    if let (Some(disk), true) = (disk, cgroups::has("blkio") || cgroups::has("io")) {
        let (major, minor) = disk.trim().split_once(':').unwrap();
        let number = |text: &str| text.parse::<i64>().unwrap();
        let throttle = json!([{ "major": number(major), "minor": number(minor), "rate": 1 << 20 }]);
        bundle = bundle.set("/linux/resources/blockIO/throttleReadBpsDevice", throttle);
    }
    bundle
}

/// "After `systemctl daemon-reload`, the limits and the device filter of a running container are unchanged"; so they are
/// (a CPU quota of whole percents, as systemd counts) after a new execution of systemd, after a change of another property, and those of an update are, too.
#[test]
fn limits_outlive_what_systemd_does() {
    only_rt!();
    need_controller!("pids");
    if mode() != Mode::Systemd {
        skip!("needs systemd");
    }
    let _alone = RELOAD.lock().unwrap_or_else(PoisonError::into_inner);
    let container = Container::new(limited());
    container.launch();
    let unit = format!("rt-{}.scope", container.id);
    let update = [
        "update",
        "--pids-limit",
        "90",
        "--memory",
        "80m",
        "--cpu-share",
        "512",
        "--cpu-quota",
        "20000",
        &container.id,
    ];
    let changes: [(&str, &[&str]); 3] = [
        ("as it was created", &["state", &container.id]),
        ("after an update", &update),
        ("after an update of one limit", &["update", "--pids-limit", "91", &container.id]),
    ];
    for (when, change) in changes {
        container.call(change).ok();
        let before = limits(&container);
        assert!(before.len() > 3, "{before:?}");
        for action in ["daemon-reload", "daemon-reexec"] {
            systemctl(&[action]);
            eventually("systemd answers", || {
                Command::new("systemctl").args(["show", "-P", "Version"]).output().unwrap().status.success()
            });
            assert_eq!(limits(&container), before, "{when}, {action}");
        }
        // It writes all of the unit's properties then.
        systemctl(&["set-property", "--runtime", &unit, "CPUAccounting=yes"]);
        assert_eq!(limits(&container), before, "{when}, another property");
        assert_eq!(container.status(), "running");
    }
    assert_eq!(systemctl(&["show", "-P", "TasksMax", &unit]), "91\n");
    assert_eq!(container.cgroup_file("pids", "pids.max").as_deref(), Some("91"));
    if let Some(quota) = container.cgroup_file("cpu", "cpu.cfs_quota_us") {
        assert_eq!((quota.as_str(), container.cgroup_file("cpu", "cpu.shares").as_deref()), ("20000", Some("512")));
    }
    assert_eq!(container.exec(&["echo", "in"]).ok().stdout, "in\n");
    container.delete_force().ok();
    assert_eq!(systemctl(&["show", "-P", "LoadState", &unit]), "not-found\n");
    container.assert_nothing_left();
}

/// systemd hangs up on everybody when it executes itself anew, as with each upgrade: what may be asked twice is.
#[test]
fn limits_outlive_calls_to_a_systemd_that_is_away() {
    only_rt!();
    need_controller!("pids");
    if mode() != Mode::Systemd {
        skip!("needs systemd");
    }
    let _alone = RELOAD.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..8 {
        let container = Container::new(Bundle::sleeping().limited());
        container.launch();
        let mut away = Command::new("systemctl").arg("daemon-reexec").spawn().unwrap();
        container.call(&["update", "--pids-limit", "77", &container.id]).ok();
        assert_eq!(container.cgroup_file("pids", "pids.max").as_deref(), Some("77"));
        container.delete_force().ok();
        container.assert_nothing_left();
        away.wait().unwrap();
        eventually("systemd answers", || {
            Command::new("systemctl").args(["show", "-P", "Version"]).output().unwrap().status.success()
        });
    }
}
