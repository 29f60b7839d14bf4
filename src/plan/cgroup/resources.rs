//! linux.resources as an ordered list of writes into files of the container's cgroups.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use oci_spec::runtime::LinuxResources;

use super::devices::{self, DevicePlan};
use super::{block_io, cpu, memory, others};
use crate::error::{Fault, Faults};
use crate::host::cgroup::{Layout, Version};

/// What to do when the kernel has no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// It is an error: a limit that was asked for is never left out silently.
    Require,
    /// Written where it exists: it makes another limit tighter.
    Prefer,
}

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceWrite {
    /// In which tree.
    pub version: Version,
    /// The controller that the file belongs to; empty for the core files of cgroup2.
    pub controller: Cow<'static, str>,
    /// The file's name.
    pub file: Cow<'static, str>,
    /// What is written, each line in a write of its own.
    pub value: String,
    /// Another file and its value, where the first does not exist (`blkio.weight`, else `blkio.bfq.weight`).
    pub otherwise: Option<(&'static str, String)>,
    /// JSON pointer of what asked for it.
    pub pointer: String,
    /// What to do when the kernel has no such file.
    pub on_missing: OnMissing,
    /// The kernel refuses the value while a later file still has its old one: it is tried again after all others.
    pub again_at_the_end: bool,
    /// The value is preceded by the first word that the file holds: cpu.max cannot take a period without a quota.
    pub after_first_word: bool,
}

/// A limit that is refused when more memory is in use: cgroup v2 would kill where v1 says EBUSY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryCheck {
    /// The new limit.
    pub limit_bytes: u64,
    /// JSON pointer of what asked for it.
    pub pointer: String,
}

/// Everything that is written into the container's cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourcePlan {
    /// The files, in order.
    pub writes: Vec<ResourceWrite>,
    /// The device rules; none leaves them as they are.
    pub devices: Option<DevicePlan>,
    /// memory.checkBeforeUpdate.
    pub memory_check: Option<MemoryCheck>,
}

impl ResourcePlan {
    /// Whether a limit cannot be set without this controller of cgroup2.
    pub fn needs_v2(&self, controller: &str) -> bool {
        self.writes
            .iter()
            .any(|w| w.version == Version::V2 && w.on_missing == OnMissing::Require && w.controller == controller)
    }
}

/// Decides what [`linux.resources`] means on this machine. `pointer_prefix` is its place in `file`.
///
/// Used for config.json and for the document of `rt update`; device rules are planned only where they are given.
/// A value that cannot be had here is an error, unless it is the kernel's default anyway.
///
/// [`linux.resources`]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups
pub fn plan_resources(
    resources: &LinuxResources,
    layout: &Layout,
    file: &'static str,
    pointer_prefix: &str,
    faults: &mut Faults,
) -> ResourcePlan {
    let devices = resources.devices().as_ref().and_then(|rules| {
        if rules.is_empty() { None } else { devices::plan_devices(rules, layout, file, pointer_prefix, faults) }
    });
    let mut planner = Planner { layout, file, prefix: pointer_prefix, faults, plan: ResourcePlan::default() };
    if let Some(cpu) = resources.cpu() {
        cpu::plan(cpu, &mut planner);
    }
    if let Some(memory) = resources.memory() {
        memory::plan(memory, &mut planner);
    }
    if let Some(pids) = resources.pids() {
        others::plan_pids(pids.limit(), &mut planner);
    }
    if let Some(block_io) = resources.block_io() {
        block_io::plan(block_io, &mut planner);
    }
    if let Some(limits) = resources.hugepage_limits() {
        others::plan_hugepages(limits, &mut planner);
    }
    if let Some(network) = resources.network() {
        others::plan_network(network, &mut planner);
    }
    if let Some(rdma) = resources.rdma() {
        others::plan_rdma(rdma, &mut planner);
    }
    if let Some(unified) = resources.unified() {
        plan_unified(unified, &mut planner);
    }
    let mut plan = planner.plan;
    plan.devices = devices;
    plan
}

/// What the planners of the single controllers share.
pub(super) struct Planner<'a> {
    layout: &'a Layout,
    file: &'static str,
    prefix: &'a str,
    faults: &'a mut Faults,
    pub(super) plan: ResourcePlan,
}

