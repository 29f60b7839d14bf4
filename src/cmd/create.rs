//! `rt create`: a container whose program does not run yet.

use clap::ArgMatches;

use super::creation::Request;
use crate::cli::Globals;
use crate::stage::notify::ServiceManager;

/// Creates the container and leaves it behind the start gate.
///
/// # Errors
/// Whatever keeps the container from being created; nothing of it is left then.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let manager = ServiceManager::of_environment()?;
    Request::load(globals, matches, manager.as_ref())?.create(globals, None, true)?;
    Ok(0)
}
