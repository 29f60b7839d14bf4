//! Facts about the machine and the caller, read once; `plan` decides by them.

pub mod cgroup;

/// What `plan` may know about the machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Kernel version, major and minor.
    pub kernel: (u32, u32),
    /// Effective user id of the runtime.
    pub euid: u32,
    /// Effective group id of the runtime.
    pub egid: u32,
    /// Effective capabilities of the runtime, one bit each.
    pub capabilities: u64,
    /// Whether the runtime itself runs in a user namespace other than the first.
    pub in_user_namespace: bool,
    /// How cgroups are mounted.
    pub cgroup: cgroup::Layout,
}
