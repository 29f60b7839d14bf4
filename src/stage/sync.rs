//! The protocol between RUNTIME, SETUP and INIT: typed frames over one SEQPACKET socket.
//!
//! ```text
//! RUNTIME                             INIT (or SETUP)
//!    ◀──────── IdMapPlease ───────────   only SETUP asks: whoever clones with CLONE_NEWUSER need not
//!    ───────── IdMapDone ────────────▶   only with a new user namespace
//!    ◀──────── Cloned{pid} ───────────   only SETUP: it has made INIT
//!    ◀──────── CgroupPlease ──────────   only JOIN, where it could not be cloned into the cgroup
//!    ───────── CgroupReady{paths} ───▶   only where somebody else moves INIT (systemd)
//!    ◀──────── HooksPlease{pid} ──────   only with prestart, createRuntime or createContainer hooks
//!    ───────── HooksDone{state} ─────▶
//!    ◀──────── Notify{fd} ────────────   only with SCMP_ACT_NOTIFY: the next is seccomp(2)
//!    ───────── NotifyTaken ──────────▶
//!    ◀──────── Warning{text} ─────────   any number, any time
//!    ◀──────── Ready{pid} ────────────
//!    ───────── Committed ────────────▶   INIT no longer dies with RUNTIME
//!    ◀──────── Detached ──────────────   RUNTIME may end; INIT waits at the start gate
//!    ───────── Start{state} ─────────▶   over the gate's connection, or here with `rt run`
//!    ◀──────── Executing ─────────────   the next is execve: end of file then tells that it worked
//!    ◀──────── Failed{step, …} ───────   instead of anything else
//! ```
//! End of file anywhere else tells that the other side is gone.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};

/// What one process tells another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// SETUP has made a user namespace: write the maps, please.
    IdMapPlease,
    /// The maps are written.
    IdMapDone,
    /// SETUP has cloned INIT; the pid is that of RUNTIME's own pid namespace.
    Cloned {
        /// Pid of INIT.
        pid: i32,
    },
    /// JOIN could not be cloned into the container's cgroup: somebody else must move it.
    CgroupPlease,
    /// INIT is in its cgroup.
    CgroupReady {
        /// Where that is, as `CgroupPaths::to_bytes` writes it.
        paths: Vec<u8>,
    },
    /// The environment is made, the root not yet pivoted: it is the hooks' turn.
    HooksPlease {
        /// INIT's pid, as it sees itself.
        pid: i32,
    },
    /// The runtime's hooks have run.
    HooksDone {
        /// The container's state as JSON, for the hooks that INIT runs.
        state: Vec<u8>,
    },
    /// A filter with a listener is about to be loaded. Afterwards nothing can be said that the filter may not stop.
    Notify {
        /// The number that the listener will have.
        fd: i32,
    },
    /// RUNTIME has the listener, and answers until it hands it out.
    NotifyTaken,
    /// Something worth telling that stops nobody.
    Warning {
        /// One line.
        text: String,
    },
    /// Everything but the user's program is done.
    Ready {
        /// INIT's pid, as it sees itself.
        pid: i32,
    },
    /// The state is on disk.
    Committed,
    /// INIT no longer dies with RUNTIME: without this answer, RUNTIME could end too early.
    Detached,
    /// Run the user's program.
    Start {
        /// The container's state as JSON, for the startContainer hooks.
        state: Vec<u8>,
    },
    /// INIT is about to become the user's program.
    Executing,
    /// It did not work.
    Failed {
        /// Name of the step.
        step: String,
        /// The kernel's error number; 0 when the kernel said nothing.
        errno: i32,
        /// Operation, object, cause.
        text: String,
    },
}

/// The largest frame: a container's state with all its annotations must fit.
const FRAME_LIMIT_BYTES: usize = 1 << 20;

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut frame = vec![self.tag()];
        match self {
            Message::IdMapPlease
            | Message::IdMapDone
            | Message::NotifyTaken
            | Message::CgroupPlease
            | Message::Committed
            | Message::Detached
            | Message::Executing => {}
            Message::Notify { fd } => frame.extend(fd.to_ne_bytes()),
            Message::Cloned { pid } | Message::HooksPlease { pid } | Message::Ready { pid } => {
                frame.extend(pid.to_ne_bytes())
            }
            Message::HooksDone { state } | Message::Start { state } => frame.extend(state),
            Message::CgroupReady { paths } => frame.extend(paths),
            Message::Warning { text } => frame.extend(text.as_bytes()),
            Message::Failed { step, errno, text } => {
                frame.extend(errno.to_ne_bytes());
                frame.push(step.len().min(255) as u8);
                frame.extend(step.bytes().take(255));
                frame.extend(text.as_bytes());
            }
        }
        frame
    }

    fn tag(&self) -> u8 {
        match self {
            Message::IdMapPlease => 1,
            Message::IdMapDone => 2,
            Message::Cloned { .. } => 3,
            Message::CgroupReady { .. } => 4,
            Message::HooksPlease { .. } => 5,
            Message::HooksDone { .. } => 6,
            Message::Warning { .. } => 7,
            Message::Ready { .. } => 8,
            Message::Committed => 9,
            Message::Start { .. } => 10,
            Message::Failed { .. } => 11,
            Message::Detached => 12,
            Message::Executing => 13,
            Message::Notify { .. } => 14,
            Message::NotifyTaken => 15,
            Message::CgroupPlease => 16,
        }
    }

    fn decode(frame: &[u8]) -> Option<Message> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (tag, body) = frame.split_first()?;
        Some(match tag {
            1 => Message::IdMapPlease,
            2 => Message::IdMapDone,
            3 => Message::Cloned { pid: i32::from_ne_bytes(body.try_into().ok()?) },
            4 => Message::CgroupReady { paths: body.to_vec() },
            5 => Message::HooksPlease { pid: i32::from_ne_bytes(body.try_into().ok()?) },
            6 => Message::HooksDone { state: body.to_vec() },
            7 => Message::Warning { text: text(body) },
            8 => Message::Ready { pid: i32::from_ne_bytes(body.try_into().ok()?) },
            9 => Message::Committed,
            10 => Message::Start { state: body.to_vec() },
            11 => {
                let (errno, rest) = body.split_at_checked(4)?;
                let (length, rest) = rest.split_first()?;
                let (step, cause) = rest.split_at_checked(usize::from(*length))?;
                Message::Failed {
                    step: text(step),
                    errno: i32::from_ne_bytes(errno.try_into().ok()?),
                    text: text(cause),
                }
            }
            12 => Message::Detached,
            13 => Message::Executing,
            14 => Message::Notify { fd: i32::from_ne_bytes(body.try_into().ok()?) },
            15 => Message::NotifyTaken,
            16 => Message::CgroupPlease,
            0 | 17..=u8::MAX => return None,
        })
    }
}

