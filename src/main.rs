//! `rt`, a low-level OCI runtime.
fn main() {}
