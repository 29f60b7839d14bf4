//! config-linux.md, "Block IO".

use serde_json::{Value, json};

use super::limits::created;
use crate::harness::{Bundle, Container, cgroups};

fn has_controller() -> bool {
    cgroups::directory("blkio", "/").or_else(|| cgroups::directory("io", "/")).is_some()
}

/// A block device of this machine: its number, and the same as the spec's `major` and `minor`.
fn device() -> Option<(String, Value)> {
    let entries = std::fs::read_dir("/sys/block").unwrap().flatten().map(|entry| entry.path());
    // Loop devices have no queue to throttle before they are used.
    let mut disks: Vec<_> = entries.filter(|path| !path.ends_with("loop0") && path.join("dev").exists()).collect();
    disks.sort_by_key(|path| path.to_str().is_some_and(|path| path.contains("loop") || path.contains("ram")));
    let number = std::fs::read_to_string(disks.first()?.join("dev")).unwrap().trim().to_owned();
    let (major, minor) = number.split_once(':')?;
    let pair = json!({ "major": major.parse::<u32>().unwrap(), "minor": minor.parse::<u32>().unwrap() });
    Some((number, pair))
}

/// "`throttleReadBpsDevice`, `throttleWriteBpsDevice`: bandwidth rate limit in bytes per second for the device",
/// "`throttleReadIOPSDevice`, `throttleWriteIOPSDevice`: IO rate limit for the device": all four, and their numbers.
#[test]
fn all_four_throttles_are_written() {
    need_block_io!();
    if !has_controller() {
        skip!("no blkio controller here");
    }
    let Some((number, device)) = device() else { skip!("no block device") };
    let throttle = |rate: u64| {
        let mut entry = device.clone();
        entry["rate"] = json!(rate);
        json!([entry])
    };
    let container = created(json!({ "blockIO": {
        "throttleReadBpsDevice": throttle(1_048_576), "throttleWriteBpsDevice": throttle(2_097_152),
        "throttleReadIOPSDevice": throttle(100), "throttleWriteIOPSDevice": throttle(200) } }));
    if cgroups::is_v1("blkio") {
        for (file, rate) in [
            ("read_bps_device", "1048576"),
            ("write_bps_device", "2097152"),
            ("read_iops_device", "100"),
            ("write_iops_device", "200"),
        ] {
            let line = container.cgroup_file("blkio", &format!("blkio.throttle.{file}")).unwrap();
            assert_eq!(line, format!("{number} {rate}"), "{file}");
        }
    } else {
        let line = container.cgroup_file("io", "io.max").unwrap();
        assert_eq!(line, format!("{number} rbps=1048576 wbps=2097152 riops=100 wiops=200"));
    }
}

/// "`weight` specifies per-cgroup weight", "`weightDevice`: an array of per-device bandwidth weights": in the file that
/// this kernel has for it, or an error that names the file that is missing.
#[test]
fn weights_are_written_or_refused() {
    need_block_io!();
    if !has_controller() {
        skip!("no blkio controller here");
    }
    only_rt!();
    let mut of_device = device().map_or(json!({ "major": 8, "minor": 0 }), |(_, device)| device);
    of_device["weight"] = json!(500);
    for (value, pointer) in [
        (json!({ "weight": 500 }), "/linux/resources/blockIO/weight"),
        (json!({ "weightDevice": [of_device] }), "/linux/resources/blockIO/weightDevice/0/weight"),
    ] {
        let container = Container::new(Bundle::sleeping().set("/linux/resources", json!({ "blockIO": value })));
        let outcome = container.create();
        if outcome.code != 0 {
            outcome.refused_with(&[pointer, "weight"]);
            container.assert_nothing_left();
            continue;
        }
        let files =
            [("blkio", "blkio.weight"), ("blkio", "blkio.bfq.weight"), ("io", "io.bfq.weight"), ("io", "io.weight")];
        let device_files = files.map(|(controller, file)| (controller, file.replace("weight", "weight_device")));
        let all = files.iter().map(|(controller, file)| (*controller, (*file).to_owned())).chain(device_files);
        let held: Vec<_> = all.filter_map(|(controller, file)| container.cgroup_file(controller, &file)).collect();
        assert!(held.iter().any(|text| text.contains("500") || text.contains("4950")), "{value}: {held:?}");
    }
}

/// "`leafWeight`: equivalents of `weight` for the purpose of deciding how much weight tasks in the given cgroup has":
/// of the CFQ scheduler, which Linux 5.0 has left behind; never ignored.
#[test]
fn leaf_weights_are_refused_where_the_kernel_has_none() {
    only_rt!();
    if !has_controller() {
        skip!("no blkio controller here");
    }
    let root = cgroups::directory("blkio", "/");
    if root.is_some_and(|root| root.join("blkio.leaf_weight").exists()) {
        skip!("this kernel has leaf weights");
    }
    let device = json!([{ "major": 8, "minor": 0, "leafWeight": 300 }]);
    for (value, pointer) in [
        (json!({ "leafWeight": 10 }), "/linux/resources/blockIO/leafWeight"),
        (json!({ "weightDevice": device }), "/linux/resources/blockIO/weightDevice/0/leafWeight"),
    ] {
        let container = Container::new(Bundle::sleeping().set("/linux/resources", json!({ "blockIO": value })));
        container.create().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}

/// "You MUST specify at least one of `weight` or `leafWeight` in a given entry", and numbers in their ranges.
#[test]
fn bad_limits_are_refused() {
    need_block_io!();
    only_rt!();
    if !has_controller() {
        skip!("no blkio controller here");
    }
    let place = |rest: &str| format!("/linux/resources/blockIO/{rest}");
    for (value, pointer) in [
        (json!({ "weightDevice": [{ "major": 8, "minor": 0 }] }), place("weightDevice/0")),
        (json!({ "weightDevice": [{ "minor": 0, "weight": 10 }] }), place("weightDevice/0/major")),
        (json!({ "weight": 1001 }), place("weight")),
        (json!({ "weight": 65_536 }), place("weight")),
        (json!({ "throttleReadBpsDevice": [{ "major": 8, "minor": 0 }] }), place("throttleReadBpsDevice/0/rate")),
        (json!({ "throttleWriteBpsDevice": [{ "major": 8, "rate": 1 }] }), place("throttleWriteBpsDevice/0/minor")),
        (json!({ "throttleReadIOPSDevice": {} }), place("throttleReadIOPSDevice")),
        (
            json!({ "throttleWriteIOPSDevice": [{ "major": 4000, "minor": 77, "rate": 9 }] }),
            place("throttleWriteIOPSDevice/0"),
        ),
    ] {
        let container = Container::new(Bundle::sleeping().set("/linux/resources", json!({ "blockIO": value })));
        container.create().refused_with(&[&pointer]);
        container.assert_nothing_left();
    }
}
