//! linux.resources.devices: an ordered list of rules, compiled to lines for cgroup v1 or a program for v2.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::device_program;
use crate::error::{Fault, Faults};
use crate::host::cgroup::{Layout, Version};

/// Making a device node.
pub(super) const MKNOD: u8 = 1;
/// Opening one for reading.
pub(super) const READ: u8 = 2;
/// Opening one for writing.
pub(super) const WRITE: u8 = 4;
/// All of them.
pub(super) const ALL: u8 = MKNOD | READ | WRITE;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block and character devices.
    Any,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// One rule; of the rules that fit an access, the last one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether access is allowed.
    pub allow: bool,
    /// Which devices.
    pub kind: DeviceKind,
    /// Major number; none is all.
    pub major: Option<u32>,
    /// Minor number; none is all.
    pub minor: Option<u32>,
    /// A bit each for mknod, reading and writing.
    pub access: u8,
}

/// The rules in the form in which this machine takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceForm {
    /// cgroup v1: whether it goes to devices.allow or to devices.deny, and the line. The first one resets.
    Lines(Vec<(bool, String)>),
    /// cgroup v2: the instructions of a BPF_PROG_TYPE_CGROUP_DEVICE program.
    Program(Vec<u64>),
}

/// Which devices the container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    /// The rules in order, with the default ones.
    pub rules: Vec<DeviceRule>,
    /// What the kernel is given.
    pub form: DeviceForm,
}

const fn allow(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u8) -> DeviceRule {
    DeviceRule { allow: true, kind, major, minor, access }
}

/// What every container may use, whatever its rules say, as with runc: making any node, and the default /dev.
const DEFAULT_RULES: &[DeviceRule] = &[
    allow(DeviceKind::Char, None, None, MKNOD),
    allow(DeviceKind::Block, None, None, MKNOD),
    allow(DeviceKind::Char, Some(1), Some(3), ALL), // null
    allow(DeviceKind::Char, Some(1), Some(5), ALL), // zero
    allow(DeviceKind::Char, Some(1), Some(7), ALL), // full
    allow(DeviceKind::Char, Some(1), Some(8), ALL), // random
    allow(DeviceKind::Char, Some(1), Some(9), ALL), // urandom
    allow(DeviceKind::Char, Some(5), Some(0), ALL), // tty
    allow(DeviceKind::Char, Some(5), Some(2), ALL), // ptmx
    allow(DeviceKind::Char, Some(5), Some(1), ALL), // console
    allow(DeviceKind::Char, Some(136), None, ALL),  // pts/*
];

/// Plans the [device rules], which begin with "deny all" and end with the default devices.
///
/// None where nothing is mounted that could hold them: a fault if there is a rule that denies.
///
/// [device rules]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#allowed-device-list
pub(super) fn plan_devices(
    asked: &[LinuxDeviceCgroup],
    layout: &Layout,
    file: &'static str,
    pointer_prefix: &str,
    faults: &mut Faults,
) -> Option<DevicePlan> {
    let pointer = |index: usize| format!("{pointer_prefix}/devices/{index}");
    let mut rules = Vec::with_capacity(asked.len() + DEFAULT_RULES.len());
    for (index, rule) in asked.iter().enumerate() {
        match load_rule(rule) {
            Ok(rule) => rules.push(rule),
            Err(reason) => faults.errors.push(Fault { file, pointer: pointer(index), reason }),
        }
    }
    rules.extend(DEFAULT_RULES);
    let version = layout.version_of("devices").or(layout.unified().map(|_| Version::V2));
    let form = match version {
        Some(Version::V1) => {
            let mut state = State::default();
            for (index, rule) in rules.iter().enumerate() {
                let is_default = index + DEFAULT_RULES.len() >= rules.len();
                if let Err(by) = state.apply(rule)
                    && !is_default
                {
                    let reason = format!("cgroup v1 cannot hold \"{rule}\" beside \"{by}\"");
                    faults.errors.push(Fault { file, pointer: pointer(index), reason });
                }
            }
            DeviceForm::Lines(state.lines())
        }
        Some(Version::V2) => DeviceForm::Program(device_program::compile(&rules)),
        None => {
            if let Some(index) = asked.iter().position(|r| !r.allow()) {
                let reason = "no cgroup file system is mounted".into();
                faults.errors.push(Fault { file, pointer: pointer(index), reason });
            }
            return None;
        }
    };
    Some(DevicePlan { rules, form })
}