impl Planner<'_> {
    /// By which interface `controller` is reached; a fault when a limit is asked of a controller that is not there.
    pub(super) fn version(&mut self, controller: &str, pointer: &str, is_default: bool) -> Option<Version> {
        let version = self.layout.version_of(controller);
        if version.is_none() && !is_default {
            let reason = match self.layout {
                Layout::None => "no cgroup file system is mounted".into(),
                Layout::Unified(unified) => {
                    format!("cgroup v2 has no {controller} controller here, only: {}", unified.controllers.join(" "))
                }
                Layout::Legacy { .. } => format!("the {controller} controller is not mounted"),
            };
            self.error(pointer, reason);
        }
        version
    }

    /// Adds a write.
    pub(super) fn write(
        &mut self,
        version: Version,
        file: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        pointer: &str,
    ) -> &mut ResourceWrite {
        let file = file.into();
        let controller = controller_of(&file, version);
        self.plan.writes.push(ResourceWrite {
            version,
            controller: controller.into(),
            file,
            value: value.to_string(),
            otherwise: None,
            pointer: format!("{}{pointer}", self.prefix),
            on_missing: OnMissing::Require,
            again_at_the_end: false,
            after_first_word: false,
        });
        self.plan.writes.last_mut().expect("it was pushed just now")
    }

    pub(super) fn pointer(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.prefix)
    }

    pub(super) fn error(&mut self, pointer: &str, reason: impl Into<String>) {
        let pointer = self.pointer(pointer);
        self.faults.errors.push(Fault { file: self.file, pointer, reason: reason.into() });
    }

    pub(super) fn warn(&mut self, pointer: &str, reason: impl Into<String>) {
        let pointer = self.pointer(pointer);
        self.faults.warnings.push(Fault { file: self.file, pointer, reason: reason.into() });
    }
}

/// `memory` of `memory.max`; on cgroup2 the files `cgroup.*` belong to no controller.
fn controller_of(file: &str, version: Version) -> String {
    let name = file.split('.').next().unwrap_or_default();
    match (name, version) {
        ("cgroup", Version::V2) => String::new(),
        _ => name.to_owned(),
    }
}

/// Files of cgroup2 that hold no limit: who writes to them moves, stops or kills processes, in place of the commands
/// for it. A container that begins frozen never ends to begin.
const COMMANDS: [&str; 5] = ["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads", "cgroup.type"];

/// [`linux.resources.unified`]: files of cgroup2 as they are, known to us or not.
///
/// [`linux.resources.unified`]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#unified
fn plan_unified(unified: &HashMap<String, String>, planner: &mut Planner) {
    let mut keys: Vec<_> = unified.iter().collect();
    keys.sort();
    for (key, value) in keys {
        let pointer = format!("/unified/{}", key.replace('~', "~0").replace('/', "~1"));
        if key.contains(['/', '\0']) || !key.contains('.') || key.starts_with('.') {
            planner.error(&pointer, format!("{key:?} is not the name of a cgroup v2 file"));
            continue;
        }
        if COMMANDS.contains(&key.as_str()) {
            planner.error(&pointer, "is no limit, but moves, stops or kills processes");
            continue;
        }
        let controller = controller_of(key, Version::V2);
        if planner.layout.unified().is_none() {
            planner.error(&pointer, "this machine has no cgroup v2");
        } else if controller.is_empty() {
            planner.write(Version::V2, key.clone(), value, &pointer);
        } else if planner.layout.version_of(&controller) == Some(Version::V1) {
            planner.error(&pointer, format!("the {controller} controller is a cgroup v1 hierarchy on this machine"));
        } else if planner.version(&controller, &pointer, false).is_some() {
            planner.write(Version::V2, key.clone(), value, &pointer);
        }
    }
}

impl fmt::Display for ResourceWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\n', "; ");
        write!(f, "write {value:?} to {}", self.file)?;
        if let Some((file, value)) = &self.otherwise {
            write!(f, ", else {value:?} to {file}")?;
        }
        if self.on_missing == OnMissing::Prefer {
            f.write_str(" where it exists")?;
        }
        write!(f, " ({})", self.pointer)
    }
}

