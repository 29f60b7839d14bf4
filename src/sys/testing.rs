//! A child process for tests of what acts on the caller and cannot be undone.

use std::io::{Read, Write};

use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

/// Runs `act` in a child process, which ends with it, and gives what it returned: the text, or the error's chain.
pub fn in_child(act: impl FnOnce() -> anyhow::Result<String>) -> Result<String, String> {
    let (reader, writer) = pipe().expect("a pipe");
    // SAFETY: the C library makes its allocator usable in the child of a process with threads; the child takes no
    // other lock, and leaves by _exit.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Child => {
            let text = match act() {
                Ok(text) => format!("+{text}"),
                Err(error) => format!("-{error:#}"),
            };
            let _ = std::fs::File::from(writer).write_all(text.as_bytes());
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut text = String::new();
            std::fs::File::from(reader).read_to_string(&mut text).expect("the child's answer");
            waitpid(child, None).expect("the child's end");
            match text.split_at_checked(1) {
                Some(("+", text)) => Ok(text.into()),
                Some((_, text)) => Err(text.into()),
                None => panic!("the child died"),
            }
        }
    }
}

/// Whether the tests run as root of the first user namespace; those that need it do nothing otherwise.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a child can be given a root of its own: by root, and not in a chroot, whose `/` is no mount.
pub fn can_change_root() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_root() && mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}
