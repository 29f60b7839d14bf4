//! The only unsafe code: thin wrappers for system calls that nix does not have. No policy.
#![allow(unsafe_code)]

pub mod bpf;
pub mod credentials;
#[cfg(not(test))]
pub mod entry;
pub mod fd;
pub mod listener;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod process;
#[cfg(all(not(test), quick_start))]
mod reexec;
pub mod sched;
pub mod seccomp;
#[cfg(test)]
mod seccomp_bench;
#[cfg(all(not(test), quick_start))]
mod start;
#[cfg(test)]
pub mod testing;
pub mod tty;
pub mod userns;
pub mod xattr;
