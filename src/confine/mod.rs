//! What confines the container's process: credentials, capabilities, labels, limits.
//!
//! Everything here acts on the caller: INIT, or the process that `exec` puts into a container. The order in which
//! a stage calls it matters; each function says why.

pub mod credentials;
pub mod cwd;
pub mod executable;
pub mod home;
pub mod labels;
pub mod limits;
