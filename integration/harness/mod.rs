//! What the chapters stand on: bundles, the runtime under test, and the search for what it left behind.

pub mod agent;
pub mod bundle;
pub mod cgroups;
pub mod container;
pub mod descriptor;
mod image;
pub mod leaks;
pub mod mode;
pub mod netns;
pub mod program;
pub mod runtime;
pub mod terminal;
pub mod tree;

pub use bundle::Bundle;
pub use container::Container;
pub use mode::{Mode, mode};
pub use runtime::{Kind, Outcome, runtime};

/// Leaves the test with one line on why it cannot run here; `make test` sums these lines up.
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::harness::runtime::record_skip(&format!($($why)*));
        return;
    }};
}

/// Leaves the test where the machine has not this cgroup controller, on v1 or on v2.
macro_rules! need_controller {
    ($name:literal) => {
        if !$crate::harness::cgroups::has($name) {
            skip!("no {} controller here", $name);
        }
    };
}

/// Leaves the test when the runtime under test is not `rt`: it is about a promise of `rt`'s own.
macro_rules! only_rt {
    () => {
        if $crate::harness::runtime().kind != $crate::harness::Kind::Rt {
            skip!("a promise of rt's own");
        }
    };
}

/// Leaves the test when it is not root that calls the runtime: the reason is what it needs root for.
macro_rules! need_root {
    ($($why:tt)*) => {
        if $crate::harness::mode() == $crate::harness::Mode::Rootless {
            skip!("only root can {}", format_args!($($why)*));
        }
    };
}

/// Leaves the test when systemd makes the cgroups: it is about paths in the cgroup file system.
macro_rules! need_cgroupfs {
    () => {
        if $crate::harness::mode() == $crate::harness::Mode::Systemd {
            skip!("under systemd cgroupsPath names a unit");
        }
    };
}

/// Leaves the test where a container has no cgroup of its own: nobody has delegated one to the user.
macro_rules! need_cgroup {
    () => {
        if !$crate::harness::cgroups::has_cgroup() {
            skip!("no cgroup was delegated");
        }
    };
}

/// Leaves the test where block devices cannot be limited, by v1's `blkio` or v2's `io`.
macro_rules! need_block_io {
    () => {
        if !$crate::harness::cgroups::has("blkio") && !$crate::harness::cgroups::has("io") {
            skip!("no controller for block devices here");
        }
    };
}
