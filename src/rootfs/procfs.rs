//! The host's procfs by a descriptor that was checked once: what a container mounts over /proc changes nothing
//! (CVE-2019-16884, CVE-2025-52881).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::write;

use crate::plan::rootfs::Sysctl;
use crate::sys::fd::read_small;

/// The root directory of a real procfs.
#[derive(Debug)]
pub struct ProcFs(OwnedFd);

/// PROC_ROOT_INO of the kernel.
const ROOT_INODE: u64 = 1;

impl ProcFs {
    /// Opens /proc, for the runtime before clone.
    ///
    /// # Errors
    /// ENODEV when it is no procfs, or only a part of one.
    pub fn open() -> anyhow::Result<ProcFs> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let fd = open("/proc", flags, Mode::empty()).context("open /proc")?;
        let is_root = fstat(&fd).context("stat /proc")?.st_ino == ROOT_INODE;
        if !is_root || fstatfs(&fd).context("stat /proc")?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Errno::ENODEV).context("/proc is not the root of a procfs");
        }
        Ok(ProcFs(fd))
    }

    /// The directory itself.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Opens a file of it, like `self/attr/exec` or `sys/net/ipv4/ip_forward`: never anything that is mounted over
    /// it, nor what a magic link leads to.
    ///
    /// # Errors
    /// As openat2(2); EXDEV when something is mounted there.
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OFlag) -> nix::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        loop {
            match openat2(&self.0, path.as_ref(), OpenHow::new().flags(flags).resolve(resolve)) {
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
    }

    /// Reads a short file of it, in one read(2) as a rule.
    ///
    /// # Errors
    /// As openat2(2) and read(2).
    pub fn read(&self, path: impl AsRef<Path>) -> nix::Result<Vec<u8>> {
        read_small(self.open_file(path, OFlag::O_RDONLY)?.as_fd())
    }

    /// Writes to a file of it, in one write(2).
    ///
    /// # Errors
    /// As openat2(2) and write(2).
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> nix::Result<()> {
        let file = self.open_file(path, OFlag::O_WRONLY)?;
        let written = write(&file, bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(Errno::EIO) }
    }
}

/// Sets kernel parameters.
///
/// # Errors
/// The parameter, its value, and the kernel's reason.
pub fn apply_sysctl(procfs: &ProcFs, parameters: &[Sysctl]) -> anyhow::Result<()> {
    for parameter in parameters {
        procfs
            .write(&parameter.path, parameter.value.as_bytes())
            .with_context(|| format!("config.json: {}: {parameter}", parameter.pointer()))?;
    }
    Ok(())
}
