//! The terminal: a pseudo-terminal of the container's own devpts, and /dev/console.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Uid, fchown};

use super::device::file_type;
use super::resolve::{self, Symlinks};
use super::{Root, place};
use crate::sys;
use crate::sys::mount::{AT_EMPTY_PATH, OPEN_TREE_CLONE, open_tree};

const DEVPTS_SUPER_MAGIC: FsType = FsType(0x1cd1);

/// Both sides of a terminal.
#[derive(Debug)]
pub struct Console {
    /// For whoever shows it.
    pub master: OwnedFd,
    /// For the container's process.
    pub slave: OwnedFd,
}

impl Root {
    /// Makes a pseudo-terminal on the container's /dev/pts; it belongs to `uid` (of the container), and its group
    /// stays the one that devpts was mounted with. `size` is height and width in characters.
    ///
    /// # Errors
    /// A /dev/pts/ptmx that is not on a devpts, and those of the terminal.
    pub fn open_console(&self, uid: u32, size: Option<(u16, u16)>) -> anyhow::Result<Console> {
        let master = self.open_ptmx().context("open /dev/pts/ptmx")?;
        sys::tty::unlock_peer(master.as_fd()).context("unlock the terminal")?;
        // Never by the path /dev/pts/N: it could have been replaced (CVE-2025-52565).
        let slave = sys::tty::open_peer(master.as_fd()).context("open the terminal")?;
        if let Some((height, width)) = size {
            sys::tty::set_size(slave.as_fd(), height, width).context("set the size of the terminal")?;
        }
        if uid != 0 {
            fchown(&slave, Some(Uid::from_raw(uid)), None).context("set the owner of the terminal")?;
        }
        Ok(Console { master, slave })
    }

    fn open_ptmx(&self) -> anyhow::Result<OwnedFd> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
        match resolve::open_with(self.fd.as_fd(), Path::new("/dev/pts/ptmx"), flags, Symlinks::Refuse) {
            Ok(master) => {
                let magic = fstatfs(&master)?.filesystem_type();
                if magic != DEVPTS_SUPER_MAGIC {
                    return Err(Errno::ENODEV).context("it is not on a devpts");
                }
                Ok(master)
            }
            // A container without a /dev/pts gets one of the host's.
            Err(Errno::ENOENT) => Ok(open("/dev/ptmx", flags | OFlag::O_CLOEXEC, Mode::empty())?),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Binds the terminal to /dev/console.
    ///
    /// # Errors
    /// A /dev, or a /dev/console, that is a symlink or a directory.
    pub fn bind_console(&self, slave: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.place_console(slave).context("bind the terminal on /dev/console")
    }

    fn place_console(&self, slave: BorrowedFd<'_>) -> anyhow::Result<()> {
        let dev = self.open_dev()?;
        let name = OsStr::new("console");
        let target = match resolve::create_file(dev.as_fd(), name, 0o600) {
            Err(Errno::EEXIST) => {
                let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let there = openat(&dev, name, flags, Mode::empty())?;
                if file_type(&fstat(&there)?) == SFlag::S_IFLNK {
                    return Err(Errno::ELOOP).context("it is a symlink");
                }
                there
            }
            result => result?,
        };
        let tree = open_tree(slave, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH)?;
        place(tree.as_fd(), target.as_fd())
    }
}
