//! Which namespaces the container gets: inherited, new, or joined by path.

use std::path::PathBuf;

use nix::sched::CloneFlags;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};

use crate::error::Faults;
use crate::host::Host;
use crate::spec::Spec;

/// Where a namespace of the container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// The runtime's own is kept.
    Inherit,
    /// A new one is made by clone3.
    New,
    /// The one behind a path is joined; it is opened and checked when applied.
    Join(PathBuf),
}

impl Namespace {
    /// Whether the container does not share the runtime's namespace.
    pub fn is_own(&self) -> bool {
        !matches!(self, Namespace::Inherit)
    }

    /// Whether a new one is made.
    pub fn is_new(&self) -> bool {
        matches!(self, Namespace::New)
    }
}

/// One line of uid_map or gid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMapping {
    /// First id inside the namespace.
    pub container_id: u32,
    /// First id outside.
    pub host_id: u32,
    /// How many ids.
    pub size: u32,
}

/// Every namespace of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePlan {
    /// user
    pub user: Namespace,
    /// mount
    pub mount: Namespace,
    /// pid
    pub pid: Namespace,
    /// network
    pub network: Namespace,
    /// ipc
    pub ipc: Namespace,
    /// uts
    pub uts: Namespace,
    /// cgroup
    pub cgroup: Namespace,
    /// time
    pub time: Namespace,
    /// Lines for uid_map; empty unless the user namespace is new.
    pub uid_mappings: Vec<IdMapping>,
    /// Lines for gid_map; empty unless the user namespace is new.
    pub gid_mappings: Vec<IdMapping>,
    /// Lines for timens_offsets: clock name, seconds, nanoseconds.
    pub time_offsets: Vec<(String, i64, u32)>,
}

/// Decides every namespace of the container.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#namespaces>: a type that is
/// not listed is inherited. Duplicates were refused when the spec was loaded.
pub fn plan_namespaces(spec: &Spec, host: &Host, faults: &mut Faults) -> NamespacePlan {
    let mut plan = NamespacePlan::inherited();
    let Some(linux) = spec.oci.linux() else {
        return plan;
    };
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let place = plan.of_type(namespace.typ());
        *place = match namespace.path() {
            // Go programs write the empty string for "absent".
            Some(path) if !path.as_os_str().is_empty() => {
                if !path.is_absolute() {
                    faults.error(
                        format!("/linux/namespaces/{index}/path"),
                        format!("{:?} is not an absolute path", path.display().to_string()),
                    );
                }
                Namespace::Join(path.clone())
            }
            _ => Namespace::New,
        };
    }
    plan.uid_mappings = id_mappings(linux.uid_mappings());
    plan.gid_mappings = id_mappings(linux.gid_mappings());
    if plan.user.is_new() && plan.uid_mappings.is_empty() {
        faults.error("/linux/uidMappings", "a new user namespace needs at least one mapping");
    }
    if plan.user.is_new() && plan.gid_mappings.is_empty() {
        faults.error("/linux/gidMappings", "a new user namespace needs at least one mapping");
    }
    if !plan.user.is_own() && !host.is_privileged() {
        faults.error(
            "/linux/namespaces",
            "without root privilege a container needs a user namespace: see `rt spec --rootless`",
        );
    }
    plan_time_offsets(linux, &mut plan, faults);
    plan
}

/// Turns `timeOffsets` into the lines of timens_offsets.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#offset-for-time-namespace>.
fn plan_time_offsets(linux: &Linux, plan: &mut NamespacePlan, faults: &mut Faults) {
    let mut clocks: Vec<_> = linux.time_offsets().iter().flatten().collect();
    clocks.sort_by_key(|(clock, _)| clock.as_str());
    for (clock, offset) in clocks {
        let pointer = format!("/linux/timeOffsets/{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            faults.error(&pointer, "no such clock: a time namespace has `monotonic` and `boottime`");
        }
        let nanosecs = offset.nanosecs().unwrap_or(0);
        if nanosecs >= 1_000_000_000 {
            faults.error(format!("{pointer}/nanosecs"), format!("{nanosecs} is not below 1000000000"));
        }
        plan.time_offsets.push((clock.clone(), offset.secs().unwrap_or(0), nanosecs));
    }
    if !plan.time_offsets.is_empty() && !plan.time.is_new() {
        faults.error("/linux/timeOffsets", "offsets need a new time namespace in /linux/namespaces");
    }
}

