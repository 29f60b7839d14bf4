//! Where the container's cgroups will be, and what will be written there.

mod below;
mod block_io;
mod cpu;
mod device_program;
mod devices;
mod memory;
mod others;
mod owner;
mod resources;
mod systemd;
mod update;

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use devices::{DeviceForm, DevicePlan};
pub use resources::{MemoryCheck, OnMissing, ResourcePlan, ResourceWrite, plan_resources};
pub use systemd::properties::{CpuMax, OLDEST as OLDEST_SYSTEMD, Property, properties_of};
pub use systemd::value::Value;
pub use systemd::{Manager, ScopePlan, plan_scope};
pub use update::{UpdatePlan, merge, plan_update};

use crate::error::Faults;
use crate::host::Host;
use crate::spec::Spec;

/// The directory below which `rt` puts containers that name no absolute path.
const BASE: &str = "rt";

/// Where a container's cgroups are: what state.json remembers, all that later commands need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// v1: a hierarchy's controllers, comma-separated as in /proc/self/cgroup, and the container's directory in it.
    pub v1: Vec<(String, PathBuf)>,
    /// v2, or the cgroup2 tree of a hybrid host: the container's directory.
    pub v2: Option<PathBuf>,
    /// The unit of systemd that they belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

/// A unit of systemd that was started for the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Address of the user's bus; none for the systemd of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_bus: Option<String>,
    /// Its cgroup, in the hierarchy by which systemd keeps its units; empty as long as the unit is only asked for.
    pub directory: PathBuf,
    /// The inode of that: another one of the same name is somebody else's.
    pub inode: u64,
    /// Its description, by which one that was only asked for is told from somebody else's.
    #[serde(default)]
    pub description: String,
}

impl CgroupPaths {
    /// The directory of v2 that holds the limits: that of the unit, where the container is below it.
    pub fn v2_limits(&self) -> Option<&Path> {
        match &self.unit {
            Some(unit) if self.v1.is_empty() => Some(&unit.directory),
            _ => self.v2.as_deref(),
        }
    }

    /// As bytes, for a process that shares no memory; the unit is left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let own = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let v1 = self.v1.iter().map(|(controllers, path)| (controllers.as_bytes().to_vec(), own(path)));
        let all: Vec<_> = v1.chain(self.v2.iter().map(|path| (Vec::new(), own(path)))).collect();
        all.into_iter().flat_map(|(controllers, path)| [controllers, path]).collect::<Vec<_>>().join(&0)
    }

    /// From such bytes.
    pub fn from_bytes(bytes: &[u8]) -> CgroupPaths {
        let mut paths = CgroupPaths::default();
        let mut parts = bytes.split(|byte| *byte == 0);
        while let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            match std::str::from_utf8(controllers) {
                Ok("") => paths.v2 = Some(path),
                Ok(controllers) => paths.v1.push((controllers.to_owned(), path)),
                Err(_) => {}
            }
        }
        paths
    }

    /// The container's directory in the v1 hierarchy of `controller`.
    pub fn v1_directory(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|(names, _)| names.split(',').any(|n| n == controller)).map(|(_, path)| path.as_path())
    }

    /// Whether the container has no cgroup of its own.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none() && self.unit.is_none()
    }

    /// Every directory: cgroup2 first, because it tells when it becomes empty.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.v2.iter().map(PathBuf::as_path).chain(self.v1.iter().map(|(_, path)| path.as_path()))
    }
}

/// Who makes the cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// `rt` itself, by mkdir.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus for a scope.
    Systemd(Manager),
    /// Nobody: the container stays in the caller's cgroup, without limits.
    Disabled,
}

/// The cgroup2 tree in which the container's directory will be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedPlan {
    /// The tree's mount point: no controller is enabled above it.
    pub mount: PathBuf,
    /// Controllers to enable down to the container's directory; those without a limit only if the kernel allows it.
    pub controllers: Vec<String>,
}

/// The container's cgroups: where they are and what is written into them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CgroupPlan {
    /// Who makes them.
    pub driver: Driver,
    /// The directories to make.
    pub paths: CgroupPaths,
    /// How the cgroup2 directory is made.
    pub unified: Option<UnifiedPlan>,
    /// A hierarchy in which the caller may not make a directory is left out: rootless, with no limits asked.
    pub optional: bool,
    /// The caller has no privilege, or says so.
    pub rootless: bool,
    /// The host's uid that the cgroup2 directory is given to.
    pub owner: Option<u32>,
    /// The limits.
    pub resources: ResourcePlan,
    /// The unit that systemd starts.
    pub scope: Option<ScopePlan>,
}

