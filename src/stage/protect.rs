//! The runtime's own executable, out of the container's reach (CVE-2019-5736).
//!
//! A container that holds /proc/PID/exe of a process of ours could reopen it for writing and replace the host's
//! binary. Verbs that enter a container therefore run from a file that nobody can write: a detached, read-only
//! clone of the mount that the binary lies on, whose descriptor is closed before anything of the container is
//! joined (with the descriptor, `mount_setattr` could clear read-only again), or a sealed copy in memory.
//!
//! `sys::reexec` is ahead of this where it can be, with the same clone.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::FsFlags;

use crate::sys::{mount, process};

/// In the environment of the second, protected execution.
pub const MARKER: &str = "_RT_PROTECTED";

/// What the binary is called from.
const SELF: &CStr = c"/proc/self/exe";

/// The same for the standard library.
const SELF_PATH: &str = "/proc/self/exe";

/// Executes this program again from a protected copy of itself; returns once it runs from one.
///
/// Must come before any descriptor is opened and any thread started.
///
/// # Errors
/// When no way to protect the binary is there; the container is not entered then.
pub fn run_protected(args: &[OsString]) -> anyhow::Result<()> {
    if std::env::var_os(MARKER).is_some() {
        return check();
    }
    let file = match read_only_clone() {
        Ok(file) => file,
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES | Errno::EINVAL) => sealed_copy()?,
        Err(errno) => return Err(errno).context("clone the mount of rt's own executable"),
    };
    let args: Vec<_> = args.iter().filter_map(|arg| CString::new(arg.clone().into_vec()).ok()).collect();
    let mut env = process::environment();
    env.push(CString::new(format!("{MARKER}=1")).expect("no NUL in it"));
    Err(process::exec_fd(file.as_fd(), &args, &env)).context("execute the protected copy of rt")
}

/// The environment alone proves nothing: looks at the file that we run from.
fn check() -> anyhow::Result<()> {
    let read_only = nix::sys::statvfs::statvfs(SELF).context("statvfs of /proc/self/exe")?;
    if read_only.flags().contains(FsFlags::ST_RDONLY) {
        // The kernel names a process after the file it was executed from: here, that is a descriptor's number.
        let _ = nix::sys::prctl::set_name(c"rt");
        return Ok(());
    }
    let file = File::open(SELF_PATH).context("open /proc/self/exe")?;
    match fcntl(&file, FcntlArg::F_GET_SEALS) {
        Ok(seals) if SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_WRITE) => Ok(()),
        _ => bail!("the environment has {MARKER}, but rt does not run from a protected copy: unset it"),
    }
}

/// The mount that the binary lies on, detached and read-only.
fn read_only_clone() -> Result<OwnedFd, Errno> {
    let file = mount::open_tree(AT_FDCWD, SELF, mount::OPEN_TREE_CLONE)?;
    let read_only = mount::MountAttr { attr_set: libc::MOUNT_ATTR_RDONLY, ..mount::MountAttr::default() };
    mount::mount_setattr(file.as_fd(), c"", mount::AT_EMPTY_PATH, &read_only)?;
    Ok(file)
}

/// The binary in memory, sealed against writing.
fn sealed_copy() -> anyhow::Result<OwnedFd> {
    let mut source = File::open(SELF_PATH).context("open /proc/self/exe")?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut copy = File::from(memfd_create(c"rt", flags).context("memfd_create for a copy of rt")?);
    std::io::copy(&mut source, &mut copy).context("copy rt into memory")?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals)).context("seal the copy of rt")?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_early_way_knows_the_same_verbs_and_the_same_marker() {
        let early = include_str!("../sys/reexec.rs");
        assert!(early.contains(&format!("{MARKER}=1")));
        let entering =
            crate::cmd::VERBS.iter().map(|verb| verb.name).filter(|name| crate::cmd::enters_a_container(name));
        for name in entering {
            let letters = if name.len() < 4 { format!("{name}\\0") } else { name[..4].to_owned() };
            assert!(early.contains(&format!("letters(b\"{letters}\")")), "{name}");
        }
    }
}
