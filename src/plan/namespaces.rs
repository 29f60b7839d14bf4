//! Which namespaces the container gets: inherited, new, or joined by path.

use std::path::PathBuf;

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
