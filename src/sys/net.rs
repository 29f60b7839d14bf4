//! The one network operation that every new network namespace needs.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// `int ioctl(int fd, SIOCSIFFLAGS, struct ifreq *ifr);` for `lo`
/// — <https://man7.org/linux/man-pages/man7/netdevice.7.html>
///
/// Sets the loopback device of the caller's network namespace up. The kernel then adds 127.0.0.1 and ::1 itself.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN over the namespace, `ENODEV` without loopback device.
pub fn loopback_up() -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    let fd = Errno::result(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a successful socket() returns a new descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // A fresh device has no flag that would have to be kept.
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: `request` is an ifreq with a terminated name, as the request code says.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}
