//! How the runtime under test is called: as root on cgroupfs, with systemd, or by a user without privilege.
//!
//! `RT_MODE=systemd` and `RT_MODE=rootless` are for the guest (integration/vm/suite.sh), which sets the rest up.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

/// One way to run the whole suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As root, making cgroups in the cgroup file system.
    Root,
    /// As root, with `--systemd-cgroup`.
    Systemd,
    /// As a user whose root inside is he himself, and whose other ids come from /etc/subuid.
    Rootless,
}

/// The mode of this run, from `$RT_MODE`.
pub fn mode() -> Mode {
    static MODE: OnceLock<Mode> = OnceLock::new();
    *MODE.get_or_init(|| match std::env::var("RT_MODE").as_deref() {
        Err(_) | Ok("" | "root") => Mode::Root,
        Ok("systemd") => Mode::Systemd,
        Ok("rootless") => Mode::Rootless,
        Ok(other) => panic!("RT_MODE={other}: root, systemd or rootless"),
    })
}

impl Mode {
    /// The parent of all cgroups that tests make: `$RT_CGROUP` names the one that was delegated to a user.
    pub fn cgroup_parent(self) -> String {
        match self {
            Mode::Root => "/rt-test".into(),
            Mode::Systemd => "/rt.slice/rt-test.slice".into(),
            Mode::Rootless => format!("{}/rt-test", delegated().unwrap_or_default()),
        }
    }

    /// Where the cgroup of a container is, from the hierarchy's root.
    pub fn cgroup(self, id: &str) -> String {
        match self {
            Mode::Systemd => format!("{}/rt-{id}.scope", self.cgroup_parent()),
            Mode::Root | Mode::Rootless => format!("{}/{id}", self.cgroup_parent()),
        }
    }

    /// What config.json says of it; nothing when no cgroup was delegated.
    pub fn cgroups_path(self, id: &str) -> Option<String> {
        match self {
            Mode::Root => Some(self.cgroup(id)),
            Mode::Systemd => Some(format!("rt-test.slice:rt:{id}")),
            Mode::Rootless => delegated().map(|_| self.cgroup(id)),
        }
    }

    /// Global flags of every call.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Mode::Systemd => &["--systemd-cgroup"],
            Mode::Root | Mode::Rootless => &[],
        }
    }

    /// Where a runtime keeps its state when nobody tells it.
    pub fn state_home(self) -> PathBuf {
        match self {
            Mode::Rootless => format!("/run/user/{}", nix::unistd::geteuid()).into(),
            Mode::Root | Mode::Systemd => "/run".into(),
        }
    }

    /// Changes the configuration of `spec-examples/hello` to one that this caller can run.
    pub fn adapt(self, config: &mut Value) {
        if self != Mode::Rootless {
            return;
        }
        let own = nix::unistd::geteuid().as_raw();
        let map = json!([
            { "containerID": 0, "hostID": own, "size": 1 },
            { "containerID": 1, "hostID": SUBORDINATE, "size": 65536 },
        ]);
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    }
}

/// The first of 65536 ids that the guest's /etc/subuid and /etc/subgid give its user.
pub const SUBORDINATE: u32 = 100_000;

fn delegated() -> Option<String> {
    std::env::var("RT_CGROUP").ok().filter(|path| !path.is_empty())
}
