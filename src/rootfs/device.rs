//! Device nodes and links: made beneath a /dev that is a real directory, never through a symlink of the image
//! (CVE-2026-41579, CVE-2026-47766, CVE-2026-88264).

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, makedev, mknodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::prepare::HOST;
use super::resolve::{self, Missing, Symlinks};
use super::{Root, place};
use crate::plan::rootfs::{DeviceKind, DevicePlan, RootfsPlan};
use crate::sys::mount::{OPEN_TREE_CLONE, open_tree};

impl Root {
    /// Makes the device nodes and the links of /dev.
    ///
    /// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#devices>
    ///
    /// # Errors
    /// A /dev that is a symlink, a file that stands where a node belongs, and those of mknodat(2).
    pub fn apply_devices(&mut self, plan: &RootfsPlan) -> anyhow::Result<()> {
        let devices = &plan.devices;
        if devices.nodes.is_empty() && devices.links.is_empty() {
            return Ok(());
        }
        let dev = self.open_dev()?;
        for node in &devices.nodes {
            self.apply_device(dev.as_fd(), node, devices.bind).with_context(|| node.place())?;
        }
        for (name, target) in devices.links {
            apply_link(dev.as_fd(), name, target)
                .with_context(|| format!("create the symlink /dev/{name} to {target}"))?;
        }
        Ok(())
    }

    /// The container's /dev, which must be a directory and no symlink.
    pub(super) fn open_dev(&self) -> anyhow::Result<OwnedFd> {
        let opened =
            resolve::open_or_create(self.fd.as_fd(), Path::new("/dev"), || Ok(Missing::Directory), Symlinks::Refuse);
        opened.map(|opened| opened.fd).context("open /dev, which must be a real directory")
    }

    fn apply_device(&self, dev: BorrowedFd<'_>, node: &DevicePlan, bind: bool) -> anyhow::Result<()> {
        let held;
        let (parent, name) = match node.path.strip_prefix("/dev") {
            Ok(below) if below.parent() == Some(Path::new("")) => (dev, below.as_os_str()),
            Ok(below) => {
                let (parent, name) = resolve::open_parent(dev, below, Symlinks::Refuse)?;
                held = parent;
                (held.as_fd(), name)
            }
            Err(_) => {
                let (parent, name) = resolve::open_parent(self.fd.as_fd(), &node.path, Symlinks::Follow)?;
                held = parent;
                (held.as_fd(), name)
            }
        };
        if bind && node.kind != DeviceKind::Fifo {
            return bind_node(parent, name, node);
        }
        let mode = Mode::from_bits_truncate(node.mode);
        match mknodat(parent, name, kind_flag(node.kind), mode, makedev(node.major.into(), node.minor.into())) {
            Ok(()) => chown_node(parent, name, node),
            Err(Errno::EEXIST) => {
                let status = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if is_node(&status, node) { Ok(()) } else { Err(Errno::EEXIST).context("something else is there") }
            }
            Err(Errno::EPERM) => bind_node(parent, name, node),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn kind_flag(kind: DeviceKind) -> SFlag {
    match kind {
        DeviceKind::Character => SFlag::S_IFCHR,
        DeviceKind::Block => SFlag::S_IFBLK,
        DeviceKind::Fifo => SFlag::S_IFIFO,
    }
}

pub(super) fn file_type(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}

fn is_node(status: &FileStat, node: &DevicePlan) -> bool {
    let number = makedev(node.major.into(), node.minor.into());
    file_type(status) == kind_flag(node.kind) && (node.kind == DeviceKind::Fifo || status.st_rdev == number)
}

fn chown_node(parent: BorrowedFd<'_>, name: &OsStr, node: &DevicePlan) -> anyhow::Result<()> {
    let owner = node.uid.filter(|uid| *uid != 0).map(Uid::from_raw);
    let group = node.gid.filter(|gid| *gid != 0).map(Gid::from_raw);
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    fchownat(parent, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW).context("set its owner")
}

/// Binds the host's node of the same path, or else of the same number, after a look at what it is.
fn bind_node(parent: BorrowedFd<'_>, name: &OsStr, node: &DevicePlan) -> anyhow::Result<()> {
    let target = match resolve::create_file(parent, name, 0o666) {
        Ok(target) => target,
        Err(Errno::EEXIST) => {
            let there = openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
            let status = fstat(&there)?;
            if is_node(&status, node) {
                return Ok(());
            }
            // An empty file is what a container without privilege uses as a mount point.
            if file_type(&status) != SFlag::S_IFREG || status.st_size != 0 {
                return Err(Errno::EEXIST).context("something else is there");
            }
            there
        }
        Err(errno) => return Err(errno).context("create its mount point"),
    };
    let host = || format!("bind the host's {}", node.path.display());
    let tree = match clone_host_node(&node.path, node) {
        Err(errno @ (Errno::ENOENT | Errno::ENODEV)) => {
            kernels_path(node).ok_or(errno).and_then(|path| clone_host_node(&path, node))
        }
        result => result,
    };
    place(tree.with_context(host)?.as_fd(), target.as_fd()).with_context(host)
}

/// ENODEV: it is another device.
fn clone_host_node(path: &Path, node: &DevicePlan) -> nix::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let tree = open_tree(HOST, &path, OPEN_TREE_CLONE)?;
    if is_node(&fstat(&tree)?, node) { Ok(tree) } else { Err(Errno::ENODEV) }
}

/// Where the host has the device with this number: a container may know it by another name.
fn kernels_path(node: &DevicePlan) -> Option<PathBuf> {
    let kind = if node.kind == DeviceKind::Block { "block" } else { "char" };
    let text = std::fs::read_to_string(format!("/sys/dev/{kind}/{}:{}/uevent", node.major, node.minor)).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name))
}

/// Makes a link of /dev. What the image or a mount has put there stays, except a ptmx that is not the container's own.
fn apply_link(dev: BorrowedFd<'_>, name: &str, target: &str) -> nix::Result<()> {
    match symlinkat(target, dev, name) {
        Err(Errno::EEXIST) if name == "ptmx" => {}
        Ok(()) | Err(Errno::EEXIST) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    if file_type(&fstatat(dev, name, AtFlags::AT_SYMLINK_NOFOLLOW)?) == SFlag::S_IFLNK {
        // To the same by another way, or by the will of the image; it can only lead to what the container sees.
        return Ok(());
    }
    match unlinkat(dev, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => symlinkat(target, dev, name),
        // Somebody mounted it on purpose.
        Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno),
    }
}
