//! config.md, "capabilities": the five sets.

use serde_json::json;

use crate::harness::{Bundle, Container, Kind, runtime};

const KILL: u64 = 1 << 5;
const CHOWN: u64 = 1;
const NET_RAW: u64 = 1 << 13;

fn sets(status: &str) -> [u64; 5] {
    ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("? 0");
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    })
}

/// "`effective`, `bounding`, `inheritable`, `permitted`, `ambient`": each is set as written.
#[test]
fn each_set_is_as_written() {
    let asked = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_CHOWN"],
        "ambient": ["CAP_CHOWN"],
    });
    let bundle = Bundle::args(&["cat", "/proc/self/status"]).set("/process/capabilities", asked);
    let container = Container::new(bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 })));
    let [inheritable, permitted, effective, bounding, ambient] = sets(&container.run().ok().stdout);
    assert_eq!(bounding, KILL | CHOWN | NET_RAW);
    assert_eq!(inheritable, KILL | CHOWN);
    assert_eq!(ambient, CHOWN);
    // After execve by a user who is not root only the ambient set remains permitted and effective.
    assert_eq!((permitted, effective), (CHOWN, CHOWN));
}

/// root keeps what bounding allows.
#[test]
fn root_is_held_by_the_bounding_set() {
    let asked = json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"] });
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]).set("/process/capabilities", asked));
    assert_eq!(sets(&container.run().ok().stdout), [0, KILL, KILL, KILL, 0]);
}

/// Nothing asked: nothing granted.
#[test]
fn empty_sets_are_empty() {
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]).set("/process/capabilities", json!({})));
    assert_eq!(sets(&container.run().ok().stdout), [0; 5]);
}

/// "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise MUST be logged
/// as a warning by the runtime. Runtimes SHOULD NOT fail." (crun refuses.)
#[test]
fn an_unknown_capability_is_a_warning() {
    let bundle = Bundle::args(&["cat", "/proc/self/status"]).capabilities(&["CAP_KILL", "CAP_FROM_THE_FUTURE"]);
    let outcome = Container::new(bundle).run().ok();
    assert_eq!(sets(&outcome.stdout)[3], KILL);
    assert!(runtime().kind != Kind::Rt || outcome.stderr.contains("CAP_FROM_THE_FUTURE"), "{outcome:#?}");
}

/// As above, for a capability that this machine does not have to give. (runc and crun fail.)
#[test]
fn a_capability_that_cannot_be_granted_is_a_warning() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if sets(&own)[3] & (1 << 24) != 0 {
        skip!("this machine can grant CAP_SYS_RESOURCE");
    }
    only_rt!(); // runc and crun fail with EPERM
    let bundle = Bundle::args(&["cat", "/proc/self/status"]).capabilities(&["CAP_KILL", "CAP_SYS_RESOURCE"]);
    let outcome = Container::new(bundle).run().ok();
    assert_eq!(sets(&outcome.stdout)[3], KILL);
    assert!(outcome.stderr.contains("CAP_SYS_RESOURCE"), "{outcome:#?}");
}

/// Ambient capabilities need the inheritable and the permitted set: what cannot be granted without them is a warning,
/// the others are granted.
#[test]
fn an_ambient_capability_without_its_sets_is_a_warning() {
    only_rt!(); // runc and crun say nothing, or fail
    let asked = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL", "CAP_CHOWN"],
    });
    let bundle = Bundle::args(&["cat", "/proc/self/status"]).set("/process/capabilities", asked);
    let outcome = Container::new(bundle).run().ok();
    assert_eq!(sets(&outcome.stdout)[4], KILL);
    assert!(outcome.stderr.contains("/process/capabilities/ambient: CAP_CHOWN"), "{outcome:#?}");
}

/// Each of the 41, granted one by one as far as this machine has it.
#[test]
fn every_capability_has_its_name() {
    let features = Container::new(Bundle::args(&["true"])).call(&["features"]);
    only_rt!(); // crun 1.8 has no features
    let features: serde_json::Value = serde_json::from_str(&features.ok().stdout).unwrap();
    let names = features["linux"]["capabilities"].as_array().unwrap().clone();
    assert_eq!(names.len(), 41);
    let own = sets(&std::fs::read_to_string("/proc/self/status").unwrap())[3];
    let mut all = names.iter().enumerate().filter(|(number, _)| own & (1 << number) != 0);
    let numbers: u64 = all.clone().map(|(number, _)| 1 << number).sum();
    let granted: Vec<&str> = all.by_ref().map(|(_, name)| name.as_str().unwrap()).collect();
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]).capabilities(&granted));
    assert_eq!(sets(&container.run().ok().stdout), [numbers; 5]);
}

/// exec gets the container's sets, and no inheritable ones unless asked for (CVE-2022-29162).
#[test]
fn exec_has_the_capabilities_of_the_container() {
    let asked = json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"] });
    let container = Container::new(Bundle::sleeping().set("/process/capabilities", asked));
    container.launch();
    let status = container.exec(&["cat", "/proc/self/status"]).ok().stdout;
    assert_eq!(sets(&status), [0, KILL, KILL, KILL, 0]);
}