fn load_rule(rule: &LinuxDeviceCgroup) -> Result<DeviceRule, String> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::Any,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
        Some(LinuxDeviceType::P) => return Err("the type must be a, b or c".into()),
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| format!("{value} is not a device number")),
    };
    let mut access = 0;
    for letter in rule.access().as_deref().filter(|a| !a.is_empty()).unwrap_or("rwm").chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => return Err(format!("the access {letter:?} is none of r, w and m")),
        };
    }
    Ok(DeviceRule { allow: rule.allow(), kind, major: number(rule.major())?, minor: number(rule.minor())?, access })
}

impl DeviceRule {
    /// Whether the rule decides about everything: all before it is without effect.
    pub(super) fn is_total(&self) -> bool {
        self.kind == DeviceKind::Any && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }

    /// Whether every device of `other` is one of this rule's.
    pub(super) fn covers(&self, other: &DeviceRule) -> bool {
        let number = |own: Option<u32>, other| own.is_none() || own == other;
        (self.kind == DeviceKind::Any || self.kind == other.kind)
            && number(self.major, other.major)
            && number(self.minor, other.minor)
    }

    fn meets(&self, other: &DeviceRule) -> bool {
        let number = |own: Option<u32>, other: Option<u32>| own.is_none() || other.is_none() || own == other;
        self.kind == other.kind && number(self.major, other.major) && number(self.minor, other.minor)
    }
}

/// What a v1 devices cgroup can hold: a default and exceptions from it, of which all bits of one must fit an access.
#[derive(Default)]
struct State {
    allow: bool,
    exceptions: Vec<DeviceRule>,
}

impl State {
    /// Takes one more rule, or gives the exception that stands against it.
    fn apply(&mut self, rule: &DeviceRule) -> Result<(), DeviceRule> {
        if rule.is_total() {
            *self = State { allow: rule.allow, exceptions: Vec::new() };
            return Ok(());
        }
        if rule.kind == DeviceKind::Any {
            self.apply(&DeviceRule { kind: DeviceKind::Block, ..*rule })?;
            return self.apply(&DeviceRule { kind: DeviceKind::Char, ..*rule });
        }
        if rule.allow == self.allow {
            if let Some(partial) =
                self.exceptions.iter().find(|e| e.meets(rule) && !rule.covers(e) && e.access & rule.access != 0)
            {
                return Err(*partial);
            }
            for exception in self.exceptions.iter_mut().filter(|e| rule.covers(e)) {
                exception.access &= !rule.access;
            }
            self.exceptions.retain(|e| e.access != 0);
            return Ok(());
        }
        let same = |e: &DeviceRule| e.kind == rule.kind && e.major == rule.major && e.minor == rule.minor;
        match self.exceptions.iter_mut().find(|e| same(e)) {
            Some(exception) => exception.access |= rule.access,
            None => self.exceptions.push(*rule),
        }
        Ok(())
    }

    fn lines(&self) -> Vec<(bool, String)> {
        let reset = (self.allow, "a".to_owned());
        let exceptions = &self.exceptions;
        let needed = exceptions.iter().filter(|e| {
            !exceptions.iter().any(|other| other != *e && other.covers(e) && e.access & !other.access == 0)
        });
        std::iter::once(reset).chain(needed.map(|e| (!self.allow, e.line()))).collect()
    }
}

impl DeviceRule {
    /// `c 1:3 rwm`, as the kernel takes it on v1.
    fn line(&self) -> String {
        let kind = match self.kind {
            DeviceKind::Any => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Char => 'c',
        };
        let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |v| v.to_string());
        let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .into_iter()
            .filter_map(|(bit, letter)| (self.access & bit != 0).then_some(letter))
            .collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.allow { "allow" } else { "deny" }, self.line())
    }
}

