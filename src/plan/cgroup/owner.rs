//! Who owns the container's cgroup: its user, when it may make cgroups of its own.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

use crate::host::Host;
use crate::host::cgroup::Layout;

/// The host's uid that the container's cgroup is given to; none when it stays the runtime's.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cgroup-ownership>: only on
/// cgroup v2, with a new cgroup namespace, and with a mount of cgroups that is not read-only.
pub fn plan_owner(spec: &Spec, host: &Host) -> Option<u32> {
    let linux = spec.linux().as_ref()?;
    let is_new = |namespace: &oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Cgroup
            && namespace.path().as_ref().is_none_or(|path| path.as_os_str().is_empty())
    };
    let has_namespace = linux.namespaces().iter().flatten().any(is_new);
    if !matches!(host.cgroup, Layout::Unified(_)) || !has_namespace || !mounts_writable(spec) {
        return None;
    }
    let owner = host_uid(linux, spec.process().as_ref()?.user().uid())?;
    // It is the caller's already; and without privilege it could not be given to anybody else.
    (owner != host.euid && host.is_privileged()).then_some(owner)
}

fn mounts_writable(spec: &Spec) -> bool {
    spec.mounts().iter().flatten().any(|mount| {
        mount.source().as_deref() == Some(Path::new("cgroup"))
            && mount.destination() == Path::new("/sys/fs/cgroup")
            && mount.options().iter().flatten().all(|option| option != "ro")
    })
}

/// What `uid` is outside of the container; none when no mapping says it.
fn host_uid(linux: &Linux, uid: u32) -> Option<u32> {
    if linux.namespaces().iter().flatten().all(|namespace| namespace.typ() != LinuxNamespaceType::User) {
        return Some(uid);
    }
    linux.uid_mappings().iter().flatten().find_map(|mapping| {
        let offset = uid.checked_sub(mapping.container_id())?;
        if offset < mapping.size() { mapping.host_id().checked_add(offset) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cgroup::Unified;

    fn owner(euid: u32, namespaces: &str, mount: &str, uid: u32) -> Option<u32> {
        let text = format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"r"}},
                "process":{{"args":["x"],"cwd":"/","user":{{"uid":{uid},"gid":0}}}},
                "mounts":[{mount}],
                "linux":{{"namespaces":[{namespaces}],"uidMappings":[{{"containerID":1,"hostID":3000,"size":10}}]}}}}"#
        );
        let tree = Unified { mount: "/cg".into(), own: "/".into(), controllers: Vec::new() };
        let host = Host {
            kernel: (6, 18),
            euid,
            egid: euid,
            capabilities: if euid == 0 { u64::MAX } else { 0 },
            in_user_namespace: false,
            rootless: euid != 0,
            cgroup: Layout::Unified(tree),
            seccomp_receiver: None,
        };
        plan_owner(&serde_json::from_str(&text).unwrap(), &host)
    }

    const WRITABLE: &str = r#"{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid"]}"#;
    const READ_ONLY: &str = r#"{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro"]}"#;
    const ELSEWHERE: &str = r#"{"destination":"/cg","type":"cgroup","source":"cgroup"}"#;
    const CGROUP: &str = r#"{"type":"cgroup"}"#;
    const JOINED: &str = r#"{"type":"cgroup","path":"/proc/7/ns/cgroup"}"#;
    const WITH_USER: &str = r#"{"type":"user"},{"type":"cgroup"}"#;

    #[test]
    fn the_containers_user_owns_a_cgroup_that_it_may_write() {
        for (euid, namespaces, mount, uid, expected) in [
            (0, CGROUP, WRITABLE, 7, Some(7)),
            (0, CGROUP, WRITABLE, 0, None),
            (0, CGROUP, READ_ONLY, 7, None),
            (0, CGROUP, ELSEWHERE, 7, None),
            (0, "", WRITABLE, 7, None),
            (0, JOINED, WRITABLE, 7, None),
            (0, WITH_USER, WRITABLE, 1, Some(3000)),
            (0, WITH_USER, WRITABLE, 10, Some(3009)),
            (0, WITH_USER, WRITABLE, 11, None),
            (0, WITH_USER, WRITABLE, 0, None),
            (1000, WITH_USER, WRITABLE, 1, None),
        ] {
            assert_eq!(owner(euid, namespaces, mount, uid), expected, "{euid} {namespaces} {mount} {uid}");
        }
    }
}
