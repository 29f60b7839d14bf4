//! The container's root becomes `/`, and the host's tree goes away.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir, pivot_root};

use super::prepare::HOST;
use super::{Root, attributes};
use crate::plan::rootfs::{Propagation, PropagationKind, RootfsPlan, attribute};
use crate::sys::mount::{FsContext, move_mount_to_path};

impl Root {
    /// Makes the root `/`, and the working directory too. Without a mount namespace of its own the container is
    /// only chrooted; with `no_pivot` (for a root on the initramfs) its mount is moved over `/` first.
    ///
    /// # Errors
    /// As pivot_root(2).
    pub fn pivot(&self, no_pivot: bool) -> anyhow::Result<()> {
        if !self.own_mount_namespace {
            return self.chroot();
        }
        if no_pivot {
            return self.move_over_root();
        }
        let old = if self.host_is_shared {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            Some(open("/", flags, Mode::empty()).context("open /")?)
        } else {
            None
        };
        fchdir(&self.fd).context("enter the root")?;
        // Both the same: the old root lands on top of the new one, and "." finds it there.
        pivot_root(".", ".").context("pivot_root")?;
        if let Some(old) = old {
            // Or the umount would reach the host.
            let slave = Propagation { kind: PropagationKind::Slave, recursive: true };
            attributes::set_propagation(old.as_fd(), slave).context("cut the old root off")?;
        }
        umount2(".", MntFlags::MNT_DETACH).context("unmount the old root")
    }

    fn chroot(&self) -> anyhow::Result<()> {
        fchdir(&self.fd).context("enter the root")?;
        chroot(".").context("chroot")
    }

    /// The host's tree stays mounted below the new root, where no path leads. Its proc and sysfs must go: a user
    /// namespace could mount new ones as long as the kernel finds them unmasked.
    fn move_over_root(&self) -> anyhow::Result<()> {
        for path in [c"/proc", c"/sys"] {
            match umount2(path, MntFlags::MNT_DETACH) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(_) => cover(path).with_context(|| format!("cover the host's {}", path.to_string_lossy()))?,
            }
        }
        move_mount_to_path(self.fd.as_fd(), HOST, c"/").context("move the root over /")?;
        self.chroot()
    }

    /// Gives the container's root the propagation that the configuration asks for.
    ///
    /// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#rootfs-mount-propagation>
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub fn apply_propagation(&self, plan: &RootfsPlan) -> anyhow::Result<()> {
        match plan.propagation {
            // The others were made so with the whole tree, before the root was taken from it.
            Some(asked) if matches!(asked.kind, PropagationKind::Shared | PropagationKind::Unbindable) => {
                attributes::set_propagation(self.fd.as_fd(), asked).with_context(|| format!("make the root {asked}"))
            }
            _ => Ok(()),
        }
    }
}

fn cover(path: &std::ffi::CStr) -> anyhow::Result<()> {
    let tmpfs = FsContext::open(c"tmpfs")?;
    tmpfs.create()?;
    let mount = tmpfs.mount(attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC)?;
    Ok(move_mount_to_path(mount.as_fd(), HOST, path)?)
}

/// Takes the mounts of a container without a mount namespace of its own out of the runtime's: they all stand on the
/// mount that [`Root::open`] has put over its root. For undo and delete; nothing there is no fault.
///
/// # Errors
/// As umount2(2).
pub fn detach_inherited(root: &Path) -> nix::Result<()> {
    match umount2(root, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        result => result,
    }
}