impl fmt::Display for DevicePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            DeviceForm::Lines(lines) => {
                for (allow, line) in lines {
                    writeln!(f, "write {line:?} to devices.{}", if *allow { "allow" } else { "deny" })?;
                }
                Ok(())
            }
            DeviceForm::Program(program) => {
                writeln!(f, "attach a device program of {} instructions: deny all, then", program.len())?;
                self.rules.iter().try_for_each(|rule| writeln!(f, "  {rule}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::{v1, v2};
    use super::*;

    fn lines(json: &str) -> Result<Vec<String>, Vec<Fault>> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        let mut faults = Faults::default();
        let plan = plan_devices(&rules, &v1(), "config.json", "/linux/resources", &mut faults);
        match plan.map(|p| p.form) {
            Some(DeviceForm::Lines(lines)) if faults.errors.is_empty() => {
                Ok(lines.into_iter().map(|(allow, line)| format!("{}{line}", if allow { '+' } else { '-' })).collect())
            }
            _ => Err(faults.errors),
        }
    }

    const DEFAULT_LINES: &[&str] = &[
        "+c *:* m",
        "+b *:* m",
        "+c 1:3 rwm",
        "+c 1:5 rwm",
        "+c 1:7 rwm",
        "+c 1:8 rwm",
        "+c 1:9 rwm",
        "+c 5:0 rwm",
        "+c 5:2 rwm",
        "+c 5:1 rwm",
        "+c 136:* rwm",
    ];

    #[test]
    fn without_rules_only_the_default_devices_are_allowed() {
        let lines = lines("[]").unwrap();
        assert_eq!(lines[0], "-a");
        assert_eq!(lines[1..], *DEFAULT_LINES);
    }

    #[test]
    fn dockers_rules_are_not_written_twice() {
        let rules = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
            {"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"},
            {"allow":true,"type":"c","major":10,"minor":200,"access":"rw"}]"#;
        let lines = lines(rules).unwrap();
        assert_eq!(lines.len(), 1 + DEFAULT_LINES.len() + 1, "{lines:?}");
        assert_eq!(lines.iter().filter(|l| l.starts_with("+c 1:5 ")).count(), 1);
        assert!(lines.contains(&"+c 10:200 rw".to_owned()));
    }

    #[test]
    fn a_privileged_container_may_use_everything() {
        assert_eq!(lines(r#"[{"allow":true,"type":"a","access":"rwm"}]"#).unwrap(), ["+a"]);
        assert_eq!(
            lines(r#"[{"allow":true},{"allow":false,"type":"b","major":8,"access":"rwm"}]"#).unwrap(),
            ["+a", "-b 8:* rw"]
        );
    }

    #[test]
    fn all_kinds_with_a_number_are_block_and_character_devices() {
        let lines = lines(r#"[{"allow":true,"major":8,"minor":-1,"access":"r"}]"#).unwrap();
        assert!(lines.contains(&"+b 8:* r".to_owned()) && lines.contains(&"+c 8:* r".to_owned()), "{lines:?}");
    }

    #[test]
    fn what_v1_cannot_hold_is_an_error_there() {
        let rules = r#"[{"allow":true,"type":"c","access":"rwm"},{"allow":false,"type":"c","major":10,"minor":1}]"#;
        let errors = lines(rules).unwrap_err();
        assert_eq!(errors[0].pointer, "/linux/resources/devices/1");
        assert_eq!(errors[0].reason, r#"cgroup v1 cannot hold "deny c 10:1 rwm" beside "allow c *:* rwm""#);
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(rules).unwrap();
        let mut faults = Faults::default();
        plan_devices(&rules, &v2(), "config.json", "/linux/resources", &mut faults);
        assert_eq!(faults.errors, []);
    }

    #[test]
    fn bad_rules_are_faults() {
        for rule in [r#"{"allow":true,"type":"p"}"#, r#"{"allow":true,"major":-2}"#, r#"{"allow":true,"access":"rx"}"#]
        {
            assert_eq!(lines(&format!("[{rule}]")).unwrap_err().len(), 1, "{rule}");
        }
    }
}
