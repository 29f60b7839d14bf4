//! Descriptors that come from outside: accepted, received, inherited.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, UnixAddr, accept4, recvmsg, sendmsg};

/// `int accept4(int sockfd, NULL, NULL, SOCK_CLOEXEC);` — <https://man7.org/linux/man-pages/man2/accept4.2.html>
///
/// # Errors
/// `EINTR`, `ECONNABORTED`, `EMFILE`.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: a successful call returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `sendmsg` with `SCM_RIGHTS` — <https://man7.org/linux/man-pages/man7/unix.7.html>
///
/// # Errors
/// `EPIPE`, `ENOTCONN`, `ETOOMANYREFS`.
pub fn send(socket: BorrowedFd<'_>, text: &[u8], fds: &[RawFd]) -> Result<(), Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(text)], &rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// As `send`, to an address.
///
/// # Errors
/// As `send`; `ECONNREFUSED` and `ENOENT` when nobody is there.
pub fn send_to(socket: BorrowedFd<'_>, text: &[u8], fds: &[RawFd], to: &UnixAddr) -> Result<(), Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(text)], &rights, MsgFlags::MSG_NOSIGNAL, Some(to)).map(drop)
}

/// As `send`, on a stream that may take the text in pieces: the descriptors go with the first.
///
/// # Errors
/// As `send`; `EAGAIN` when the other side takes nothing for as long as the socket's `SO_SNDTIMEO`.
pub fn send_all(socket: BorrowedFd<'_>, text: &[u8], fds: &[RawFd]) -> Result<(), Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    let (mut control, mut rest) = (rights.as_slice(), text);
    while !rest.is_empty() {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(rest)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(sent) => (control, rest) = (&[], &rest[sent..]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// `recvmsg` with `SCM_RIGHTS` — <https://man7.org/linux/man-pages/man7/unix.7.html>
///
/// Takes one message with one descriptor; the text is dropped.
///
/// # Errors
/// `ENODATA` when the other side has closed, or sent no descriptor.
pub fn receive(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    receive_into(socket, &mut [0; 4096])?.1.ok_or(Errno::ENODATA)
}

/// `recvmsg` of one message into `buffer`, with the descriptor that came with it, if one did
/// — <https://man7.org/linux/man-pages/man7/unix.7.html>
///
/// # Errors
/// `EINTR`, `ECONNRESET`, `EMSGSIZE` for a message that does not fit.
pub fn receive_into(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = message.cmsgs()?.filter_map(|control| match control {
        // SAFETY: the kernel has just made these descriptors for us.
        ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
        _ => None,
    });
    let fd = received.next();
    if message.flags.contains(MsgFlags::MSG_TRUNC) { Err(Errno::EMSGSIZE) } else { Ok((message.bytes, fd)) }
}

/// `int fcntl(int fd, F_SETFD, int flags);` — <https://man7.org/linux/man-pages/man2/F_SETFD.2const.html>
///
/// Whether the descriptor with this number survives an exec.
///
/// # Errors
/// `EBADF`.
pub fn set_inheritable(fd: RawFd, inheritable: bool) -> Result<(), Errno> {
    let flags = if inheritable { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: only flags of the descriptor change.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }).map(drop)
}

/// `int fcntl(int fd, F_GETFD);` — <https://man7.org/linux/man-pages/man2/F_GETFD.2const.html>
///
/// Whether the descriptor with this number is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: asking for the flags of any number is harmless.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// `int dup2(int oldfd, int newfd);` for the three standard streams
/// — <https://man7.org/linux/man-pages/man2/dup2.2.html>
///
/// # Errors
/// `EINTR`, `EBUSY`.
pub fn make_standard_streams(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    for standard in 0..=2 {
        // SAFETY: Rust's own owners of 0 to 2 never close them.
        Errno::result(unsafe { libc::dup2(terminal.as_raw_fd(), standard) })?;
    }
    Ok(())
}
