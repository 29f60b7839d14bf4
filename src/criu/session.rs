//! One `criu swrk`, one request: the question, what happens meanwhile, the answer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};

use super::options::Options;
use super::wire::{self, Writer};
use crate::sys::{fd, process};

/// More than any answer: the longest holds one line of text.
const ANSWER_BYTES: usize = 64 * 1024;

/// What CRIU is asked for, by its number in rpc.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Freeze the processes into files.
    Dump = 1,
    /// Bring them back.
    Restore = 2,
    /// Copy the memory, and let them go on.
    PreDump = 4,
}

/// CRIU tells of a stage on its way, and waits for the answer.
const NOTIFY: i64 = 6;

/// A stage on the way, and who it is about.
#[derive(Debug)]
pub struct Event {
    /// `setup-namespaces`, `post-restore`, …: the names of criu(8)'s action scripts.
    pub name: String,
    /// The init of the container, as seen from here; 0 where there is none yet.
    pub pid: i32,
    /// With `orphan-pts-master`: the terminal's master.
    pub fd: Option<OwnedFd>,
}

/// A running `criu swrk`.
pub struct Session {
    child: Child,
    socket: OwnedFd,
}

/// A request that CRIU could not fulfil: its log says why.
#[derive(Debug)]
pub struct Refused {
    /// What CRIU said beside it.
    pub message: Option<String>,
}

struct Answer {
    kind: i64,
    success: bool,
    event: Event,
    message: Option<String>,
}

impl Session {
    /// Starts `criu` from the PATH, with the descriptors that `options` name.
    ///
    /// # Errors
    /// When there is none, or it cannot be executed.
    pub fn start(options: &Options) -> anyhow::Result<Session> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context("socketpair for criu")?;
        let passed: Vec<i32> = options.descriptors().into_iter().chain([theirs.as_raw_fd()]).collect();
        for number in &passed {
            fd::set_inheritable(*number, true).with_context(|| format!("pass descriptor {number} on to criu"))?;
        }
        let mut command = Command::new("criu");
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        // Its words are in its log; ours alone belong on standard error. Standard input and output may be the
        // container's, to be inherited.
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        // Not the mask of a restore in the foreground, which holds all signals back.
        process::reset_signals_of(&mut command);
        let child = command.spawn().map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => anyhow!("checkpoint and restore need criu(8): there is none in the PATH"),
            Some(errno) => anyhow!(Errno::from_raw(errno)).context("execute criu"),
            None => anyhow!(error).context("execute criu"),
        })?;
        // No hook gets them.
        for number in passed.iter().filter(|number| **number > 2) {
            fd::set_inheritable(*number, false).with_context(|| format!("keep descriptor {number} to ourselves"))?;
        }
        Ok(Session { child, socket: ours })
    }

    /// Asks, tells `hear` of every stage, and waits for the end. An error of `hear` makes CRIU give up.
    ///
    /// # Errors
    /// The error of `hear`; or that CRIU has ended without an answer. The inner one is CRIU's own refusal.
    pub fn ask(
        mut self,
        request: Request,
        options: &Options,
        hear: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<Result<(), Refused>> {
        let mut question = Writer::default();
        question.number(1, request as i64).message(2, &options.encode());
        self.say(&question)?;
        let mut failed = None;
        let outcome = loop {
            let Some(answer) = self.hear()? else { break Err(Refused { message: None }) };
            if answer.kind != NOTIFY {
                break if answer.success { Ok(()) } else { Err(Refused { message: answer.message }) };
            }
            let heard = if failed.is_none() { hear(answer.event) } else { Ok(()) };
            failed = failed.or(heard.err());
            let mut reply = Writer::default();
            reply.number(1, NOTIFY).number(3, i64::from(failed.is_none()));
            self.say(&reply)?;
        };
        drop(self.socket);
        self.child.wait().context("wait for criu")?;
        match failed {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    fn say(&self, message: &Writer) -> anyhow::Result<()> {
        match send(self.socket.as_raw_fd(), message.bytes(), MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => Ok(()),
            // It has ended; what it had to say can still be read.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno).context("send to criu"),
        }
    }

    /// The next answer; `None` at the end.
    fn hear(&self) -> anyhow::Result<Option<Answer>> {
        let mut buffer = vec![0; ANSWER_BYTES];
        let (length, fd) = match receive(self.socket.as_fd(), &mut buffer) {
            Err(Errno::ECONNRESET) | Ok((0, _)) => return Ok(None),
            other => other.context("receive from criu")?,
        };
        Answer::read(&buffer[..length], fd).context("an answer of criu").map(Some)
    }
}

impl Answer {
    fn read(message: &[u8], fd: Option<OwnedFd>) -> anyhow::Result<Answer> {
        let event = Event { name: String::new(), pid: 0, fd };
        let mut answer = Answer { kind: -1, success: false, event, message: None };
        for (field, value) in wire::read(message)? {
            match field {
                1 => answer.kind = value.as_i32().map_or(-1, i64::from),
                2 => answer.success = value.as_bool().unwrap_or(false),
                5 => {
                    for (field, value) in wire::read(value.as_bytes().unwrap_or_default())? {
                        match field {
                            1 => answer.event.name = value.as_text().unwrap_or_default(),
                            2 => answer.event.pid = value.as_i32().unwrap_or(0),
                            _ => {}
                        }
                    }
                }
                9 => answer.message = value.as_text(),
                _ => {}
            }
        }
        if answer.kind == -1 {
            bail!("it has no type");
        }
        Ok(answer)
    }
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    loop {
        match fd::receive_into(socket, buffer) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_tells_its_stage_and_pid() {
        let (mut inner, mut message) = (Writer::default(), Writer::default());
        inner.text(1, b"setup-namespaces").number(2, 42);
        message.number(1, NOTIFY).number(2, 1).message(5, &inner);
        let answer = Answer::read(message.bytes(), None).unwrap();
        assert_eq!((answer.kind, answer.success), (NOTIFY, true));
        assert_eq!((answer.event.name.as_str(), answer.event.pid), ("setup-namespaces", 42));
    }

    #[test]
    fn a_refusal_has_words_and_nonsense_is_an_error() {
        let mut message = Writer::default();
        message.number(1, 1).number(2, 0).number(7, 22).text(9, b"no");
        let answer = Answer::read(message.bytes(), None).unwrap();
        assert_eq!((answer.success, answer.message.as_deref()), (false, Some("no")));
        assert!(Answer::read(b"\xff", None).is_err());
        assert!(Answer::read(b"", None).is_err());
    }
}
