//! `rt kill`: a signal to a container's init, or to all of its processes.

use anyhow::{Context, bail};
use clap::ArgMatches;
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::signal;
use crate::cli::Globals;
use crate::state::{Boot, Container, InitHandle, State, members};
use crate::{cgroup, log};

/// Sends the signal.
///
/// # Errors
/// `container not running`, in the words that managers look for. With `--all` a stopped container is none.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let signal = signal::parse(matches.get_one::<String>("signal").map_or("TERM", String::as_str))?;
    let all = matches.get_flag("all");
    if matches.get_flag("regex") {
        return super::pattern::for_each(globals, matches, |container| kill(globals, &container, signal, all));
    }
    kill(globals, &super::container(globals, matches)?, signal, all)?;
    Ok(0)
}

fn kill(globals: &Globals, container: &Container, signal: i32, all: bool) -> anyhow::Result<()> {
    let state = container.load()?;
    let id = container.id().as_str();
    let boot = Boot::default();
    let init = InitHandle::open(&state, &boot)?;
    // The kernel kills the rest of a pid namespace with its init, and misses nobody.
    if all && !(signal == libc::SIGKILL && init.is_some() && state.own_pid_namespace) {
        return kill_all(&state, &boot, signal).with_context(|| format!("kill all of {id:?}"));
    }
    let sent = init.ok_or(Errno::ESRCH).and_then(|init| init.kill(signal));
    match sent {
        Ok(()) => {}
        Err(Errno::ESRCH) if all => return Ok(()),
        Err(Errno::ESRCH) => bail!("{id:?}: container not running"),
        Err(errno) => return Err(errno).with_context(|| format!("kill {id:?} with signal {signal}")),
    }
    if signal == libc::SIGKILL {
        thaw(globals, &state);
        if state.own_pid_namespace
            && let Err(error) = cgroup::thaw_killed(&state.cgroup)
        {
            globals.log.warn(&log::one_line(&error.context("thaw what was killed")));
        }
    }
    Ok(())
}

/// Signals every process of the container.
fn kill_all(state: &State, boot: &Boot, signal: i32) -> anyhow::Result<()> {
    if signal == libc::SIGKILL && !state.cgroup.is_empty() {
        return cgroup::kill_all(&state.cgroup, Signal::SIGKILL);
    }
    let pidfds: Vec<_> = members::pids(state, boot)?
        .into_iter()
        .filter_map(|pid| Some((pid, crate::sys::process::pidfd_open(pid).ok()?)))
        .collect();
    // Whoever is still listed had its pid when the pidfd was opened: a reused pid is not signalled.
    let listed = members::pids(state, boot)?;
    for (pid, pidfd) in pidfds.iter().filter(|(pid, _)| listed.contains(pid)) {
        use std::os::fd::AsFd;
        match crate::sys::process::pidfd_send_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).with_context(|| format!("signal {signal} to process {pid}")),
        }
    }
    Ok(())
}

/// In v1's freezer a killed process stays until it is thawed; nothing else of a paused container may go on.
fn thaw(globals: &Globals, state: &State) {
    let thawed =
        cgroup::is_frozen(&state.cgroup).and_then(|frozen| if frozen { cgroup::thaw(&state.cgroup) } else { Ok(()) });
    if let Err(error) = thawed {
        globals.log.warn(&log::one_line(&error.context("thaw what was killed")));
    }
}
