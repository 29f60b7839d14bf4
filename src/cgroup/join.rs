//! Getting a new process into the container's cgroups.
//!
//! Never by writing its pid to cgroup.procs: that waits for a grace period of RCU, 8 ms on an idle machine. On v2 the
//! process is cloned into the cgroup; on v1 it writes `0` to `tasks` itself, which is quick for a single thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::{CgroupPaths, file, freeze};
use crate::host::cgroup::Layout;
use crate::sys::fd::Spent;

/// Open doors of the container's cgroups, usable after the mount namespace has changed.
#[derive(Debug, Default)]
pub struct JoinFds {
    /// The `tasks` files of v1.
    v1: Vec<(PathBuf, OwnedFd)>,
    /// That of the freezer, which is joined last: it could stop the process.
    freezer: Option<(PathBuf, OwnedFd)>,
    v2: Option<OwnedFd>,
}

impl Drop for JoinFds {
    fn drop(&mut self) {
        let mut spent = Spent::default();
        self.v1.drain(..).chain(self.freezer.take()).for_each(|(_, fd)| spent.push(fd));
    }
}

impl JoinFds {
    /// Opens the cgroups of a running container for `rt exec`.
    ///
    /// # Errors
    /// The container is paused, or a cgroup above its own is: the process would never run.
    pub fn open(paths: &CgroupPaths) -> anyhow::Result<JoinFds> {
        if let Err(error) = freeze::refuse_frozen(paths) {
            if freeze::is_frozen(paths)? {
                bail!("cannot exec in a paused container");
            }
            return Err(error.context("cannot exec (use --ignore-paused to override)"));
        }
        JoinFds::open_even_if_paused(paths)
    }

    /// The same, also for a container that is paused: whoever joins it waits until it is resumed.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_even_if_paused(paths: &CgroupPaths) -> anyhow::Result<JoinFds> {
        let mut joins = JoinFds::default();
        for (controllers, directory) in &paths.v1 {
            joins.open_v1(controllers, directory)?;
        }
        if let Some(directory) = &paths.v2 {
            joins.open_v2(directory)?;
        }
        Ok(joins)
    }

    /// After clone3 said EBUSY: the container has made its cgroup an inner node (systemd or dockerd inside it), so the
    /// new process goes where its init, `pid`, is now.
    ///
    /// # Errors
    /// Init is not below the container's cgroup.
    pub fn retry_where_init_is(&mut self, paths: &CgroupPaths, layout: &Layout, pid: i32) -> anyhow::Result<()> {
        let (Some(own), Some(unified)) = (&paths.v2, layout.unified()) else {
            bail!("the container has no cgroup v2");
        };
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = file::read(&path).with_context(|| format!("read {}", path.display()))?;
        let inside = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let directory = unified.mount.join(inside);
        // Below means below: /proc says `/../x` for what lies outside of our own cgroup namespace.
        if !directory.starts_with(own) || inside.split('/').any(|name| name == "..") {
            bail!("cgroup {}: the container's init has left it", own.display());
        }
        self.open_v2(&directory)
    }

    /// The cgroup2 directory for CLONE_INTO_CGROUP.
    pub fn v2_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Takes the calling process, which must have one thread, into the v1 cgroups.
    ///
    /// # Errors
    /// ENOSPC for a cpuset without cpus or mems; EINVAL for a real-time process where the cgroup has no real-time
    /// runtime; ENODEV when the cgroup was removed meanwhile.
    pub fn join_self(&self) -> anyhow::Result<()> {
        for (path, fd) in self.v1.iter().chain(&self.freezer) {
            match file::write_to(fd, "0") {
                Err(errno @ Errno::ENOSPC) => {
                    return Err(errno).with_context(|| format!("join {} (no cpus or mems)", path.display()));
                }
                result => result.with_context(|| format!("join {}", path.display()))?,
            }
        }
        Ok(())
    }

    pub(super) fn open_v1(&mut self, controllers: &str, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join("tasks");
        let fd = file::open_for_writing(&path).with_context(|| format!("open {}", path.display()))?;
        if controllers.split(',').any(|c| c == "freezer") {
            self.freezer = Some((path, fd));
        } else {
            self.v1.push((path, fd));
        }
        Ok(())
    }

    pub(super) fn open_v2(&mut self, directory: &Path) -> anyhow::Result<()> {
        let fd = file::open_directory(directory).with_context(|| format!("open {}", directory.display()))?;
        self.v2 = Some(fd);
        Ok(())
    }
}

/// Takes the calling process into a cgroup below the container's own.
///
/// # Errors
/// The kernel's.
pub fn enter_below(paths: &CgroupPaths, name: &str) -> anyhow::Result<()> {
    let Some(directory) = &paths.v2 else { bail!("the container has no cgroup v2") };
    let path = directory.join(name).join("cgroup.procs");
    file::write(&path, "0").with_context(|| format!("join {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Testbed, skip};
    use super::*;

    #[test]
    fn nobody_joins_a_paused_container() {
        let Some(testbed) = Testbed::new("{}") else { return };
        freeze::freeze(testbed.paths()).unwrap();
        let error = JoinFds::open(testbed.paths()).unwrap_err().to_string();
        assert_eq!(error, "cannot exec in a paused container");
        freeze::thaw(testbed.paths()).unwrap();
    }

    #[test]
    fn exec_follows_an_init_that_moved_into_a_cgroup_of_its_own() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let (Some(own), Layout::Unified(unified)) = (testbed.paths().v2.clone(), testbed.layout.clone()) else {
            return skip("not on cgroup v2");
        };
        let script = format!(
            "mkdir {0}/init && echo 0 > {0}/init/cgroup.procs && echo +{1} > {0}/cgroup.subtree_control && kill -STOP $$",
            own.display(),
            unified.controllers[0]
        );
        let init = testbed.spawn(&script);
        nix::sys::wait::waitpid(init, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).unwrap();
        let mut joins = JoinFds::open(testbed.paths()).unwrap();
        assert_eq!(testbed.spawn_through(&joins, "true").unwrap_err(), Errno::EBUSY);
        joins.retry_where_init_is(testbed.paths(), &testbed.layout, init.as_raw()).unwrap();
        let pid = testbed.spawn_through(&joins, "exit 7").unwrap();
        assert_eq!(testbed.wait(pid), 7);
        // Our own process is not the container's.
        let stranger = std::process::id().try_into().unwrap();
        assert!(joins.retry_where_init_is(testbed.paths(), &testbed.layout, stranger).is_err());
    }
}
