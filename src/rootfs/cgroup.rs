//! Mounts of type cgroup and cgroup2: the container's own cgroup of each hierarchy, bound, or all of cgroup2.
//!
//! A bind shows the same as a mount of cgroup2, and takes no RCU grace period (5–10 ms). Without a cgroup namespace a
//! mount would also take options such as nsdelegate away from the machine's one tree.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use super::mount::MountContext;
use super::prepare::HOST;
use super::resolve::{self, Missing, Symlinks};
use super::{attributes, place};
use crate::cgroup::CgroupPaths;
use crate::host::cgroup::{Hierarchy, Layout};
use crate::plan::rootfs::{Attributes, MountPlan};
use crate::sys::fd::Spent;
use crate::sys::mount::{FsContext, OPEN_TREE_CLONE, move_mount_to_path, open_tree};

/// Mounts it in the way of the machine: one tree of v2, or a tmpfs with a directory for each v1 hierarchy.
pub(super) fn apply(
    root: BorrowedFd<'_>,
    plan: &MountPlan,
    (v2_only, whole): (bool, bool),
    context: &MountContext<'_>,
) -> anyhow::Result<OwnedFd> {
    let symlinks = if plan.destination_nofollow { Symlinks::OpenLast } else { Symlinks::Follow };
    let target = resolve::open_or_create(root, &plan.destination, || Ok(Missing::Directory), symlinks)?;
    let unified = unified_directory(context.layout, context.cgroup, whole);
    match (context.layout, unified) {
        (Layout::Unified { .. }, Some(directory)) => apply_unified(plan, &directory, target.fd.as_fd()),
        (Layout::Legacy { .. }, Some(directory)) if v2_only => apply_unified(plan, &directory, target.fd.as_fd()),
        (Layout::Legacy { hierarchies, .. }, unified) if !v2_only => {
            let mount = apply_legacy(plan, hierarchies, context.cgroup, unified, target.fd.as_fd())?;
            // One call for all of them: no process of the container runs yet.
            let set = Attributes {
                set: plan.attributes.set | plan.recursive_attributes.set,
                clear: plan.attributes.clear | plan.recursive_attributes.clear,
            };
            let whole = MountPlan { attributes: Attributes::default(), recursive_attributes: set, ..plan.clone() };
            attributes::apply(mount.as_fd(), &whole, true, None, None).context("set the attributes")?;
            Ok(mount)
        }
        _ => Err(Errno::ENODEV).context("this machine has no such cgroup hierarchy mounted"),
    }
}

/// What `apply` binds: the name below the destination, if there is one, and the host's directory.
pub fn sources(
    (v2_only, whole): (bool, bool),
    layout: &Layout,
    paths: &CgroupPaths,
) -> Vec<(Option<OsString>, PathBuf)> {
    let unified = unified_directory(layout, paths, whole);
    match layout {
        Layout::Legacy { hierarchies, .. } if !v2_only => {
            let legacy = hierarchies.iter().map(|hierarchy| {
                let name = hierarchy.mount.file_name().unwrap_or_else(|| OsStr::new("cgroup"));
                (Some(name.to_owned()), legacy_directory(hierarchy, paths))
            });
            legacy.chain(unified.map(|directory| (Some("unified".into()), directory))).collect()
        }
        _ => unified.map(|directory| (None, directory)).into_iter().collect(),
    }
}

fn apply_unified(plan: &MountPlan, directory: &Path, target: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
    let tree = clone_directory(directory)?;
    attributes::apply(tree.as_fd(), plan, false, None, None).context("set the attributes")?;
    place(tree.as_fd(), target)?;
    Ok(tree)
}

fn apply_legacy(
    plan: &MountPlan,
    hierarchies: &[Hierarchy],
    paths: &CgroupPaths,
    unified: Option<PathBuf>,
    target: BorrowedFd<'_>,
) -> anyhow::Result<OwnedFd> {
    let tmpfs = FsContext::open(c"tmpfs")?;
    tmpfs.set(c"source", Some(c"cgroup"))?;
    tmpfs.set(c"mode", Some(c"755"))?;
    tmpfs.create()?;
    let mount = tmpfs.mount(plan.attributes.set & !crate::plan::rootfs::attribute::RDONLY)?;
    place(mount.as_fd(), target)?;
    let mut spent = Spent::default();
    for hierarchy in hierarchies {
        let name = hierarchy.mount.file_name().unwrap_or_else(|| OsStr::new("cgroup"));
        spent.push(bind_below(mount.as_fd(), name, &legacy_directory(hierarchy, paths))?);
        for controller in hierarchy.controllers.iter().filter(|_| hierarchy.controllers.len() > 1) {
            if OsStr::new(controller) != name {
                symlinkat(name, &mount, controller.as_str())
                    .with_context(|| format!("create the symlink {controller}"))?;
            }
        }
    }
    if let Some(directory) = unified {
        spent.push(bind_below(mount.as_fd(), OsStr::new("unified"), &directory)?);
    }
    Ok(mount)
}

/// The container's directory in a v1 hierarchy; without one, it is still where the runtime is.
fn legacy_directory(hierarchy: &Hierarchy, paths: &CgroupPaths) -> PathBuf {
    let own = || below(&hierarchy.mount, &hierarchy.own);
    let same = |list: &str| list.split(',').eq(hierarchy.controllers.iter().map(String::as_str));
    paths.v1.iter().find(|(controllers, _)| same(controllers)).map_or_else(own, |(_, directory)| directory.clone())
}

/// The container's directory in the v2 tree; without one, it is still where the runtime is. Or the tree's root.
fn unified_directory(layout: &Layout, paths: &CgroupPaths, whole: bool) -> Option<PathBuf> {
    if whole {
        return layout.unified().map(|unified| unified.mount.clone());
    }
    let own = match layout {
        Layout::Unified(unified) => Some((&unified.mount, &unified.own)),
        Layout::Legacy { unified, .. } => unified.as_ref().map(|unified| (&unified.mount, &unified.own)),
        Layout::None => None,
    };
    paths.v2.clone().or_else(|| own.map(|(mount, own)| below(mount, own)))
}

fn below(mount: &Path, own: &Path) -> PathBuf {
    mount.join(own.strip_prefix("/").unwrap_or(own))
}

/// Binds one hierarchy below the tmpfs, which is ours alone. Gives the mount.
fn bind_below(tmpfs: BorrowedFd<'_>, name: &OsStr, directory: &Path) -> anyhow::Result<OwnedFd> {
    let show = || format!("{} as {}", directory.display(), name.display());
    let tree = clone_directory(directory)?;
    mkdirat(tmpfs, name, Mode::from_bits_truncate(0o755)).with_context(show)?;
    let name = CString::new(name.as_bytes())?;
    move_mount_to_path(tree.as_fd(), tmpfs, &name).with_context(show)?;
    Ok(tree)
}

fn clone_directory(directory: &Path) -> anyhow::Result<OwnedFd> {
    let Ok(path) = CString::new(directory.as_os_str().as_bytes()) else {
        bail!("{} has a NUL byte", directory.display());
    };
    open_tree(HOST, &path, OPEN_TREE_CLONE).with_context(|| format!("open {}", directory.display()))
}
