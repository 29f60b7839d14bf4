//! The container's first process, found again by pid, start time and boot: never a stranger with its old pid.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;

use super::State;
use crate::sys::fd::read_small_file;
use crate::sys::process::{pidfd_open, pidfd_send_signal};

/// This boot of the machine; its id is read when it is first needed.
#[derive(Debug, Default)]
pub struct Boot(OnceCell<String>);

impl Boot {
    /// /proc/sys/kernel/random/boot_id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn id(&self) -> anyhow::Result<&str> {
        const FILE: &str = "/proc/sys/kernel/random/boot_id";
        if self.0.get().is_none() {
            let text = read_small_file(Path::new(FILE)).with_context(|| format!("read {FILE}"))?;
            let _ = self.0.set(String::from_utf8_lossy(&text).trim_end().to_owned());
        }
        Ok(self.0.get().expect("it was just set"))
    }
}

/// When process `pid` was started, in clock ticks since boot (field 22 of /proc/PID/stat).
///
/// # Errors
/// When there is no such process, or it has ended and is not reaped yet.
pub fn start_time(pid: i32) -> anyhow::Result<u64> {
    living_since(pid)?.ok_or(Errno::ESRCH).with_context(|| format!("start time of process {pid}"))
}

/// Whether the container's init lives.
///
/// # Errors
/// When /proc cannot be read.
pub fn is_alive(state: &State, boot: &Boot) -> anyhow::Result<bool> {
    // The boot is asked last: its answer matters only where a stranger has both pid and start time.
    Ok(state.pid > 0 && living_since(state.pid)? == Some(state.start_time) && boot.id()? == state.boot_id)
}

/// A living init.
#[derive(Debug)]
pub struct InitHandle {
    pidfd: OwnedFd,
}

impl InitHandle {
    /// Takes hold of the container's init; `None` when it has ended, is a zombie, or never was.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn open(state: &State, boot: &Boot) -> anyhow::Result<Option<InitHandle>> {
        if state.pid <= 0 {
            return Ok(None);
        }
        let pidfd = match pidfd_open(state.pid) {
            Ok(pidfd) => pidfd,
            // EINVAL: the pid is a stranger's thread by now.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("pidfd_open {}", state.pid)),
        };
        // Only after pidfd_open: who passes the check now had the pid then.
        Ok(is_alive(state, boot)?.then_some(InitHandle { pidfd }))
    }

    /// Sends signal number `signal`.
    ///
    /// # Errors
    /// `ESRCH` when it has ended meanwhile, `EPERM`.
    pub fn kill(&self, signal: i32) -> Result<(), Errno> {
        pidfd_send_signal(self.pidfd.as_fd(), signal)
    }

    /// The pidfd.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Start time of a process that has not ended.
fn living_since(pid: i32) -> anyhow::Result<Option<u64>> {
    let file = format!("/proc/{pid}/stat");
    match read_small_file(Path::new(&file)) {
        Ok(text) => Ok(parse_stat(&text)),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("read {file}")),
    }
}

/// The second field is the name in parentheses and may hold anything, parentheses and blanks too.
fn parse_stat(text: &[u8]) -> Option<u64> {
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let fields = std::str::from_utf8(&text[after_name..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    // Field 3 is gone, 22 is the 19th from there.
    let start_time = fields.nth(18)?.parse().ok()?;
    (!ended).then_some(start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_process(pid: i32) -> State {
        let boot = Boot::default();
        State { pid, start_time: start_time(pid).unwrap(), boot_id: boot.id().unwrap().to_owned(), ..State::default() }
    }

    #[test]
    fn the_name_of_a_process_cannot_forge_its_start_time() {
        let rest = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        for name in ["sh", "a b", ") Z 1 1", "x) S 1 (y", "()"] {
            assert_eq!(parse_stat(format!("7 ({name}) {rest}").as_bytes()), Some(4242), "{name}");
        }
        assert_eq!(parse_stat(b"7 (\xff\xfe) Z 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242"), None);
        for broken in ["", "7", "7 (x", "7 (x) S", "7 (x) S 1 2 3"] {
            assert_eq!(parse_stat(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_process_is_found_again() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let state = of_process(child.id().cast_signed());
        let boot = Boot::default();
        let init = InitHandle::open(&state, &boot).unwrap().unwrap();
        init.kill(libc::SIGKILL).unwrap();
        // It becomes a zombie, which counts as ended before anybody reaps it.
        while InitHandle::open(&state, &boot).unwrap().is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(InitHandle::open(&state, &boot).unwrap().is_none());
        assert_eq!(init.kill(libc::SIGTERM), Err(Errno::ESRCH));
    }

    #[test]
    fn a_stranger_with_the_same_pid_is_not_taken_for_init() {
        let me = of_process(std::process::id().cast_signed());
        assert!(is_alive(&me, &Boot::default()).unwrap());
        let reused = State { start_time: me.start_time - 1, ..me.clone() };
        let other_boot = State { boot_id: "00000000-0000-0000-0000-000000000000".into(), ..me.clone() };
        let never = State { pid: 0, ..me };
        for state in [reused, other_boot, never] {
            assert!(InitHandle::open(&state, &Boot::default()).unwrap().is_none());
        }
    }
}
