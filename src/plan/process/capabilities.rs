//! The five capability sets of a process, as bits.

use std::fmt;

use oci_spec::runtime::{Capabilities as Names, Capability, LinuxCapabilities};

use crate::error::Faults;
use crate::spec::capability::CAPABILITIES;

/// The five sets, one bit for each capability by its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What execve can ever give.
    pub bounding: u64,
    /// What is in force.
    pub effective: u64,
    /// What can be in force.
    pub permitted: u64,
    /// What files can give on execve. Empty unless asked for (CVE-2022-29162, CVE-2022-27650, CVE-2025-27612).
    pub inheritable: u64,
    /// What survives execve without root.
    pub ambient: u64,
}

/// Every capability that rt knows.
#[cfg(test)]
pub const ALL: u64 = (1 << CAPABILITIES.len()) - 1;

/// Plans the sets. What the runtime itself does not have stays in: whether a new user namespace gives it is known
/// when the sets are applied, and what cannot be granted is a warning then.
pub fn plan_capabilities(
    sets: Option<&LinuxCapabilities>,
    uid: u32,
    pointer: &str,
    faults: &mut Faults,
) -> Capabilities {
    let Some(sets) = sets else { return Capabilities::default() };
    let bits = |names: &Option<Names>| names.iter().flatten().fold(0, |bits, name| bits | 1 << number(*name));
    let mut planned = Capabilities {
        bounding: bits(sets.bounding()),
        effective: bits(sets.effective()),
        permitted: bits(sets.permitted()),
        inheritable: bits(sets.inheritable()),
        ambient: bits(sets.ambient()),
    };
    let mut cut = |set: &mut u64, name: &str, within: u64, reason: &str| {
        let refused = *set & !within;
        if refused != 0 {
            let pointer = format!("{pointer}/capabilities/{name}");
            faults.warn(pointer, format!("{} cannot be granted: {reason}", List(refused)));
            *set &= within;
        }
    };
    cut(&mut planned.effective, "effective", planned.permitted, "not in permitted");
    let can_be_ambient = planned.permitted & planned.inheritable;
    // Since CVE-2022-29162 managers leave the inheritable set out, and buildah still writes the ambient one. A program
    // of root's has the whole bounding set after execve all the same: each RUN of a build is not worth a warning.
    if planned.inheritable == 0 && uid == 0 {
        planned.ambient &= !planned.bounding;
    }
    cut(&mut planned.ambient, "ambient", can_be_ambient, "not in both permitted and inheritable");
    planned
}

/// The number of a capability to the kernel.
fn number(capability: Capability) -> u8 {
    use Capability as C;
    use caps::Capability as K;
    let kernel = match capability {
        C::AuditControl => K::CAP_AUDIT_CONTROL,
        C::AuditRead => K::CAP_AUDIT_READ,
        C::AuditWrite => K::CAP_AUDIT_WRITE,
        C::BlockSuspend => K::CAP_BLOCK_SUSPEND,
        C::Bpf => K::CAP_BPF,
        C::CheckpointRestore => K::CAP_CHECKPOINT_RESTORE,
        C::Chown => K::CAP_CHOWN,
        C::DacOverride => K::CAP_DAC_OVERRIDE,
        C::DacReadSearch => K::CAP_DAC_READ_SEARCH,
        C::Fowner => K::CAP_FOWNER,
        C::Fsetid => K::CAP_FSETID,
        C::IpcLock => K::CAP_IPC_LOCK,
        C::IpcOwner => K::CAP_IPC_OWNER,
        C::Kill => K::CAP_KILL,
        C::Lease => K::CAP_LEASE,
        C::LinuxImmutable => K::CAP_LINUX_IMMUTABLE,
        C::MacAdmin => K::CAP_MAC_ADMIN,
        C::MacOverride => K::CAP_MAC_OVERRIDE,
        C::Mknod => K::CAP_MKNOD,
        C::NetAdmin => K::CAP_NET_ADMIN,
        C::NetBindService => K::CAP_NET_BIND_SERVICE,
        C::NetBroadcast => K::CAP_NET_BROADCAST,
        C::NetRaw => K::CAP_NET_RAW,
        C::Perfmon => K::CAP_PERFMON,
        C::Setgid => K::CAP_SETGID,
        C::Setfcap => K::CAP_SETFCAP,
        C::Setpcap => K::CAP_SETPCAP,
        C::Setuid => K::CAP_SETUID,
        C::SysAdmin => K::CAP_SYS_ADMIN,
        C::SysBoot => K::CAP_SYS_BOOT,
        C::SysChroot => K::CAP_SYS_CHROOT,
        C::SysModule => K::CAP_SYS_MODULE,
        C::SysNice => K::CAP_SYS_NICE,
        C::SysPacct => K::CAP_SYS_PACCT,
        C::SysPtrace => K::CAP_SYS_PTRACE,
        C::SysRawio => K::CAP_SYS_RAWIO,
        C::SysResource => K::CAP_SYS_RESOURCE,
        C::SysTime => K::CAP_SYS_TIME,
        C::SysTtyConfig => K::CAP_SYS_TTY_CONFIG,
        C::Syslog => K::CAP_SYSLOG,
        C::WakeAlarm => K::CAP_WAKE_ALARM,
    };
    kernel.index()
}

/// A set in words: `CAP_KILL, CAP_SETUID`; `none`; a number where the kernel is newer than rt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List(pub u64);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let numbers = (0..64_usize).filter(|number| self.0 & 1 << number != 0);
        for (index, number) in numbers.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match CAPABILITIES.get(number) {
                Some(name) => write!(f, "{comma}{name}")?,
                None => write!(f, "{comma}capability {number}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_model_has_the_kernels_number() {
        for (index, name) in CAPABILITIES.iter().enumerate() {
            let model: Capability = serde_json::from_value((*name).into()).expect("in the model");
            assert_eq!(usize::from(number(model)), index, "{name}");
        }
    }

    /// What is warned about when nothing is inheritable.
    fn warned(uid: u32, ambient: &[&str]) -> Vec<String> {
        let sets: LinuxCapabilities = serde_json::from_value(serde_json::json!({
            "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "ambient": ambient,
        }))
        .expect("sets");
        let mut faults = Faults::default();
        assert_eq!(plan_capabilities(Some(&sets), uid, "/process", &mut faults).ambient, 0);
        faults.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_ambient_set_of_buildah_is_worth_no_warning_for_root_who_gets_it_anyway() {
        assert_eq!(warned(0, &["CAP_KILL"]), [""; 0]);
        assert_eq!(warned(0, &["CAP_KILL", "CAP_CHOWN"]).len(), 1);
        assert_eq!(warned(1000, &["CAP_KILL"]).len(), 1);
    }

    #[test]
    fn prints_sets_in_words() {
        assert_eq!(List(0).to_string(), "none");
        assert_eq!(List(1 << 5 | 1 << 21).to_string(), "CAP_KILL, CAP_SYS_ADMIN");
        assert_eq!(List(1 << 63).to_string(), "capability 63");
        assert_eq!(ALL.count_ones(), 41);
    }
}
