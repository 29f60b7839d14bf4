//! The flags of seccomp(2).

use std::ops::{BitOr, BitOrAssign};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

use super::SeccompFault;

/// A set of flags, with the kernel's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeccompFlags(u32);

impl SeccompFlags {
    /// The filter is for all threads of the process.
    pub const TSYNC: Self = Self(1);
    /// Actions other than ALLOW are logged.
    pub const LOG: Self = Self(1 << 1);
    /// Speculative store bypass is not mitigated.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// seccomp(2) returns a descriptor for `SCMP_ACT_NOTIFY`.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// A thread that cannot be synchronized is reported as ESRCH: TSYNC with a listener needs it.
    pub const TSYNC_ESRCH: Self = Self(1 << 4);
    /// A process that waits for the agent can be killed, and only killed. Needs a listener.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// The bits for seccomp(2).
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Takes the kernel's bits as they are.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether all of the other set's flags are in this one.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for SeccompFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for SeccompFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Every flag of the runtime spec.
pub const FLAGS: [(LinuxSeccompFilterFlag, &str, SeccompFlags); 4] = {
    use LinuxSeccompFilterFlag::*;
    [
        (SeccompFilterFlagTsync, "SECCOMP_FILTER_FLAG_TSYNC", SeccompFlags::TSYNC),
        (SeccompFilterFlagLog, "SECCOMP_FILTER_FLAG_LOG", SeccompFlags::LOG),
        (SeccompFilterFlagSpecAllow, "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SeccompFlags::SPEC_ALLOW),
        (SeccompFilterFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SeccompFlags::WAIT_KILLABLE_RECV),
    ]
};

/// The profile's flags, and those that a listener needs.
pub(super) fn plan_flags(
    seccomp: &LinuxSeccomp,
    supported: SeccompFlags,
    notifies: bool,
    warnings: &mut Vec<SeccompFault>,
) -> Result<SeccompFlags, SeccompFault> {
    let mut flags = SeccompFlags::default();
    for (index, wanted) in seccomp.flags().iter().flatten().enumerate() {
        let pointer = format!("/linux/seccomp/flags/{index}");
        let (_, name, flag) = FLAGS.into_iter().find(|row| row.0 == *wanted).expect("the table has every flag");
        if !supported.contains(flag) {
            return Err(SeccompFault::new(pointer, format!("the kernel does not have {name}")));
        }
        if flag == SeccompFlags::WAIT_KILLABLE_RECV && !notifies {
            let reason = format!("{name} has no effect, no rule uses SCMP_ACT_NOTIFY");
            warnings.push(SeccompFault::new(pointer, reason));
            continue;
        }
        flags |= flag;
    }
    if notifies {
        flags |= SeccompFlags::NEW_LISTENER;
        if flags.contains(SeccompFlags::TSYNC) {
            flags |= SeccompFlags::TSYNC_ESRCH;
        }
    }
    Ok(flags)
}
