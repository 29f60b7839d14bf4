//! "`apparmorProfile` specifies the name of the AppArmor profile for the process."

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Bundle, Container};

/// A profile in the kernel that allows everything but writes to /denied; it is taken out with the value.
struct Profile {
    name: String,
    text: tempfile::NamedTempFile,
}

impl Profile {
    /// Nothing where the kernel has no AppArmor, or the caller may not load profiles.
    fn load(name: &str) -> Option<Self> {
        if !Path::new("/sys/kernel/security/apparmor/.replace").exists() {
            return None;
        }
        let name = format!("rt-test-{name}-{}", std::process::id());
        let text = tempfile::NamedTempFile::new().unwrap();
        let rules =
            "file, capability, network, mount, umount, pivot_root, signal, ptrace, unix, userns, deny /denied w,";
        std::fs::write(&text, format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{ {rules} }}"))
            .unwrap();
        let profile = Self { name, text };
        profile.parser("--replace").then_some(profile)
    }

    fn parser(&self, action: &str) -> bool {
        let done = Command::new("apparmor_parser").args([action, "--skip-cache"]).arg(self.text.path()).status();
        done.is_ok_and(|status| status.success())
    }

    fn enforced(&self) -> String {
        format!("{} (enforce)\n", self.name)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parser("--remove");
    }
}

const TOUCH: &str = "cat /proc/self/attr/current; (echo x > /denied) 2>/dev/null && echo written || echo refused";

/// It is on the program from its first instruction on, and enforced.
#[test]
fn the_profile_is_on_the_program() {
    let Some(profile) = Profile::load("program") else { skip!("no AppArmor here, or no right to load a profile") };
    let container = Container::new(Bundle::sh(TOUCH).set("/process/apparmorProfile", json!(profile.name)));
    assert_eq!(container.run().ok().stdout, profile.enforced() + "refused\n");
}

/// Without noNewPrivileges too: the kernel knows two ways to change a profile.
#[test]
fn the_profile_needs_no_no_new_privileges() {
    let Some(profile) = Profile::load("privileges") else { skip!("no AppArmor here, or no right to load a profile") };
    let bundle = Bundle::sh(TOUCH).set("/process/apparmorProfile", json!(profile.name));
    let container = Container::new(bundle.set("/process/noNewPrivileges", json!(false)));
    assert_eq!(container.run().ok().stdout, profile.enforced() + "refused\n");
}

/// exec has the profile of the config, or that of `--apparmor`, or that of its process.json.
#[test]
fn exec_has_the_profile_of_the_config_or_its_own() {
    let (Some(profile), Some(other)) = (Profile::load("config"), Profile::load("exec")) else {
        skip!("no AppArmor here, or no right to load a profile")
    };
    let container = Container::new(Bundle::sleeping().set("/process/apparmorProfile", json!(profile.name)));
    container.launch();
    assert_eq!(container.exec_sh(TOUCH).ok().stdout, profile.enforced() + "refused\n");
    let with_flag =
        container.call(&["exec", "--apparmor", &other.name, &container.id, "cat", "/proc/self/attr/current"]);
    assert_eq!(with_flag.ok().stdout, other.enforced());
    let file = container.bundle.beside("process.json");
    let mut process = container.bundle.config["process"].clone();
    process["args"] = json!(["cat", "/proc/self/attr/current"]);
    process["apparmorProfile"] = json!(other.name);
    std::fs::write(&file, process.to_string()).unwrap();
    let with_file = container.call(&["exec", "--process", file.to_str().unwrap(), &container.id]);
    assert_eq!(with_file.ok().stdout, other.enforced());
}

/// A profile that the kernel has not is an error of create, before the program runs; of exec, the container lives on.
#[test]
fn a_missing_profile_is_refused() {
    let container = Container::new(Bundle::sleeping().set("/process/apparmorProfile", json!("rt-no-such-profile")));
    container.create().refused_with(&["apparmor", "rt-no-such-profile"]);
    container.assert_nothing_left();

    let container = Container::new(Bundle::sleeping());
    container.launch();
    let exec = ["exec", "--apparmor", "rt-no-such-profile", &container.id, "echo", "ran"];
    let outcome = container.call(&exec).refused_with(&["apparmor", "rt-no-such-profile"]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(container.status(), "running");
}

/// Where the kernel has no AppArmor, the error says so: a profile that is asked for is never ignored.
#[test]
fn without_apparmor_a_profile_is_refused() {
    only_rt!();
    if std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y") {
        skip!("AppArmor is here");
    }
    let container = Container::new(Bundle::args(&["true"]).set("/process/apparmorProfile", json!("any")));
    container.run().refused_with(&["apparmor", "\"any\"", "AppArmor is not enabled"]);
    container.assert_nothing_left();
}

/// CVE-2019-16884, CVE-2019-19921: what an image or a volume puts on /proc takes the profile from nobody.
#[test]
fn a_false_proc_does_not_take_the_profile_away() {
    let Some(profile) = Profile::load("proc") else { skip!("no AppArmor here, or no right to load a profile") };
    let bundle = Bundle::sleeping().set("/process/apparmorProfile", json!(profile.name)).without_mount("/proc");
    let bundle = bundle
        .file("/proc/self/attr/apparmor/exec", "", 0o666)
        .file("/proc/thread-self/attr/apparmor/exec", "", 0o666)
        .without("/linux/maskedPaths")
        .without("/linux/readonlyPaths");
    let container = Container::new(bundle);
    container.create();
    container.start();
    if container.status() == "running" {
        let label = std::fs::read_to_string(format!("/proc/{}/attr/current", container.pid())).unwrap();
        assert_eq!(label, profile.enforced());
    }
    only_rt!(); // the others may refuse such an image
    assert_eq!(container.status(), "running");
}
