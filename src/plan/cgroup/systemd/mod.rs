//! Which systemd unit the container is, and with which properties it is started.

mod annotations;
pub mod properties;
pub mod value;

use std::fmt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use self::properties::{CpuMax, OLDEST, Property, properties_of};
use self::value::Value;
use super::ResourceWrite;
use crate::error::Faults;

/// Which systemd is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// That of the machine.
    System,
    /// That of the calling user.
    User,
}

/// The longest name of a unit.
const LONGEST_NAME: usize = 255;

/// What systemd itself lives in: it lets anybody begin to make them anew, and is damaged by it.
const OWN_UNITS: [&str; 3] = ["-.slice", "system.slice", "init.scope"];

/// A unit that is started for the container.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopePlan {
    /// Who starts it.
    pub manager: Manager,
    /// Its name: that of a scope, or of a slice if cgroupsPath says so.
    pub unit: String,
    /// The slice that it lies in.
    pub slice: String,
    /// In order. Init's pid is not among them yet.
    pub properties: Vec<Property>,
    /// A cgroup below that of the unit, in which the container is: `run.oci.systemd.subgroup`.
    pub subgroup: Option<String>,
    /// One more below that, which is left to the container: `run.oci.delegate-cgroup`.
    pub delegated: Option<String>,
}

impl ScopePlan {
    /// A slice cannot be started with processes in it.
    pub fn is_slice(&self) -> bool {
        self.unit.ends_with(".slice")
    }

    /// Whether an annotation has given the unit a description of its own.
    pub fn has_description(&self) -> bool {
        self.properties.iter().any(|property| property.name == "Description")
    }

    /// Where the unit's cgroup is, from that of the manager.
    pub fn directory(&self) -> PathBuf {
        if self.is_slice() { slice_directory(&self.unit) } else { slice_directory(&self.slice).join(&self.unit) }
    }
}

/// Decides the unit by [`linux.cgroupsPath`], which is `slice:prefix:name` for this driver, as with runc: the unit is
/// `prefix-name.scope` in `slice`, or `name` where that ends in `.slice`.
///
/// Without a slice it is `system.slice`, or `user.slice` of the user's own manager; without a path the unit is
/// `rt-ID.scope`.
///
/// [`linux.cgroupsPath`]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cgroups-path
pub fn plan_scope(spec: &Spec, id: &str, manager: Manager, writes: &[ResourceWrite], faults: &mut Faults) -> ScopePlan {
    let asked = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let asked = asked.and_then(Path::to_str).unwrap_or_default();
    let mut error = |reason: String| faults.error("/linux/cgroupsPath", reason);
    let default = format!(":{}:{id}", super::BASE);
    let parts: Vec<&str> = if asked.is_empty() { &default } else { asked }.splitn(3, ':').collect();
    let [slice, prefix, name] = parts[..] else {
        error(format!("{asked:?} is not of the form slice:prefix:name, which the systemd cgroup driver needs"));
        return plan_named(spec, manager, String::new(), String::new(), writes, faults);
    };
    let slice = match (slice, manager) {
        ("", Manager::System) => "system.slice",
        ("", Manager::User) => "user.slice",
        (slice, _) => slice,
    };
    if let Err(reason) = check_slice(slice) {
        error(format!("{slice:?} {reason}"));
    }
    let unit = if name.ends_with(".slice") {
        if let Err(reason) = check_slice(name) {
            error(format!("{name:?} {reason}"));
        }
        name.to_owned()
    } else if name.is_empty() {
        error(format!("{asked:?} has no name after the second colon"));
        String::new()
    } else if prefix.is_empty() {
        format!("{}.scope", escape(name))
    } else {
        format!("{}-{}.scope", escape(prefix), escape(name))
    };
    if OWN_UNITS.contains(&unit.as_str()) {
        error(format!("{unit} is systemd's own"));
    }
    if unit.len() > LONGEST_NAME {
        error(format!("the unit {unit} has a name of more than {LONGEST_NAME} characters"));
    }
    // A slice's name says where it lies.
    let slice = if name.ends_with(".slice") { parent_slice(&unit) } else { slice.to_owned() };
    plan_named(spec, manager, unit, slice, writes, faults)
}

