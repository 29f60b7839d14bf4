//! Bounded waiting for what the kernel finishes later.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;

use super::file;

/// The longest pause between two looks where the kernel sends no notice.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// A deadline, and pauses that grow towards it.
pub struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits for `limit` at most, all pauses together.
    pub fn new(limit: Duration) -> Patience {
        Patience { deadline: Instant::now() + limit, pause: Duration::from_micros(50) }
    }

    /// Pauses a little, longer each time; false when the deadline has passed.
    pub fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Waits until `key` of cgroup.events is `value`, woken by the kernel; false when the deadline has passed.
    pub fn wait_for_event(&self, directory: &Path, key: &str, value: &str) -> Result<bool, Errno> {
        let events = open(&directory.join("cgroup.events"), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        loop {
            let mut buffer = [0; 128];
            let length = pread(&events, &mut buffer, 0)?;
            if file::value_of(&String::from_utf8_lossy(&buffer[..length]), key) == Some(value) {
                return Ok(true);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Rounded up: a timeout of 0 would spin through the last millisecond.
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
