//! Which kernel parameters a container may set: those of its own namespaces.

use std::fmt;

use nix::sched::CloneFlags;

use crate::error::Faults;
use crate::plan::namespaces::NamespacePlan;
use crate::spec::Spec;

const IPC: &[&str] = &[
    "kernel/msg_next_id",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shm_next_id",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];

/// One kernel parameter to set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysctl {
    /// Below /proc.
    pub path: String,
    /// What is written.
    pub value: String,
    /// As config.json calls it.
    pub key: String,
}

impl Sysctl {
    /// Its place in config.json.
    pub fn pointer(&self) -> String {
        pointer(&self.key)
    }

    /// The kind of namespace that has it.
    pub fn namespace(&self) -> CloneFlags {
        match self.path.strip_prefix("sys/").unwrap_or_default() {
            "kernel/domainname" => CloneFlags::CLONE_NEWUTS,
            path if path.starts_with("net/") => CloneFlags::CLONE_NEWNET,
            path if path.starts_with("user/") => CloneFlags::CLONE_NEWUSER,
            _ => CloneFlags::CLONE_NEWIPC,
        }
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {:?} to /proc/{}", self.value, self.path)
    }
}

fn pointer(key: &str) -> String {
    format!("/linux/sysctl/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Decides `linux.sysctl`, sorted by path.
///
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#sysctl>
pub fn plan_sysctl(spec: &Spec, namespaces: &NamespacePlan, faults: &mut Faults) -> Vec<Sysctl> {
    let asked = spec.oci.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut plan = Vec::new();
    for (key, value) in asked.into_iter().flatten() {
        match path_of(key).and_then(|path| allow(&path, namespaces).map(|()| path)) {
            Ok(path) => plan.push(Sysctl { path: format!("sys/{path}"), value: value.clone(), key: key.clone() }),
            Err(reason) => faults.error(pointer(key), reason),
        }
    }
    plan.sort();
    plan
}

/// `net.ipv4.conf.eth0/100.mtu` and `net/ipv4/conf/eth0.100/mtu` are the same, as for sysctl(8):
/// whichever separator comes first is the separator.
fn path_of(key: &str) -> Result<String, String> {
    let dots = key.find(['.', '/']).is_none_or(|first| key.as_bytes()[first] == b'.');
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if dots { key.chars().map(swap).collect() } else { key.to_owned() };
    let is_bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.split('/').any(is_bad) { Err(format!("\"{key}\" is not a kernel parameter")) } else { Ok(path) }
}

fn allow(path: &str, namespaces: &NamespacePlan) -> Result<(), String> {
    let needs = |name: &str, is_own: bool| {
        if is_own {
            Ok(())
        } else {
            Err(format!("belongs to the {name} namespace, and the container has none of its own"))
        }
    };
    match path {
        "kernel/hostname" => Err("is set by the field hostname".to_owned()),
        "kernel/domainname" => needs("uts", namespaces.uts.is_own()),
        _ if IPC.contains(&path) || path.starts_with("fs/mqueue/") => needs("ipc", namespaces.ipc.is_own()),
        _ if path.starts_with("net/") => needs("network", namespaces.network.is_own()),
        _ if path.starts_with("user/") => needs("user", namespaces.user.is_own()),
        _ => Err("is not separate for each container: it would change the host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_parameter_mean_the_same_file() {
        for key in ["net.ipv4.conf.eth0/100.mtu", "net/ipv4/conf/eth0.100/mtu"] {
            assert_eq!(path_of(key).as_deref(), Ok("net/ipv4/conf/eth0.100/mtu"));
        }
    }

    #[test]
    fn a_parameter_never_climbs() {
        for key in ["net/../kernel/core_pattern", "net.//.kernel", "", ".", "net..x", "/net/x"] {
            assert!(path_of(key).is_err(), "{key}");
        }
    }
}
