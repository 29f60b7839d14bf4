//! config-linux.md, "Control groups".

mod limits;
mod path;
