//! tmpcopyup: what the image has in a directory is copied into the tmpfs that covers it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, symlinkat};

use super::device::file_type;
use super::prepare::errno_of;
use crate::sys::xattr;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);
const DEEPEST: u32 = 256;

/// Copies all that is in `from` into `to`, with owners, modes, times and extended attributes; symlinks stay symlinks.
///
/// # Errors
/// The name, and those of the file system calls: ENOSPC when the tmpfs is too small.
pub(super) fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> anyhow::Result<()> {
    let from = openat(from, ".", DIRECTORY, Mode::empty())?;
    let to = openat(to, ".", DIRECTORY, Mode::empty())?;
    let status = fstat(&from)?;
    copy_directory(from.try_clone()?, &to, DEEPEST)?;
    // Its mode is an option of the tmpfs.
    fchown(&to, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    Ok(copy_attributes(from.as_fd(), to.as_fd())?)
}

fn copy_directory(from: OwnedFd, to: &OwnedFd, depth: u32) -> anyhow::Result<()> {
    if depth == 0 {
        return Err(Errno::ELOOP.into());
    }
    let mut directory = Dir::from_fd(from)?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    for name in names {
        copy_entry(directory.as_fd(), to, &name, depth).with_context(|| format!("copy {}", name.to_string_lossy()))?;
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: &OwnedFd, name: &std::ffi::CStr, depth: u32) -> anyhow::Result<()> {
    let status = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_bits_truncate(status.st_mode & 0o7777);
    match file_type(&status) {
        SFlag::S_IFDIR => {
            mkdirat(to, name, mode)?;
            let source = openat(from, name, DIRECTORY, Mode::empty())?;
            let copy = openat(to, name, DIRECTORY, Mode::empty())?;
            copy_directory(source.try_clone()?, &copy, depth - 1)?;
            finish(&source, &copy, &status)
        }
        SFlag::S_IFREG => {
            let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut source = File::from(openat(from, name, OFlag::O_RDONLY | flags, Mode::empty())?);
            let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            let mut copy = File::from(openat(to, name, new | flags, mode)?);
            std::io::copy(&mut source, &mut copy).map_err(errno_of)?;
            finish(&source.into(), &copy.into(), &status)
        }
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name)?;
            symlinkat(target.as_os_str(), to, name)?;
            finish_by_name(to, name, &status)
        }
        kind => {
            // A device that may not be made here is left out, as it could not be used either.
            match mknodat(to, name, kind, mode, status.st_rdev) {
                Ok(()) => finish_by_name(to, name, &status),
                Err(Errno::EPERM) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        }
    }
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> nix::Result<()> {
    let names = match xattr::list(from) {
        Err(Errno::ENOTSUP) => return Ok(()),
        result => result?,
    };
    for name in names {
        match xattr::set(to, &name, &xattr::get(from, &name)?) {
            // Labels and the like belong to the mount, or to somebody more privileged.
            Ok(()) | Err(Errno::ENOTSUP | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn times(status: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(status.st_atime, status.st_atime_nsec), TimeSpec::new(status.st_mtime, status.st_mtime_nsec))
}

fn finish(source: &OwnedFd, copy: &OwnedFd, status: &FileStat) -> anyhow::Result<()> {
    fchown(copy, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    // After chown, which takes set-user-id away.
    fchmod(copy, Mode::from_bits_truncate(status.st_mode & 0o7777))?;
    // After both: chown takes file capabilities away, chmod changes an ACL; and children inherit a default ACL.
    copy_attributes(source.as_fd(), copy.as_fd())?;
    let (accessed, modified) = times(status);
    Ok(futimens(copy, &accessed, &modified)?)
}

fn finish_by_name(to: &OwnedFd, name: &std::ffi::CStr, status: &FileStat) -> anyhow::Result<()> {
    let (owner, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchownat(to, name, Some(owner), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let (accessed, modified) = times(status);
    Ok(utimensat(to, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}
