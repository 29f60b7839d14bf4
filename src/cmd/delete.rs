//! `rt delete`: takes back what `create` made.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::ArgMatches;
use nix::sys::signal::Signal;

use crate::cgroup;
use crate::cli::{Dialect, Globals};
use crate::stage::teardown::destroy;
use crate::state::{Boot, Container, InitHandle, Missing, State, Status};

/// How long another command may hold the container that is to go by force.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Removes the container; with `--force` kills it before, and one that does not exist is no error.
///
/// Every step may have been done before: a delete that was killed is finished by the next.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#delete>: what is only `created`
/// is not `stopped` and needs force, too, unless `rt` is called as runc or crun.
///
/// # Errors
/// When the container is not stopped, or something of it stays.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let force = matches.get_flag("force");
    if matches.get_flag("regex") {
        return super::pattern::for_each(globals, matches, |container| delete(globals, container, force));
    }
    let deleted = super::container(globals, matches).and_then(|container| delete(globals, container, force));
    match deleted {
        Err(error) if force && error.is::<Missing>() => Ok(0),
        other => other.map(|()| 0),
    }
}

fn delete(globals: &Globals, container: Container, force: bool) -> anyhow::Result<()> {
    lock(&container, force)?;
    let state = match container.load() {
        Ok(state) => state,
        Err(error) => {
            // What a killed create or delete left: it holds nothing beside the directory.
            if error.is::<Missing>() {
                container.remove()?;
            }
            return Err(error);
        }
    };
    let boot = Boot::default();
    let init = InitHandle::open(&state, &boot)?;
    if init.is_some() && !force {
        refuse(globals.dialect, &container, &state, &boot)?;
    }
    destroy(&globals.log, container, &state, init.as_ref().map(InitHandle::as_fd))
}

fn refuse(dialect: Dialect, container: &Container, state: &State, boot: &Boot) -> anyhow::Result<()> {
    match container.status(state, boot)? {
        Status::Stopped => Ok(()),
        Status::Created if dialect.deletes_created() => Ok(()),
        other => bail!("{:?}: container is {}: stop it before, or use --force", container.id().as_str(), other.word()),
    }
}

/// Whoever creates, starts or pauses the container holds its lock: that is waited for.
///
/// A creation that hangs is cut short by force: its processes are killed, and then its `rt create` cleans up.
fn lock(container: &Container, force: bool) -> anyhow::Result<()> {
    if container.try_lock()? {
        return Ok(());
    }
    let state = container.load()?;
    if state.pid > 0 {
        return container.lock();
    }
    let id = container.id().as_str();
    if !force {
        bail!("{id:?}: container is creating: wait for it, or use --force");
    }
    cgroup::kill_all(&state.cgroup, Signal::SIGKILL)?;
    let deadline = Instant::now() + LOCK_LIMIT;
    while !container.try_lock()? {
        if Instant::now() > deadline {
            bail!("{id:?}: another rt has been creating it for more than {} s", LOCK_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
