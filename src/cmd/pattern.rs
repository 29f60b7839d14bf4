//! `--regex`: one command for all containers whose ids match, as crun has it.

use anyhow::bail;
use clap::ArgMatches;
use regex::Regex;

use crate::cli::Globals;
use crate::log;
use crate::state::{Container, Missing, StateRoot};

/// Does something to every container whose id matches, and goes on after a fault.
///
/// # Errors
/// When the pattern is none, or at least one container made a fault.
pub fn for_each(
    globals: &Globals,
    matches: &ArgMatches,
    mut act: impl FnMut(Container) -> anyhow::Result<()>,
) -> anyhow::Result<i32> {
    let pattern = matches.get_one::<String>("id").map_or("", String::as_str);
    let regex = match Regex::new(pattern) {
        Ok(regex) => regex,
        Err(reason) => bail!("{pattern:?} is no regular expression: {reason}"),
    };
    let root = StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?;
    let mut faults = Vec::new();
    for id in root.ids()?.into_iter().filter(|id| regex.is_match(id.as_str())) {
        match root.open(&id).and_then(&mut act) {
            Err(error) if !error.is::<Missing>() => faults.push(log::one_line(&error)),
            _ => {}
        }
    }
    if faults.is_empty() { Ok(0) } else { bail!("{}", faults.join("; ")) }
}
