//! New limits for a container that exists, and the old ones again when one of the new is refused.

use std::path::PathBuf;

use super::apply::{apply, directory_of};
use super::{Cgroup, CgroupPaths, controllers, devices, file, unit};
use crate::host::cgroup::Layout;
use crate::plan::cgroup::{CpuMax, ResourcePlan, ResourceWrite, UnifiedPlan, UpdatePlan, properties_of};

/// A file as it was: what it held, and what is written to it, line by line, to have it so again.
#[derive(Debug, PartialEq, Eq)]
struct Before {
    file: PathBuf,
    text: String,
    lines: Vec<String>,
}

/// The limits as they were before an update.
#[derive(Debug)]
pub struct Undo {
    cgroup: Cgroup,
    files: Vec<Before>,
    plan: ResourcePlan,
}

/// Writes new limits; gives what it takes to take them back.
///
/// # Errors
/// The first that is refused. All are as they were then, or the error says which are not.
pub fn update(paths: &CgroupPaths, layout: &Layout, plan: &UpdatePlan) -> anyhow::Result<Undo> {
    let cgroup = Cgroup::open_existing(paths);
    if let (Some(directory), Some(unified)) = (paths.v2_limits(), layout.unified()) {
        let needed = unified.controllers.iter().filter(|name| plan.resources.needs_v2(name)).cloned().collect();
        let unified = UnifiedPlan { mount: unified.mount.clone(), controllers: needed };
        controllers::enable(directory, &unified, &plan.resources)?;
    }
    let found =
        plan.resources.writes.iter().flat_map(|write| {
            read_before(&cgroup, write).into_iter().map(move |before| (before.as_write(write), before))
        });
    let (writes, files) = found.unzip();
    let before = ResourcePlan { writes, devices: plan.devices_before.clone(), ..ResourcePlan::default() };
    let undo = Undo { cgroup, files, plan: before };
    match apply(&undo.cgroup, &plan.resources) {
        Ok(()) => Ok(undo),
        Err(error) => Err(undo.explain(error)),
    }
}

impl Undo {
    /// Takes the update back because of an error, and says in it how far that went.
    pub fn explain(self, error: anyhow::Error) -> anyhow::Error {
        let causes = self.undo();
        if causes.is_empty() {
            return error.context("nothing is changed");
        }
        error.context(format!("not everything could be set back ({})", causes.join("; ")))
    }

    fn undo(self) -> Vec<String> {
        let mut causes = Vec::new();
        if let Some(before) = &self.plan.devices {
            causes.extend(devices::apply_program(&self.cgroup, before).err().map(|error| format!("{error:#}")));
            if let Some(directory) = self.cgroup.paths.v1_directory("devices") {
                causes.extend(devices::apply_lines(directory, before).err().map(|error| format!("{error:#}")));
            }
        }
        // BFQ forgets the weights of devices when it is given that of all: they go last, in their order.
        let (weights, others): (Vec<_>, Vec<_>) = self.files.iter().partition(|before| before.is_weight());
        // One limit may be refused while another has its new value: again, until nothing more helps.
        let mut left: Vec<&Before> = others.into_iter().rev().chain(weights).collect();
        loop {
            let count = left.len();
            left.retain(|before| before.write().is_err());
            if left.is_empty() || left.len() == count {
                break;
            }
        }
        if let Some(unit) = &self.cgroup.paths.unit {
            let told = unit::update(unit, &properties_of(&self.plan.writes, CpuMax::default()));
            causes.extend(told.err().map(|error| format!("{error:#}")));
        }
        causes.extend(left.iter().filter_map(|before| {
            let errno = before.write().err()?;
            Some(format!("write {:?} to {}: {errno:?}", before.lines.join("; "), before.file.display()))
        }));
        causes
    }
}

impl Before {
    /// As a limit that was asked for, in place of `write`.
    fn as_write(&self, write: &ResourceWrite) -> ResourceWrite {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let value = self.lines.join("\n");
        ResourceWrite { file: name.into(), value, otherwise: None, after_first_word: false, ..write.clone() }
    }