fn plan_named(
    spec: &Spec,
    manager: Manager,
    unit: String,
    slice: String,
    writes: &[ResourceWrite],
    faults: &mut Faults,
) -> ScopePlan {
    let (subgroup, delegated) = annotations::plan_subgroups(spec, faults);
    let mut plan = ScopePlan { manager, unit, slice, properties: Vec::new(), subgroup, delegated };
    let own = |name: &str, value: Value, since: u32| Property { name: name.into(), value, since, pointer: None };
    if plan.is_slice() {
        plan.properties.push(own("Wants", Value::Array("s".into(), vec![Value::Text(plan.slice.clone())]), OLDEST));
    } else {
        plan.properties.push(own("Slice", Value::Text(plan.slice.clone()), OLDEST));
        // What is below is ours; and all controllers that systemd may give are there. Slices have it always.
        plan.properties.push(own("Delegate", Value::Bool(true), OLDEST));
    }
    // A unit that failed (a container that ran out of memory) would keep its name until somebody resets it.
    plan.properties.push(own("CollectMode", Value::text("inactive-or-failed"), OLDEST));
    // It is neither ordered before the shutdown's targets nor stopped by them: its manager does that.
    plan.properties.push(own("DefaultDependencies", Value::Bool(false), OLDEST));
    for name in ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"] {
        plan.properties.push(own(name, Value::Bool(true), OLDEST));
    }
    // The default for units is 15 % of what the machine can have; a container that asks for no limit gets none.
    plan.properties.push(own("TasksMax", Value::U64(u64::MAX), OLDEST));
    let limits = properties_of(writes, CpuMax::default());
    plan.properties.retain(|own| limits.iter().all(|limit| limit.name != own.name));
    plan.properties.extend(limits);
    // systemd writes memory.oom.group by its own policy, and takes this one at the start alone.
    if let Some(group) = writes.iter().rev().find(|write| write.file == "memory.oom.group") {
        let policy = Value::text(if group.value.trim() == "0" { "continue" } else { "kill" });
        let pointer = Some(group.pointer.clone());
        plan.properties.push(Property { name: "OOMPolicy".into(), value: policy, since: 253, pointer });
    }
    for property in annotations::plan_properties(spec, faults) {
        if let (true, Value::Text(slice)) = (property.name == "Slice", &property.value) {
            plan.slice.clone_from(slice);
            if let (Err(reason), Some(pointer)) = (check_slice(slice), &property.pointer) {
                faults.error(pointer.clone(), format!("{slice:?} {reason}"));
            }
        }
        plan.properties.retain(|older| older.name != property.name);
        plan.properties.push(property);
    }
    plan
}

/// A slice's name says where it lies, so it cannot be escaped.
fn check_slice(name: &str) -> Result<(), &'static str> {
    let Some(stem) = name.strip_suffix(".slice") else {
        return Err("is not the name of a slice, such as machine.slice");
    };
    if stem == "-" {
        return Ok(());
    }
    let is_valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
    if stem.is_empty() || !stem.chars().all(is_valid) || stem.split('-').any(str::is_empty) || name.len() > LONGEST_NAME
    {
        return Err("is not a valid name of a slice");
    }
    Ok(())
}

/// `a.slice` of `a-b.slice`; `-.slice` of `a.slice`.
fn parent_slice(name: &str) -> String {
    name.rsplit_once('-').map_or_else(|| "-.slice".to_owned(), |(parent, _)| format!("{parent}.slice"))
}

/// `a.slice/a-b.slice` for `a-b.slice`.
fn slice_directory(name: &str) -> PathBuf {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    if stem == "-" {
        return PathBuf::new();
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    ends.map(|end| format!("{}.slice", &stem[..end])).collect()
}

/// What a unit's name cannot hold, as systemd-escape(1) writes it; an `@` would make it an instance, which no scope is.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for (index, byte) in text.bytes().enumerate() {
        let is_valid = byte.is_ascii_alphanumeric() || b":-_\\".contains(&byte) || (byte == b'.' && index > 0);
        if is_valid { escaped.push(byte.into()) } else { escaped.push_str(&format!("\\x{byte:02x}")) }
    }
    escaped
}

