//! Control groups: limits, placement, freezing, statistics and removal on v1, v2 and hybrid hosts.

mod apply;
mod controllers;
mod create;
mod delegate;
mod devices;
mod file;
mod freeze;
mod join;
mod kill;
mod oom;
mod patience;
mod remove;
mod stats;
mod systemd;
#[cfg(test)]
mod testbed;
mod unit;
mod update;

pub use crate::plan::cgroup::{CgroupPaths, Unit};
pub use create::{Cgroup, refuse_used};
pub use freeze::{freeze, is_frozen, thaw, thaw_killed};
pub use join::{JoinFds, enter_below};
pub use kill::{kill_all, pids};
pub use oom::OomWatch;
pub use remove::{remove, remove_except};
pub use stats::Stats;
pub use unit::attach;
pub use update::{Undo, update};