    /// Only what has changed is written: a value that was never touched may be one that the kernel does not take.
    fn write(&self) -> Result<(), nix::errno::Errno> {
        if file::read(&self.file).is_ok_and(|now| lines_of_text(&now).eq(lines_of_text(&self.text))) {
            return Ok(());
        }
        self.lines.iter().try_for_each(|line| file::write(&self.file, line))
    }

    fn is_weight(&self) -> bool {
        self.file.file_name().is_some_and(|name| name.to_string_lossy().contains("weight"))
    }
}

fn lines_of_text(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// What the files of a write hold now; none where they cannot be read, or the write makes none.
fn read_before(cgroup: &Cgroup, write: &ResourceWrite) -> Vec<Before> {
    let Some(directory) = directory_of(cgroup, write) else { return Vec::new() };
    let first = (write.file.as_ref(), &write.value);
    let files = std::iter::once(first).chain(write.otherwise.as_ref().map(|(file, value)| (*file, value)));
    let before = |(name, value): (&str, &String)| {
        let file = directory.join(name);
        let text = file::read(&file).ok()?;
        let mut lines = lines_before(name, &text, value);
        if lines.is_empty() {
            // A cpuset of v2 that is its parent's; it cannot be so again while it has processes.
            let in_force = file::read(&directory.join(format!("{name}.effective"))).ok()?;
            lines.push(in_force.trim().to_owned());
        }
        Some(Before { file, text, lines })
    };
    files.filter_map(before).collect()
}

/// The lines that set a file back to `text` after `value` was written to it.
fn lines_before(name: &str, text: &str, value: &str) -> Vec<String> {
    if name == "memory.oom_control" {
        let disabled = file::value_of(text, "oom_kill_disable").unwrap_or("0");
        return vec![disabled.to_owned()];
    }
    if !is_keyed(name) {
        return lines_of_text(text).map(str::to_owned).collect();
    }
    let key_of = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let old = |key: &str| lines_of_text(text).find(|line| key_of(line) == key);
    let keys = lines_of_text(value).map(|line| if is_for_all(line) { "default".to_owned() } else { key_of(line) });
    keys.map(|key| old(&key).map_or_else(|| unlimited(name, &key), str::to_owned)).collect()
}

/// Whether each line of the file is about one device or interface.
fn is_keyed(name: &str) -> bool {
    name.contains("throttle.")
        || name.contains("weight_device")
        || name.contains("ifpriomap")
        || name == "rdma.max"
        || ["io.max", "io.latency", "io.weight", "io.bfq.weight", "misc.max"].contains(&name)
}

/// `100`: the weight of all devices that have none of their own.
fn is_for_all(line: &str) -> bool {
    !line.trim().contains(' ')
}

/// What a device has that the file does not mention.
fn unlimited(name: &str, key: &str) -> String {
    match name {
        "io.max" => format!("{key} rbps=max wbps=max riops=max wiops=max"),
        "io.weight" | "io.bfq.weight" => format!("{key} default"),
        "io.latency" => format!("{key} target=0"),
        "rdma.max" => format!("{key} hca_handle=max hca_object=max"),
        "misc.max" => format!("{key} max"),
        _ => format!("{key} 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Testbed, skip};
    use super::*;
    use crate::error::Faults;
    use crate::host::cgroup::Version;
    use crate::plan::cgroup::plan_update;

    fn updated(testbed: &Testbed, base: &str, given: &str) -> Result<Undo, String> {
        let of = |json: &str| serde_json::from_str(json).unwrap();
        let mut faults = Faults::default();
        let plan = plan_update(&of(base), &of(given), &testbed.layout, "x", &mut faults);
        assert_eq!(faults.errors, []);
        update(testbed.paths(), &testbed.layout, &plan).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_lines_that_set_a_file_back_are_those_of_its_devices() {
        for (name, text, value, expected) in [
            ("memory.max", "max\n", "4096", &["max"][..]),
            ("cpu.max", "max 100000\n", "50000", &["max 100000"]),
            ("memory.oom_control", "oom_kill_disable 1\nunder_oom 0\n", "0", &["1"]),
            ("blkio.throttle.read_bps_device", "8:0 5\n8:16 6\n", "8:16 7", &["8:16 6"]),
            ("blkio.throttle.read_bps_device", "", "8:16 7", &["8:16 0"]),
            (
                "io.max",
                "8:0 rbps=5 wbps=max riops=max wiops=max\n",
                "8:0 wbps=6",
                &["8:0 rbps=5 wbps=max riops=max wiops=max"],
            ),
            ("io.max", "", "8:0 wbps=6", &["8:0 rbps=max wbps=max riops=max wiops=max"]),
            ("io.weight", "default 100\n8:0 200\n", "50", &["default 100"]),
            ("io.weight", "default 100\n", "8:0 50", &["8:0 default"]),
            ("rdma.max", "a hca_handle=1 hca_object=max\n", "a hca_handle=5", &["a hca_handle=1 hca_object=max"]),
        ] {
            assert_eq!(lines_before(name, text, value), expected, "{name}");
        }
    }

    #[test]
    fn a_refused_value_takes_all_others_back() {
        let Some(testbed) = Testbed::new(r#"{"memory":{"limit":33554432},"pids":{"limit":17}}"#) else { return };
        let has = |controller| testbed.layout.version_of(controller).is_some();
        if !has("memory") || !has("pids") || !has("cpu") {
            return skip("needs memory, pids and cpu");
        }
        let file = if testbed.layout.version_of("memory") == Some(Version::V1) {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        // The kernel refuses it, after the others were written or before.
        let given =
            r#"{"memory":{"limit":67108864},"pids":{"limit":18},"hugepageLimits":[{"pageSize":"3MB","limit":1}]}"#;
        let given = if has("hugetlb") {
            given.to_owned()
        } else {
            given.replace(r#","hugepageLimits":[{"pageSize":"3MB","limit":1}]"#, r#","cpu":{"quota":1}"#)
        };
        let error = updated(&testbed, "{}", &given).unwrap_err();
        assert!(error.starts_with("nothing is changed: write "), "{error}");
        assert_eq!(testbed.read("memory", file), "33554432");
        assert_eq!(testbed.read("pids", "pids.max"), "17");
    }

    #[test]
    fn an_update_can_be_taken_back() {
        let Some(testbed) = Testbed::new(r#"{"pids":{"limit":17}}"#) else { return };
        if testbed.layout.version_of("pids").is_none() {
            return skip("no pids controller");
        }
        let undo = updated(&testbed, "{}", r#"{"pids":{"limit":18}}"#).unwrap();
        assert_eq!(testbed.read("pids", "pids.max"), "18");
        let error = undo.explain(anyhow::anyhow!("later")).to_string();
        assert_eq!(error, "nothing is changed");
        assert_eq!(testbed.read("pids", "pids.max"), "17");
    }

    #[test]
    fn device_rules_are_taken_back_too() {
        const OPEN: &str = "LC_ALL=C; export LC_ALL; (: < /dev/kmsg) 2>&1 | grep -qi 'not permitted' && exit 1; exit 0";
        let base = r#"{"devices":[{"allow":false,"access":"rwm"}]}"#;
        let Some(mut testbed) = Testbed::new(base) else { return };
        let kmsg =
            r#""devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]"#;
        let undo = updated(&testbed, base, &format!("{{{kmsg}}}")).unwrap();
        assert_eq!(testbed.run(OPEN), 0);
        drop(undo.explain(anyhow::anyhow!("later")));
        assert_eq!(testbed.run(OPEN), 1);
        if testbed.layout.version_of("cpu").is_some() {
            let error = updated(&testbed, base, &format!(r#"{{{kmsg},"cpu":{{"quota":1}}}}"#)).unwrap_err();
            assert!(error.starts_with("nothing is changed: "), "{error}");
            assert_eq!(testbed.run(OPEN), 1);
        }
    }
}
