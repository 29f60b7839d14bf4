//! The seccomp listener: from the process that loads the filter to RUNTIME, and from there to the agent.
//!
//! ```text
//! INIT or JOIN                              RUNTIME                              agent
//!    ── Notify{fd} ───────────────────────▶  pidfd_getfd until it is there
//!    seccomp(2) gives fd                     answers every question: go on
//!    ◀────────────────── NotifyTaken ──────
//!    closes fd; drops its privileges, ...
//!    ── Ready ────────────────────────────▶  connect, state and descriptor ──────▶  answers from here on
//!    ◀──────────────────── Committed ──────
//! ```
//! Once the filter is loaded, any call of that process may be a question, the sending of a descriptor too: so RUNTIME
//! fetches it, and nobody waits for somebody who waits for an answer. No copy stays with the process itself: when the
//! agent ends, the kernel answers ENOSYS.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::close;

use super::sync::{Channel, Message};
use crate::console;
use crate::host::Host;
use crate::plan::seccomp::{Listener, SeccompPlan};
use crate::sys::listener::{is_listener, let_pass, pidfd_getfd};
use crate::sys::{fd, seccomp};

/// What a process needs to load its filter.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// The filter; `None` is none.
    pub filter: Option<&'a SeccompPlan>,
    /// To RUNTIME.
    pub channel: &'a Channel,
    /// What RUNTIME may.
    pub host: &'a Host,
}

impl Loader<'_> {
    /// Whether there will be a listener: then the filter is loaded before RUNTIME hears that all is ready.
    pub fn has_listener(&self) -> bool {
        self.filter.is_some_and(|filter| filter.listener.is_some())
    }

    /// Loads the filter; see `plan::filter` for what may be called afterwards.
    ///
    /// # Errors
    /// What seccomp(2) says.
    pub fn load(&self) -> anyhow::Result<()> {
        let Some(filter) = self.filter else { return Ok(()) };
        if filter.listener.is_none() {
            return load(filter).map(drop);
        }
        let is_hidden = self.host.has_capability(CAP_SYS_PTRACE);
        if !is_hidden {
            // RUNTIME could not fetch it. It is the user's own process, in the user's own namespace.
            nix::sys::prctl::set_dumpable(true).context("prctl PR_SET_DUMPABLE")?;
        }
        self.channel.send(&Message::Notify { fd: next_descriptor(self.channel)? })?;
        let listener = load(filter)?.context("load the seccomp filter: the kernel gave no listener")?;
        match self.channel.receive()? {
            Some(Message::NotifyTaken) => {}
            other => bail!("the runtime sent {other:?} in place of NotifyTaken"),
        }
        close(listener).context("close the seccomp listener")?;
        if !is_hidden {
            nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
        }
        Ok(())
    }
}

/// Whoever has it may fetch descriptors of processes that are not dumpable.
const CAP_SYS_PTRACE: u32 = 19;

fn load(filter: &SeccompPlan) -> anyhow::Result<Option<OwnedFd>> {
    let loaded = seccomp::load_filter(&filter.program, filter.flags.bits());
    loaded
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        .context("load the seccomp filter")
}

/// The number that the kernel gives to the next descriptor: the lowest that is free.
fn next_descriptor(any: &Channel) -> anyhow::Result<i32> {
    let number = fcntl(any.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(0)).context("find a free descriptor")?;
    close(number).context("close")?;
    Ok(number)
}

/// RUNTIME's side: the listener, from its loading until it is handed out.
#[derive(Default)]
pub struct Fetched(Option<OwnedFd>);

impl Fetched {
    /// Waits for a message, as `Channel::receive` does. Meanwhile it fetches the listener when there will be one, and
    /// then lets every call pass: until `hand_over` they are those of `rt` itself.
    ///
    /// # Errors
    /// As `Channel::receive`; and what pidfd_getfd says.
    pub fn receive(&mut self, channel: &Channel, process: BorrowedFd<'_>) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(listener) = &self.0 {
                answer_until_message(listener.as_fd(), channel)?;
            }
            match channel.receive()? {
                Some(Message::Notify { fd }) => {
                    let listener = match fetch(channel, process, fd)? {
                        Ok(listener) => listener,
                        Err(message) => return Ok(message),
                    };
                    self.0 = Some(listener);
                    channel.send(&Message::NotifyTaken)?;
                }
                other => return Ok(other),
            }
        }
    }

    /// Sends the listener and the container process state to the agent, over a connection of its own; from here on it is
    /// the agent that answers. `state` gets the agent's metadata. Does nothing when there is no listener.
    ///
    /// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#containerprocessstate>.
    ///
    /// # Errors
    /// What connect(2) and sendmsg(2) say.
    pub fn hand_over(
        &mut self,
        agent: Option<&Listener>,
        state: impl FnOnce(Option<&str>) -> Vec<u8>,
    ) -> anyhow::Result<()> {
        let (Some(listener), Some(agent)) = (self.0.take(), agent) else { return Ok(()) };
        let state = state(agent.metadata.as_deref());
        console::connect_stream(&agent.path)
            .and_then(|stream| fd::send_all(stream.as_fd(), &state, &[listener.as_raw_fd()]))
            .with_context(|| {
                format!("send the seccomp listener to {} (/linux/seccomp/listenerPath)", agent.path.display())
            })
    }
}

/// Takes the listener with this number, as soon as it is there. A message instead of it tells why there is none.
fn fetch(channel: &Channel, process: BorrowedFd<'_>, number: i32) -> anyhow::Result<Result<OwnedFd, Option<Message>>> {
    loop {
        match pidfd_getfd(process, number) {
            Ok(listener) if is_listener(listener.as_fd()) => return Ok(Ok(listener)),
            // The filter is not loaded yet, or never will be.
            Ok(_) | Err(Errno::EBADF | Errno::ESRCH) => {}
            Err(errno) => return Err(errno).context("fetch the seccomp listener"),
        }
        // Nothing tells when it is there: not even a sign of life can be expected of a filtered process.
        let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(1u8)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return channel.receive().map(Err),
            Err(errno) => return Err(errno).context("poll"),
        }
    }
}

/// Answers questions until there is a message or the end of the channel.
fn answer_until_message(listener: BorrowedFd<'_>, channel: &Channel) -> anyhow::Result<()> {
    loop {
        let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN), PollFd::new(listener, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let events = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
        if !events(&fds[0]).is_empty() {
            return Ok(());
        }
        if events(&fds[1]).contains(PollFlags::POLLIN) {
            match let_pass(listener) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("answer for the seccomp agent"),
            }
        } else {
            // Nobody has the filter any more: whoever had it is gone, and so is its end of the channel.
            return Ok(());
        }
    }
}
