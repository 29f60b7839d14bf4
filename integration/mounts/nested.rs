//! proc, sysfs and mqueue where the kernel does not let us make one: a user namespace that does not own what they show.

use std::process::Command;

use serde_json::json;

use super::options_of;
use crate::harness::netns::NetworkNamespace;
use crate::harness::runtime::{outcome, runtime};
use crate::harness::{Bundle, Container, Outcome};

/// The last mount on `point`, with the options of the mount alone.
fn mount_on(table: &str, point: &str) -> (String, Vec<String>) {
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    let line = line.unwrap_or_else(|| panic!("{point} is not mounted:\n{table}"));
    (line.to_owned(), options_of(line))
}

fn table() -> Bundle {
    Bundle::args(&["cat", "/proc/self/mountinfo"]).without_mount("/sys/fs/cgroup").user_namespace(100_000)
}

/// A user namespace of its own, the network, pid or ipc namespace of the host: a new sysfs, proc or mqueue is denied
/// there, so the host's is bound, with the options that were asked for.
#[test]
fn what_a_user_namespace_may_not_make_is_bound() {
    only_rt!(); // runc fails with EPERM (runc#3672)
    for (namespace, point, kind) in
        [("network", "/sys", "sysfs"), ("pid", "/proc", "proc"), ("ipc", "/dev/mqueue", "mqueue")]
    {
        let mut bundle = table().without_namespace(namespace);
        if namespace == "pid" {
            // Paths of the host's own proc: whoever is root inside is nobody there.
            bundle = bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
        }
        let output = Container::new(bundle).run().ok().stdout;
        let (line, options) = mount_on(&output, point);
        assert!(line.contains(&format!(" - {kind} ")), "{line}");
        for option in ["nosuid", "nodev", "noexec"] {
            assert!(options.iter().any(|have| have == option), "{option}: {line}");
        }
    }
}

/// A bound sysfs is read-only where that was asked for, and so is all below it.
#[test]
fn a_bound_sysfs_is_read_only() {
    only_rt!();
    let output = Container::new(table().without_namespace("network")).run().ok().stdout;
    for line in output.lines().filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with("/sys"))) {
        assert!(line.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "{line}");
    }
}

/// A prepared network namespace that the user namespace does not own, as podman and CNI make them.
#[test]
fn a_joined_network_namespace_gets_the_hosts_sysfs() {
    only_rt!();
    let Some(network) = NetworkNamespace::new() else { skip!("`ip netns` does not work here") };
    let output = Container::new(table().namespace("network", Some(&network.path()))).run().ok().stdout;
    assert!(mount_on(&output, "/sys").0.contains(" - sysfs "), "{output}");
}

/// A second container in the namespaces of the first, user namespace and all: that one owns them, so nothing is bound.
#[test]
fn a_pod_with_a_user_namespace_has_filesystems_of_its_own() {
    only_rt!();
    let first = Container::new(table().set("/process/args", json!(["sleep", "1000"])));
    first.launch();
    let path = |link: &str| format!("/proc/{}/ns/{link}", first.pid());
    let mut bundle = table().without("/linux/uidMappings").without("/linux/gidMappings").without("/hostname");
    for (kind, link) in [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        bundle = bundle.namespace(kind, Some(&path(link)));
    }
    let output = Container::new(bundle).run().ok().stdout;
    for (point, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/mqueue", "mqueue")] {
        let (line, _) = mount_on(&output, point);
        assert!(line.contains(&format!(" / {point} ")) && line.contains(&format!(" - {kind} ")), "{line}");
    }
}

/// `run`, by an rt that is itself in a user and a mount namespace.
fn run_inside(container: &Container) -> Outcome {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--propagation", "unchanged"]);
    command.arg(&runtime().path).arg("--root").arg(container.root());
    command.args(["--cgroup-manager", "disabled", "run", "--bundle"]).arg(container.bundle.dir.path());
    command.arg(&container.id);
    outcome(command)
}

/// rt inside another user namespace, as in a rootless container: no device can be made there, no id but root exists.
#[test]
fn a_container_runs_inside_a_user_namespace() {
    only_rt!();
    let bundle = Bundle::sh("echo x > /dev/null && cat /dev/zero | head -c 3 | wc -c; ls -d /proc/[0-9]*; id -u");
    let bundle = bundle.without_mount("/sys/fs/cgroup").without("/linux/cgroupsPath").without("/linux/resources");
    // Group 5, the terminals', has no id here.
    let bundle = bundle.without_mount("/dev/pts").without_namespace("user");
    let container = Container::new(bundle.without("/linux/uidMappings").without("/linux/gidMappings"));
    assert_eq!(run_inside(&container).ok().stdout, "3\n/proc/1\n0\n");
    container.assert_nothing_left();
}

/// The same, two deep: a container with a user namespace of its own inside that one.
#[test]
fn a_user_namespace_can_hold_another() {
    only_rt!();
    let bundle =
        Bundle::sh("cat /proc/self/uid_map; grep -c ' /dev/null ' /proc/self/mountinfo").namespace("user", None);
    let one = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let bundle = bundle.set("/linux/uidMappings", one.clone()).set("/linux/gidMappings", one).without_mount("/dev/pts");
    let bundle = bundle.without_mount("/sys/fs/cgroup").without("/linux/cgroupsPath").without("/linux/resources");
    let container = Container::new(bundle);
    let output = run_inside(&container).ok().stdout;
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["0", "0", "1", "1"]);
    container.assert_nothing_left();
}
