//! Network namespaces made by `ip netns`, gone with the value.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A named network namespace.
pub struct NetworkNamespace {
    pub name: String,
}

impl NetworkNamespace {
    /// Makes one; `None` where `ip` is missing or may not.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rtt{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]).then_some(Self { name })
    }

    /// The path that a namespace entry joins it by.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Runs `ip -n NAME args…`.
    pub fn ip(&self, args: &[&str]) -> bool {
        ip(&[&["-n", &self.name], args].concat())
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
    }
}

/// Runs `ip args…` and says whether it worked.
pub fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).status().is_ok_and(|status| status.success())
}
