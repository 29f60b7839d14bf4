//! `rt state`: what a container is, as JSON.

use clap::ArgMatches;

use super::print;
use crate::cli::Globals;
use crate::state::{Boot, owner};

/// Prints the state of the runtime spec, with `rootfs`, `created` and `owner` beside.
///
/// # Errors
/// When the container does not exist.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let container = super::container(globals, matches)?;
    let state = container.load()?;
    let status = container.status(&state, &Boot::default())?;
    let mut text = serde_json::to_vec_pretty(&state.report(status, owner::name(state.owner)))?;
    text.push(b'\n');
    print(&text)
}
