//! End-to-end tests by chapter of the runtime spec. Each quotes the sentence that it proves.
//!
//! `RUNTIME=/path/to/runtime` runs them against another runtime: they test the spec, not ourselves.
#![allow(missing_docs)]

#[macro_use]
mod harness;

mod cgroups;
mod checkpoint;
mod commands;
mod conformance;
mod devices;
mod errors;
mod hooks;
mod lifecycle;
mod mounts;
mod namespaces;
mod networking;
mod process;
mod robustness;
mod rootfs;
mod rootless;
mod security;
