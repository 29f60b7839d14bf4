//! Mounts of type cgroup and cgroup2, on v1, v2 and hybrid hosts, with and without a cgroup namespace.

use serde_json::json;

use crate::harness::{Bundle, Container, cgroups};

const PLACE: &str = "/sys/fs/cgroup";

fn with_cgroups(script: &str, kind: &str, options: &[&str]) -> Bundle {
    Bundle::sh(script).without_mount(PLACE).mount(kind, "cgroup", PLACE, options)
}

/// The file that shows which processes are in the container's cgroup, in the container.
fn procs() -> &'static str {
    if cgroups::is_v1("pids") { "/sys/fs/cgroup/pids/cgroup.procs" } else { "/sys/fs/cgroup/cgroup.procs" }
}

/// With a cgroup namespace, and without one: the container sees its own cgroup, and no other.
#[test]
fn the_container_sees_its_own_cgroup() {
    need_cgroup!();
    for namespace in [true, false] {
        let script = format!("cat {}; find {PLACE} -maxdepth 2 -name rt-test", procs());
        let bundle = with_cgroups(&script, "cgroup", &["ro"]);
        let bundle = if namespace { bundle } else { bundle.without_namespace("cgroup") };
        let output = Container::new(bundle).run().ok().stdout;
        // The shell and cat; without the namespace the same, as the pid namespace is the container's own.
        assert!(output.starts_with("1\n") && !output.contains("rt-test"), "cgroup namespace {namespace}: {output}");
    }
}

/// Every hierarchy of the host, by its name and by the names of its controllers.
#[test]
fn every_hierarchy_is_there() {
    only_rt!(); // crun shows no cgroup2 on a hybrid host, runc another place for it
    let output = Container::new(with_cgroups(&format!("cd {PLACE}; echo *"), "cgroup", &["ro"])).run().ok().stdout;
    let names: Vec<&str> = output.split_whitespace().collect();
    let hierarchies = cgroups::hierarchies();
    if hierarchies.iter().all(|hierarchy| hierarchy.v2) {
        assert!(names.contains(&"cgroup.procs"), "{output}");
        return;
    }
    for hierarchy in hierarchies {
        if hierarchy.v2 {
            assert!(names.contains(&"unified"), "{output}");
        }
        for controller in hierarchy.controllers.iter().filter(|_| !hierarchy.v2) {
            let name = controller.trim_start_matches("name=");
            assert!(names.contains(&name), "{name}: {output}");
        }
    }
}

/// A mount that is not read-only can be written by a container that owns its cgroup namespace: it makes a cgroup.
#[test]
fn a_writable_mount_can_be_written() {
    need_cgroup!();
    let directory = procs().trim_end_matches("/cgroup.procs");
    let script = format!("mkdir {directory}/inner && ls -d {directory}/inner && rmdir {directory}/inner");
    let output = Container::new(with_cgroups(&script, "cgroup", &["rw", "nosuid"])).run().ok().stdout;
    assert_eq!(output, format!("{directory}/inner\n"));
}

/// `cgroup2` is the one tree, also on a hybrid host; without one, an error.
#[test]
fn cgroup2_is_the_unified_tree() {
    need_cgroup!();
    only_rt!();
    let container = Container::new(with_cgroups(&format!("cat {PLACE}/cgroup.procs"), "cgroup2", &["ro"]));
    if cgroups::hierarchies().iter().any(|hierarchy| hierarchy.v2) {
        assert!(container.run().ok().stdout.starts_with("1\n"));
    } else {
        container.run().refused_with(&[PLACE]);
        container.assert_nothing_left();
    }
}

/// Under a user namespace, where the kernel gives no new mount of it.
#[test]
fn it_is_there_under_a_user_namespace() {
    need_cgroup!();
    only_rt!(); // runc 1.1 wants cgroup v2 for it
    for kind in ["cgroup", "cgroup2"] {
        if kind == "cgroup2" && !cgroups::hierarchies().iter().any(|hierarchy| hierarchy.v2) {
            continue;
        }
        let file = if kind == "cgroup2" { "/sys/fs/cgroup/cgroup.procs" } else { procs() };
        let bundle = with_cgroups(&format!("cat {file}"), kind, &["ro"]).user_namespace(100_000);
        let output = Container::new(bundle).run().ok().stdout;
        assert!(output.starts_with("1\n"), "{kind}: {output}");
    }
}

/// The options of the mount are on every part of it.
#[test]
fn the_options_are_on_every_part() {
    only_rt!(); // runc and crun leave some parts without
    let options = ["nosuid", "noexec", "nodev", "ro"];
    let bundle = with_cgroups("", "cgroup", &options).set("/process/args", json!(["cat", "/proc/self/mountinfo"]));
    let table = Container::new(bundle).run().ok().stdout;
    let parts = table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with(PLACE)));
    for line in parts {
        let shown: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
        assert!(options.iter().all(|option| shown.contains(option)), "{line}");
    }
}
