//! The start gate: where INIT waits between `rt create` and `rt start`.
//!
//! A listening socket named `start` in the container's state directory. INIT holds the listener and accepts one
//! connection; `rt start` connects, unlinks the name, and only then says Start. So the name is there exactly as long
//! as the container is `created`, and whoever is killed in between leaves a container that is stopped, not one that
//! looks created and runs. Everything goes by the directory's descriptor: a socket's address holds 107 bytes only,
//! a state directory's path may be longer.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::sync::Channel;
use crate::sys::fd::accept;

/// Name of the gate in the state directory.
pub const NAME: &str = "start";

/// Puts up the gate; the listener is INIT's.
///
/// # Errors
/// What socket, bind and listen say.
pub fn create(state_directory: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
    let listener = new_socket()?;
    bind(listener.as_raw_fd(), &address(state_directory)?).context("bind the start gate")?;
    listen(&listener, Backlog::new(1).expect("1 is a valid backlog")).context("listen at the start gate")?;
    Ok(listener)
}

/// Waits in INIT until somebody comes through.
///
/// # Errors
/// What accept4 says.
pub fn wait(listener: BorrowedFd<'_>) -> anyhow::Result<Channel> {
    loop {
        match accept(listener) {
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            other => return other.map(Channel::from_fd).context("wait at the start gate"),
        }
    }
}

/// Opens the gate from outside, and takes its name away.
///
/// # Errors
/// `ENOENT` when the container was started before, `ECONNREFUSED` when INIT is gone.
pub fn open(state_directory: BorrowedFd<'_>) -> Result<Channel, Errno> {
    let stream = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    let address = UnixAddr::new(path(state_directory).as_str())?;
    connect(stream.as_raw_fd(), &address)?;
    unlinkat(state_directory, NAME, UnlinkatFlags::NoRemoveDir)?;
    Ok(Channel::from_fd(stream))
}

fn new_socket() -> anyhow::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).context("socket for the start gate")
}

fn address(state_directory: BorrowedFd<'_>) -> anyhow::Result<UnixAddr> {
    UnixAddr::new(path(state_directory).as_str()).context("address of the start gate")
}

fn path(state_directory: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}/{NAME}", state_directory.as_raw_fd())
}
