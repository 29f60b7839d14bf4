//! The end of a container: its processes, its cgroups, its state, the poststop hooks.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::hooks;
use crate::cgroup;
use crate::log::Log;
use crate::rdt;
use crate::rootfs;
use crate::state::{Container, State, Status};
use crate::sys::mount;
use crate::sys::process::pidfd_send_signal;

/// How long a killed process may take to end: longer means that the kernel holds it.
const PATIENCE_MS: u16 = 10_000;

/// Destroys a container, whose state directory is locked; with `init` it is killed first.
///
/// Implements steps 12 and 13 of <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#lifecycle>.
/// The state directory goes last of what was made: an interrupted delete is found again by the next.
///
/// # Errors
/// The first thing that could not be removed; the state directory stays then, so that delete can be tried again.
pub fn destroy(log: &Log, container: Container, state: &State, init: Option<BorrowedFd<'_>>) -> anyhow::Result<()> {
    if let Some(init) = init {
        kill(state, init)?;
    }
    // Without a pid namespace of its own, the container's processes outlive its init; and a creation that was killed
    // has told nobody who its init is.
    if !state.own_pid_namespace || state.pid == 0 {
        cgroup::kill_all(&state.cgroup, Signal::SIGKILL).context("kill what remains in the container's cgroup")?;
    }
    detach_root(state)?;
    cgroup::remove_except(&state.cgroup, &state.kept_cgroups)?;
    state.rdt.as_ref().map_or(Ok(()), rdt::remove)?;
    container.remove()?;
    if state.poststop.is_empty() {
        return Ok(());
    }
    // Without its file a hook runs all the same.
    let output = hooks::Output::open(&state.annotations).unwrap_or_else(|error| {
        log.warn(&crate::log::one_line(&error));
        hooks::Output::default()
    });
    let seen = state.for_hook(Status::Stopped, 0);
    for error in hooks::run_all_tolerantly("poststop", &state.poststop, &seen, &output) {
        log.warn(&crate::log::one_line(&error));
    }
    Ok(())
}

/// Takes the container's mounts out of the runtime's mount namespace, where it has none of its own; what lay on its
/// root before stays.
pub fn detach_root(state: &State) -> anyhow::Result<()> {
    match state.mount_below {
        Some(below) if mount::mount_id(&state.rootfs) != Ok(below) => {
            rootfs::detach_inherited(&state.rootfs).context("unmount the container's root")
        }
        Some(_) | None => Ok(()),
    }
}

/// Kills init, thaws what is frozen, and waits for the end.
fn kill(state: &State, init: BorrowedFd<'_>) -> anyhow::Result<()> {
    match pidfd_send_signal(init, libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno).context("kill the container's init"),
    }
    // On v1 a frozen process does not even die.
    if cgroup::is_frozen(&state.cgroup)? {
        cgroup::thaw(&state.cgroup)?;
    }
    if state.own_pid_namespace {
        // All die with init, and init only after all.
        cgroup::thaw_killed(&state.cgroup)?;
    }
    loop {
        match poll(&mut [PollFd::new(init.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE_MS)) {
            Ok(0) => anyhow::bail!("the container's init does not end, {} s after SIGKILL", PATIENCE_MS / 1000),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for the container's init"),
        }
    }
}
