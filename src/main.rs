//! `rt`, a low-level OCI runtime: config.json is compiled to a plan, and the plan is run.
#![deny(unsafe_code)]

mod cgroup;
mod cli;
mod cmd;
mod confine;
mod error;
mod host;
mod log;
mod plan;
mod rootfs;
mod spec;
mod stage;
mod state;
mod sys;

fn main() {}
