//! sd_notify(3) for containers: what the container says is passed on to the service manager that started `rt`.
//!
//! The container must not reach the manager's own socket: it could name any process of the host as MAINPID. It has a
//! socket in its state directory, and only what is about itself is passed on, with the right MAINPID.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, recv, sendto, socket};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, pipe2, unlinkat};

use crate::plan::notify::SOCKET;
use crate::sys::fd;

/// The variables of sd_notify(3) that a container may set. Not MAINPID, and nothing about the manager's own doings
/// with descriptors and watchdogs.
const PASSED_ON: &[&str] = &[
    "READY",
    "RELOADING",
    "MONOTONIC_USEC",
    "STOPPING",
    "STATUS",
    "ERRNO",
    "EXIT_STATUS",
    "WATCHDOG",
    "EXTEND_TIMEOUT_USEC",
];

/// sd_notify(3) sends less.
const LONGEST_MESSAGE: usize = 16 << 10;

/// How long the manager may take to read what was sent: when we have ended it no longer knows whose service it was.
const BARRIER_MS: u16 = 5_000;

/// The manager's socket, as NOTIFY_SOCKET of our own environment names it.
#[derive(Debug)]
pub struct ServiceManager(UnixAddr);

impl ServiceManager {
    /// Reads the variable; `None` when it is not set, or empty.
    ///
    /// # Errors
    /// When it is neither a path nor an abstract name (`@…`), or too long.
    pub fn of_environment() -> anyhow::Result<Option<ServiceManager>> {
        std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).map(ServiceManager::new).transpose()
    }

    fn new(name: OsString) -> anyhow::Result<ServiceManager> {
        let address = match name.as_bytes() {
            [b'/', ..] => UnixAddr::new(name.as_bytes()),
            [b'@', rest @ ..] => UnixAddr::new_abstract(rest),
            _ => Err(Errno::EAFNOSUPPORT),
        };
        address.map(ServiceManager).with_context(|| format!("NOTIFY_SOCKET={}", name.display()))
    }
}

/// The container's socket, and whom to tell.
pub struct Proxy {
    socket: OwnedFd,
    to_manager: OwnedFd,
    manager: ServiceManager,
}

impl Proxy {
    /// Opens the socket of a container that was created with a place for it; `None` for another one.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn listen(notify_directory: Option<OwnedFd>, manager: Option<ServiceManager>) -> anyhow::Result<Option<Proxy>> {
        let (Some(directory), Some(manager)) = (notify_directory, manager) else { return Ok(None) };
        let new = || socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        let listen = || {
            let (socket, to_manager) = (new()?, new()?);
            match unlinkat(&directory, SOCKET, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
            bind(socket.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
            // Whoever the container's program runs as.
            let mode = Mode::from_bits_truncate(0o777);
            fchmodat(&directory, SOCKET, mode, FchmodatFlags::FollowSymlink)?;
            Ok(Proxy { socket, to_manager, manager })
        };
        listen().map(Some).context("open the container's notify socket")
    }

    /// To wait for messages.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Passes one message on, if there is one; true when it says that the container is ready.
    pub fn pass_on(&self, main_pid: u32) -> bool {
        let mut text = vec![0; LONGEST_MESSAGE];
        // Descriptors in it are dropped.
        let Ok(length) = recv(self.socket.as_raw_fd(), &mut text, MsgFlags::MSG_DONTWAIT) else { return false };
        let (message, is_ready) = translate(&text[..length], main_pid);
        if !message.is_empty() {
            // A manager that is gone needs to hear nothing, and nobody else does.
            let _ = sendto(self.to_manager.as_raw_fd(), &message, &self.manager.0, MsgFlags::MSG_NOSIGNAL);
        }
        is_ready
    }

    /// Passes messages on until the container is ready, or has ended; then until the manager has read them.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn wait_until_ready(&self, init: BorrowedFd<'_>, main_pid: u32) -> anyhow::Result<()> {
        loop {
            let mut fds = [self.socket.as_fd(), init].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.context("poll")?,
            };
            let [said, ended] = fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
            if said && self.pass_on(main_pid) || ended && !said {
                return self.await_manager();
            }
        }
    }

    /// As sd_notify_barrier(3): the manager closes the descriptor that it gets, once it has read all that came before.
    fn await_manager(&self) -> anyhow::Result<()> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let sent = fd::send_to(self.to_manager.as_fd(), b"BARRIER=1", &[theirs.as_raw_fd()], &self.manager.0);
        drop(theirs);
        if sent.is_ok() {
            let mut fds = [PollFd::new(ours.as_fd(), PollFlags::empty())];
            // No older manager knows it, and it is only a courtesy.
            let _ = poll(&mut fds, PollTimeout::from(BARRIER_MS));
        }
        Ok(())
    }
}

/// What of a container's message is passed on, and whether it says that the container is ready.
fn translate(message: &[u8], main_pid: u32) -> (Vec<u8>, bool) {
    let mut passed = Vec::with_capacity(message.len());
    let mut is_ready = false;
    for line in message.split(|byte| *byte == b'\n') {
        let Some(end) = line.iter().position(|byte| *byte == b'=') else { continue };
        let value = &line[end + 1..];
        let is_known = PASSED_ON.iter().any(|name| name.as_bytes() == &line[..end]);
        // `WATCHDOG=trigger` would have the manager kill us.
        if !is_known || line.starts_with(b"WATCHDOG=") && value != b"1" {
            continue;
        }
        passed.extend([line, b"\n"].concat());
        if line == b"READY=1" {
            is_ready = true;
            passed.extend(format!("MAINPID={main_pid}\n").as_bytes());
        }
    }
    (passed, is_ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_container_is_passed_on() {
        for (said, passed, is_ready) in [
            ("READY=1", "READY=1\nMAINPID=42\n", true),
            ("STATUS=up = well\nREADY=1\nMAINPID=1\n", "STATUS=up = well\nREADY=1\nMAINPID=42\n", true),
            ("READY=0", "READY=0\n", false),
            ("MAINPID=1", "", false),
            ("FDSTORE=1\nFDNAME=x\nBARRIER=1\nNOTIFYACCESS=all", "", false),
            ("WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=1", "WATCHDOG=1\n", false),
            ("STOPPING=1\nERRNO=2", "STOPPING=1\nERRNO=2\n", false),
            ("nonsense\n\n=\n READY=1", "", false),
            ("", "", false),
        ] {
            assert_eq!(translate(said.as_bytes(), 42), (passed.as_bytes().to_vec(), is_ready), "{said:?}");
        }
    }

    #[test]
    fn a_manager_is_a_path_or_an_abstract_name() {
        for (name, is_one) in [("/run/systemd/notify", true), ("@abstract", true), ("vsock:2:1", false), ("x", false)] {
            assert_eq!(ServiceManager::new(name.into()).is_ok(), is_one, "{name}");
        }
        assert!(ServiceManager::new(format!("/{}", "x".repeat(200)).into()).is_err());
    }
}