/// Decides where the container's cgroups are and what is written into them.
///
/// Without [`linux.cgroupsPath`] it is `/rt/ID` from the root of each hierarchy (below the caller's own cgroup when the
/// runtime is not root); a relative path goes below `/rt`, an absolute one is taken from the hierarchy's root. A
/// path with `..` is refused.
///
/// [`linux.cgroupsPath`]: https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cgroups-path
pub fn plan_cgroup(spec: &Spec, host: &Host, id: &str, driver: Driver, faults: &mut Faults) -> CgroupPlan {
    if driver == Driver::Disabled {
        return CgroupPlan { driver, ..CgroupPlan::default() };
    }
    let linux = spec.oci.linux().as_ref();
    let asked = linux.and_then(|l| l.cgroups_path().as_deref());
    let rootless = host.rootless;

    let empty = oci_spec::runtime::LinuxResources::default();
    let asked_resources = linux.and_then(|l| l.resources().as_ref()).unwrap_or(&empty);
    let mut resources = plan_resources(asked_resources, &host.cgroup, "config.json", "/linux/resources", faults);
    if rootless {
        // Neither devices.allow nor bpf(2) is open to a user namespace; without CAP_MKNOD on the host nothing is lost.
        resources.devices = None;
    } else if resources.devices.is_none() {
        resources.devices = devices::plan_devices(&[], &host.cgroup, "config.json", "/linux/resources", faults);
    }

    let owner = owner::plan_owner(&spec.oci, host);
    if let Driver::Systemd(manager) = driver {
        let scope = plan_scope(&spec.oci, id, manager, &resources.writes, faults);
        let (paths, unified) = plan_beside_systemd(&scope, &resources, host);
        let optional = rootless && resources.writes.is_empty();
        return CgroupPlan { driver, paths, unified, optional, rootless, owner, resources, scope: Some(scope) };
    }
    let place = plan_place(asked, id, faults);
    let directory = |mount: &Path, own: &Path| match &place {
        Place::Absolute(path) => mount.join(path),
        Place::Relative(path) if rootless => mount.join(below_root(own)).join(path),
        Place::Relative(path) => mount.join(path),
    };
    let hierarchies = host.cgroup.hierarchies().iter();
    let v1 = hierarchies.map(|h| (h.controllers.join(","), directory(&h.mount, &h.own))).collect();
    let unified = host.cgroup.unified();
    let v2 = unified.map(|u| directory(&u.mount, &u.own));
    let unified = unified.map(|u| UnifiedPlan {
        mount: u.mount.clone(),
        controllers: match host.cgroup.hierarchies() {
            [] => u.controllers.clone(),
            // A hybrid host's cgroup2 controllers cost time for nothing when no limit needs them.
            _ => u.controllers.iter().filter(|c| resources.needs_v2(c)).cloned().collect(),
        },
    });
    let optional = rootless && asked.is_none() && resources.writes.is_empty();
    let paths = CgroupPaths { v1, v2, unit: None };
    CgroupPlan { driver, paths, unified, optional, rootless, owner, resources, scope: None }
}

/// What `rt` makes itself beside systemd: on v2 nothing; on v1, the same directory in each hierarchy, as systemd uses some
/// only. Its own is among them: it keeps one of cgroup2 and an older one on hybrid machines, and makes the latter with the
/// former alone.
fn plan_beside_systemd(scope: &ScopePlan, resources: &ResourcePlan, host: &Host) -> (CgroupPaths, Option<UnifiedPlan>) {
    let directory = scope.directory();
    let unified = host.cgroup.unified().map(|u| UnifiedPlan {
        mount: u.mount.clone(),
        // systemd enables those that it has itself.
        controllers: u.controllers.iter().filter(|c| resources.needs_v2(c)).cloned().collect(),
    });
    let hierarchies = host.cgroup.hierarchies().iter();
    let v1: Vec<_> = hierarchies.map(|h| (h.controllers.join(","), h.mount.join(&directory))).collect();
    let v2 = host.cgroup.unified().filter(|_| !v1.is_empty()).map(|u| u.mount.join(&directory));
    (CgroupPaths { v1, v2, unit: None }, unified)
}

enum Place {
    /// From the hierarchy's root.
    Absolute(PathBuf),
    /// From where `rt` puts containers.
    Relative(PathBuf),
}

fn plan_place(asked: Option<&Path>, id: &str, faults: &mut Faults) -> Place {
    let Some(asked) = asked.filter(|p| !p.as_os_str().is_empty()) else {
        return Place::Relative(Path::new(BASE).join(id));
    };
    let clean = below_root(asked);
    if asked.components().any(|component| component == Component::ParentDir) {
        // What it would mean depends on where the container stands: nobody means that.
        faults.error("/linux/cgroupsPath", format!("{asked:?} climbs with \"..\""));
    } else if asked.as_os_str().as_encoded_bytes().iter().any(|b| matches!(b, 0 | b'\n')) {
        faults.error("/linux/cgroupsPath", "a path cannot hold a line feed or a NUL");
    } else if clean.as_os_str().is_empty() {
        faults.error("/linux/cgroupsPath", format!("{asked:?} is the root of the hierarchy, not a container's cgroup"));
    }
    if asked.is_absolute() { Place::Absolute(clean) } else { Place::Relative(Path::new(BASE).join(clean)) }
}

