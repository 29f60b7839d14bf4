//! The command line: the flags, strings, formats and exit codes that the managers above depend on.

mod annotations;
mod captured;
mod dialects;
mod events;
mod expectations;
mod features;
mod flags;
mod log;
mod reports;
mod tables;
