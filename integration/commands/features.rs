//! features.md and features-linux.md: what `rt features` promises is understood in config.json, word for word.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container, runtime};

/// Every property that features.md and features-linux.md of OCI 1.3.0 define.
const DEFINED: &[&str] = &[
    "/annotations",
    "/hooks",
    "/linux/apparmor/enabled",
    "/linux/capabilities",
    "/linux/cgroup/rdma",
    "/linux/cgroup/systemd",
    "/linux/cgroup/systemdUser",
    "/linux/cgroup/v1",
    "/linux/cgroup/v2",
    "/linux/intelRdt/enabled",
    "/linux/intelRdt/monitoring",
    "/linux/intelRdt/schemata",
    "/linux/memoryPolicy/flags",
    "/linux/memoryPolicy/modes",
    "/linux/mountExtensions/idmap/enabled",
    "/linux/namespaces",
    "/linux/netDevices/enabled",
    "/linux/seccomp/actions",
    "/linux/seccomp/archs",
    "/linux/seccomp/enabled",
    "/linux/seccomp/knownFlags",
    "/linux/seccomp/operators",
    "/linux/seccomp/supportedFlags",
    "/linux/selinux/enabled",
    "/mountOptions",
    "/ociVersionMax",
    "/ociVersionMin",
    "/potentiallyUnsafeConfigAnnotations",
];

fn features() -> Value {
    let mut command = std::process::Command::new(&runtime().path);
    command.arg("features");
    serde_json::from_str(&outcome(command).ok().stdout).unwrap()
}

fn words(pointer: &str) -> Vec<String> {
    serde_json::from_value(features().pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing")).clone())
        .unwrap_or_else(|error| panic!("{pointer}: {error}"))
}

/// Asserts that `rt check` has nothing against a bundle, not even a warning.
#[track_caller]
fn recognised(bundle: Bundle) {
    let container = Container::new(bundle);
    let mut command = container.command();
    command.args(["check", "--bundle"]).arg(container.bundle.dir.path());
    assert_eq!(outcome(command).ok().stdout, "no faults\n");
}

/// "The Features structure MUST NOT contain properties that are not defined in this version", and `rt` leaves none out.
#[test]
fn every_property_is_there_and_no_other() {
    only_rt!();
    fn walk(value: &Value, pointer: String, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) if pointer != "/annotations" => {
                object.iter().for_each(|(key, value)| walk(value, format!("{pointer}/{key}"), found));
            }
            _ => drop(found.insert(pointer)),
        }
    }
    let mut found = BTreeSet::new();
    walk(&features(), String::new(), &mut found);
    assert_eq!(found, DEFINED.iter().map(|name| (*name).to_owned()).collect());
}

/// "The `null` value MUST NOT be confused with an empty value": every property has its own type, none is null.
#[test]
fn every_property_has_its_type() {
    only_rt!();
    let features = features();
    for pointer in DEFINED {
        let value = features.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing"));
        let is_right = match pointer.rsplit('/').next().unwrap() {
            "ociVersionMin" | "ociVersionMax" => value.is_string(),
            "annotations" => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            "enabled" | "schemata" | "monitoring" | "v1" | "v2" | "systemd" | "systemdUser" | "rdma" => {
                value.is_boolean()
            }
            _ => value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string)),
        };
        assert!(is_right, "{pointer}: {value}");
    }
}

/// `ociVersionMin`, `ociVersionMax`: "The runtime MUST accept this value as the `ociVersion` property of `config.json`",
/// and "The value MUST NOT be less than the value of the `ociVersionMin` property."
#[test]
fn both_versions_are_accepted() {
    only_rt!();
    let features = features();
    let numbers = |name: &str| -> Vec<u32> {
        let text = features[name].as_str().unwrap();
        text.split('.').map(|number| number.parse().unwrap()).collect()
    };
    assert!(numbers("ociVersionMin") <= numbers("ociVersionMax"));
    for name in ["ociVersionMin", "ociVersionMax"] {
        Container::new(Bundle::args(&["true"]).set("/ociVersion", features[name].clone())).run().ok();
    }
}

/// `hooks`: "The runtime MUST support the elements in this array": each one runs.
#[test]
fn every_hook_runs() {
    only_rt!();
    let mut bundle = Bundle::args(&["true"]);
    let marks = bundle.beside("marks");
    std::fs::create_dir(&marks).unwrap();
    bundle = bundle.bind(&marks, "/marks", &[]);
    let hooks = words("/hooks");
    for hook in &hooks {
        let place = if hook == "startContainer" { "/marks".into() } else { marks.display().to_string() };
        bundle = bundle.hook(hook, &format!(": > {place}/{hook}"));
    }
    let container = Container::new(bundle);
    container.run().ok();
    for hook in &hooks {
        assert!(marks.join(hook).exists(), "{hook} did not run");
    }
}

