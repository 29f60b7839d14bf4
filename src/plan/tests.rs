//! A whole configuration, from its text to the plan in words.

use serde_json::{Value, json};

use super::cgroup::Driver;
use super::rootfs::tests;
use super::*;
use crate::host::cgroup::Unified;

/// A machine with cgroup v2.
pub(super) fn host() -> Host {
    let controllers = ["cpu", "memory", "pids"].map(str::to_owned).to_vec();
    Host {
        cgroup: Layout::Unified(Unified { mount: "/sys/fs/cgroup".into(), own: "/".into(), controllers }),
        ..tests::host()
    }
}

fn examine(config: &Value) -> (Plan, Faults) {
    let spec = Spec::from_text("/bundle".into(), config.to_string().into_bytes()).expect("nothing wrong by itself");
    Plan::examine(&spec, &host(), "c1", Driver::Cgroupfs)
}

fn template() -> Value {
    serde_json::from_str(&crate::spec::template(false)).expect("JSON")
}

fn words(plan: &Plan) -> String {
    plan.explain(&host()).iter().map(|line| format!("{}: {}\n", line.step, line.text)).collect()
}

#[test]
fn the_template_in_words() {
    let (plan, faults) = examine(&template());
    assert_eq!(faults, Faults::default());
    assert_eq!(words(&plan), include_str!("captured/explain.txt"));
}

#[test]
fn what_managers_write_is_planned_without_a_fault() {
    for (name, text) in crate::spec::captured::CAPTURED {
        let spec = Spec::from_text("/bundle".into(), text.as_bytes().to_vec()).expect(name);
        let (_, faults) = Plan::examine(&spec, &host(), "c1", Driver::Cgroupfs);
        assert_eq!(faults.errors, [], "{name}");
    }
}

#[test]
fn every_rare_thing_has_its_line_and_its_pointer() {
    let mut config = template();
    config["process"]["oomScoreAdj"] = json!(-5);
    config["process"]["apparmorProfile"] = json!("tight");
    config["hooks"] =
        json!({"createContainer": [{"path": "/bin/hook", "timeout": 3}], "poststop": [{"path": "/bin/x"}]});
    config["annotations"] = json!({"run.oci.keep_original_groups": "1"});
    let linux = &mut config["linux"];
    linux["intelRdt"] = json!({"closID": "guests"});
    linux["netDevices"] = json!({"eth1": {"name": "eth0"}});
    linux["personality"] = json!({"domain": "LINUX32"});
    linux["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    linux["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    linux["namespaces"][1]["path"] = json!("/run/netns/x");
    linux["rootfsPropagation"] = json!("rshared");
    let (plan, faults) = examine(&config);
    assert_eq!(faults.errors, []);
    let lines = plan.explain(&host());
    for (step, text, pointer) in [
        ("cgroup", "resctrl: write init's pid to guests/tasks", "/linux/intelRdt"),
        (
            "network devices",
            "move eth1 into the container's network namespace as eth0, with its permanent global addresses, \
             and set it up",
            "/linux/netDevices/eth1",
        ),
        ("resources", "write \"-5\" to oom_score_adj", "/process/oomScoreAdj"),
        ("descriptors", "open /run/netns/x, which must be a network namespace", ""),
        ("join namespaces", "join the network namespace /run/netns/x", ""),
        ("hooks", "run the createContainer hook /bin/hook for at most 3 s", "/hooks/createContainer/0"),
        ("sysctl", "write \"1\" to /proc/sys/net/ipv4/ip_forward", "/linux/sysctl/net.ipv4.ip_forward"),
        ("paths", "make / rshared", "/linux/rootfsPropagation"),
        ("limits", "personality 0x8", ""),
        ("limits", "memory policy MPOL_BIND nodes 0", ""),
        ("labels", "AppArmor profile \"tight\" on exec", ""),
        ("credentials", "groups: the caller's stay", ""),
        ("delete", "run the poststop hook /bin/x", "/hooks/poststop/0"),
    ] {
        let line = lines.iter().find(|line| line.text == text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!((line.step, line.pointer.as_deref().unwrap_or("")), (step, pointer));
    }
}
