//! The choreography: which process does what, and when.

pub mod checkpoint;
pub mod failure;
mod first_state;
pub mod foreground;
pub mod gate;
pub mod hooks;
pub mod id_map;
pub mod init;
pub mod join;
pub mod listener;
pub mod mounts;
pub mod namespaces;
pub mod notify;
pub mod pid_file;
pub mod privileges;
pub mod protect;
pub mod restore;
pub mod runtime;
pub mod settings;
pub mod setup;
pub mod start;
pub mod sync;
pub mod teardown;
pub mod undo;
mod unit;

/// One step of a stage: its name, as in traces and errors, and what is done.
type Step<S> = (&'static str, fn(&mut S) -> anyhow::Result<()>);