/// What `rt check` says about a bundle.
fn checked(bundle: Bundle) -> String {
    let container = Container::new(bundle);
    let mut command = container.command();
    command.args(["check", "--bundle"]).arg(container.bundle.dir.path());
    outcome(command).stdout
}

/// `mountOptions`: "The runtime MUST recognize the elements in this array as the `options` of `mounts` objects", and
/// "this array SHOULD NOT contain filesystem-specific mount options".
#[test]
fn every_mount_option_is_recognised() {
    only_rt!();
    // An option that is not recognised goes to the file system, and a bind mount has none: a warning says so.
    let mut bundle = Bundle::args(&["true"]);
    let mapping = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
    for option in words("/mountOptions") {
        let mut mount = json!({ "source": "rootfs", "destination": "/mnt", "options": ["bind", option] });
        match option.as_str() {
            "tmpcopyup" => mount = json!({ "type": "tmpfs", "destination": "/mnt", "options": [option] }),
            "idmap" | "ridmap" => {
                mount["uidMappings"] = mapping.clone();
                mount["gidMappings"] = mapping.clone();
            }
            _ => {}
        }
        bundle = bundle.push("/mounts", mount);
    }
    recognised(bundle);
    let unknown = checked(Bundle::args(&["true"]).bind("rootfs", "/mnt", &["nosuchoption"]));
    assert!(unknown.contains("nosuchoption"), "an unknown option must be seen by this test: {unknown}");
}

