//! A connection: SASL, then calls and their answers, all within a deadline.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, connect, recv, send};

use super::Address;
use super::message::{self, Message};
use crate::plan::cgroup::Value;

/// A method call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Whom it goes to; a peer that is no bus does not look at it.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// What it is given.
    pub arguments: Vec<Value>,
}

/// A call that did not work.
#[derive(Debug)]
pub enum CallError {
    /// The other side says no.
    Refused {
        /// Such as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// In words.
        text: String,
    },
    /// It says nothing, or nonsense: nobody knows whether it was done.
    Lost(anyhow::Error),
}

impl From<CallError> for anyhow::Error {
    fn from(error: CallError) -> anyhow::Error {
        match error {
            CallError::Refused { name, text } if text.is_empty() => anyhow::anyhow!("{name}"),
            CallError::Refused { name, text } => anyhow::anyhow!("{} ({name})", text.trim_end_matches('.')),
            CallError::Lost(error) => error,
        }
    }
}

/// Who we are is for the other side to see by the socket: ids differ in a user namespace. All of it is sent at once.
const AUTHENTICATION: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
/// A line of the other side's is not longer.
const LONGEST_LINE: usize = 16 << 10;
/// Signals that come during a call are kept; the oldest go when there are more.
const MOST_SIGNALS: usize = 4096;

/// A connection to a bus, or to a peer.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    deadline: Instant,
    patience: Duration,
    serial: u32,
    received: Vec<u8>,
    signals: VecDeque<Message>,
    is_authenticated: bool,
    is_closed: bool,
}

impl Connection {
    /// Connects, and says who we are; the answer is awaited by the first call.
    ///
    /// # Errors
    /// `ENOENT` and `ECONNREFUSED` when nobody listens.
    pub fn open(address: &Address, patience: Duration) -> anyhow::Result<Connection> {
        let (socket, target) = address.socket()?;
        let deadline = Instant::now() + patience;
        let mut connection = Connection {
            socket,
            deadline,
            patience,
            serial: 0,
            received: Vec::new(),
            signals: VecDeque::new(),
            is_authenticated: false,
            is_closed: false,
        };
        let mut pause = Duration::from_millis(1);
        loop {
            match connect(connection.socket.as_raw_fd(), &target) {
                Ok(()) => break,
                Err(Errno::EINTR) => {}
                // Its queue is full, and there is no way to wait for it.
                Err(Errno::EAGAIN) if Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                Err(errno) => return Err(errno).with_context(|| format!("connect to {address}")),
            }
        }
        connection.send_all(AUTHENTICATION).with_context(|| format!("speak to {address}"))?;
        Ok(connection)
    }

