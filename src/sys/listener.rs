//! The descriptor that answers `SECCOMP_RET_USER_NOTIF`: found in another process, and served.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

const NOTIF_RECV: libc::c_ulong = 0xc050_2100; // SECCOMP_IOCTL_NOTIF_RECV
const NOTIF_SEND: libc::c_ulong = 0xc018_2101; // SECCOMP_IOCTL_NOTIF_SEND
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102; // SECCOMP_IOCTL_NOTIF_ID_VALID

/// `struct seccomp_notif` has 80 bytes; a later kernel's may have more.
const NOTIFICATION_WORDS: usize = 64;

/// `int pidfd_getfd(int pidfd, int targetfd, unsigned int flags);`
/// — <https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html>
///
/// A duplicate of another process's descriptor, close-on-exec.
///
/// # Errors
/// `EBADF` when that process has no such descriptor, `EPERM` without ptrace's permission over it, `ESRCH` when it has
/// ended.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, target: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), target, 0) };
    // SAFETY: a successful call returns a new descriptor.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Whether a descriptor is a seccomp listener: nothing else answers to its requests, and no question has the number 0.
///
/// [seccomp_unotify(2)](https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html)
pub fn is_listener(fd: BorrowedFd<'_>) -> bool {
    let id = 0_u64;
    // SAFETY: the request reads 8 bytes.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), NOTIF_ID_VALID, &raw const id) };
    Errno::result(result).err() == Some(Errno::ENOENT)
}

/// Takes one question off a seccomp listener and answers that the kernel may go on with the call; waits for a question
/// when there is none.
///
/// ```c
/// int ioctl(int fd, SECCOMP_IOCTL_NOTIF_RECV, struct seccomp_notif *req);
/// int ioctl(int fd, SECCOMP_IOCTL_NOTIF_SEND, struct seccomp_notif_resp *resp);
/// ```
/// [seccomp_unotify(2)](https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html), with
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
///
/// # Errors
/// `EINTR`. That whoever asked is gone (`ENOENT`) is none.
pub fn let_pass(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    const CONTINUE: u64 = 1;
    let mut notification = [0_u64; NOTIFICATION_WORDS];
    // SAFETY: the request writes 80 bytes, and wants them zero.
    let received = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, notification.as_mut_ptr()) };
    match Errno::result(received) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other?,
    };
    // id, val, then error and flags in one word.
    let flags = if cfg!(target_endian = "big") { CONTINUE } else { CONTINUE << 32 };
    let response = [notification[0], 0, flags];
    // SAFETY: the request reads 24 bytes.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, response.as_ptr()) };
    match Errno::result(sent) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
