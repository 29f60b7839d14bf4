//! The mounts of config.json, in their order.

use std::os::fd::AsFd;

use anyhow::Context;

use super::filesystem::say;
use super::prepare::Prepared;
use super::resolve::{self, Symlinks};
use super::{Root, attributes, bind, cgroup, filesystem};
use crate::cgroup::CgroupPaths;
use crate::host::cgroup::Layout;
use crate::plan::rootfs::{MountKind, MountPlan, RootfsPlan, SuperblockOption, attribute};
use crate::sys::fd::Spent;
use crate::sys::mount::FsContext;

/// What only the stage knows.
#[derive(Debug, Clone, Copy)]
pub struct MountContext<'a> {
    /// Where the container's cgroups are.
    pub cgroup: &'a CgroupPaths,
    /// How the machine mounts them.
    pub layout: &'a Layout,
}

impl Root {
    /// Mounts all of config.json's mounts, in their order.
    ///
    /// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#mounts>
    ///
    /// # Errors
    /// The mount, the step, and the kernel's reason.
    pub fn apply_mounts(
        &mut self,
        plan: &RootfsPlan,
        prepared: &mut Prepared,
        context: &MountContext<'_>,
    ) -> anyhow::Result<()> {
        let mut spent = Spent::default();
        for (position, mount) in plan.mounts.iter().enumerate() {
            self.apply_mount(position, mount, prepared, context, &mut spent).with_context(|| mount.place())?;
        }
        Ok(())
    }

    pub(super) fn apply_mount(
        &mut self,
        position: usize,
        plan: &MountPlan,
        prepared: &mut Prepared,
        context: &MountContext<'_>,
        spent: &mut Spent,
    ) -> anyhow::Result<()> {
        let root = self.fd.as_fd();
        let mount = match &plan.kind {
            MountKind::Bind(bind) => {
                let prepared = prepared.take(position);
                if prepared.is_none()
                    && bind.copy_symlink
                    && let Some(target) = bind::read_symlink(bind)?
                {
                    return bind::copy_symlink(root, plan, &target);
                }
                Some(bind::apply(root, plan, bind, prepared, spent)?)
            }
            MountKind::Filesystem(filesystem) => filesystem::apply(root, plan, filesystem, spent)?,
            MountKind::Cgroup { v2_only, whole } => Some(cgroup::apply(root, plan, (*v2_only, *whole), context)?),
            MountKind::Remount { superblock } => return self.remount(plan, superblock),
        };
        if let Some(mount) = mount {
            if plan.destination.parent().is_none() {
                // It covers the root: from here on it is the root.
                self.fd = mount;
            } else if plan.readonly_last {
                self.readonly_last.push(mount);
            } else {
                spent.push(mount);
            }
        }
        Ok(())
    }

    fn remount(&self, plan: &MountPlan, superblock: &[SuperblockOption]) -> anyhow::Result<()> {
        let mount = resolve::open(self.fd.as_fd(), &plan.destination, Symlinks::Follow).context("open it")?;
        let is_writable_again = plan.attributes.clear & attribute::RDONLY != 0;
        if !superblock.is_empty() {
            let context = FsContext::pick(mount.as_fd())?;
            for option in superblock {
                match context.set(&option.key, option.value.as_deref()) {
                    Err(nix::errno::Errno::EINVAL) if option.if_known => {}
                    result => {
                        result.map_err(|errno| say(&context, errno)).with_context(|| format!("option {option}"))?;
                    }
                }
            }
            if is_writable_again {
                context.set(c"rw", None).map_err(|errno| say(&context, errno))?;
            }
            context.reconfigure().map_err(|errno| say(&context, errno))?;
        }
        attributes::apply(mount.as_fd(), plan, true, None, None).context("set the attributes")
    }
}
