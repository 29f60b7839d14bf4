//! Control groups: limits, placement, freezing, statistics and removal on v1, v2 and hybrid hosts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a container's cgroups are: what state.json remembers, all that later commands need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// v1: a hierarchy's controllers, comma-separated as in /proc/self/cgroup, and the container's directory in it.
    pub v1: Vec<(String, PathBuf)>,
    /// v2, or the cgroup2 tree of a hybrid host: the container's directory.
    pub v2: Option<PathBuf>,
}
