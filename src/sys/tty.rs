//! Pseudo-terminals without paths.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// `ioctl(TIOCSPTLCK, 0)`: lets the other side of a pseudo-terminal be opened.
///
/// # Errors
/// ENOTTY when it is not the master of one.
pub fn unlock_peer(master: BorrowedFd<'_>) -> nix::Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the argument points to an int that lives during the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }).map(drop)
}

/// `ioctl(TIOCGPTPEER)`: opens the other side by its master, never by a path that somebody could replace
/// (CVE-2025-52565): [ioctl_tty(2)](https://man7.org/linux/man-pages/man2/TIOCGPTPEER.2const.html).
///
/// # Errors
/// EIO when it is still locked.
pub fn open_peer(master: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is an integer.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `ioctl(TIOCSWINSZ)`: the size in characters.
///
/// # Errors
/// ENOTTY when it is not a terminal.
pub fn set_size(terminal: BorrowedFd<'_>, height: u16, width: u16) -> nix::Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the argument points to a winsize that lives during the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}
