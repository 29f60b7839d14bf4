//! One file for each verb.

pub mod check;
pub mod checkpoint;
#[cfg(test)]
mod command_lines;
pub mod create;
pub mod creation;
pub mod delete;
mod duration;
pub mod events;
pub mod exec;
pub mod explain;
pub mod features;
pub mod kill;
pub mod list;
#[cfg(test)]
mod manual;
pub mod mounts;
mod pattern;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod run;
mod signal;
mod size;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

use std::io::Write;

use anyhow::{Context, bail};
use clap::{ArgMatches, Command};

use crate::cli::{Globals, Verb, flags, image_flags};
use crate::state::{Container, ContainerId, StateRoot};

const LIFE: &str = "Life of a container";
const INSIDE: &str = "A running container";
const LOOK: &str = "See what is there";
const WRITE: &str = "Write and check a configuration";

/// Every verb, in the order of `rt --help`.
pub const VERBS: &[Verb] = &[
    verb(LIFE, "run", "create and start a container, and wait for its end", flags::run, run::run),
    verb(LIFE, "create", "create a container; its program waits for start", flags::create, create::run),
    verb(LIFE, "start", "start the program of a created container", flags::start, start::run),
    verb(LIFE, "kill", "send a signal to a container", flags::kill, kill::run),
    verb(LIFE, "delete", "remove a stopped container", flags::delete, delete::run),
    verb(INSIDE, "exec", "run another program in it", flags::exec, exec::run),
    verb(INSIDE, "pause", "make all its processes stand still", flags::pause, pause::pause),
    verb(INSIDE, "resume", "let them go on", flags::resume, pause::resume),
    verb(INSIDE, "checkpoint", "freeze it into files", image_flags::checkpoint, checkpoint::run),
    verb(INSIDE, "restore", "make one from such files again", image_flags::restore, restore::run),
    verb(INSIDE, "update", "change its limits", flags::update, update::run),
    verb(INSIDE, "mounts", "add mounts to it, or take them away", flags::mounts, mounts::run),
    verb(INSIDE, "ps", "show its processes", flags::ps, ps::run),
    verb(LOOK, "list", "show all containers", flags::list_containers, list::run),
    verb(LOOK, "state", "show one container as JSON", flags::state, state::run),
    verb(LOOK, "events", "show what one uses, and when it runs out of memory", flags::events, events::run),
    verb(LOOK, "features", "show what this rt supports as JSON", flags::features, features::run),
    verb(WRITE, "spec", "write a config.json to begin with", flags::spec, spec::run),
    verb(WRITE, "explain", "show what create and start would do", flags::explain, explain::run),
    verb(WRITE, "check", "show every fault of a config.json", flags::check, check::run),
];

const fn verb(
    group: &'static str,
    name: &'static str,
    about: &'static str,
    flags: fn(Command) -> Command,
    run: fn(&Globals, &ArgMatches) -> anyhow::Result<i32>,
) -> Verb {
    Verb { name, group, about, flags, run }
}

/// Whether the verb brings a process of ours into a container: then our executable must be out of its reach.
pub fn enters_a_container(verb: &str) -> bool {
    matches!(verb, "create" | "run" | "exec" | "mounts" | "restore")
}

/// The container that the operands name.
fn container(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<Container> {
    let id = ContainerId::parse(matches.get_one::<String>("id").map_or("", String::as_str))?;
    StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?.open(&id)
}

/// Waits until nobody else changes the container; its creation is not waited for: a hook of it may be who calls.
///
/// # Errors
/// When the container is still being created, or gone.
fn lock_created(container: &Container) -> anyhow::Result<()> {
    if container.try_lock()? {
        return Ok(());
    }
    if container.load()?.pid == 0 {
        bail!("{:?}: container is still being created", container.id().as_str());
    }
    container.lock()
}

/// Writes the answer of a command; its exit code is 0 then.
fn print(text: &[u8]) -> anyhow::Result<i32> {
    let mut out = std::io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).context("write to standard output")?;
    Ok(0)
}