/// One line for each operation, for `rt explain`.
impl fmt::Display for ResourcePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(devices) = &self.devices {
            devices.fmt(f)?;
        }
        if let Some(check) = &self.memory_check {
            writeln!(f, "check that at most {} bytes of memory are in use ({})", check.limit_bytes, check.pointer)?;
        }
        self.writes.iter().try_for_each(|write| writeln!(f, "{write}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::host::cgroup::{Hierarchy, Unified};

    /// A machine with every controller on cgroup v2.
    pub fn v2() -> Layout {
        let controllers = "cpuset cpu io memory hugetlb pids rdma misc".split(' ').map(str::to_owned).collect();
        Layout::Unified(Unified { mount: "/cg".into(), own: "/".into(), controllers })
    }

    /// A machine with every controller on cgroup v1.
    pub fn v1() -> Layout {
        let all = "cpu,cpuacct cpuset memory devices freezer blkio pids hugetlb net_cls,net_prio rdma";
        let hierarchies = all.split(' ').map(|names| Hierarchy {
            controllers: names.split(',').map(str::to_owned).collect(),
            mount: PathBuf::from("/cg").join(names),
            own: "/".into(),
        });
        Layout::Legacy { hierarchies: hierarchies.collect(), unified: None }
    }

    /// `file=value` of each write, and the faults, for resources given as JSON.
    pub fn planned(json: &str, layout: &Layout) -> (Vec<String>, Faults) {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let mut faults = Faults::default();
        let plan = plan_resources(&resources, layout, "config.json", "/linux/resources", &mut faults);
        (plan.writes.iter().map(|w| format!("{}={}", w.file, w.value)).collect(), faults)
    }

    /// Checks rows of JSON, what is written on v1 and on v2; a value that begins with `!` is the pointer of the fault.
    pub fn check(rows: &[(&str, &str, &str)]) {
        for (json, on_v1, on_v2) in rows {
            for (layout, expected) in [(v1(), on_v1), (v2(), on_v2)] {
                let (writes, faults) = planned(json, &layout);
                match expected.strip_prefix('!') {
                    Some(pointer) => {
                        let found: Vec<_> = faults.errors.iter().map(|e| e.pointer.as_str()).collect();
                        assert_eq!(found, [format!("/linux/resources{pointer}")], "{json} {layout:?}");
                    }
                    None => {
                        assert_eq!(faults.errors, [], "{json} {layout:?}");
                        let expected: Vec<_> = expected.split(' ').filter(|w| !w.is_empty()).collect();
                        let writes: Vec<_> = writes.iter().map(|w| w.replace(' ', "_")).collect();
                        assert_eq!(writes, expected, "{json} {layout:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn unified_files_are_written_as_they_are() {
        check(&[
            (r#"{"unified":{"memory.high":"1"}}"#, "!/unified/memory.high", "memory.high=1"),
            (r#"{"unified":{"cgroup.max.depth":"3"}}"#, "!/unified/cgroup.max.depth", "cgroup.max.depth=3"),
            (r#"{"unified":{"nonsense.max":"1"}}"#, "!/unified/nonsense.max", "!/unified/nonsense.max"),
            (r#"{"unified":{"cgroup.procs":"1"}}"#, "!/unified/cgroup.procs", "!/unified/cgroup.procs"),
            (r#"{"unified":{"../x.y":"1"}}"#, "!/unified/..~1x.y", "!/unified/..~1x.y"),
        ]);
        let (writes, _) = planned(r#"{"unified":{"io.max":"8:0 rbps=1","hugetlb.1GB.max":"0"}}"#, &v2());
        assert_eq!(writes, ["hugetlb.1GB.max=0", "io.max=8:0 rbps=1"]);
    }

    #[test]
    fn a_missing_controller_is_an_error_unless_its_default_is_asked() {
        let (writes, faults) = planned(r#"{"memory":{"limit":-1},"pids":{"limit":-1}}"#, &Layout::None);
        assert_eq!((writes.len(), faults.errors.len()), (0, 0));
        let (_, faults) = planned(r#"{"memory":{"limit":4096},"pids":{"limit":0}}"#, &Layout::None);
        let pointers: Vec<_> = faults.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/linux/resources/memory/limit", "/linux/resources/pids/limit"]);
    }

    #[test]
    fn explains_each_write() {
        let resources: LinuxResources = serde_json::from_str(r#"{"pids":{"limit":7}}"#).unwrap();
        let plan = plan_resources(&resources, &v2(), "config.json", "/linux/resources", &mut Faults::default());
        assert_eq!(plan.to_string(), "write \"7\" to pids.max (/linux/resources/pids/limit)\n");
    }
}
