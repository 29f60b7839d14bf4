//! Filesystems of the container's own: tmpfs, proc, sysfs, devpts, mqueue, and whatever else the kernel has.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::fchdir;

use super::prepare::HOST;
use super::resolve::{self, Missing, Opened, Symlinks};
use super::{attributes, copy_up, place};
use crate::plan::rootfs::{
    Attributes, FilesystemPlan, MountPlan, Propagation, PropagationKind, SuperblockOption, attribute,
};
use crate::sys::fd::Spent;
use crate::sys::mount::{AT_RECURSIVE, FsContext, OPEN_TREE_CLONE, open_tree};
use crate::sys::xattr;

/// fsconfig(2) takes no longer value.
const LONGEST_VALUE: usize = 255;

/// What EPERM means for proc and sysfs; a word of help inside other containers and user namespaces.
const REFUSED: &str = "a new one may show no more than what is mounted here, and needs a namespace of its own";

/// Mounts it. Gives the mount's descriptor, unless nobody needs one.
pub(super) fn apply(
    root: BorrowedFd<'_>,
    plan: &MountPlan,
    filesystem: &FilesystemPlan,
    spent: &mut Spent,
) -> anyhow::Result<Option<OwnedFd>> {
    let symlinks = match (filesystem.needs_real_directory, plan.destination_nofollow) {
        (true, _) => Symlinks::Refuse,
        (false, true) => Symlinks::OpenLast,
        (false, false) => Symlinks::Follow,
    };
    let target = resolve::open_or_create(root, &plan.destination, || Ok(Missing::Directory), symlinks)?;
    let mount = apply_to(root, plan, filesystem, &target)?;
    target.spend(spent);
    Ok(mount)
}

fn apply_to(
    root: BorrowedFd<'_>,
    plan: &MountPlan,
    filesystem: &FilesystemPlan,
    target: &Opened,
) -> anyhow::Result<Option<OwnedFd>> {
    let mode = kept_mode(filesystem, target)?;
    let is_long =
        filesystem.options.iter().any(|option| value_of(option).is_some_and(|v| v.to_bytes().len() > LONGEST_VALUE));
    if is_long || is_simple(plan, filesystem) {
        match mount_at_once(plan, filesystem, mode.as_deref(), target.fd.as_fd()) {
            Ok(()) if is_simple(plan, filesystem) => return Ok(None),
            Ok(()) => return finish_long(root, plan, filesystem).map(Some),
            Err(errno) if is_long => return Err(errno.into()),
            // Again, step by step: the kernel says more then, and there may be a fallback.
            Err(_) => {}
        }
    }
    let mount = match make(plan, filesystem, mode.as_deref()) {
        Ok(mount) => mount,
        Err(error) => match &filesystem.fallback {
            Some(path) if error.root_cause().downcast_ref() == Some(&Errno::EPERM) => {
                let tree = bind_fallback(path, plan).with_context(|| format!("{error:#}; bind the host's instead"))?;
                place(tree.as_fd(), target.fd.as_fd())?;
                return Ok(Some(tree));
            }
            None if filesystem.needs_real_directory && error.root_cause().downcast_ref() == Some(&Errno::EPERM) => {
                return Err(error.context(REFUSED));
            }
            _ => return Err(error),
        },
    };
    if filesystem.copy_up && !target.is_new {
        copy_up::copy_tree(target.fd.as_fd(), mount.as_fd()).context("copy the image's files")?;
    }
    finish(mount.as_fd(), plan, filesystem)?;
    place(mount.as_fd(), target.fd.as_fd())?;
    Ok(Some(mount))
}

/// The mode of the directory that a tmpfs covers.
fn kept_mode(filesystem: &FilesystemPlan, target: &Opened) -> anyhow::Result<Option<CString>> {
    if !filesystem.keep_mode || target.is_new {
        return Ok(None);
    }
    let mode = fstat(&target.fd).context("stat the mount point")?.st_mode & 0o7777;
    Ok(CString::new(format!("{mode:o}")).ok())
}

