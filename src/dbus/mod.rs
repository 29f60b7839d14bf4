//! The little of D-Bus that a container runtime needs: one connection, calls with a deadline, signals.
//!
//! No threads: it is used between clone and commit. Written from the [specification]; `rustbus`, the leanest crate,
//! would bring 16 others (README, "Dependencies").
//!
//! [specification]: https://dbus.freedesktop.org/doc/dbus-specification.html

mod address;
mod connection;
#[cfg(test)]
pub mod fake;
mod message;
mod wire;

pub use address::Address;
pub use connection::{Call, CallError, Connection};
#[cfg(test)]
use message::Message;
