//! config-linux.md, "Block IO": weights, which BFQ and io.cost give, each in a file of its own.

use std::process::Stdio;

use serde_json::{Value, json};

use super::limits::created;
use crate::harness::runtime::outcome_with_stdin;
use crate::harness::{Container, Outcome, cgroups};

/// A file of weights: that of all devices, and that of single ones; on cgroup v2 it is the same.
struct File {
    controller: &'static str,
    all: &'static str,
    single: &'static str,
}

impl File {
    /// The one that is written here: BFQ's before io.cost's.
    fn here() -> Option<File> {
        let file = |controller, all, single| File { controller, all, single };
        let all = [
            file("blkio", "blkio.bfq.weight", "blkio.bfq.weight_device"),
            file("io", "io.bfq.weight", "io.bfq.weight"),
            file("io", "io.weight", "io.weight"),
        ];
        let container = created(json!({}));
        all.into_iter().find(|file| container.cgroup_file(file.controller, file.all).is_some())
    }

    /// The number of a device whose weight counts.
    fn device(&self) -> Option<String> {
        if self.all == "io.weight" {
            let asked = cgroups::directory("io", "/io.cost.qos")?;
            let text = std::fs::read_to_string(asked).ok()?;
            return Some(text.lines().find(|line| line.contains(" enable=1"))?.split(' ').next()?.to_owned());
        }
        let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
        let has_bfq = |disk: &std::fs::DirEntry| {
            std::fs::read_to_string(disk.path().join("queue/scheduler")).is_ok_and(|text| text.contains("[bfq]"))
        };
        let disk = disks.into_iter().find(has_bfq)?;
        Some(std::fs::read_to_string(disk.path().join("dev")).ok()?.trim().to_owned())
    }

    /// 10 to 1000 are 1 to 10000 for io.cost.
    fn shown(&self, weight: u64) -> String {
        if self.all == "io.weight" { 1 + (weight - 10) * 9999 / 990 } else { weight }.to_string()
    }

    /// Asserts the weight of all devices, and that of the single one.
    #[track_caller]
    fn holds(&self, container: &Container, all: u64, single: Option<(&str, u64)>) {
        let text = container.cgroup_file(self.controller, self.all).unwrap();
        let first = text.lines().next().unwrap().trim_start_matches("default ");
        assert_eq!(first, self.shown(all), "{text}");
        let text = container.cgroup_file(self.controller, self.single).unwrap();
        let devices: Vec<&str> = text.lines().filter(|line| line.contains(':')).collect();
        let expected: Vec<_> =
            single.iter().map(|(device, weight)| format!("{device} {}", self.shown(*weight))).collect();
        assert_eq!(devices, expected);
    }
}

fn update(container: &Container, block_io: &Value) -> Outcome {
    let mut command = container.command();
    command.args(["update", "--resources", "-", &container.id]).stdin(Stdio::piped());
    outcome_with_stdin(command, &json!({ "blockIO": block_io }).to_string())
}

fn weight_device(device: &str, weight: u64) -> Value {
    let (major, minor) = device.split_once(':').unwrap();
    json!([{ "major": major.parse::<u32>().unwrap(), "minor": minor.parse::<u32>().unwrap(), "weight": weight }])
}

/// "`weight` specifies per-cgroup weight. This is default weight of the group on all devices".
#[test]
fn the_weight_of_all_devices_is_written_and_updated() {
    need_block_io!();
    only_rt!(); // others convert differently
    let Some(file) = File::here() else { skip!("no BFQ and no io.cost in this kernel") };
    let container = created(json!({ "blockIO": { "weight": 500 } }));
    file.holds(&container, 500, None);
    for weight in [10, 1000, 100] {
        update(&container, &json!({ "weight": weight })).ok();
        file.holds(&container, weight, None);
    }
}

/// "until and unless overridden by per-device rules": the rule of a device stays when the weight of all is changed, which
/// makes BFQ forget it, and also when an update is taken back.
#[test]
fn the_weight_of_a_device_stays_until_it_is_changed() {
    need_block_io!();
    only_rt!(); // others do not update it
    let Some(file) = File::here() else { skip!("no BFQ and no io.cost in this kernel") };
    let Some(device) = file.device() else { skip!("no device with BFQ or io.cost") };
    let of_device = |weight: u64| weight_device(&device, weight);
    let container = created(json!({ "blockIO": { "weight": 500, "weightDevice": of_device(300) } }));
    file.holds(&container, 500, Some((&device, 300)));
    update(&container, &json!({ "weight": 10 })).ok();
    file.holds(&container, 10, Some((&device, 300)));
    update(&container, &json!({ "weightDevice": of_device(1000) })).ok();
    file.holds(&container, 10, Some((&device, 1000)));
    let refused = [json!({ "major": 4000, "minor": 77, "rate": 9 })];
    for block_io in [
        json!({ "weight": 700, "throttleReadBpsDevice": refused }),
        json!({ "weightDevice": of_device(20), "throttleReadBpsDevice": refused }),
        json!({ "weight": 700, "weightDevice": of_device(20), "throttleReadBpsDevice": refused }),
    ] {
        update(&container, &block_io).refused_with(&["nothing is changed", "/blockIO/throttleReadBpsDevice/0"]);
        file.holds(&container, 10, Some((&device, 1000)));
    }
    // 0: it has none of its own any more.
    update(&container, &json!({ "weightDevice": of_device(0) })).ok();
    file.holds(&container, 10, None);
}

/// A device that BFQ has nothing to do with may have its weight from io.cost; else the error says what is missing.
#[test]
fn the_weight_of_a_device_that_knows_none_is_refused() {
    need_block_io!();
    only_rt!();
    let Some(file) = File::here() else { skip!("no BFQ and no io.cost in this kernel") };
    let weighed = file.device();
    let disks = std::fs::read_dir("/sys/block").unwrap().flatten();
    let mut numbers = disks.filter_map(|disk| std::fs::read_to_string(disk.path().join("dev")).ok());
    let Some(device) = numbers.find(|number| Some(number.trim()) != weighed.as_deref()) else {
        skip!("no device without weights");
    };
    let container = created(json!({}));
    let before = container.cgroup_file(file.controller, file.all);
    let outcome = update(&container, &json!({ "weight": 100, "weightDevice": weight_device(device.trim(), 300) }));
    outcome.refused_with(&["nothing is changed", "/blockIO/weightDevice/0/weight", "queue/scheduler"]);
    assert_eq!(container.cgroup_file(file.controller, file.all), before);
}
