//! The names of the capabilities of Linux.

use oci_spec::runtime::Capability;

/// Every capability by number: `CAPABILITIES[21]` is `CAP_SYS_ADMIN`.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Whether the typed model takes this name: with or without `CAP_`, in any case, as Kubernetes users write it.
pub fn is_known(name: &str) -> bool {
    if CAPABILITIES.contains(&name) {
        return true;
    }
    let upper = name.to_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CAPABILITIES.iter().any(|known| known[4..] == *bare)
}

/// Reads a capability as the command line has it: with or without `CAP_`, in any case.
pub fn parse(name: &str) -> Option<Capability> {
    if !is_known(name) {
        return None;
    }
    serde_json::from_str(&format!("\"{}\"", name.to_uppercase())).ok()
}

#[cfg(test)]
mod tests {
    use super::{CAPABILITIES, is_known};

    #[test]
    fn the_table_is_complete_and_unique_and_in_the_kernels_order() {
        assert_eq!(CAPABILITIES.len(), caps::all().len());
        for capability in caps::all() {
            assert_eq!(CAPABILITIES[usize::from(capability.index())], capability.to_string());
        }
    }

    #[test]
    fn knows_what_the_typed_model_knows() {
        for name in CAPABILITIES.iter().copied().chain(["chown", "cap_Kill", "CAP_NOPE", "", "CAP_", "ſetuid"]) {
            let model = serde_json::from_value::<oci_spec::runtime::Capability>(name.into());
            assert_eq!(is_known(name), model.is_ok(), "{name:?}");
        }
    }
}
