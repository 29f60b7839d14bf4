//! runtime.md: the operations and the states between them.

mod create;
mod delete;
mod kill;
mod pause;
mod start;
mod state;
