//! How cgroups are mounted on this machine.

use std::path::PathBuf;

/// One cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers (`cpu`, `cpuacct`), or `name=systemd` for a named one.
    pub controllers: Vec<String>,
    /// Where its root is mounted.
    pub mount: PathBuf,
    /// The caller's own cgroup in it, from /proc/self/cgroup.
    pub own: PathBuf,
}

/// The cgroup mode of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// cgroup v2 alone.
    Unified {
        /// Where it is mounted.
        mount: PathBuf,
        /// The caller's own cgroup.
        own: PathBuf,
    },
    /// v1 hierarchies, with a cgroup2 mount beside them on a hybrid host.
    Legacy {
        /// The v1 hierarchies.
        hierarchies: Vec<Hierarchy>,
        /// The cgroup2 mount of a hybrid host and the caller's own cgroup there.
        unified: Option<(PathBuf, PathBuf)>,
    },
    /// Nothing is mounted.
    None,
}
