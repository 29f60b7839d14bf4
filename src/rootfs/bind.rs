//! Bind mounts: a piece of the host's tree, cloned, given its attributes, and moved to its place.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{readlink, readlinkat};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::symlinkat;

use super::prepare::HOST;
use super::resolve::{self, Missing, Symlinks};
use super::{attributes, place};
use crate::plan::rootfs::{BindPlan, MountPlan};
use crate::sys::fd::Spent;
use crate::sys::mount::{AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, OPEN_TREE_CLONE, open_tree};

/// Mounts it, with the tree that the runtime has prepared, or one of our own.
pub(super) fn apply(
    root: BorrowedFd<'_>,
    plan: &MountPlan,
    bind: &BindPlan,
    prepared: Option<OwnedFd>,
    spent: &mut Spent,
) -> anyhow::Result<OwnedFd> {
    let tree = match prepared {
        Some(tree) => tree,
        None => {
            let tree = open_source(bind)?;
            attributes::apply(tree.as_fd(), plan, bind.recursive, None, None).context("set its attributes")?;
            tree
        }
    };
    let symlinks = if plan.destination_nofollow { Symlinks::OpenLast } else { Symlinks::Follow };
    let target = resolve::open_or_create(root, &plan.destination, || missing_for(tree.as_fd()), symlinks)?;
    place(tree.as_fd(), target.fd.as_fd())?;
    target.spend(spent);
    Ok(tree)
}

/// Clones the source, detached.
pub(super) fn open_source(bind: &BindPlan) -> anyhow::Result<OwnedFd> {
    let recursive = if bind.recursive { AT_RECURSIVE } else { 0 };
    let nofollow = if bind.source_nofollow { AT_SYMLINK_NOFOLLOW } else { 0 };
    open_tree(HOST, &bind.source, OPEN_TREE_CLONE | recursive | nofollow)
        .with_context(|| format!("open {}", bind.source.to_string_lossy()))
}

/// A mount point has to be of the same sort as what is mounted.
pub(super) fn missing_for(tree: BorrowedFd<'_>) -> nix::Result<Missing> {
    let is_directory = SFlag::from_bits_truncate(fstat(tree)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    Ok(if is_directory { Missing::Directory } else { Missing::File })
}

/// Where the source points, if it is a symlink.
pub(super) fn read_symlink(bind: &BindPlan) -> anyhow::Result<Option<OsString>> {
    match readlink(bind.source.as_c_str()) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("read {}", bind.source.to_string_lossy())),
    }
}

/// Makes the source's symlink again at the destination; the same one may be there already.
pub(super) fn copy_symlink(root: BorrowedFd<'_>, plan: &MountPlan, target: &OsString) -> anyhow::Result<()> {
    let (parent, name) = resolve::open_parent(root, &plan.destination, Symlinks::Follow)?;
    match symlinkat(target.as_os_str(), &parent, name) {
        Err(Errno::EEXIST) if readlinkat(&parent, name).is_ok_and(|there| there == *target) => Ok(()),
        result => result.with_context(|| format!("create the symlink {}", plan.destination.display())),
    }
}
