//! Annotations that speak to the systemd driver: further properties of the unit, and cgroups below it.

use oci_spec::runtime::Spec;

use super::properties::{OLDEST, Property};
use super::value::Value;
use crate::error::Faults;

const PROPERTY: &str = "org.systemd.property.";
const SUBGROUP: &str = "run.oci.systemd.subgroup";
const DELEGATED: &str = "run.oci.delegate-cgroup";
const FORCE_V1: &str = "run.oci.systemd.force_cgroup_v1";

fn pointer_of(annotation: &str) -> String {
    format!("/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"))
}

/// `org.systemd.property.NAME`, whose value is in the text form of GVariant, as with runc and crun.
///
/// D-Bus knows all times as microseconds, under names that end in `USec`; a name in `Sec` is taken as seconds.
pub(super) fn plan_properties(spec: &Spec, faults: &mut Faults) -> Vec<Property> {
    let mut found = Vec::new();
    for (key, text) in spec.annotations().iter().flatten() {
        let Some(name) = key.strip_prefix(PROPERTY) else { continue };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            faults.error(pointer_of(key), format!("{name:?} is not the name of a property"));
            continue;
        }
        if name == "PIDs" {
            faults.error(pointer_of(key), "init alone is in the unit when it starts");
            continue;
        }
        let read = Value::parse(text).and_then(|value| match seconds_name(name) {
            Some(name) => Ok((name, in_microseconds(&value)?)),
            None => Ok((name.to_owned(), value)),
        });
        match read {
            Ok((name, value)) => {
                found.push(Property { name, value, since: OLDEST, pointer: Some(pointer_of(key)) });
            }
            Err(reason) => faults.error(pointer_of(key), format!("{text:?}: {reason}")),
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// `TimeoutStopUSec` for `TimeoutStopSec`.
fn seconds_name(name: &str) -> Option<String> {
    let stem = name.strip_suffix("Sec")?;
    stem.ends_with(|c: char| c.is_ascii_lowercase()).then(|| format!("{stem}USec"))
}

fn in_microseconds(value: &Value) -> Result<Value, String> {
    const SECOND_US: u64 = 1_000_000;
    let whole = match value {
        Value::Byte(secs) => Some(u64::from(*secs)),
        Value::I16(secs) => u64::try_from(*secs).ok(),
        Value::U16(secs) => Some(u64::from(*secs)),
        Value::I32(secs) => u64::try_from(*secs).ok(),
        Value::U32(secs) => Some(u64::from(*secs)),
        Value::I64(secs) => u64::try_from(*secs).ok(),
        Value::U64(secs) => Some(*secs),
        Value::F64(secs) if (0.0..1e12).contains(secs) => {
            return Ok(Value::U64((secs * 1e6).round() as u64));
        }
        Value::Text(text) if text == "infinity" => return Ok(Value::U64(u64::MAX)),
        _ => None,
    };
    let us = whole.and_then(|secs| secs.checked_mul(SECOND_US));
    us.map(Value::U64).ok_or_else(|| "it is not a number of seconds".to_owned())
}

/// The names of the cgroups below the unit's: the container's, and the one that is left to it.
pub(super) fn plan_subgroups(spec: &Spec, faults: &mut Faults) -> (Option<String>, Option<String>) {
    let annotation = |key: &str| {
        let annotations = spec.annotations().as_ref();
        annotations.and_then(|a| a.get(key)).filter(|value| !value.is_empty()).cloned()
    };
    if annotation(FORCE_V1).is_some() {
        faults.error(pointer_of(FORCE_V1), "a cgroup v1 hierarchy on a cgroup v2 machine is not supported");
    }
    let mut name = |key: &str| {
        let value = annotation(key)?;
        let is_name = value.bytes().all(|byte| byte > b' ' && !b"/\x7f".contains(&byte)) && !value.starts_with('.');
        // The kernel's own files are called so.
        if !is_name || value.starts_with("cgroup.") {
            faults.error(pointer_of(key), format!("{value:?} is not the name of a cgroup"));
        }
        Some(value)
    };
    let (subgroup, delegated) = (name(SUBGROUP), name(DELEGATED));
    if delegated.is_some() && subgroup.is_none() {
        faults.error(pointer_of(DELEGATED), format!("needs the annotation {SUBGROUP} too"));
    }
    (subgroup, delegated)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn spec(annotations: &[(&str, &str)]) -> Spec {
        let mut spec = Spec::default();
        let annotations: HashMap<_, _> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        spec.set_annotations(Some(annotations));
        spec
    }

    fn property(name: &str, text: &str) -> Result<String, String> {
        let mut faults = Faults::default();
        let found = plan_properties(&spec(&[(&format!("{PROPERTY}{name}"), text)]), &mut faults);
        match faults.errors.first() {
            Some(fault) => Err(fault.pointer.clone()),
            None => Ok(format!("{} {:?}", found[0].name, found[0].value)),
        }
    }

    #[test]
    fn times_become_microseconds() {
        for (name, text, expected) in [
            ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec U64(5)"),
            ("TimeoutStopSec", "5", "TimeoutStopUSec U64(5000000)"),
            ("TimeoutStopSec", "uint64 5", "TimeoutStopUSec U64(5000000)"),
            ("TimeoutStopSec", "0.5", "TimeoutStopUSec U64(500000)"),
            ("TimeoutStopSec", "'infinity'", "TimeoutStopUSec U64(18446744073709551615)"),
            ("CollectMode", "'inactive'", "CollectMode Text(\"inactive\")"),
        ] {
            assert_eq!(property(name, text), Ok(expected.into()));
        }
    }

    #[test]
    fn bad_annotations_have_their_pointer() {
        for (name, text) in
            [("TimeoutStopSec", "-5"), ("TimeoutStopSec", "'soon'"), ("X", "nonsense"), ("", "1"), ("a/b", "1")]
        {
            let pointer = format!("/annotations/org.systemd.property.{}", name.replace('/', "~1"));
            assert_eq!(property(name, text), Err(pointer), "{name}={text}");
        }
    }

    #[test]
    fn subgroups_are_plain_names() {
        let plan = |annotations: &[(&str, &str)]| {
            let mut faults = Faults::default();
            let found = plan_subgroups(&spec(annotations), &mut faults);
            (found, faults.errors.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>())
        };
        assert_eq!(plan(&[]).0, (None, None));
        assert_eq!(plan(&[(SUBGROUP, "")]), ((None, None), vec![]));
        let both = plan(&[(SUBGROUP, "container"), (DELEGATED, "payload")]);
        assert_eq!(both, ((Some("container".into()), Some("payload".into())), vec![]));
        for bad in ["a/b", "..", ".", "a b", "cgroup.procs"] {
            assert_eq!(plan(&[(SUBGROUP, bad)]).1, [pointer_of(SUBGROUP)], "{bad}");
        }
        assert_eq!(plan(&[(DELEGATED, "x")]).1, [pointer_of(DELEGATED)]);
        assert_eq!(plan(&[(FORCE_V1, "/sys/fs/cgroup")]).1, [pointer_of(FORCE_V1)]);
    }
}
