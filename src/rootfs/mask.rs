//! Paths that the container may not read, or not write.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{SFlag, fstat, makedev};
use nix::unistd::fchdir;

use super::filesystem::explain_label;
use super::prepare::HOST;
use super::resolve::{self, Symlinks};
use super::{Root, attributes, device};
use crate::plan::rootfs::{Attributes, RootfsPlan, SuperblockOption, attribute};
use crate::sys::fd::Spent;
use crate::sys::mount::{AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE, move_mount, open_tree};

/// A clone of the host's null device, after a look at what it is (CVE-2025-31133): nothing of the image is used.
///
/// Read-only, so that the container cannot change the mode of the host's node through it.
pub(super) fn open_null() -> anyhow::Result<OwnedFd> {
    let null = open_tree(HOST, c"/dev/null", OPEN_TREE_CLONE).context("open /dev/null")?;
    let status = fstat(&null).context("stat /dev/null")?;
    if device::file_type(&status) != SFlag::S_IFCHR || status.st_rdev != makedev(1, 3) {
        return Err(Errno::ENODEV).context("/dev/null of the host is not the null device");
    }
    let set = attribute::RDONLY | attribute::NOSUID | attribute::NOEXEC;
    attributes::set_attributes(null.as_fd(), Attributes { set, clear: 0 }).context("make /dev/null read-only")?;
    Ok(null)
}

/// One thing to put over many paths: the first one is the thing itself, all others are clones of it.
///
/// No clone is made that may not fit: to close one that was never placed takes a grace period of RCU.
struct Cover {
    mount: OwnedFd,
    is_placed: bool,
}

impl Cover {
    fn new(mount: OwnedFd) -> Cover {
        Cover { mount, is_placed: false }
    }

    fn place(&mut self, target: OwnedFd, spent: &mut Spent) -> nix::Result<()> {
        if self.is_placed {
            let clone = open_tree(self.mount.as_fd(), c"", OPEN_TREE_CLONE | AT_EMPTY_PATH)?;
            move_mount(clone.as_fd(), target.as_fd())?;
            spent.push(clone);
        } else {
            move_mount(self.mount.as_fd(), target.as_fd())?;
            self.is_placed = true;
        }
        spent.push(target);
        Ok(())
    }
}

impl Root {
    /// Covers what the container may not read: files by the null device, directories by one empty read-only tmpfs.
    /// What is not there needs no cover.
    ///
    /// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths>
    ///
    /// # Errors
    /// The path and the kernel's reason.
    pub fn apply_masked_paths(&mut self, plan: &RootfsPlan) -> anyhow::Result<()> {
        let Some(null) = self.null.take() else { return Ok(()) };
        let mut file = Cover::new(null);
        let mut spent = Spent::default();
        for path in &plan.masked_paths {
            let object = || format!("mask {}", path.display());
            let target = match resolve::open(self.fd.as_fd(), path, Symlinks::Follow) {
                Ok(target) => target,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(errno) => return Err(errno).with_context(object),
            };
            let status = fstat(&target).with_context(object)?;
            if device::file_type(&status) != SFlag::S_IFDIR {
                file.place(target, &mut spent).with_context(object)?;
                continue;
            }
            cover_by_empty_directory(target.as_fd(), plan.mask_label.as_ref()).with_context(object)?;
            spent.push(target);
        }
        Ok(())
    }

    /// Makes paths read-only, with all that is mounted below. What is not there needs nothing.
    ///
    /// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#readonly-paths>
    ///
    /// # Errors
    /// The path and the kernel's reason.
    pub fn apply_readonly_paths(&self, plan: &RootfsPlan) -> anyhow::Result<()> {
        let mut spent = Spent::default();
        for path in &plan.readonly_paths {
            let object = || format!("make {} read-only", path.display());
            let target = match resolve::open(self.fd.as_fd(), path, Symlinks::Follow) {
                Ok(target) => target,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(errno) => return Err(errno).with_context(object),
            };
            spent.push(cover_by_readonly_self(target.as_fd()).with_context(object)?);
            spent.push(target);
        }
        Ok(())
    }

    /// Makes the root's own mount read-only when the plan says so, and the mounts that had to wait for it.
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub fn apply_readonly_root(&mut self, plan: &RootfsPlan) -> anyhow::Result<()> {
        for mount in self.readonly_last.drain(..) {
            attributes::set_readonly(mount.as_fd(), false).context("make a mount read-only")?;
        }
        if plan.readonly {
            attributes::set_readonly(self.fd.as_fd(), false).context("make the root read-only")?;
        }
        Ok(())
    }
}

fn cover_by_readonly_self(target: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let tree = open_tree(target, c"", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH)?;
    attributes::set_readonly(tree.as_fd(), true)?;
    move_mount(tree.as_fd(), target)?;
    Ok(tree)
}

/// A read-only tmpfs, with the label of the container's mounts, or it would not even be seen that it is empty.
fn cover_by_empty_directory(target: BorrowedFd<'_>, label: Option<&SuperblockOption>) -> anyhow::Result<()> {
    let mut data = b"mode=755,nr_blocks=1,nr_inodes=1".to_vec();
    if let Some(SuperblockOption { key, value: Some(value), .. }) = label {
        // In quotes: the categories of a label have commas between them.
        data.extend([b",", key.to_bytes(), b"=\"", value.to_bytes(), b"\""].concat());
    }
    let data = CString::new(data).context("a label with a NUL")?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // The working directory needs no path, so nothing can be exchanged.
    fchdir(target)?;
    mount(Some(c"tmpfs"), c".", Some(c"tmpfs"), flags, Some(data.as_c_str())).map_err(|errno| {
        let error = label.map_or_else(|| errno.into(), |label| explain_label(errno.into(), label));
        error.context(format!("mount a tmpfs with {data:?}"))
    })
}