/// Whether one mount(2) says it all: most mounts are so, and it saves ten system calls.
fn is_simple(plan: &MountPlan, filesystem: &FilesystemPlan) -> bool {
    plan.propagation.is_none()
        && !plan.readonly_last
        && !plan.destination_nofollow
        && plan.destination.parent().is_some()
        && !filesystem.copy_up
        && filesystem.label_by_xattr.is_none()
        // mount(2) would take the categories of a label for options.
        && !filesystem.options.iter().any(|option| value_of(option).is_some_and(|value| value.to_bytes().contains(&b',')))
}

/// mount(2) on the directory that we hold: the working directory needs no path, so nothing can be exchanged.
fn mount_at_once(
    plan: &MountPlan,
    filesystem: &FilesystemPlan,
    mode: Option<&CStr>,
    target: BorrowedFd<'_>,
) -> nix::Result<()> {
    let mut data = Vec::new();
    let mut flags = mount_flags(plan.attributes.set | plan.recursive_attributes.set);
    if is_written_first(plan, filesystem) {
        flags -= MsFlags::MS_RDONLY;
    }
    let mut add = |key: &CStr, value: Option<&CStr>| {
        if !data.is_empty() {
            data.push(b',');
        }
        data.extend_from_slice(key.to_bytes());
        if let Some(value) = value {
            data.push(b'=');
            data.extend_from_slice(value.to_bytes());
        }
    };
    for option in &filesystem.options {
        match superblock_flag(&option.key) {
            Some(flag) => flags |= flag,
            None => add(&option.key, value_of(option)),
        }
    }
    if let Some(mode) = mode {
        add(c"mode", Some(mode));
    }
    let data = (!data.is_empty()).then(|| CString::new(data)).transpose().map_err(|_| Errno::EINVAL)?;
    fchdir(target)?;
    let source = filesystem.source.as_deref().unwrap_or(&filesystem.name);
    mount(Some(source), c".", Some(filesystem.name.as_c_str()), flags, data.as_deref())
}

fn value_of(option: &SuperblockOption) -> Option<&CStr> {
    option.value.as_deref()
}

/// `MOUNT_ATTR_*` as `MS_*`.
fn mount_flags(set: u64) -> MsFlags {
    const TABLE: &[(u64, MsFlags)] = &[
        (attribute::RDONLY, MsFlags::MS_RDONLY),
        (attribute::NOSUID, MsFlags::MS_NOSUID),
        (attribute::NODEV, MsFlags::MS_NODEV),
        (attribute::NOEXEC, MsFlags::MS_NOEXEC),
        (attribute::NOATIME, MsFlags::MS_NOATIME),
        (attribute::STRICTATIME, MsFlags::MS_STRICTATIME),
        (attribute::NODIRATIME, MsFlags::MS_NODIRATIME),
        (attribute::NOSYMFOLLOW, MsFlags::from_bits_retain(256)),
    ];
    TABLE.iter().filter(|(bit, _)| set & bit != 0).fold(MsFlags::empty(), |all, (_, flag)| all | *flag)
}

/// The flags of the superblock that mount(2) takes as bits, not as text.
fn superblock_flag(key: &CStr) -> Option<MsFlags> {
    Some(match key.to_bytes() {
        b"ro" => MsFlags::MS_RDONLY,
        b"sync" => MsFlags::MS_SYNCHRONOUS,
        b"dirsync" => MsFlags::MS_DIRSYNC,
        b"mand" => MsFlags::MS_MANDLOCK,
        b"lazytime" => MsFlags::MS_LAZYTIME,
        b"acl" => MsFlags::MS_POSIXACL,
        b"iversion" => MsFlags::MS_I_VERSION,
        b"silent" => MsFlags::MS_SILENT,
        b"async" | b"nolazytime" | b"nomand" | b"noacl" | b"noiversion" | b"loud" | b"rw" => MsFlags::empty(),
        _ => return None,
    })
}

