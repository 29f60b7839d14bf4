//! config-linux.md, "Control groups".

mod block_io;
mod bus;
mod cpu;
mod frozen;
mod limits;
mod memory;
mod others;
mod ownership;
mod path;
mod threaded;
mod units;
mod update;
mod weights;
