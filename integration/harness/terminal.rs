//! The other end of a container's terminal: the console socket, and a terminal of the caller's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::descriptor::receive;

/// Listens where `--console-socket` sends the terminal.
pub struct ConsoleSocket {
    pub path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Binds `directory/tty.sock`.
    pub fn bind(directory: &Path) -> Self {
        let path = directory.join("tty.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, listener }
    }

    /// Receives the terminal's master, and the text that came with it.
    pub fn receive(&self) -> (Terminal, String) {
        wait_readable(&self.listener, "a connection to the console socket");
        let (stream, _) = self.listener.accept().unwrap();
        let (text, master) = receive(&stream).expect("a message with the master");
        (Terminal::new(master), String::from_utf8_lossy(&text).into_owned())
    }
}

/// The master side of a terminal.
pub struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    /// Takes over a master.
    pub fn new(master: OwnedFd) -> Self {
        Self { master: File::from(master), seen: String::new() }
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` was printed; gives everything printed so far.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> &str {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline, "{text:?} never came: {:?}", self.seen);
            if !self.read_some() {
                assert!(self.seen.contains(text), "hung up before {text:?}: {:?}", self.seen);
            }
        }
        &self.seen
    }

    /// Reads until the other side hangs up.
    pub fn rest(mut self) -> String {
        while self.read_some() {}
        self.seen
    }

    /// The size that the kernel has for this terminal: rows, columns.
    pub fn size(&self) -> (u16, u16) {
        let output =
            std::process::Command::new("stty").arg("size").stdin(self.master.try_clone().unwrap()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (rows, columns) = text.trim().split_once(' ').expect("rows columns");
        (rows.parse().unwrap(), columns.parse().unwrap())
    }

    fn read_some(&mut self) -> bool {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(30_000u16)).unwrap() == 0 {
            panic!("nothing more was printed: {:?}", self.seen);
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
        }
    }
}

fn wait_readable(descriptor: &impl AsFd, what: &str) {
    let mut ready = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::from(30_000u16)), Ok(1), "{what}");
}
