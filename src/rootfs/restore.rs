//! The mount tree of a container that CRIU brings back: what has to be there before.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::attributes;
use super::prepare::HOST;
use super::resolve::{self, Missing, Symlinks};
use crate::plan::rootfs::{MountKind, MountPlan, PropagationKind, RootfsPlan};
use crate::sys::mount::{AT_RECURSIVE, MountAttr, OPEN_TREE_CLONE, mount_setattr, move_mount_to_path, open_tree};

/// Makes the places of the mounts where they are missing, as on a root file system that never had a container.
///
/// What lies in another mount of the container comes with that one.
///
/// # Errors
/// As openat2(2) and mkdirat(2).
pub fn make_mount_points(plan: &RootfsPlan) -> anyhow::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let object = || format!("config.json: /root/path: {}", plan.path.display());
    let root = open(&plan.path, flags, Mode::empty()).with_context(object)?;
    let lies_in = |mount: &MountPlan, other: &MountPlan| {
        mount.destination != other.destination && mount.destination.starts_with(&other.destination)
    };
    for mount in &plan.mounts {
        if plan.mounts.iter().any(|other| lies_in(mount, other)) {
            continue;
        }
        let missing = || match &mount.kind {
            MountKind::Bind(bind) => Ok(match std::fs::metadata(OsStr::from_bytes(bind.source.as_bytes())) {
                Ok(status) if !status.is_dir() => Missing::File,
                _ => Missing::Directory,
            }),
            _ => Ok(Missing::Directory),
        };
        resolve::open_or_create(root.as_fd(), &mount.destination, missing, Symlinks::Follow)
            .with_context(|| mount.to_string())?;
    }
    Ok(())
}

/// Makes the root a mount of its own, and everything private to this mount namespace, which must not be the host's.
///
/// Where the machine's mounts are shared the root is a slave of theirs, as that of the container was when it was
/// checkpointed: CRIU gives the restored root the same master, and cannot take one from a private mount.
///
/// # Errors
/// As mount_setattr(2) and open_tree(2).
pub fn make_root_a_mount(root: &Path) -> anyhow::Result<()> {
    // A slave: what is mounted on the host meanwhile is seen, and nothing of ours is seen there.
    let attr = MountAttr { propagation: attributes::propagation_flag(PropagationKind::Slave), ..MountAttr::default() };
    mount_setattr(HOST, c"/", AT_RECURSIVE, &attr).context("make / rslave")?;
    let path = CString::new(root.join("").as_os_str().as_bytes())?;
    let object = || format!("config.json: /root/path: {}", root.display());
    let tree = open_tree(HOST, &path, OPEN_TREE_CLONE | AT_RECURSIVE).with_context(object)?;
    move_mount_to_path(tree.as_fd(), HOST, &path).with_context(object)
}
