//! The only unsafe code: thin wrappers for system calls that nix does not have. No policy.
#![allow(unsafe_code)]
