//! `rt start`: the program of a created container runs.

use anyhow::{Context, bail};
use clap::ArgMatches;
use nix::errno::Errno;

use crate::cli::Globals;
use crate::stage::gate;
use crate::stage::notify::{Proxy, ServiceManager};
use crate::stage::start::{OnFailure, start};
use crate::state::{Boot, ContainerId, InitHandle, StateRoot, Status};

/// Opens the start gate and runs the poststart hooks.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#start>.
///
/// # Errors
/// When the container is not `created`, has no program, or a hook fails.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let id = ContainerId::parse(matches.get_one::<String>("id").map_or("", String::as_str))?;
    let container = StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?.open(&id)?;
    super::lock_created(&container)?;
    let state = container.load()?;
    let boot = Boot::default();
    let refusal = |why: &str| format!("cannot start container {:?}: {why}", id.as_str());
    match container.status(&state, &boot)? {
        Status::Created => {}
        Status::Running => bail!(refusal("it is already running")),
        Status::Stopped => bail!(refusal("it has stopped")),
        Status::Paused => bail!(refusal("it is paused")),
        Status::Creating => bail!(refusal("it is still being created")),
    }
    if !state.has_process {
        bail!(refusal("its config.json has no /process"));
    }
    let init = InitHandle::open(&state, &boot)?.with_context(|| refusal("it has stopped"))?;
    // Only this caller's manager: the one that had the container created may be gone.
    let notify = Proxy::listen(container.notify_directory()?, ServiceManager::of_environment()?)?;
    let channel = match gate::open(container.directory()) {
        Err(Errno::ECONNREFUSED) => bail!(refusal("it has stopped")),
        other => other.with_context(|| refusal("the start gate does not open"))?,
    };
    let container = start(&globals.log, container, &state, &channel, init.as_fd(), OnFailure::Keep)?;
    if let Some(notify) = notify {
        // Others may stop it before it is ever ready.
        container.unlock();
        notify.wait_until_ready(init.as_fd(), state.pid.cast_unsigned())?;
    }
    Ok(0)
}
