//! What the runtime opens before init exists, because init may not: bind sources, and ids for idmapped mounts.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, TMPFS_MAGIC, fstatfs};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::attributes;
use super::bind;
use crate::plan::namespaces::{IdMapping, NamespacePlan};
use crate::plan::rootfs::{BindPlan, IdmapSource, MountKind, MountPlan, Propagation, PropagationKind, RootfsPlan};
use crate::sys;

/// What the runtime has opened for init.
#[derive(Debug, Default)]
pub struct Prepared {
    /// By the position in the plan's mounts: a detached tree, complete with attributes.
    trees: Vec<Option<OwnedFd>>,
}

impl Prepared {
    /// Gives the tree for the mount at `position` away, if there is one.
    pub(super) fn take(&mut self, position: usize) -> Option<OwnedFd> {
        self.trees.get_mut(position).and_then(Option::take)
    }
}

/// Opens what init could not: every bind source when the container has a user namespace, and every idmapped mount.
///
/// # Errors
/// A source that is missing, ids that the filesystem or the caller cannot have.
pub fn prepare(plan: &RootfsPlan, namespaces: &NamespacePlan) -> anyhow::Result<Prepared> {
    prepare_some(plan, namespaces.user.is_own(), true)
}

/// Opens every bind source, for a process that will not see them: it joins a container that runs.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_all(plan: &RootfsPlan) -> anyhow::Result<Prepared> {
    prepare_some(plan, true, false)
}

fn prepare_some(plan: &RootfsPlan, for_all: bool, init_may_try: bool) -> anyhow::Result<Prepared> {
    if !for_all && plan.mounts.iter().all(|mount| mount.idmap.is_none()) {
        return Ok(Prepared::default());
    }
    let mut prepared = Prepared { trees: Vec::with_capacity(plan.mounts.len()) };
    let mut known: Vec<(&IdmapSource, OwnedFd)> = Vec::new();
    let mut allowed = true;
    for mount in &plan.mounts {
        let MountKind::Bind(bind) = &mount.kind else {
            prepared.trees.push(None);
            continue;
        };
        if mount.idmap.is_none() && !(for_all && allowed) {
            prepared.trees.push(None);
            continue;
        }
        let tree = prepare_bind(mount, bind, &mut known).with_context(|| mount.place());
        match tree {
            Ok(tree) => prepared.trees.push(tree),
            // A runtime without privilege: init has it, in its own user namespace, and the same user's rights.
            Err(error)
                if init_may_try
                    && mount.idmap.is_none()
                    && error.root_cause().downcast_ref() == Some(&Errno::EPERM) =>
            {
                allowed = false;
                prepared.trees.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(prepared)
}

fn prepare_bind<'a>(
    mount: &'a MountPlan,
    bind: &BindPlan,
    known: &mut Vec<(&'a IdmapSource, OwnedFd)>,
) -> anyhow::Result<Option<OwnedFd>> {
    if bind.copy_symlink && bind::read_symlink(bind)?.is_some() {
        return Ok(None);
    }
    let tree = bind::open_source(bind)?;
    let userns = match &mount.idmap {
        None => None,
        Some(idmap) => {
            let position = match known.iter().position(|(source, _)| **source == idmap.source) {
                Some(position) => position,
                None => {
                    known.push((&idmap.source, open_user_namespace(&idmap.source)?));
                    known.len() - 1
                }
            };
            Some(known[position].1.as_fd())
        }
    };
    // The tree was taken from the runtime's mount namespace, where it may be shared with the host.
    let slave = Propagation { kind: PropagationKind::Slave, recursive: true };
    attributes::apply(tree.as_fd(), mount, bind.recursive, userns, Some(slave))
        .map_err(|errno| explain_idmap(errno, mount, tree.as_fd()))
        .with_context(|| format!("set the attributes of {}", bind.source.to_string_lossy()))?;
    Ok(Some(tree))
}

/// File systems that can map ids, and since which Linux, where it is not the first that maps any.
const IDMAPPED: &[(FsType, &str, &str)] = &[
    (FsType(libc::BTRFS_SUPER_MAGIC), "btrfs", "5.15"),
    (TMPFS_MAGIC, "tmpfs", "6.3"),
    (FsType(0x00c3_6400), "ceph", "6.7"),
    (FUSE_SUPER_MAGIC, "fuse", "6.12"),
];

/// The kernel's "invalid argument" for ids that a file system cannot map.
fn explain_idmap(errno: Errno, mount: &MountPlan, tree: BorrowedFd<'_>) -> anyhow::Error {
    if errno != Errno::EINVAL || mount.idmap.is_none() {
        return errno.into();
    }
    let magic = fstatfs(tree).map(|status| status.filesystem_type());
    let known = IDMAPPED.iter().find(|(known, ..)| magic == Ok(*known));
    anyhow::Error::from(errno).context(match known {
        Some((_, name, since)) => format!("{name} can map ids since Linux {since}"),
        None => "its file system cannot map ids on this kernel".to_owned(),
    })
}

fn open_user_namespace(source: &IdmapSource) -> anyhow::Result<OwnedFd> {
    match source {
        IdmapSource::Joined(path) => open_namespace(path),
        IdmapSource::Mappings { uids, gids } => {
            let holder = sys::userns::spawn_holder().context("make a user namespace for idmap")?;
            let namespace = write_maps(holder, uids, gids);
            // It only sleeps: both calls cannot fail before it is gone.
            let _ = kill(holder, Signal::SIGKILL);
            let _ = waitpid(holder, None);
            namespace
        }
    }
}

fn open_namespace(path: &Path) -> anyhow::Result<OwnedFd> {
    let file = File::open(path).map_err(errno_of).with_context(|| format!("open {}", path.display()))?;
    Ok(file.into())
}

fn write_maps(holder: Pid, uids: &[IdMapping], gids: &[IdMapping]) -> anyhow::Result<OwnedFd> {
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let text: String =
            mappings.iter().map(|line| format!("{} {} {}\n", line.container_id, line.host_id, line.size)).collect();
        // In one write: the kernel takes no second one.
        std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/{holder}/{file}"))
            .and_then(|mut map| map.write_all(text.as_bytes()))
            .map_err(errno_of)
            .with_context(|| format!("write the {file} for idmap"))?;
    }
    open_namespace(Path::new(&format!("/proc/{holder}/ns/user")))
}

/// The root cause as an errno, for those who match it.
pub(super) fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Where paths of the host begin.
pub(super) const HOST: std::os::fd::BorrowedFd<'static> = AT_FDCWD;
