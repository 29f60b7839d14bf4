//! A seccomp agent: takes listeners from the runtime, and answers for the kernel.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::descriptor::receive;
use super::runtime::{eventually, patience};

/// What a process has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub pid: u32,
    /// Number of the system call.
    pub number: i64,
    pub args: [u64; 6],
}

/// What the agent says to it.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The kernel may go on with the call.
    Continue,
    /// The call fails with this errno.
    Fail(i32),
    /// The call gives this value, and does nothing.
    Value(i64),
    /// The agent ends: it closes the listener and leaves the question unanswered.
    Die,
}

/// An agent that listens at `path`, in threads of the test.
pub struct Agent {
    pub path: PathBuf,
    seen: Arc<Mutex<Seen>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// The document of each connection.
    states: Vec<Value>,
    questions: Vec<Question>,
    is_over: bool,
}

impl Agent {
    /// Listens, and answers every question of every listener as `answer` says.
    pub fn listen(path: &Path, answer: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (theirs, answer) = (seen.clone(), Arc::new(answer));
        let accept = move || {
            for stream in listener.incoming() {
                if theirs.lock().unwrap().is_over {
                    return;
                }
                let Some(notify) = take(stream.unwrap(), &theirs) else { continue };
                let (seen, answer) = (theirs.clone(), answer.clone());
                let serve = move || serve(&notify, &seen, &*answer);
                Builder::new().spawn(serve).unwrap();
            }
        };
        Self { path: path.to_owned(), seen, accepting: Some(Builder::new().spawn(accept).unwrap()) }
    }

    /// The documents that came so far, one for each connection.
    pub fn states(&self) -> Vec<Value> {
        self.seen.lock().unwrap().states.clone()
    }

    /// The document of the only connection; waits for it.
    #[track_caller]
    pub fn state(&self) -> Value {
        eventually("the agent gets its listener", || !self.states().is_empty());
        let mut states = self.states();
        assert_eq!(states.len(), 1, "{states:#?}");
        states.remove(0)
    }

    /// How often a call was asked for.
    pub fn asked(&self, number: i64) -> usize {
        self.seen.lock().unwrap().questions.iter().filter(|question| question.number == number).count()
    }

    /// How many questions there were at all.
    pub fn questions(&self) -> usize {
        self.seen.lock().unwrap().questions.len()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.seen.lock().unwrap().is_over = true;
        UnixStream::connect(&self.path).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

/// Takes the document and the one descriptor of a connection, which must come with the first bytes.
fn take(mut stream: UnixStream, seen: &Mutex<Seen>) -> Option<OwnedFd> {
    stream.set_read_timeout(Some(patience())).unwrap();
    let (mut text, listener) = receive(&stream)?;
    stream.read_to_end(&mut text).expect("the connection ends after its one document");
    let state: Value = serde_json::from_slice(&text).expect("exactly one JSON document on a connection");
    seen.lock().unwrap().states.push(state);
    Some(listener)
}

/// Answers until nobody has the filter any more.
fn serve(notify: &OwnedFd, seen: &Mutex<Seen>, answer: &dyn Fn(&Question) -> Answer) {
    loop {
        let mut ready = [PollFd::new(notify.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::from(50u8)).unwrap();
        let events = ready[0].revents().unwrap();
        if events.contains(PollFlags::POLLIN) {
            let Some((id, question)) = next(notify) else { continue };
            seen.lock().unwrap().questions.push(question);
            match answer(&question) {
                Answer::Continue => reply(notify, [id, 0, 1 << 32]),
                Answer::Fail(errno) => reply(notify, [id, 0, u64::from((-errno) as u32)]),
                Answer::Value(value) => reply(notify, [id, value as u64, 0]),
                Answer::Die => return,
            }
        } else if !events.is_empty() || seen.lock().unwrap().is_over {
            return;
        }
    }
}

/// SECCOMP_IOCTL_NOTIF_RECV: `struct seccomp_notif` is id, pid and flags, then `struct seccomp_data`.
#[allow(unsafe_code)]
fn next(notify: &OwnedFd) -> Option<(u64, Question)> {
    let mut words = [0u64; 10];
    // SAFETY: the request writes 80 bytes.
    let received = unsafe { libc::ioctl(notify.as_raw_fd(), 0xc050_2100, words.as_mut_ptr()) };
    let args = [words[4], words[5], words[6], words[7], words[8], words[9]];
    let number = i64::from(words[2] as i32);
    (received == 0).then_some((words[0], Question { pid: words[1] as u32, number, args }))
}

/// SECCOMP_IOCTL_NOTIF_SEND: `struct seccomp_notif_resp` is id, val, error and flags.
#[allow(unsafe_code)]
fn reply(notify: &OwnedFd, response: [u64; 3]) {
    // SAFETY: the request reads 24 bytes. Whoever asked may be gone.
    unsafe { libc::ioctl(notify.as_raw_fd(), 0xc018_2101, response.as_ptr()) };
}