/// One end of the socket.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// Room for the largest frame, from the first one on; no memory before it is written to.
    frame: RefCell<Vec<u8>>,
}

impl Channel {
    /// Makes both ends, close-on-exec.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn pair() -> anyhow::Result<(Channel, Channel)> {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context("socketpair for the stages")?;
        Ok((Channel::from_fd(one), Channel::from_fd(other)))
    }

    /// Takes a connected SEQPACKET socket.
    pub fn from_fd(socket: OwnedFd) -> Channel {
        Channel { socket, frame: RefCell::default() }
    }

    /// The socket itself, to wait for it.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.socket.as_fd()
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `EPIPE` when the other process is gone, `EMSGSIZE` for a state of unreasonable size.
    pub fn send(&self, message: &Message) -> anyhow::Result<()> {
        let frame = message.encode();
        if frame.len() > FRAME_LIMIT_BYTES {
            bail!("a message of {} bytes is over the limit of {FRAME_LIMIT_BYTES}", frame.len());
        }
        loop {
            let sent =
                sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&frame)], &[], MsgFlags::MSG_NOSIGNAL, None);
            match sent {
                Err(Errno::EINTR) => {}
                other => return other.map(drop).context("send to the other stage"),
            }
        }
    }

    /// Takes a message that is there already; `None` when there is none, or the other side has closed.
    pub fn receive_now(&self) -> Option<Message> {
        self.receive_with(MsgFlags::MSG_DONTWAIT).ok().flatten()
    }

    /// Waits for one message; `None` when the other side has closed.
    ///
    /// # Errors
    /// A frame that is none of the protocol.
    pub fn receive(&self) -> anyhow::Result<Option<Message>> {
        self.receive_with(MsgFlags::empty())
    }

    fn receive_with(&self, flags: MsgFlags) -> anyhow::Result<Option<Message>> {
        let mut frame = self.frame.borrow_mut();
        if frame.is_empty() {
            *frame = vec![0; FRAME_LIMIT_BYTES];
        }
        let length = loop {
            match recv(self.socket.as_raw_fd(), &mut frame, flags | MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                // A process that was killed with frames unread resets the connection.
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
                other => break other.context("receive from the other stage")?,
            }
        };
        frame.get(..length).and_then(Message::decode).map(Some).context("a message that is none of the protocol")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Message> {
        vec![
            Message::IdMapPlease,
            Message::IdMapDone,
            Message::Cloned { pid: 4711 },
            Message::CgroupPlease,
            Message::CgroupReady { paths: b"memory\0/a\0\0/b".to_vec() },
            Message::HooksPlease { pid: 1 },
            Message::HooksDone { state: b"{}".to_vec() },
            Message::Notify { fd: 4 },
            Message::NotifyTaken,
            Message::Warning { text: "careful".into() },
            Message::Ready { pid: 7 },
            Message::Committed,
            Message::Detached,
            Message::Executing,
            Message::Start { state: Vec::new() },
            Message::Failed { step: "mounts".into(), errno: 13, text: "mount: permission denied".into() },
        ]
    }

    #[test]
    fn every_message_survives_the_wire() {
        let (one, other) = Channel::pair().unwrap();
        for message in one_of_each() {
            one.send(&message).unwrap();
            assert_eq!(other.receive().unwrap(), Some(message));
        }
        drop(one);
        assert_eq!(other.receive().unwrap(), None);
    }

    #[test]
    fn frames_that_are_none_are_refused_and_never_panic() {
        for message in one_of_each() {
            let frame = message.encode();
            for cut in 0..frame.len() {
                let _ = Message::decode(&frame[..cut]);
            }
        }
        assert_eq!(Message::decode(&[]), None);
        assert_eq!(Message::decode(&[0]), None);
        assert_eq!(Message::decode(&[255, 1, 2]), None);
        assert_eq!(Message::decode(&[11, 0, 0, 0, 0, 9, b'x']), None);
        assert_eq!(Message::decode(&[3, 1]), None);
    }

    #[test]
    fn a_long_state_fits() {
        let (one, other) = Channel::pair().unwrap();
        let message = Message::Start { state: vec![b'x'; 150_000] };
        one.send(&message).unwrap();
        assert_eq!(other.receive().unwrap(), Some(message));
    }
}
