//! `rt pause` and `rt resume`: the container's processes stand still, and go on.

use anyhow::{Context, bail};
use clap::ArgMatches;

use crate::cgroup;
use crate::cli::Globals;
use crate::state::{Boot, Status};

/// Freezes the container.
///
/// # Errors
/// When it is not running, or has no cgroup to be frozen by.
pub fn pause(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let container = super::container(globals, matches)?;
    super::lock_created(&container)?;
    let state = container.load()?;
    let id = container.id().as_str();
    match container.status(&state, &Boot::default())? {
        Status::Running | Status::Created => {}
        Status::Paused => bail!("{id:?}: container is paused already"),
        Status::Stopped => bail!("{id:?}: container not running"),
        Status::Creating => bail!("{id:?}: container is still being created"),
    }
    cgroup::freeze(&state.cgroup).with_context(|| format!("pause {id:?}"))?;
    Ok(0)
}

/// Thaws the container.
///
/// # Errors
/// When it is not paused.
pub fn resume(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let container = super::container(globals, matches)?;
    super::lock_created(&container)?;
    let state = container.load()?;
    let id = container.id().as_str();
    match container.status(&state, &Boot::default())? {
        Status::Paused => {}
        Status::Stopped => bail!("{id:?}: container not running"),
        other => bail!("{id:?}: container is not paused, it is {}", other.word()),
    }
    cgroup::thaw(&state.cgroup).with_context(|| format!("resume {id:?}"))?;
    // v1 shows what is in force.
    if cgroup::is_frozen(&state.cgroup)? {
        bail!("resume {id:?}: a cgroup above the container's is frozen");
    }
    Ok(0)
}
