//! CRIU, which freezes processes into files and brings them back: its protocol, options and log.
//!
//! `criu swrk FD` serves one client over a SEQPACKET socket, in the messages of its rpc.proto
//! (<https://criu.org/RPC>). It is started for one request and ends with it.

mod images;
mod log;
mod options;
mod session;
mod wire;

pub use images::hierarchies;
pub use log::{LogFile, explain};
pub use options::{CgroupMode, NetworkLock, Options, PageServer, Passed};
pub use session::{Event, Request, Session};
