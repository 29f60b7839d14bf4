//! Descriptors that come from outside: accepted, received, inherited; many that are closed at once; small files.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, UnixAddr, accept4, recvmsg, sendmsg};
use nix::sys::stat::Mode;

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

/// `int fcntl(int fd, F_DUPFD_CLOEXEC, int number);` — <https://man7.org/linux/man-pages/man2/F_DUPFD.2const.html>
///
/// Takes those of the numbers that are free, so that nothing else gets them, until execve(2) frees them again.
///
/// # Errors
/// `EINVAL` for a number above the limit of open files (RLIMIT_NOFILE), `EMFILE`.
pub fn reserve(numbers: Range<RawFd>) -> Result<(), Errno> {
    let mut placeholder = None;
    // From above: a number that is too large is known before the others are taken.
    for number in numbers.rev().filter(|number| !is_open(*number)) {
        let placeholder = match &placeholder {
            Some(placeholder) => placeholder,
            None => placeholder.insert(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?),
        };
        if placeholder.as_fd().as_raw_fd() != number {
            fcntl(placeholder, FcntlArg::F_DUPFD_CLOEXEC(number))?;
        }
    }
    std::mem::forget(placeholder);
    Ok(())
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

/// Reads a small regular file, or one that the kernel writes as one piece, in one call as a rule: less than was asked
/// for means its end. A table of the kernel's that is longer than a page, such as mountinfo, may come in shorter pieces.
///
/// # Errors
/// As read(2).
pub fn read_small(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut text = vec![0; 4096];
    let mut length = 0;
    loop {
        match nix::unistd::read(file, &mut text[length..]) {
            Ok(count) => {
                length += count;
                if length < text.len() {
                    text.truncate(length);
                    return Ok(text);
                }
                text.resize(2 * length, 0);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The same of a file by its path.
///
/// # Errors
/// As open(2) and read(2).
pub fn read_small_file(path: &Path) -> Result<Vec<u8>, Errno> {
    read_small(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.as_fd())
}

/// Descriptors that nobody needs any more, closed together when this is dropped: one call for each row of numbers.
#[derive(Debug, Default)]
pub struct Spent(Vec<OwnedFd>);

impl Spent {
    /// So many are kept open at most, however many there are.
    const AT_MOST: usize = 64;

    /// Takes one more.
    pub fn push(&mut self, fd: OwnedFd) {
        self.0.push(fd);
        if self.0.len() >= Spent::AT_MOST {
            self.close();
        }
    }

    fn close(&mut self) {
        let mut numbers: Vec<RawFd> = self.0.drain(..).map(IntoRawFd::into_raw_fd).collect();
        numbers.sort_unstable();
        for row in numbers.chunk_by(|one, next| one + 1 == *next) {
            let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
            // SAFETY: no pointers; all of the row was ours alone until a moment ago.
            let closed = Errno::result(unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0) });
            if closed.is_err() {
                // SAFETY: as above, and nothing of it is closed yet.
                row.iter().for_each(|number| drop(unsafe { OwnedFd::from_raw_fd(*number) }));
            }
        }
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_small_file_is_read_whole_however_small_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, 4095, 4096, 4097, 8192, 100_000] {
            let text: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read_small_file(&path), Ok(text), "{length} bytes");
        }
        assert_eq!(read_small_file(&folder.path().join("none")), Err(Errno::ENOENT));
    }

    #[test]
    fn spent_descriptors_are_closed_and_those_between_them_stay() {
        // Another test's thread may take a number as soon as it is free: what is told apart is the file.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut files: Vec<OwnedFd> = (0..200).map(|_| File::create(&path).unwrap().into()).collect();
        let open = || {
            let links = std::fs::read_dir("/proc/self/fd").unwrap();
            links.filter(|link| std::fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
        };
        assert_eq!(open(), 200);
        let kept = files.remove(30);
        let mut spent = Spent::default();
        files.into_iter().for_each(|file| spent.push(file));
        assert_eq!(open(), 1 + 199 % Spent::AT_MOST, "only so many are kept open");
        drop(spent);
        assert_eq!(open(), 1);
        assert!(is_open(kept.as_raw_fd()));
    }

    #[test]
    fn reserved_numbers_are_taken_until_the_next_program_begins() {
        let file = File::open("/").unwrap();
        let given = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(702)).unwrap();
        set_inheritable(given, true).unwrap();
        let begin = given - 2;
        reserve(begin..given + 3).unwrap();
        for number in begin..given + 3 {
            assert!(is_open(number), "{number}");
            // SAFETY: asking for the flags of any number is harmless.
            let closes = unsafe { libc::fcntl(number, libc::F_GETFD) } & libc::FD_CLOEXEC != 0;
            assert_eq!(closes, number != given, "{number}: what was open stays as it is");
        }
        assert_eq!(reserve(begin..i32::MAX), Err(Errno::EINVAL));
    }
}
