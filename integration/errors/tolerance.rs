//! config.md, "Extensibility" and "Valid values": what a strict model would refuse, and the spec does not.

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, cgroups, mode};

/// What programs in Go write for "not set": empty strings, empty objects, and `null` in the place of anything optional.
#[test]
fn unset_values_are_not_set() {
    need_root!("do without a user namespace");
    only_rt!(); // others each tolerate some
    for (pointer, value) in [
        ("/hostname", json!("")),
        ("/domainname", json!("")),
        ("/annotations", json!(null)),
        ("/hooks", json!(null)),
        ("/process/apparmorProfile", json!("")),
        ("/process/selinuxLabel", json!("")),
        ("/process/capabilities/ambient", json!(null)),
        ("/process/rlimits", json!(null)),
        ("/process/user/additionalGids", json!(null)),
        ("/linux/namespaces/0/path", json!("")),
        ("/linux/uidMappings", json!(null)),
        ("/linux/rootfsPropagation", json!("")),
        ("/linux/mountLabel", json!("")),
        ("/linux/resources", json!(null)),
        ("/linux/resources/pids", json!({})),
        ("/linux/resources/memory", json!({})),
        ("/linux/resources/cpu", json!({ "cpus": "", "mems": "" })),
        ("/linux/resources/blockIO", json!({ "weight": 0, "weightDevice": null })),
        ("/linux/resources/hugepageLimits", json!([])),
        ("/linux/resources/network", json!({ "priorities": null })),
        ("/linux/resources/rdma", json!({})),
        ("/linux/resources/unified", json!({})),
        ("/linux/seccomp", json!(null)),
        ("/linux/sysctl", json!({})),
        ("/linux/timeOffsets", json!({})),
        ("/linux/netDevices", json!({})),
        ("/linux/devices", json!(null)),
        ("/linux/intelRdt", json!(null)),
        ("/linux/personality", json!(null)),
        ("/linux/memoryPolicy", json!(null)),
    ] {
        if pointer == "/linux/uidMappings" && mode() == Mode::Rootless {
            continue; // it has a user namespace, which needs them
        }
        let container = Container::new(Bundle::args(&["echo", "fine"]).set(pointer, value.clone()));
        let outcome = container.run();
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (0, "fine\n", ""),
            "{pointer} {value}"
        );
    }
}

/// Device rules: "`type`: Unset values mean "all", mapping to `a`", and so does the empty string that Go writes; without
/// `access` it is all three, and -1 is every number.
#[test]
fn an_empty_type_of_a_device_rule_is_all() {
    need_root!("limit devices");
    if cgroups::directory("devices", "/").is_none() && cgroups::hierarchies().is_empty() {
        skip!("no cgroups");
    }
    only_rt!();
    let script = "mknod /tmp/kmsg c 1 11 && (: < /tmp/kmsg) 2>&1; true";
    for (rules, denied) in [
        (json!([{ "allow": false, "type": "" }]), true),
        (json!([{ "allow": false }, { "allow": true, "type": "", "access": "" }]), false),
        (json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": -1 }]), false),
        (json!([{ "allow": true }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rw" }]), true),
        (json!([{ "allow": true }, { "allow": false, "type": "b", "access": "rw" }]), false),
    ] {
        let bundle = Bundle::sh(script).capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]);
        let output = Container::new(bundle.set("/linux/resources/devices", rules.clone())).run().stdout;
        assert_eq!(output.contains("Operation not permitted"), denied, "{rules}: {output}");
    }
}

/// "`limit` (uint64, REQUIRED)" of huge pages: the largest number is no limit, also where there is no controller.
#[test]
fn the_largest_number_is_taken() {
    only_rt!();
    let limits = json!([{ "pageSize": "2MB", "limit": u64::MAX }]);
    let container = Container::new(Bundle::args(&["echo", "fine"]).set("/linux/resources/hugepageLimits", limits));
    assert_eq!(container.run().ok().stdout, "fine\n");
}

/// Sections of other platforms are ignored, whatever is in them; virtual machines are warned about.
#[test]
fn other_platforms_are_ignored() {
    only_rt!();
    let mut bundle = Bundle::args(&["echo", "fine"]);
    for name in ["windows", "solaris", "zos", "freebsd"] {
        bundle = bundle.set(&format!("/{name}"), json!({ "anything": [1, { "at": "all" }] }));
    }
    let outcome = Container::new(bundle).run().ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("fine\n", ""));
    let vm = json!({ "kernel": { "path": "/vmlinuz" } });
    let outcome = Container::new(Bundle::args(&["echo", "fine"]).set("/vm", vm)).run().ok();
    assert!(outcome.stdout == "fine\n" && outcome.stderr.contains("/vm"), "{outcome:?}");
}

/// Of two equal keys the last one counts, as with Go's reader, and a warning says so.
#[test]
fn the_last_of_two_equal_keys_counts() {
    only_rt!();
    let container = Container::new(Bundle::args(&["cat", "/proc/sys/kernel/hostname"]));
    let text = container.bundle.read_beside("config.json").replacen('{', "{ \"hostname\": \"first\",", 1);
    std::fs::write(container.bundle.beside("config.json"), text).unwrap();
    let outcome = container.run().ok();
    assert!(outcome.stdout == "hello\n" && outcome.stderr.contains("hostname"), "{outcome:?}");
}
