//! The files of cgroups: small, read whole, written by one write each.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::sys::fd;

/// Opens a file for writing; never makes one.
pub fn open_for_writing(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens a directory as a place only: for CLONE_INTO_CGROUP and bpf(2).
pub fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Writes `value` in one go: each write is a command for the kernel.
pub fn write_to(fd: &OwnedFd, value: &str) -> Result<(), Errno> {
    loop {
        match nix::unistd::write(fd, value.as_bytes()) {
            Ok(written) if written == value.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Opens a file and writes `value` to it.
pub fn write(path: &Path, value: &str) -> Result<(), Errno> {
    write_to(&open_for_writing(path)?, value)
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<String, Errno> {
    let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match nix::unistd::read(&fd, &mut buffer) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads a file of one value, which the kernel gives in one piece: there is no second read to see its end.
pub fn read_value(path: &Path) -> Result<String, Errno> {
    fd::read_small_file(path).map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// The value of `key` in a file of lines `key value`, such as cgroup.events.
pub fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}
