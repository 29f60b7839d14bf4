//! Terminals and sockets: what the caller wants to have sent to a socket, and the caller's own terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_socket, setsockopt, socket, sockopt,
};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::sys::{fd, process};

/// How long whoever listens may take to accept a connection, or to make room.
const PATIENCE_SECS: i64 = 10;

/// Connects to the socket that wants the terminal's master.
///
/// # Errors
/// What connect(2) says, with the path.
pub fn connect(path: &Path) -> anyhow::Result<OwnedFd> {
    connect_stream(path).with_context(|| format!("connect to --console-socket {}", path.display()))
}

/// Sends a pidfd to `--pidfd-socket`.
///
/// # Errors
/// What connect(2) and sendmsg(2) say.
pub fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>) -> anyhow::Result<()> {
    connect_stream(path)
        .and_then(|stream| fd::send(stream.as_fd(), b"pidfd", &[pidfd.as_raw_fd()]))
        .with_context(|| format!("send the pidfd to --pidfd-socket {}", path.display()))
}

/// Connects to a stream socket.
///
/// # Errors
/// What connect(2) says; `EAGAIN` when nobody accepts the connection for 10 seconds, as later when nobody reads.
pub fn connect_stream(path: &Path) -> Result<OwnedFd, Errno> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&stream, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE_SECS))?;
    // A path that is too long for a socket's address is reached by its directory's descriptor.
    let address = match UnixAddr::new(path) {
        Ok(address) => return connect_socket(stream.as_raw_fd(), &address).map(|()| stream),
        Err(Errno::ENAMETOOLONG) => path,
        Err(errno) => return Err(errno),
    };
    let (Some(directory), Some(name)) = (address.parent(), address.file_name()) else {
        return Err(Errno::ENAMETOOLONG);
    };
    let directory = nix::fcntl::open(
        directory,
        nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    connect_socket(stream.as_raw_fd(), &UnixAddr::new(&short)?).map(|()| stream)
}

/// The caller's terminal in raw mode, until it is dropped.
pub struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// Sets stdin raw, when it is a terminal.
    ///
    /// # Errors
    /// What tcsetattr says.
    pub fn of_stdin() -> anyhow::Result<Option<RawTerminal>> {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Ok(None) };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSANOW, &raw).context("set the terminal raw")?;
        let terminal = stdin.as_fd().try_clone_to_owned().context("dup of stdin")?;
        Ok(Some(RawTerminal { terminal, before }))
    }

    /// Gives the container's terminal the size of the caller's.
    pub fn copy_size_to(&self, master: BorrowedFd<'_>) {
        // A terminal that has no size, or is gone, changes nothing.
        if let Ok(size) = process::window_size(self.terminal.as_fd()) {
            let _ = process::set_window_size(master, &size);
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