/// One line for each operation, for `rt explain`.
impl fmt::Display for ScopePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.manager {
            Manager::System => "systemd",
            Manager::User => "the user's systemd",
        };
        writeln!(f, "ask {whose} to start {} in {} with init's pid", self.unit, self.slice)?;
        for property in &self.properties {
            write!(f, "  {}={}", property.name, property.value)?;
            match &property.pointer {
                Some(pointer) => writeln!(f, " ({pointer})")?,
                None => writeln!(f)?,
            }
        }
        for below in self.subgroup.iter().chain(&self.delegated) {
            writeln!(f, "mkdir {below} below it, and move init there")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cgroups_path: &str, manager: Manager) -> (ScopePlan, Faults) {
        let mut oci = Spec::default();
        let mut linux = oci_spec::runtime::Linux::default();
        linux.set_cgroups_path(Some(cgroups_path.into()));
        oci.set_linux(Some(linux));
        let mut faults = Faults::default();
        (plan_scope(&oci, "c1", manager, &[], &mut faults), faults)
    }

    #[test]
    fn names_the_unit_and_its_place() {
        for (asked, manager, unit, directory) in [
            ("", Manager::System, "rt-c1.scope", "system.slice/rt-c1.scope"),
            ("", Manager::User, "rt-c1.scope", "user.slice/rt-c1.scope"),
            ("::x", Manager::User, "x.scope", "user.slice/x.scope"),
            ("machine.slice:libpod:12", Manager::System, "libpod-12.scope", "machine.slice/libpod-12.scope"),
            ("-.slice:a:b", Manager::System, "a-b.scope", "a-b.scope"),
            (
                "kubepods-burstable-pod1_2.slice:crio:7",
                Manager::System,
                "crio-7.scope",
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/crio-7.scope",
            ),
            ("a.slice:p:q:r", Manager::System, "p-q:r.scope", "a.slice/p-q:r.scope"),
            ("a.slice:p:x+y/.z", Manager::System, r"p-x\x2by\x2f.z.scope", r"a.slice/p-x\x2by\x2f.z.scope"),
            ("a.slice:p:c@d", Manager::System, r"p-c\x40d.scope", r"a.slice/p-c\x40d.scope"),
            ("a.slice:p:b-c.slice", Manager::System, "b-c.slice", "b.slice/b-c.slice"),
        ] {
            let (plan, faults) = plan(asked, manager);
            assert_eq!(faults, Faults::default(), "{asked}");
            assert_eq!((plan.unit.as_str(), plan.directory()), (unit, PathBuf::from(directory)), "{asked}");
        }
    }

    #[test]
    fn a_path_of_another_form_is_a_fault() {
        let long = format!("a.slice:p:{}", "x".repeat(250));
        for asked in [
            "/rt/c1",
            "c1",
            "a.slice:c1",
            "a:b:c",
            "a..slice/b.slice:p:n",
            "a--b.slice:p:n",
            ".slice:p:n",
            "a.slice:p:",
            "-a.slice:p:n",
            "a.slice:p:b-.slice",
            "../a.slice:p:n",
            "a@b.slice:p:n",
            "::-.slice",
            "a.slice:p:system.slice",
            "-.slice::init",
            &long,
        ] {
            let pointers: Vec<_> = plan(asked, Manager::System).1.errors.into_iter().map(|f| f.pointer).collect();
            assert_eq!(pointers, ["/linux/cgroupsPath"], "{asked:?}");
        }
    }

    #[test]
    fn a_slice_is_wanted_where_a_scope_is_placed() {
        let names = |asked| plan(asked, Manager::System).0.properties.into_iter().map(|p| p.name).collect::<Vec<_>>();
        let (scope, slice) = (names("a.slice:p:n"), names("::a-b.slice"));
        assert!(
            scope.contains(&"Slice".into()) && scope.contains(&"Delegate".into()) && !scope.contains(&"Wants".into())
        );
        assert!(slice.contains(&"Wants".into()) && !slice.contains(&"Delegate".into()));
        assert_eq!(plan("::a-b.slice", Manager::System).0.slice, "a.slice");
    }

    #[test]
    fn explains_itself() {
        let text = plan("machine.slice:libpod:1", Manager::User).0.to_string();
        let first = "ask the user's systemd to start libpod-1.scope in machine.slice with init's pid\n";
        assert!(text.starts_with(first) && text.contains("  Delegate=true\n"), "{text}");
    }
}
