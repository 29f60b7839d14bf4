//! `rt run`: create, start, and in the foreground wait and delete.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use clap::ArgMatches;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::creation::Request;
use crate::cli::Globals;
use crate::stage::failure;
use crate::stage::foreground::Foreground;
use crate::stage::notify::{Proxy, ServiceManager};
use crate::stage::runtime::Created;
use crate::stage::start::{OnFailure, start};
use crate::stage::teardown::destroy;
use crate::state::{Container, State};
use crate::sys::fd;

/// Runs a container from beginning to end, or to its start with `--detach`.
///
/// # Errors
/// Whatever keeps it from running; nothing of it is left then.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let manager = ServiceManager::of_environment()?;
    let request = Request::load(globals, matches, manager.as_ref())?;
    if request.plan.process.is_none() {
        bail!("config.json: /process is missing: there is nothing to run");
    }
    let detach = matches.get_flag("detach");
    // On the caller's own terminal, INIT sends the master here.
    let owns_terminal = request.wants_terminal() && !request.has_console_socket() && !detach;
    let (ours, theirs) = if owns_terminal { Some(socket_pair()?) } else { None }.unzip();
    // Before clone: no signal is lost.
    let foreground = if detach { None } else { Some(Foreground::prepare()?) };

    let Created { container, state, init: (pid, init), channel, .. } = request.create(globals, theirs, false)?;
    let listening = container.notify_directory().and_then(|directory| Proxy::listen(directory, manager));
    let notify = match listening {
        Ok(notify) => notify,
        Err(error) => {
            let causes: Vec<_> =
                destroy(&globals.log, container, &state, Some(init.as_fd())).err().into_iter().collect();
            return Err(failure::with_causes(error, &causes));
        }
    };
    let master = ours.map(|socket| fd::receive(socket.as_fd())).transpose().context("receive the terminal")?;
    let container = start(&globals.log, container, &state, &channel, init.as_fd(), OnFailure::Destroy)?;
    drop(channel);
    let Some(mut foreground) = foreground else {
        if let Some(notify) = notify {
            container.unlock();
            notify.wait_until_ready(init.as_fd(), pid.cast_unsigned())?;
        }
        return Ok(0);
    };
    foreground.notify = notify;
    finish(globals, matches, container, &state, &foreground, init.as_fd(), master)
}

/// Stays with a container in the foreground until it ends, and deletes it, unless it is to be kept.
///
/// # Errors
/// When it cannot be waited for, or something of it stays.
pub fn finish(
    globals: &Globals,
    matches: &ArgMatches,
    container: Container,
    state: &State,
    foreground: &Foreground,
    init: BorrowedFd<'_>,
    master: Option<OwnedFd>,
) -> anyhow::Result<i32> {
    // Others may kill it, pause it and enter it while it runs.
    container.unlock();
    let status = foreground.stay(init, master)?;
    if !matches.get_flag("keep") {
        match container.lock() {
            Ok(()) => destroy(&globals.log, container, state, None)?,
            // Somebody else has deleted it.
            Err(error) if error.is::<crate::state::Missing>() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(status)
}

/// A socket for the terminal's master.
pub fn socket_pair() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
        .context("socketpair for the terminal")
}
