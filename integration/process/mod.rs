//! config.md, "Process": what the program finds itself as.

mod capabilities;
mod environment;
mod exec;
mod exit;
mod identity;
mod limits;
mod notify;
mod policies;
mod scheduling;
mod stdio;
mod terminal;
