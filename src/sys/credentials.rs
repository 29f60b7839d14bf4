//! Capabilities and keyrings, as the kernel takes them.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::libc;

/// The three sets of capset(2), one bit for each capability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// In force.
    pub effective: u64,
    /// What can be in force.
    pub permitted: u64,
    /// What files can give on execve.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// _LINUX_CAPABILITY_VERSION_3: two words for each set.
const VERSION_3: u32 = 0x2008_0522;

/// `int capget(cap_user_header_t hdrp, cap_user_data_t datap)`, of the caller.
/// <https://man7.org/linux/man-pages/man2/capget.2.html>
pub fn capget() -> nix::Result<CapabilitySets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 writes two elements of data, which both pointers' targets have room for.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    Errno::result(result)?;
    let join = |set: fn(&Data) -> u32| u64::from(set(&data[0])) | u64::from(set(&data[1])) << 32;
    Ok(CapabilitySets {
        effective: join(|data| data.effective),
        permitted: join(|data| data.permitted),
        inheritable: join(|data| data.inheritable),
    })
}

/// `int capset(cap_user_header_t hdrp, const cap_user_data_t datap)`, of the caller.
/// <https://man7.org/linux/man-pages/man2/capget.2.html>
///
/// EPERM: a set would grow beyond what is permitted. Bits that the kernel does not know are ignored.
pub fn capset(sets: CapabilitySets) -> nix::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two elements of data.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    Errno::result(result).map(drop)
}

/// `prctl(PR_CAPBSET_READ, capability)`: whether it is in the bounding set. EINVAL: the kernel does not know it.
pub fn bounding_has(capability: u32) -> nix::Result<bool> {
    prctl(libc::PR_CAPBSET_READ, capability.into(), 0).map(|set| set != 0)
}

/// `prctl(PR_CAPBSET_DROP, capability)`. EINVAL: the kernel does not know it; EPERM: CAP_SETPCAP is missing.
pub fn bounding_drop(capability: u32) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop)
}

/// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)`.
pub fn ambient_clear() -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0).map(drop)
}

/// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)`. EPERM: not in permitted and inheritable.
pub fn ambient_raise(capability: u32) -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability.into()).map(drop)
}

fn prctl(option: libc::c_int, second: libc::c_ulong, third: libc::c_ulong) -> nix::Result<libc::c_int> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take plain numbers; the kernel wants the unused arguments to be 0.
    Errno::result(unsafe { libc::prctl(option, second, third, zero, zero) })
}

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// `key_serial_t keyctl(KEYCTL_JOIN_SESSION_KEYRING, const char *name)`.
/// <https://man7.org/linux/man-pages/man3/keyctl_join_session_keyring.3.html>
///
/// ENOSYS: the kernel has no keyrings; EDQUOT: the user has too many keys.
pub fn join_session_keyring(name: &CStr) -> nix::Result<()> {
    // SAFETY: the name ends in NUL and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    Errno::result(result).map(drop)
}
