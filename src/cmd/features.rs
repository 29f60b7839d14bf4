//! `rt features`: what this `rt` supports, whatever the machine.

use clap::ArgMatches;

use super::print;
use crate::cli::Globals;

/// A constant: one write and nothing on stderr, because CRI-O parses both streams together.
///
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/features.md>
const FEATURES: &str = include_str!("features.json");

/// Prints the features structure.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(_globals: &Globals, _matches: &ArgMatches) -> anyhow::Result<i32> {
    print(FEATURES.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plan::rootfs::MOUNT_OPTIONS;
    use crate::plan::seccomp::{ACTIONS, FLAGS, SeccompFlags, SeccompHost, native_arch, plan_seccomp};
    use crate::spec::capability::CAPABILITIES;

    fn names(features: &Value, pointer: &str) -> Vec<String> {
        serde_json::from_value(features.pointer(pointer).unwrap().clone()).unwrap()
    }

    #[test]
    fn the_constant_says_what_the_tables_say() {
        let features: Value = serde_json::from_str(FEATURES).unwrap();
        assert_eq!(features["ociVersionMin"], "1.0.0");
        assert_eq!(features["ociVersionMax"], crate::cli::SPEC_VERSION);
        let options: Vec<&str> = MOUNT_OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names(&features, "/mountOptions"), options);
        assert_eq!(names(&features, "/linux/capabilities"), CAPABILITIES);
        let mut actions = names(&features, "/linux/seccomp/actions");
        actions.sort();
        let mut known: Vec<&str> = ACTIONS.iter().map(|action| action.1).collect();
        known.sort_unstable();
        assert_eq!(actions, known);
        let mut flags = names(&features, "/linux/seccomp/knownFlags");
        flags.sort();
        let mut known: Vec<&str> = FLAGS.iter().map(|flag| flag.1).collect();
        known.sort_unstable();
        assert_eq!(flags, known);
        let mut flags = names(&features, "/linux/seccomp/supportedFlags");
        flags.sort();
        assert_eq!(flags, known);
    }

    #[test]
    fn every_architecture_and_operator_is_known() {
        let features: Value = serde_json::from_str(FEATURES).unwrap();
        let (archs, operators) =
            (names(&features, "/linux/seccomp/archs"), names(&features, "/linux/seccomp/operators"));
        assert_eq!((archs.len(), operators.len()), (23, 7));
        for operator in operators {
            let args = serde_json::json!([{ "index": 0, "value": 1, "op": operator }]);
            let rule = serde_json::json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": args });
            let profile = serde_json::json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": archs, "syscalls": [rule],
            });
            let host = SeccompHost {
                native: native_arch().unwrap(),
                flags: SeccompFlags::default(),
                actions: &ACTIONS.map(|row| row.0),
                still_needed: &[],
                receiver: None,
                refuses_unknown: true,
            };
            let plan = plan_seccomp(&serde_json::from_value(profile).unwrap(), &host).unwrap();
            assert_eq!(plan.warnings.len(), 0);
        }
    }

    #[test]
    fn managers_find_what_they_look_for() {
        let features: Value = serde_json::from_str(FEATURES).unwrap();
        assert!(names(&features, "/mountOptions").contains(&"rro".to_owned()));
        assert!(names(&features, "/linux/namespaces").contains(&"user".to_owned()));
        assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    }

    #[test]
    fn the_model_of_oci_spec_reads_it() {
        let features: oci_spec::runtime::Features = serde_json::from_str(FEATURES).unwrap();
        assert_eq!(features.hooks().as_ref().map(Vec::len), Some(6));
    }
}
