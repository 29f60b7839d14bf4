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

/// A pair of veth devices in the test's own network namespace; gone with the value, wherever they are by then.
pub struct Veth {
    pub name: String,
    pub peer: String,
}

impl Veth {
    /// Makes one, both ends up; `None` where the machine has no veth devices.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let [name, peer] = ["a", "b"].map(|end| format!("v{number}{end}{}", std::process::id()));
        if !ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]) {
            return None;
        }
        let veth = Self { name, peer };
        assert!([&veth.name, &veth.peer].into_iter().all(|end| ip(&["link", "set", end, "up"])));
        Some(veth)
    }

    /// Gives the first end an address.
    pub fn address(self, address: &[&str]) -> Self {
        assert!(ip(&[&["addr", "add"], address, &["dev", &self.name]].concat()), "{address:?}");
        self
    }

    /// What `ip -o addr show` says of the first end, without its number; empty when it is not here.
    pub fn shown(&self) -> String {
        shown(&[], &self.name)
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        Command::new("ip").args(["link", "delete", &self.peer]).stderr(std::process::Stdio::null()).status().ok();
    }
}

/// What `ip FLAGS -o addr show dev NAME` says, one address a line, but for the link's own one and what else the kernel
/// makes of them by and by; empty when there is no such device.
pub fn shown(flags: &[&str], name: &str) -> String {
    let output = Command::new("ip").args(flags).args(["-o", "addr", "show", "dev", name]).output().expect("run ip");
    let text = String::from_utf8_lossy(&output.stdout).replace(" tentative", "");
    text.lines().filter(|line| !line.contains(" inet6 fe80:")).map(|line| format!("{line}\n")).collect()
}

/// Runs `ip args…` and says whether it worked.
pub fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).status().is_ok_and(|status| status.success())
}
