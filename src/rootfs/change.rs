//! The mount tree of a container that runs: mounts that come later, and mounts that go.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, bail};
use nix::mount::{MntFlags, umount2};
use nix::unistd::fchdir;

use super::procfs::ProcFs;
use super::resolve::{self, Symlinks};
use super::{MountContext, Prepared, Root};
use crate::plan::rootfs::{MountPlan, RootfsPlan};
use crate::sys::fd::Spent;
use crate::sys::mount::is_mount_root;

impl Root {
    /// Adds all mounts of the plan to a container that was entered.
    ///
    /// # Errors
    /// The mount, the step, and the kernel's reason; those before it are taken away again.
    pub fn add_mounts(
        &mut self,
        plan: &RootfsPlan,
        prepared: &mut Prepared,
        context: &MountContext<'_>,
        procfs: &ProcFs,
    ) -> anyhow::Result<()> {
        let (mut added, mut spent) = (Vec::new(), Spent::default());
        for (position, mount) in plan.mounts.iter().enumerate() {
            let result =
                self.apply_mount(position, mount, prepared, context, &mut spent).and_then(|()| self.find(mount));
            match result.with_context(|| mount.to_string()) {
                Ok(found) => added.push(found),
                Err(mut error) => {
                    for mount in added.iter().rev() {
                        if let Err(cause) = unmount(mount, procfs) {
                            error = error.context(format!("(and while taking mounts away: {cause:#})"));
                        }
                    }
                    return Err(error);
                }
            }
        }
        self.apply_readonly_root(plan)
    }

    /// What was just mounted: whatever its destination leads to.
    fn find(&self, plan: &MountPlan) -> anyhow::Result<OwnedFd> {
        let symlinks = if plan.destination_nofollow { Symlinks::OpenLast } else { Symlinks::Follow };
        resolve::open(self.fd.as_fd(), &plan.destination, symlinks).context("open it")
    }

    /// Takes away what is mounted on `destination`, with all that is mounted below it.
    ///
    /// # Errors
    /// When it is no mount point, or the container's root.
    pub fn remove_mount(&self, destination: &Path, procfs: &ProcFs) -> anyhow::Result<()> {
        let remove = || {
            let mount = resolve::open(self.fd.as_fd(), destination, Symlinks::Follow)?;
            if !is_mount_root(mount.as_fd())? {
                bail!("nothing is mounted there");
            }
            if super::same_object(&mount, &self.fd)? {
                bail!("it is the root of the container");
            }
            unmount(&mount, procfs)
        };
        remove().with_context(|| format!("unmount {}", destination.display()))
    }
}

/// Detaches the mount that an open object is the root of. No path of the container has a part in it.
fn unmount(mount: &OwnedFd, procfs: &ProcFs) -> anyhow::Result<()> {
    fchdir(procfs.as_fd()).context("enter /proc")?;
    let path = format!("self/fd/{}", mount.as_raw_fd());
    umount2(path.as_str(), MntFlags::MNT_DETACH).context("umount2")
}
