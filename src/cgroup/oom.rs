//! Being told when the container runs out of memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;

use super::{CgroupPaths, file};

/// A descriptor that becomes readable when the container runs out of memory, and what makes sense of it.
#[derive(Debug)]
pub enum OomWatch {
    /// cgroup v1 counts the notifications in an eventfd.
    Eventfd(EventFd, PathBuf),
    /// cgroup v2 has a file that changes, and how many kills it told of last.
    Events(Inotify, PathBuf, u64),
}

impl OomWatch {
    /// Begins to watch; none where the container has no memory controller.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn begin(paths: &CgroupPaths) -> anyhow::Result<Option<OomWatch>> {
        match (paths.v1_directory("memory"), paths.v2_limits()) {
            (Some(directory), _) => OomWatch::of_v1(directory).map(Some),
            (None, Some(directory)) if directory.join("memory.events").exists() => OomWatch::of_v2(directory).map(Some),
            _ => Ok(None),
        }
    }

    fn of_v1(directory: &Path) -> anyhow::Result<OomWatch> {
        let step = || format!("watch {}/memory.oom_control", directory.display());
        let control = directory.join("memory.oom_control");
        let control = open(&control, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).with_context(step)?;
        let events = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).context("eventfd")?;
        let line = format!("{} {}", events.as_fd().as_raw_fd(), control.as_raw_fd());
        file::write(&directory.join("cgroup.event_control"), &line).with_context(step)?;
        Ok(OomWatch::Eventfd(events, directory.to_owned()))
    }

    fn of_v2(directory: &Path) -> anyhow::Result<OomWatch> {
        let path = directory.join("memory.events");
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("inotify_init")?;
        watch.add_watch(&path, AddWatchFlags::IN_MODIFY).with_context(|| format!("watch {}", path.display()))?;
        // Read after the watch began: what happens in between is seen by either.
        let kills = kills(&path);
        Ok(OomWatch::Events(watch, path, kills))
    }

    /// What to poll for reading.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            OomWatch::Eventfd(events, ..) => events.as_fd(),
            OomWatch::Events(watch, ..) => watch.as_fd(),
        }
    }

    /// How often it happened since the last call, once the descriptor is readable.
    pub fn take(&mut self) -> u64 {
        match self {
            // The removal of the cgroup is told in the same way.
            OomWatch::Eventfd(events, directory) => {
                let count = events.read().unwrap_or(0);
                if directory.exists() { count } else { 0 }
            }
            OomWatch::Events(watch, path, before) => {
                while !matches!(watch.read_events(), Err(Errno::EAGAIN | Errno::EBADF | Errno::EINVAL)) {}
                let now = kills(path);
                let new = now.saturating_sub(*before);
                *before = now.max(*before);
                new
            }
        }
    }
}

/// How many processes were killed for lack of memory.
fn kills(path: &Path) -> u64 {
    let text = file::read(path).unwrap_or_default();
    file::value_of(&text, "oom_kill").and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::super::testbed::{Testbed, skip};
    use super::*;

    #[test]
    fn a_kill_for_lack_of_memory_is_told() {
        let Some(mut testbed) = Testbed::new(r#"{"memory":{"limit":8388608,"swap":8388608}}"#) else { return };
        let Some(mut watch) = OomWatch::begin(testbed.paths()).unwrap() else { return skip("no memory controller") };
        let is_ready = |watch: &OomWatch, limit: u16| {
            poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], PollTimeout::from(limit)).unwrap() == 1
        };
        assert!(!is_ready(&watch, 0));
        assert_eq!(testbed.run("exec 2>/dev/null; head -c 64M /dev/zero | (exec tail -c 64M >/dev/null)"), 128 + 9);
        let mut count = 0;
        while count == 0 {
            assert!(is_ready(&watch, 5000), "nothing was told");
            count += watch.take();
        }
        assert!(count >= 1);
    }

    #[test]
    fn the_end_of_the_cgroup_is_no_lack_of_memory() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(mut watch) = OomWatch::begin(testbed.paths()).unwrap() else { return skip("no memory controller") };
        drop(testbed);
        assert_eq!(watch.take(), 0);
    }
}
