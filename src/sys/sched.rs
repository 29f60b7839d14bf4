//! Scheduling, I/O priority, CPUs and memory nodes of the caller.

use nix::errno::Errno;
use nix::libc;

/// `struct sched_attr`, with utilization clamps (Linux 5.3).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedAttr {
    /// Of this struct; set by `sched_setattr`.
    pub size: u32,
    /// SCHED_*
    pub policy: u32,
    /// SCHED_FLAG_*
    pub flags: u64,
    /// For SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// For SCHED_DEADLINE, in nanoseconds, as the next two.
    pub runtime: u64,
    /// See `runtime`.
    pub deadline: u64,
    /// See `runtime`.
    pub period: u64,
    /// 0 to 1024, with SCHED_FLAG_UTIL_CLAMP_MIN.
    pub util_min: u32,
    /// 0 to 1024, with SCHED_FLAG_UTIL_CLAMP_MAX.
    pub util_max: u32,
}

/// `int sched_setattr(pid_t pid, struct sched_attr *attr, unsigned int flags)`, of the caller.
/// <https://man7.org/linux/man-pages/man2/sched_setattr.2.html>
///
/// EPERM: CAP_SYS_NICE is missing, the cgroup has no real time, or SCHED_DEADLINE within a cpuset;
/// EBUSY: no bandwidth is left for SCHED_DEADLINE; EOPNOTSUPP: no utilization clamps in this kernel.
pub fn sched_setattr(mut attr: SchedAttr) -> nix::Result<()> {
    attr.size = size_of::<SchedAttr>() as u32;
    // SAFETY: size says how much of attr the kernel may read.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    Errno::result(result).map(drop)
}

/// `int sched_setaffinity(pid_t pid, size_t cpusetsize, const cpu_set_t *mask)`, of the caller, for any number of CPUs.
/// <https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html>
///
/// EINVAL: none of the CPUs is in the caller's cpuset.
pub fn sched_setaffinity(mask: &[u64]) -> nix::Result<()> {
    // SAFETY: the size is that of the mask.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) };
    Errno::result(result).map(drop)
}

const IOPRIO_WHO_PROCESS: libc::c_long = 1;

/// `int ioprio_set(int which, int who, int ioprio)`, of the caller.
/// <https://man7.org/linux/man-pages/man2/ioprio_set.2.html>
///
/// EPERM: the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub fn ioprio_set(packed: u16) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, libc::c_long::from(packed)) };
    Errno::result(result).map(drop)
}

/// `long set_mempolicy(int mode, const unsigned long *nodemask, unsigned long maxnode)`.
/// <https://man7.org/linux/man-pages/man2/set_mempolicy.2.html>
///
/// EINVAL: a node that is not there or not allowed, or a mode that this kernel does not know;
/// ENOSYS: a kernel without NUMA.
pub fn set_mempolicy(mode: u32, nodes: &[u64]) -> nix::Result<()> {
    // The kernel looks at one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { size_of_val(nodes) * 8 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads as many bits of the mask, rounded up to words of 64, as bits - 1 says.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    Errno::result(result).map(drop)
}

/// `int personality(unsigned long persona)`.
/// <https://man7.org/linux/man-pages/man2/personality.2.html>
pub fn personality(persona: u32) -> nix::Result<()> {
    // SAFETY: takes a number only.
    Errno::result(unsafe { libc::personality(persona.into()) }).map(drop)
}