/// `linux.capabilities`: "The runtime MUST recognize the elements in this array in the `process.capabilities` object."
#[test]
fn every_capability_is_recognised() {
    only_rt!();
    let names = words("/linux/capabilities");
    recognised(Bundle::args(&["true"]).capabilities(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let unknown = checked(Bundle::args(&["true"]).capabilities(&["CAP_OF_THE_FUTURE"]));
    assert!(unknown.contains("CAP_OF_THE_FUTURE"), "an unknown one must be seen by this test: {unknown}");
}

/// A bundle whose filter has these rules, each for a system call that `rt` does not need.
fn with_rules(rules: impl Iterator<Item = Value>) -> Bundle {
    let calls = ["mkdir", "rmdir", "chown", "lchown", "link", "symlink", "rename", "truncate", "creat", "mknod"];
    let rules = rules.zip(calls).map(|(mut rule, call)| {
        rule["names"] = json!([call]);
        rule
    });
    let rules: Value = rules.collect();
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
    Bundle::args(&["true"]).set("/linux/seccomp", profile)
}

/// `linux.seccomp.actions`: "The runtime MUST recognize the elements in this array in the `syscalls[].action` property."
#[test]
fn every_seccomp_action_is_recognised() {
    only_rt!();
    let actions = words("/linux/seccomp/actions");
    let others = actions.iter().filter(|action| *action != "SCMP_ACT_ALLOW");
    let mut bundle = with_rules(others.map(|action| json!({ "action": action })));
    if actions.iter().any(|action| action == "SCMP_ACT_NOTIFY") {
        bundle = bundle.set("/linux/seccomp/listenerPath", json!("/run/agent.sock"));
    }
    recognised(bundle);
    // Beside the same default it would have no effect, and a warning.
    let allow = with_rules([json!({ "action": "SCMP_ACT_ALLOW" })].into_iter());
    recognised(allow.set("/linux/seccomp/defaultAction", json!("SCMP_ACT_LOG")));
}

/// `linux.seccomp.operators`: "The runtime MUST recognize the elements in this array in the `syscalls[].args[].op`
/// property."
#[test]
fn every_seccomp_operator_is_recognised() {
    only_rt!();
    let rule = |operator: String| {
        let argument = json!({ "index": 1, "value": 7, "valueTwo": 7, "op": operator });
        json!({ "action": "SCMP_ACT_ERRNO", "args": [argument] })
    };
    recognised(with_rules(words("/linux/seccomp/operators").into_iter().map(rule)));
}

/// `linux.seccomp.archs`: "The runtime MUST recognize the elements in this array in the `architectures` property."
#[test]
fn every_seccomp_architecture_is_recognised() {
    only_rt!();
    let archs = json!(words("/linux/seccomp/archs"));
    let bundle = with_rules([json!({ "action": "SCMP_ACT_ERRNO" })].into_iter());
    recognised(bundle.set("/linux/seccomp/architectures", archs));
}

/// `linux.seccomp.knownFlags`: "The runtime MUST recognize the elements in this array in the `flags` property";
/// `supportedFlags`: "The runtime MUST recognize and support the elements in this array".
#[test]
fn every_seccomp_flag_is_recognised_and_the_supported_ones_are_loaded() {
    only_rt!();
    let with_flags = |flags: &[String]| {
        let bundle = with_rules([json!({ "action": "SCMP_ACT_ERRNO" })].into_iter());
        bundle.set("/linux/seccomp/flags", json!(flags))
    };
    let known = words("/linux/seccomp/knownFlags");
    // There may be a warning that one has no effect without SCMP_ACT_NOTIFY.
    assert!(checked(with_flags(&known)).contains("0 errors") || checked(with_flags(&known)).contains("no faults"));
    for flag in words("/linux/seccomp/supportedFlags") {
        assert!(known.contains(&flag), "{flag} is supported and not known");
        Container::new(with_flags(&[flag])).run().ok();
    }
}

/// `linux.memoryPolicy.modes` and `.flags`: "The runtime MUST recognize the elements in this array as the `mode` of
/// `linux.memoryPolicy` objects" and "in the `flags` property".
#[test]
fn every_memory_policy_is_recognised() {
    only_rt!();
    let policy = |mode: &str, flags: &[&str]| {
        let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode) { "" } else { "0" };
        let value = json!({ "mode": mode, "nodes": nodes, "flags": flags });
        Bundle::args(&["true"]).set("/linux/memoryPolicy", value)
    };
    for mode in words("/linux/memoryPolicy/modes") {
        recognised(policy(&mode, &[]));
    }
    for flag in words("/linux/memoryPolicy/flags") {
        recognised(policy("MPOL_BIND", &[&flag]));
    }
}

/// Every word that config-linux.md lists is promised, in any order, and no other.
#[test]
fn every_word_of_the_spec_is_promised() {
    only_rt!();
    for (pointer, listed) in [
        ("/hooks", "prestart createRuntime createContainer startContainer poststart poststop"),
        ("/linux/namespaces", "pid network mount ipc uts user cgroup time"),
        ("/linux/seccomp/actions", "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY"),
        ("/linux/seccomp/operators", "NE LT LE EQ GE GT MASKED_EQ"),
        (
            "/linux/seccomp/archs",
            "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X \
             PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB",
        ),
        ("/linux/seccomp/knownFlags", "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV"),
        ("/linux/memoryPolicy/modes", "DEFAULT BIND INTERLEAVE WEIGHTED_INTERLEAVE PREFERRED PREFERRED_MANY LOCAL"),
        ("/linux/memoryPolicy/flags", "NUMA_BALANCING RELATIVE_NODES STATIC_NODES"),
    ] {
        let prefix = |word: &str| {
            ["SCMP_ACT_", "SCMP_CMP_", "SCMP_ARCH_", "SECCOMP_FILTER_FLAG_", "MPOL_F_", "MPOL_"]
                .iter()
                .find_map(|prefix| word.strip_prefix(prefix))
                .unwrap_or(word)
                .to_owned()
        };
        let promised: BTreeSet<String> = words(pointer).iter().map(|word| prefix(word)).collect();
        assert_eq!(promised, listed.split_whitespace().map(str::to_owned).collect(), "{pointer}");
    }
}

/// `linux.cgroup`, `linux.mountExtensions`, `linux.apparmor`, `linux.selinux`, `linux.seccomp.enabled`: what `rt` has,
/// whatever the machine. (The tests of each feature show that it works.)
#[test]
fn what_rt_has_is_promised() {
    only_rt!();
    let features = features();
    for pointer in [
        "/linux/cgroup/v1",
        "/linux/cgroup/v2",
        "/linux/cgroup/rdma",
        "/linux/seccomp/enabled",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/mountExtensions/idmap/enabled",
        "/linux/netDevices/enabled",
        "/linux/intelRdt/enabled",
        "/linux/intelRdt/schemata",
        "/linux/intelRdt/monitoring",
    ] {
        assert_eq!(features.pointer(pointer), Some(&json!(true)), "{pointer}");
    }
}

/// `annotations`: "Annotations MUST be a key-value map that follows the same convention as the Key and Values of the
/// `annotations` property of `config.json`": no key is empty, every value is a string.
#[test]
fn annotations_are_strings_with_keys() {
    only_rt!();
    let features = features();
    let annotations = features["annotations"].as_object().unwrap();
    assert!(annotations.iter().all(|(key, value)| !key.is_empty() && value.is_string()), "{annotations:?}");
    recognised(Bundle::args(&["true"]).set("/annotations", features["annotations"].clone()));
}