/// Step by step: each fault is named by the filesystem itself.
fn make(plan: &MountPlan, filesystem: &FilesystemPlan, mode: Option<&CStr>) -> anyhow::Result<OwnedFd> {
    let context = FsContext::open(&filesystem.name)?;
    if let Some(source) = &filesystem.source {
        context.set(c"source", Some(source)).map_err(|errno| say(&context, errno))?;
    }
    // fsconfig(2) has no word for these two.
    let is_volume = |option: &&SuperblockOption| [c"silent", c"loud"].contains(&option.key.as_c_str());
    for option in filesystem.options.iter().filter(|option| !is_volume(option)) {
        match context.set(&option.key, value_of(option)) {
            Err(Errno::EINVAL) if option.if_known => {}
            result => {
                let explained =
                    result.map_err(|errno| say(&context, errno)).map_err(|error| explain_label(error, option));
                explained.with_context(|| format!("option {option}"))?;
            }
        }
    }
    if let Some(mode) = mode {
        context.set(c"mode", Some(mode)).map_err(|errno| say(&context, errno))?;
    }
    context.create().map_err(|errno| say(&context, errno))?;
    let mut set = plan.attributes.set | plan.recursive_attributes.set;
    if is_written_first(plan, filesystem) {
        set &= !attribute::RDONLY;
    }
    context.mount(set).map_err(|errno| say(&context, errno))
}

/// Without SELinux no file system knows its options.
pub(super) fn explain_label(error: anyhow::Error, option: &SuperblockOption) -> anyhow::Error {
    let has_selinux = || std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("selinuxfs"));
    if option.is_label() && !has_selinux() {
        return error.context("SELinux is not enabled on this machine (/linux/mountLabel)");
    }
    error
}

/// The errno, and what the filesystem has to say about it.
pub(super) fn say(context: &FsContext, errno: Errno) -> anyhow::Error {
    match context.message() {
        Some(message) => anyhow!(errno).context(message),
        None => errno.into(),
    }
}

/// Whether a read-only mount cannot begin as one: something is put into it, or its label.
fn is_written_first(plan: &MountPlan, filesystem: &FilesystemPlan) -> bool {
    plan.readonly_last || filesystem.copy_up || filesystem.label_by_xattr.is_some()
}

/// What can only be done once the mount is there.
fn finish(mount: BorrowedFd<'_>, plan: &MountPlan, filesystem: &FilesystemPlan) -> anyhow::Result<()> {
    if let Some(label) = &filesystem.label_by_xattr {
        let directory = openat(mount, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .context("open it for its label")?;
        xattr::set(directory.as_fd(), c"security.selinux", label.to_bytes()).context("label it")?;
    }
    let is_readonly = (plan.attributes.set | plan.recursive_attributes.set) & attribute::RDONLY != 0;
    if is_written_first(plan, filesystem) && is_readonly && !plan.readonly_last {
        let set = attribute::RDONLY;
        attributes::set_attributes(mount, Attributes { set, clear: 0 }).context("make it read-only")?;
    }
    match plan.propagation {
        Some(propagation) => attributes::set_propagation(mount, propagation).context("set its propagation"),
        None => Ok(()),
    }
}

/// After mount(2) the mount has to be looked up: still inside the root, so the worst that a race can win is
/// the propagation of a mount of its own container.
fn finish_long(root: BorrowedFd<'_>, plan: &MountPlan, filesystem: &FilesystemPlan) -> anyhow::Result<OwnedFd> {
    let mount = resolve::open(root, &plan.destination, Symlinks::Follow).context("open the new mount")?;
    finish(mount.as_fd(), plan, filesystem)?;
    Ok(mount)
}

/// The host's proc, sysfs or mqueue, with all that is mounted below, and the same attributes for all of it.
fn bind_fallback(path: &CStr, plan: &MountPlan) -> anyhow::Result<OwnedFd> {
    let tree = open_tree(HOST, path, OPEN_TREE_CLONE | AT_RECURSIVE)
        .with_context(|| format!("open {}", path.to_string_lossy()))?;
    let mut whole = plan.clone();
    whole.recursive_attributes.set |= plan.attributes.set;
    whole.attributes = Attributes::default();
    let slave = Propagation { kind: PropagationKind::Slave, recursive: true };
    attributes::apply(tree.as_fd(), &whole, true, None, Some(slave)).context("set its attributes")?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::rootfs::{Effect, MOUNT_OPTIONS};

    #[test]
    fn every_flag_of_a_superblock_is_a_bit_for_mount_2() {
        for option in MOUNT_OPTIONS {
            if let Effect::Superblock(key) | Effect::SuperblockIfKnown(key) = option.effect {
                assert!(superblock_flag(key).is_some(), "{}", option.name);
            }
        }
        assert_eq!(superblock_flag(c"silent"), Some(MsFlags::MS_SILENT));
        assert_eq!(superblock_flag(c"size"), None);
    }
}