fn id_mappings(mappings: &Option<Vec<LinuxIdMapping>>) -> Vec<IdMapping> {
    let line = |m: &LinuxIdMapping| IdMapping { container_id: m.container_id(), host_id: m.host_id(), size: m.size() };
    mappings.iter().flatten().map(line).collect()
}

impl NamespacePlan {
    /// All of the runtime's own namespaces.
    pub fn inherited() -> NamespacePlan {
        NamespacePlan {
            user: Namespace::Inherit,
            mount: Namespace::Inherit,
            pid: Namespace::Inherit,
            network: Namespace::Inherit,
            ipc: Namespace::Inherit,
            uts: Namespace::Inherit,
            cgroup: Namespace::Inherit,
            time: Namespace::Inherit,
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
            time_offsets: Vec::new(),
        }
    }

    /// Every namespace with its kernel flag and its name in config.json, in the order of joining by a privileged
    /// runtime: the user namespace last, because whoever has entered it has lost its power over the others.
    pub fn all(&self) -> [(&Namespace, CloneFlags, &'static str); 8] {
        [
            (&self.ipc, CloneFlags::CLONE_NEWIPC, "ipc"),
            (&self.uts, CloneFlags::CLONE_NEWUTS, "uts"),
            (&self.network, CloneFlags::CLONE_NEWNET, "network"),
            (&self.pid, CloneFlags::CLONE_NEWPID, "pid"),
            (&self.cgroup, CloneFlags::CLONE_NEWCGROUP, "cgroup"),
            (&self.time, CLONE_NEWTIME, "time"),
            (&self.mount, CloneFlags::CLONE_NEWNS, "mount"),
            (&self.user, CloneFlags::CLONE_NEWUSER, "user"),
        ]
    }

    /// The flags of every namespace that is the container's own.
    pub fn own_flags(&self) -> CloneFlags {
        let own = self.all().into_iter().filter(|(namespace, ..)| namespace.is_own());
        own.fold(CloneFlags::empty(), |flags, (_, flag, _)| flags | flag)
    }

    /// The flags of all new namespaces.
    pub fn new_flags(&self) -> CloneFlags {
        self.all().iter().filter(|(namespace, ..)| namespace.is_new()).fold(CloneFlags::empty(), |all, one| all | one.1)
    }

    /// What is joined by path, in joining order.
    pub fn joined(&self) -> impl Iterator<Item = (&PathBuf, CloneFlags, &'static str)> {
        self.all().into_iter().filter_map(|(namespace, flag, name)| match namespace {
            Namespace::Join(path) => Some((path, flag, name)),
            Namespace::New | Namespace::Inherit => None,
        })
    }

    /// The flag of the pid namespace, when it is the container's own.
    pub fn pid_flag(&self) -> CloneFlags {
        if self.pid.is_own() { CloneFlags::CLONE_NEWPID } else { CloneFlags::empty() }
    }

    /// Whether one clone3 by the runtime is not enough: SETUP joins or makes the user namespace first.
    pub fn needs_setup(&self) -> bool {
        match self.user {
            Namespace::Inherit => false,
            Namespace::Join(_) => true,
            Namespace::New => !self.time_offsets.is_empty() || self.joined().next().is_some(),
        }
    }

    fn of_type(&mut self, typ: LinuxNamespaceType) -> &mut Namespace {
        match typ {
            LinuxNamespaceType::User => &mut self.user,
            LinuxNamespaceType::Mount => &mut self.mount,
            LinuxNamespaceType::Pid => &mut self.pid,
            LinuxNamespaceType::Network => &mut self.network,
            LinuxNamespaceType::Ipc => &mut self.ipc,
            LinuxNamespaceType::Uts => &mut self.uts,
            LinuxNamespaceType::Cgroup => &mut self.cgroup,
            LinuxNamespaceType::Time => &mut self.time,
        }
    }
}

/// CLONE_NEWTIME, which nix does not name.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

/// The id that a process takes when it has entered its new user namespace: root if it is mapped, else the lowest.
pub fn first_id(mappings: &[IdMapping]) -> u32 {
    mappings.iter().map(|mapping| mapping.container_id).min().unwrap_or(0)
}