    /// Registers with a bus: without it, it answers nothing.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn hello(&mut self) -> Result<(), CallError> {
        self.call(&Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            arguments: Vec::new(),
        })
        .map(drop)
    }

    /// Whether the other side has ended the connection.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Gives the next call, and whatever is awaited after it, its full time.
    pub fn renew_deadline(&mut self) {
        self.deadline = Instant::now() + self.patience;
    }

    /// Calls a method, and waits for its answer: the texts and paths that it begins with.
    ///
    /// # Errors
    /// The other side's refusal; or it does not answer.
    pub fn call(&mut self, call: &Call<'_>) -> Result<Vec<String>, CallError> {
        self.serial += 1;
        let serial = self.serial;
        let exchange = |connection: &mut Connection| -> anyhow::Result<Message> {
            connection.authenticate()?;
            connection.send_all(&message::encode(call, serial))?;
            loop {
                let message = connection.receive()?;
                match &message {
                    Message::Return { to, .. } | Message::Error { to, .. } if *to == serial => return Ok(message),
                    Message::Signal { .. } => {
                        connection.signals.push_back(message);
                        if connection.signals.len() > MOST_SIGNALS {
                            connection.signals.pop_front();
                        }
                    }
                    Message::Return { .. } | Message::Error { .. } | Message::Other => {}
                }
            }
        };
        match exchange(self) {
            Ok(Message::Error { name, text, .. }) => Err(CallError::Refused { name, text }),
            Ok(Message::Return { signature, body, .. }) => {
                Ok(message::texts(&signature, &body).into_iter().map(str::to_owned).collect())
            }
            Ok(Message::Signal { .. } | Message::Other) => Ok(Vec::new()),
            Err(error) => Err(CallError::Lost(error)),
        }
    }

    /// Waits for a signal whose texts and paths please `wanted`, also one that came during a call.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_for_signal<T>(
        &mut self,
        member: &str,
        mut wanted: impl FnMut(&[&str]) -> Option<T>,
    ) -> anyhow::Result<T> {
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => self.receive()?,
            };
            if let Message::Signal { member: name, signature, body } = &message
                && name == member
                && let Some(found) = wanted(&message::texts(signature, body))
            {
                return Ok(found);
            }
        }
    }

    /// Hears whether the other side has taken us for who we are.
    fn authenticate(&mut self) -> anyhow::Result<()> {
        while !self.is_authenticated {
            let line = self.receive_line()?;
            match line.split(' ').next() {
                Some("OK") => self.is_authenticated = true,
                // It asks for the DATA that is on its way.
                Some("DATA") => {}
                _ => bail!("authentication was refused: {line:?}"),
            }
        }
        Ok(())
    }

    fn receive_line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.received.len() > LONGEST_LINE {
                bail!("an answer that is not D-Bus");
            }
            self.receive_more()?;
        }
    }

    fn receive(&mut self) -> anyhow::Result<Message> {
        // Who never stops talking is waited for no longer than who says nothing.
        self.time_left()?;
        loop {
            match message::length(&self.received).map_err(anyhow::Error::msg)? {
                Some(length) if self.received.len() >= length => {
                    let bytes: Vec<u8> = self.received.drain(..length).collect();
                    return message::decode(&bytes).context("an answer that breaks the rules of D-Bus");
                }
                _ => self.receive_more()?,
            }
        }
    }

    fn receive_more(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => {
                    self.is_closed = true;
                    bail!("the connection was closed")
                }
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return Ok(());
                }
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.is_closed = true;
                    return Err(errno).context("receive");
                }
            }
        }
    }

    fn send_all(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.is_closed = true;
                    return Err(errno).context("send");
                }
            }
        }
        Ok(())
    }

    fn time_left(&self) -> anyhow::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no answer within {} s", self.patience.as_secs_f32());
        }
        Ok(left)
    }

    fn wait(&self, flags: PollFlags) -> anyhow::Result<()> {
        let left = self.time_left()?;
        // Rounded up: a timeout of 0 would spin through the last millisecond.
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), flags)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("poll"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Script};
    use super::*;

    fn call(connection: &mut Connection, member: &str) -> Result<Vec<String>, CallError> {
        connection.call(&Call { destination: "a.b", path: "/c", interface: "d.e", member, arguments: vec![] })
    }

    fn open(fake: &Fake) -> Connection {
        Connection::open(&fake.address(), Duration::from_millis(300)).unwrap()
    }

    #[test]
    fn an_answer_comes_back_and_signals_before_it_are_kept() {
        let fake = Fake::start(|member| match member {
            "Start" => vec![Script::Signal("Removed", &["/job/1", "x", "done"]), Script::Return(&["/job/1"])],
            _ => vec![Script::Error("org.x.No", "you may not.")],
        });
        let mut connection = open(&fake);
        assert_eq!(call(&mut connection, "Start").unwrap(), ["/job/1"]);
        let result = connection.wait_for_signal("Removed", |texts| (texts[0] == "/job/1").then(|| texts[2].to_owned()));
        assert_eq!(result.unwrap(), "done");
        let error = anyhow::Error::from(call(&mut connection, "Other").unwrap_err());
        assert_eq!(error.to_string(), "you may not (org.x.No)");
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let fake = Fake::start(|_| vec![]);
        let mut connection = open(&fake);
        let before = Instant::now();
        let error = anyhow::Error::from(call(&mut connection, "Start").unwrap_err());
        assert_eq!(error.to_string(), "no answer within 0.3 s");
        assert!(before.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn who_talks_of_other_things_is_not_listened_to_for_ever() {
        let fake = Fake::start(|_| vec![Script::Flood]);
        let error = anyhow::Error::from(call(&mut open(&fake), "Start").unwrap_err());
        assert_eq!(error.to_string(), "no answer within 0.3 s");
    }

    #[test]
    fn who_does_not_accept_is_not_waited_for() {
        let fake = Fake::deaf();
        let mut connections = Vec::new();
        let error = loop {
            match Connection::open(&fake.address(), Duration::from_millis(50)) {
                Ok(connection) => connections.push(connection),
                Err(error) => break error,
            }
        };
        assert!(format!("{error:#}").contains("EAGAIN"), "{error:#}");
    }

    #[test]
    fn nonsense_and_refusals_are_told() {
        for (greeting, expected) in [
            ("REJECTED EXTERNAL\r\n", "authentication was refused: \"REJECTED EXTERNAL\""),
            ("HTTP/1.1 400\r\n", "authentication was refused: \"HTTP/1.1 400\""),
            ("OK 1\r\n................", "an answer that is not D-Bus of this machine"),
            ("", "the connection was closed"),
        ] {
            let fake = Fake::greeting(greeting);
            let error = anyhow::Error::from(call(&mut open(&fake), "Start").unwrap_err());
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn nobody_listens() {
        let error = Connection::open(&Address::Path("/nonexistent/bus".into()), Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.root_cause().downcast_ref(), Some(&Errno::ENOENT));
    }
}
