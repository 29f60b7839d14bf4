//! The caller's side of a container in the foreground: signals forwarded, the terminal copied, the end waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::notify::Proxy;
use super::runtime::wait_for_end;
use crate::console::RawTerminal;
use crate::sys::process;

/// Signals that are held back for forwarding; made before the process is cloned, so that none is lost.
pub struct Foreground {
    signals: SignalFd,
    /// The container's notify socket: what it says is passed on as long as we stay.
    pub notify: Option<Proxy>,
}

/// A terminal being copied: our stdin to its master, its master to our stdout.
struct Copying {
    master: OwnedFd,
    raw: Option<RawTerminal>,
    /// Bytes of stdin that the master has not taken yet.
    pending: Vec<u8>,
    stdin_is_open: bool,
    /// The container has closed its side. It may open it again, so it is looked at from time to time.
    hung_up: bool,
}

impl Foreground {
    /// Holds all signals back.
    ///
    /// # Errors
    /// None in practice.
    pub fn prepare() -> anyhow::Result<Foreground> {
        let all = SigSet::all();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).context("block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Foreground { signals: SignalFd::with_flags(&all, flags).context("signalfd")?, notify: None })
    }

    /// Stays until the process has ended, and gives its exit status: its own, or 128 and the signal's number.
    ///
    /// # Errors
    /// What poll and waitid say; the process may live on then.
    pub fn stay(&self, pidfd: BorrowedFd<'_>, master: Option<OwnedFd>) -> anyhow::Result<i32> {
        let mut copying = master.map(Copying::begin).transpose()?;
        loop {
            let [signalled, ended, readable, writable, typed, notified] = self.wait(pidfd, copying.as_ref())?;
            if let (true, Some(notify)) = (notified, &self.notify) {
                // Ours: who watches us can wait for no other process.
                notify.pass_on(std::process::id());
            }
            if signalled {
                self.forward(pidfd, copying.as_ref());
            }
            if let Some(copying) = &mut copying {
                if readable || copying.hung_up {
                    copying.copy_output();
                }
                if typed {
                    copying.read_input();
                }
                if writable || typed {
                    copying.write_input();
                }
            }
            if ended {
                if let Some(mut copying) = copying {
                    while copying.copy_output() {}
                }
                return wait_for_end(pidfd);
            }
        }
    }

    /// Which of: a signal, the end, output to copy, room for input, input to copy, a word for the service manager.
    fn wait(&self, pidfd: BorrowedFd<'_>, copying: Option<&Copying>) -> anyhow::Result<[bool; 6]> {
        let stdin = std::io::stdin();
        let notify = match &self.notify {
            Some(notify) => PollFd::new(notify.as_fd(), PollFlags::POLLIN),
            None => PollFd::new(pidfd, PollFlags::empty()),
        };
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        let mut fds = vec![signals, PollFd::new(pidfd, PollFlags::POLLIN), notify];
        if let Some(copying) = copying {
            let output = if copying.pending.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            // poll reports a hang-up without end.
            let idle = if copying.hung_up { PollFlags::empty() } else { PollFlags::POLLIN | output };
            let watched = if copying.hung_up { self.signals.as_fd() } else { copying.master.as_fd() };
            fds.push(PollFd::new(watched, idle));
            if copying.stdin_is_open && copying.pending.is_empty() {
                fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
        }
        let timeout =
            if copying.is_some_and(|copying| copying.hung_up) { PollTimeout::from(100u8) } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => return Ok([false; 6]),
            other => other.context("poll")?,
        };
        let any = |place: usize, wanted: PollFlags| {
            fds.get(place).and_then(PollFd::revents).is_some_and(|events| events.intersects(wanted))
        };
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let [signalled, ended, notified, output, input] = [0, 1, 2, 3, 4].map(|place| any(place, readable));
        Ok([signalled, ended, output, any(3, PollFlags::POLLOUT), input, notified])
    }

    /// Passes on every signal but those that are about ourselves.
    fn forward(&self, pidfd: BorrowedFd<'_>, copying: Option<&Copying>) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = info.ssi_signo as i32;
            match Signal::try_from(number) {
                Ok(Signal::SIGCHLD | Signal::SIGURG | Signal::SIGPIPE) => {}
                Ok(Signal::SIGWINCH) if copying.is_some() => {
                    copying.iter().for_each(|copying| copying.resize());
                }
                // ESRCH: it has just ended, which poll tells next.
                _ => drop(process::pidfd_send_signal(pidfd, number)),
            }
        }
    }
}

impl Copying {
    fn begin(master: OwnedFd) -> anyhow::Result<Copying> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        // A container that does not read must not keep us from copying its output.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make the terminal non-blocking")?;
        let raw = RawTerminal::of_stdin()?;
        let copying = Copying { master, raw, pending: Vec::new(), stdin_is_open: true, hung_up: false };
        copying.resize();
        Ok(copying)
    }

    fn resize(&self) {
        if let Some(raw) = &self.raw {
            raw.copy_size_to(self.master.as_fd());
        }
    }

    /// Copies one piece; `false` when there is none, or will be none.
    fn copy_output(&mut self) -> bool {
        let mut piece = [0; 8192];
        let length = match nix::unistd::read(&self.master, &mut piece) {
            Ok(length @ 1..) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => {
                self.hung_up = false;
                return false;
            }
            // EIO: the last process has closed the terminal.
            Ok(_) | Err(_) => {
                self.hung_up = true;
                return false;
            }
        };
        self.hung_up = false;
        let mut rest = &piece[..length];
        while !rest.is_empty() {
            match nix::unistd::write(std::io::stdout(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let _ = poll(&mut [PollFd::new(std::io::stdout().as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
                }
                // Nobody reads it any more; the container goes on.
                Err(_) => return true,
            }
        }
        true
    }

    fn read_input(&mut self) {
        let mut piece = [0; 8192];
        match nix::unistd::read(std::io::stdin(), &mut piece) {
            Ok(length @ 1..) => self.pending.extend_from_slice(&piece[..length]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(_) | Err(_) => self.stdin_is_open = false,
        }
    }

    fn write_input(&mut self) {
        match nix::unistd::write(&self.master, &self.pending) {
            Ok(written) => drop(self.pending.drain(..written)),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => self.pending.clear(),
        }
    }
}
