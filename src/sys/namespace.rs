//! What a namespace's descriptor says about itself.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `int ioctl(int fd, NS_GET_NSTYPE);` — <https://man7.org/linux/man-pages/man2/NS_GET_NSTYPE.2const.html>
///
/// The `CLONE_NEW*` flag of the namespace.
///
/// # Errors
/// `ENOTTY` for a file that is no namespace.
pub fn type_of(namespace: BorrowedFd<'_>) -> Result<libc::c_int, Errno> {
    // _IO(0xb7, 3), from linux/nsfs.h
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the request takes no argument.
    Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) })
}
