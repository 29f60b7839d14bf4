//! "`apparmorProfile` specifies the name of the AppArmor profile for the process."

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, mode};

/// A profile in the kernel that allows everything but writes to /denied; it is taken out with the value.
///
/// A user cannot load any: the guest has loaded what these tests need, and says so by `RT_APPARMOR`.
struct Profile {
    name: String,
    text: Option<tempfile::NamedTempFile>,
}

const RULES: &str =
    "file, capability, network, mount, umount, pivot_root, signal, ptrace, unix, userns, deny /denied w,";

impl Profile {
    /// Nothing where the kernel has no AppArmor, or the caller may not load profiles.
    fn load(name: &str) -> Option<Self> {
        Self::load_with(name, "")
    }

    /// With one more flag.
    fn load_with(name: &str, flag: &str) -> Option<Self> {
        if mode() == Mode::Rootless {
            let is_there = std::env::var("RT_APPARMOR").is_ok_and(|names| names.split(' ').any(|known| known == name));
            return is_there.then(|| Self { name: format!("rt-test-{name}"), text: None });
        }
        if !Path::new("/sys/kernel/security/apparmor/.replace").exists() {
            return None;
        }
        let name = format!("rt-test-{name}-{}", std::process::id());
        let text = tempfile::NamedTempFile::new().unwrap();
        let flags = format!("attach_disconnected,mediate_deleted{flag}");
        std::fs::write(&text, format!("profile \"{name}\" flags=({flags}) {{ {RULES} }}")).unwrap();
        let profile = Self { name, text: Some(text) };
        profile.parser("--replace").then_some(profile)
    }

    fn parser(&self, action: &str) -> bool {
        let Some(text) = &self.text else { return true };
        let done = Command::new("apparmor_parser").args([action, "--skip-cache"]).arg(text.path()).status();
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

/// Names that the kernel takes as they are: with a space, a stack of two, and the one that is no profile.
#[test]
fn a_name_is_whatever_the_kernel_knows() {
    let (Some(spaced), Some(other)) = (Profile::load("a name"), Profile::load("other")) else {
        skip!("no AppArmor here, or no right to load a profile")
    };
    let stack = format!("{}//&{}", spaced.name, other.name);
    for (name, wanted) in [
        (&spaced.name, spaced.enforced() + "refused\n"),
        (&stack, format!("{stack} (enforce)\nrefused\n")),
        (&"unconfined".to_owned(), "unconfined\nwritten\n".to_owned()),
        (&String::new(), "unconfined\nwritten\n".to_owned()),
    ] {
        let container = Container::new(Bundle::sh(TOUCH).set("/process/apparmorProfile", json!(name)));
        assert_eq!(container.run().ok().stdout, wanted, "{name}");
    }
    for name in [format!("{}//&rt-no-such-profile", other.name), format!("{}\n", other.name) + "x", "x".repeat(5000)] {
        let container = Container::new(Bundle::sh(TOUCH).set("/process/apparmorProfile", json!(name)));
        let refused = container.run().refused_with(&["apparmor", "ENOENT"]);
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
        container.assert_nothing_left();
    }
}

/// A profile in complain mode is on the program, and forbids nothing.
#[test]
fn a_profile_that_complains_is_on_the_program() {
    let Some(profile) = Profile::load_with("complain", ",complain") else {
        skip!("no AppArmor here, or no right to load a profile")
    };
    let bundle = Bundle::sh("cat /proc/self/attr/current").set("/process/apparmorProfile", json!(profile.name));
    assert_eq!(Container::new(bundle).run().ok().stdout, format!("{} (complain)\n", profile.name));
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
    // exec the same: it has its own /proc, and the container's is no procfs at all.
    let busy = container.call(&[
        "exec",
        "--detach",
        "--pid-file",
        pid_file(&container).to_str().unwrap(),
        &container.id,
        "sleep",
        "1000",
    ]);
    busy.ok();
    let pid = std::fs::read_to_string(pid_file(&container)).unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap(), profile.enforced());
}

fn pid_file(container: &Container) -> PathBuf {
    container.bundle.beside("exec.pid")
}
