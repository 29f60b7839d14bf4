//! What state.json holds, and what `rt state` prints of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, LinuxResources};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupPaths;
use crate::plan::rdt::RdtPlace;

/// The format that this `rt` writes.
///
/// A new field needs no new number as long as its default means "as before". A number above this one means that
/// an `rt` of this age cannot handle the container.
pub const VERSION: u32 = 1;

/// Everything that later commands need to know about a container.
///
/// Fields that a newer `rt` wrote are ignored, and those that an older one did not know have their default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `VERSION` of the `rt` that created the container.
    pub version: u32,
    /// `ociVersion` of config.json.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    #[serde(default)]
    pub rootfs: PathBuf,
    /// Init's pid; 0 as long as the container is being created.
    #[serde(default)]
    pub pid: i32,
    /// The same pid as the container sees it.
    #[serde(default)]
    pub pid_inside: i32,
    /// When init was started, see `init::start_time`.
    #[serde(default)]
    pub start_time: u64,
    /// The boot that init lives in, see `init::Boot`.
    #[serde(default)]
    pub boot_id: String,
    /// When the container was created, RFC 3339.
    #[serde(default)]
    pub created: String,
    /// User id of the creator.
    #[serde(default)]
    pub owner: u32,
    /// `annotations` of config.json.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The container's cgroups; none when the manager is `disabled`.
    #[serde(default)]
    pub cgroup: CgroupPaths,
    /// Those of them that were there before the container: they stay when it goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_cgroups: Vec<PathBuf>,
    /// What was updated since: it goes over `linux.resources` of config.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// The container's place in resctrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<RdtPlace>,
    /// Whether the kernel kills the rest when init ends.
    #[serde(default)]
    pub own_pid_namespace: bool,
    /// Whether its mounts go with its mount namespace.
    #[serde(default = "yes")]
    pub own_mount_namespace: bool,
    /// Whether there is a program to start.
    #[serde(default = "yes")]
    pub has_process: bool,
    /// Whether init runs hooks of its own at the start.
    #[serde(default = "yes")]
    pub has_start_hooks: bool,
    /// Whether a process of the container gets the container's session keyring.
    #[serde(default = "yes")]
    pub new_keyring: bool,
    /// The mount that lay on the root file system before the container's, when that is in the runtime's own mount
    /// namespace: what lies on it now is the container's.
    #[serde(default)]
    pub mount_below: Option<u64>,
    /// Hooks that `start` runs at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// Hooks that `delete` runs at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

fn yes() -> bool {
    true
}

/// A container's `status`; `Paused` is not the spec's.
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#state>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `rt create` is at work.
    Creating,
    /// Init waits at the start gate.
    Created,
    /// The user's program runs.
    Running,
    /// The cgroup is frozen.
    Paused,
    /// Init has ended, or its creation was broken off.
    Stopped,
}

impl Status {
    /// The word of the spec.
    pub fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// The state as callers and hooks see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'s> {
    oci_version: &'s str,
    /// The container's id.
    pub id: &'s str,
    /// The status at the time of asking.
    pub status: Status,
    /// 0 when nothing runs.
    pub pid: i32,
    /// The bundle's directory.
    pub bundle: &'s Path,
    rootfs: &'s Path,
    /// RFC 3339.
    pub created: &'s str,
    /// Name of the creator.
    pub owner: String,
    annotations: &'s BTreeMap<String, String>,
}

/// What a seccomp agent gets with the listener.
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#containerprocessstate>
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'s> {
    oci_version: &'s str,
    fds: [&'s str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'s str>,
    state: Report<'s>,
}

impl State {
    /// The JSON document of a process in the container, for its seccomp agent. Pids are those that the runtime sees:
    /// `pid` is the process's, `init` that of the container's init.
    pub fn for_agent(&self, status: Status, init: i32, pid: i32, metadata: Option<&str>) -> Vec<u8> {
        let state = Report { pid: init, ..self.report(status, super::owner::name(self.owner)) };
        let document = ProcessState { oci_version: &self.oci_version, fds: ["seccompFd"], pid, metadata, state };
        serde_json::to_vec(&document).expect("strings and numbers are always JSON; paths were read from JSON")
    }

    /// The JSON document that a hook reads on its stdin. `pid` is init's as the runtime sees it.
    pub fn for_hook(&self, status: Status, pid: i32) -> Vec<u8> {
        let report = Report { pid, ..self.report(status, super::owner::name(self.owner)) };
        serde_json::to_vec(&report).expect("strings and numbers are always JSON; paths were read from JSON")
    }

    /// The state as callers and hooks see it, given its status and the name of its owner.
    pub fn report(&self, status: Status, owner: String) -> Report<'_> {
        Report {
            oci_version: &self.oci_version,
            id: &self.id,
            status,
            pid: if status == Status::Stopped { 0 } else { self.pid },
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            owner,
            annotations: &self.annotations,
        }
    }
}
