//! The mount tree of the container, seen from inside.
//!
//! Everything works from the descriptor of the container's root: paths are resolved by the kernel inside it,
//! mounts get their attributes before anybody can see them, and are moved to an open target.

mod attributes;
mod bind;
mod cgroup;
mod change;
mod console;
mod copy_up;
mod device;
mod filesystem;
mod mask;
mod mount;
mod pivot;
mod prepare;
mod procfs;
pub mod resolve;
mod restore;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, umask};

pub use cgroup::sources as cgroup_sources;
pub use console::Console;
pub use mount::MountContext;
pub use pivot::detach_inherited;
pub use prepare::{Prepared, prepare, prepare_all};
pub use procfs::{ProcFs, apply_sysctl};
pub use restore::{make_mount_points, make_root_a_mount};

use crate::plan::rootfs::{Propagation, PropagationKind, RootfsPlan};
use crate::sys::mount::{
    AT_RECURSIVE, MountAttr, OPEN_TREE_CLONE, is_mount_root, mount_setattr, move_mount, move_mount_to_path, open_tree,
};
use prepare::HOST;
use resolve::{Missing, Symlinks};

/// The container's root while it is being built. Nothing of it may live on when the user's program starts.
#[derive(Debug)]
pub struct Root {
    /// The root's own mount.
    fd: OwnedFd,
    /// Whether the mount namespace is the container's.
    own_mount_namespace: bool,
    /// Whether the old tree is still shared with the host, so that its end would reach the host.
    host_is_shared: bool,
    /// Over masked files: a detached, read-only clone of a character device 1:3.
    null: Option<OwnedFd>,
    /// Mounts that become read-only after everything else.
    readonly_last: Vec<OwnedFd>,
}

impl Root {
    /// Makes the container's root a mount of its own, where mount events of the host do what the plan says.
    ///
    /// Also sets the umask to 0, so that modes are those of the configuration; the process gets its own later.
    ///
    /// # Errors
    /// A root that is missing or no directory; no privilege in the mount namespace.
    pub fn open(plan: &RootfsPlan) -> anyhow::Result<Root> {
        umask(Mode::empty());
        let object = || format!("config.json: /root/path: {}", plan.path.display());
        if let Some(propagation) = plan.host_propagation {
            let attr =
                MountAttr { propagation: attributes::propagation_flag(propagation.kind), ..MountAttr::default() };
            mount_setattr(HOST, c"/", if propagation.recursive { AT_RECURSIVE } else { 0 }, &attr)
                .with_context(|| format!("make / {propagation}"))?;
        }
        // Without a word about propagation the tree may be shared with the host: so nothing may appear in it.
        let may_be_shared = plan.host_propagation.is_none();
        if may_be_shared && plan.own_mount_namespace {
            make_parent_private(&plan.path).with_context(object)?;
        }
        // The slash at the end wants a directory.
        let path = CString::new(plan.path.join("").as_os_str().as_bytes())?;
        let fd = open_tree(HOST, &path, OPEN_TREE_CLONE | AT_RECURSIVE).with_context(object)?;
        if may_be_shared {
            // pivot_root refuses a shared root.
            let private = Propagation { kind: PropagationKind::Private, recursive: false };
            attributes::set_propagation(fd.as_fd(), private).with_context(object)?;
        }
        move_mount_to_path(fd.as_fd(), HOST, &path).with_context(object)?;
        let null = if plan.masked_paths.is_empty() { None } else { Some(mask::open_null()?) };
        Ok(Root {
            fd,
            own_mount_namespace: plan.own_mount_namespace,
            host_is_shared: may_be_shared,
            null,
            readonly_last: Vec::new(),
        })
    }

    /// Looks whether there is a directory to be the root, before anything is made. What cannot be told from here, for
    /// lack of a right that INIT may have, is no fault.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`.
    pub fn look_at(plan: &RootfsPlan) -> nix::Result<()> {
        match std::fs::metadata(&plan.path) {
            Ok(status) if status.is_dir() => Ok(()),
            Ok(_) => Err(Errno::ENOTDIR),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(errno @ (Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)) => Err(errno),
                _ => Ok(()),
            },
        }
    }

    /// Makes the program's working directory where it is missing, as other runtimes do: while the root may still be
    /// written, and inside it, whatever the path says.
    ///
    /// # Errors
    /// The kernel's, but not those of a path that leads nowhere, or to no directory: it is told when it is entered.
    pub fn make_cwd(&self, cwd: &Path) -> anyhow::Result<()> {
        if cwd.parent().is_none() {
            return Ok(());
        }
        match resolve::open_or_create(self.fd.as_fd(), cwd, || Ok(Missing::Directory), Symlinks::Follow) {
            Ok(_) => Ok(()),
            Err(error) => match error.downcast_ref() {
                Some(Errno::EROFS | Errno::EEXIST | Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(()),
                _ => Err(error).context("config.json: /process/cwd"),
            },
        }
    }

    /// The root of a container that the caller has joined.
    ///
    /// # Errors
    /// As open(2).
    pub fn entered() -> anyhow::Result<Root> {
        let fd = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).context("open /")?;
        Ok(Root { fd, own_mount_namespace: true, host_is_shared: false, null: None, readonly_last: Vec::new() })
    }
}

/// Moves a detached mount to its open target.
fn place(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> anyhow::Result<()> {
    move_mount(mount, target).context("move it to its place")
}

/// Whether two descriptors are the same place of the same mount.
fn same_object(one: &OwnedFd, other: &OwnedFd) -> nix::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// The mount that holds `path` stops to share events: what we mount on it stays with us, and pivot_root agrees.
fn make_parent_private(path: &Path) -> anyhow::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = open(path, flags, Mode::empty())?;
    while !is_mount_root(directory.as_fd())? {
        let parent = openat(&directory, "..", flags, Mode::empty())?;
        let (here, above) = (fstat(&directory)?, fstat(&parent)?);
        if (here.st_dev, here.st_ino) == (above.st_dev, above.st_ino) {
            bail!(anyhow::Error::from(Errno::EINVAL).context("it is in no mount of this namespace"));
        }
        directory = parent;
    }
    let private = Propagation { kind: PropagationKind::Private, recursive: false };
    attributes::set_propagation(directory.as_fd(), private).context("make its parent mount private")
}

#[cfg(test)]
mod tests;
