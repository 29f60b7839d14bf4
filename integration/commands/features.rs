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

fn seccomp(change: impl Fn(&mut Value)) -> Bundle {
    let rule = json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" });
    let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    change(&mut profile);
    Bundle::args(&["true"]).set("/linux/seccomp", profile)
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

/// `mountOptions`: "The runtime MUST recognize the elements in this array as the `options` of `mounts` objects", and
/// "this array SHOULD NOT contain filesystem-specific mount options".
#[test]
fn every_mount_option_is_recognised() {
    only_rt!();
    for option in words("/mountOptions") {
        let bundle = Bundle::args(&["true"]);
        let source = bundle.beside("source");
        std::fs::create_dir(&source).unwrap();
        let mapping = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
        let mount = match option.as_str() {
            "tmpcopyup" => json!({ "type": "tmpfs", "destination": "/mnt", "options": [option] }),
            "idmap" | "ridmap" => json!({ "source": source, "destination": "/mnt", "options": ["bind", option],
                "uidMappings": mapping, "gidMappings": mapping }),
            _ => json!({ "source": source, "destination": "/mnt", "options": ["bind", option] }),
        };
        // An option that is not recognised goes to the file system, and a bind mount has none: a warning says so.
        recognised(bundle.push("/mounts", mount));
    }
    let bundle = Bundle::args(&["true"]).bind("rootfs", "/mnt", &["nosuchoption"]);
    let container = Container::new(bundle);
    let mut command = container.command();
    command.args(["check", "--bundle"]).arg(container.bundle.dir.path());
    assert!(outcome(command).stdout.contains("nosuchoption"), "an unknown option must be seen by this test");
}

/// `linux.capabilities`: "The runtime MUST recognize the elements in this array in the `process.capabilities` object."
#[test]
fn every_capability_is_recognised() {
    only_rt!();
    for name in words("/linux/capabilities") {
        recognised(Bundle::args(&["true"]).capabilities(&[&name]));
    }
}

/// `linux.seccomp.actions`: "The runtime MUST recognize the elements in this array in the `syscalls[].action` property."
#[test]
fn every_seccomp_action_is_recognised() {
    only_rt!();
    for action in words("/linux/seccomp/actions") {
        recognised(seccomp(|profile| {
            profile["syscalls"][0]["action"] = json!(action);
            if action == "SCMP_ACT_ALLOW" {
                profile["defaultAction"] = json!("SCMP_ACT_LOG");
            }
            if action == "SCMP_ACT_NOTIFY" {
                profile["listenerPath"] = json!("/run/agent.sock");
            }
        }));
    }
}

/// `linux.seccomp.operators`: "The runtime MUST recognize the elements in this array in the `syscalls[].args[].op`
/// property."
#[test]
fn every_seccomp_operator_is_recognised() {
    only_rt!();
    for operator in words("/linux/seccomp/operators") {
        recognised(seccomp(|profile| {
            profile["syscalls"][0]["args"] = json!([{ "index": 1, "value": 7, "valueTwo": 7, "op": operator }]);
        }));
    }
}

/// `linux.seccomp.archs`: "The runtime MUST recognize the elements in this array in the `architectures` property."
#[test]
fn every_seccomp_architecture_is_recognised() {
    only_rt!();
    for arch in words("/linux/seccomp/archs") {
        recognised(seccomp(|profile| profile["architectures"] = json!([arch])));
    }
}

/// `linux.seccomp.knownFlags`: "The runtime MUST recognize the elements in this array in the `flags` property";
/// `supportedFlags`: "The runtime MUST recognize and support the elements in this array".
#[test]
fn every_seccomp_flag_is_recognised_and_the_supported_ones_are_loaded() {
    only_rt!();
    let known = words("/linux/seccomp/knownFlags");
    for flag in &known {
        let container = Container::new(seccomp(|profile| profile["flags"] = json!([flag])));
        let mut command = container.command();
        command.args(["check", "--bundle"]).arg(container.bundle.dir.path());
        // There may be a warning that it has no effect without SCMP_ACT_NOTIFY.
        outcome(command).ok();
    }
    for flag in words("/linux/seccomp/supportedFlags") {
        assert!(known.contains(&flag), "{flag} is supported and not known");
        Container::new(seccomp(|profile| profile["flags"] = json!([flag]))).run().ok();
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
            ["SCMP_CMP_", "SCMP_ARCH_", "SECCOMP_FILTER_FLAG_", "MPOL_F_", "MPOL_"]
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