/// `path` without `.` and `..`, relative; `..` at the root stays there.
fn below_root(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// One line for each operation, for `rt explain`.
impl fmt::Display for CgroupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paths.is_empty() && self.scope.is_none() {
            return writeln!(f, "cgroup: none of its own");
        }
        for (controllers, directory) in &self.paths.v1 {
            writeln!(f, "cgroup v1 {controllers}: mkdir {}", directory.display())?;
        }
        if let Some(directory) = &self.paths.v2 {
            let controllers = self.unified.iter().flat_map(|u| u.controllers.iter().map(String::as_str));
            let controllers = controllers.collect::<Vec<_>>().join(" ");
            writeln!(f, "cgroup v2: mkdir {}, controllers [{controllers}]", directory.display())?;
            if let Some(owner) = self.owner {
                writeln!(f, "cgroup v2: chown {owner} {} and the files in it that are delegated", directory.display())?;
            }
        }
        self.resources.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cgroup::{Hierarchy, Layout, Unified};

    fn host(euid: u32) -> Host {
        let hierarchy = |name: &str| Hierarchy {
            controllers: vec![name.into()],
            mount: Path::new("/cg").join(name),
            own: "/own".into(),
        };
        Host {
            kernel: (6, 18),
            euid,
            egid: euid,
            capabilities: 0,
            in_user_namespace: false,
            rootless: euid != 0,
            cgroup: Layout::Legacy {
                hierarchies: vec![hierarchy("memory"), hierarchy("devices")],
                unified: Some(Unified {
                    mount: "/cg/u".into(),
                    own: "/own".into(),
                    controllers: vec!["hugetlb".into()],
                }),
            },
            seccomp_receiver: None,
        }
    }

    fn plan(cgroups_path: Option<&str>, euid: u32) -> (CgroupPlan, Faults) {
        let mut oci = oci_spec::runtime::Spec::default();
        let mut linux = oci_spec::runtime::Linux::default();
        linux.set_cgroups_path(cgroups_path.map(PathBuf::from));
        linux.set_resources(None);
        oci.set_linux(Some(linux));
        let spec = Spec { oci, bundle: "/".into(), text: vec![], warnings: Faults::default() };
        let mut faults = Faults::default();
        (plan_cgroup(&spec, &host(euid), "c1", Driver::Cgroupfs, &mut faults), faults)
    }

    #[test]
    fn places_a_container_by_its_cgroups_path() {
        for (asked, euid, expected) in [
            (None, 0, "/cg/memory/rt/c1"),
            (Some(""), 0, "/cg/memory/rt/c1"),
            (Some("pod/c"), 0, "/cg/memory/rt/pod/c"),
            (Some("/pod//c/."), 0, "/cg/memory/pod/c"),
            (None, 1000, "/cg/memory/own/rt/c1"),
            (Some("/pod"), 1000, "/cg/memory/pod"),
        ] {
            let (plan, faults) = plan(asked, euid);
            assert_eq!(faults, Faults::default(), "{asked:?}");
            assert_eq!(plan.paths.v1[0].1, Path::new(expected), "{asked:?}");
        }
    }

    #[test]
    fn a_path_never_climbs() {
        for asked in ["/../../x", "../../x", "a/../../../x", "/a/..", "..", "a/../b"] {
            let pointers: Vec<_> = plan(Some(asked), 0).1.errors.into_iter().map(|fault| fault.pointer).collect();
            assert_eq!(pointers, ["/linux/cgroupsPath"], "{asked:?}");
        }
    }

    #[test]
    fn the_hierarchys_root_is_no_containers_cgroup() {
        for asked in ["/", "/.", "/x\ny"] {
            assert_eq!(plan(Some(asked), 0).1.errors.len(), 1, "{asked:?}");
        }
    }

    #[test]
    fn rootless_without_limits_may_go_without_a_cgroup() {
        let (rootless, _) = plan(None, 1000);
        assert!(rootless.optional && rootless.resources.devices.is_none());
        assert!(!plan(Some("/x"), 1000).0.optional);
        let (root, _) = plan(None, 0);
        assert!(!root.optional && root.resources.devices.is_some());
    }

    #[test]
    fn a_hybrid_host_enables_no_controller_that_no_limit_needs() {
        assert_eq!(plan(None, 0).0.unified.unwrap().controllers, Vec::<String>::new());
    }

    #[test]
    fn explains_itself() {
        let text = plan(None, 0).0.to_string();
        assert!(text.contains("cgroup v1 memory: mkdir /cg/memory/rt/c1\n"), "{text}");
        assert!(text.contains("cgroup v2: mkdir /cg/u/rt/c1"), "{text}");
    }
}
