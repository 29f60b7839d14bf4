//! The configuration that `rt spec` writes: a shell in a container that can do little.

use serde_json::{Value, json};

/// The text of a new config.json; for a caller without privilege when `rootless`.
pub fn template(rootless: bool) -> String {
    let mut config = rootful();
    if rootless {
        make_rootless(&mut config, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    }
    // serde_json sorts keys; people read the version and the process first.
    let mut text = String::from("{\n");
    let order = ["ociVersion", "process", "root", "hostname", "mounts", "linux"];
    for (index, key) in order.into_iter().enumerate() {
        let value = format!("{:#}", config[key]).replace('\n', "\n  ");
        let comma = if index + 1 < order.len() { "," } else { "" };
        text.push_str(&format!("  \"{key}\": {value}{comma}\n"));
    }
    text + "}\n"
}

fn rootful() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "rt",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// The caller becomes root of a user namespace and has no other id: no group 5 for terminals, no new network
/// (its devices could not be set up), no limits, and /sys can only be bound because the network is the host's.
fn make_rootless(config: &mut Value, uid: u32, gid: u32) {
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        match mount["destination"].as_str() {
            Some("/dev/pts") => {
                mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
            }
            Some("/sys") => {
                mount["type"] = "none".into();
                mount["source"] = "/sys".into();
                mount["options"] = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
            }
            _ => {}
        }
    }
    let linux = &mut config["linux"];
    linux["namespaces"] = json!([
        { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" },
        { "type": "user" },
    ]);
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
}

#[cfg(test)]
mod tests {
    use super::template;
    use crate::spec::Spec;

    #[test]
    fn what_rt_spec_writes_loads_without_a_warning() {
        for rootless in [false, true] {
            let text = template(rootless).into_bytes();
            let spec = Spec::from_text("/bundle".into(), text).expect("the template is good");
            assert_eq!(spec.warnings.warnings, []);
        }
    }

    #[test]
    fn the_version_comes_first() {
        assert!(template(false).starts_with("{\n  \"ociVersion\": \"1.3.0\",\n  \"process\": {\n    "));
    }
}
