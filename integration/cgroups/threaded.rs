//! Threaded trees of cgroup v2 (cgroups(7), "Thread mode"): below their root no process can be started.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Bundle, Container, cgroups, mode};

/// Where cgroup v2 is mounted.
fn root() -> Option<PathBuf> {
    cgroups::hierarchies().into_iter().find(|hierarchy| hierarchy.v2).map(|hierarchy| hierarchy.path)
}

/// The container's program makes a threaded cgroup and puts a process into it: it is listed, exec works, it can be paused,
/// and nothing is left of it.
#[test]
fn a_threaded_cgroup_of_the_containers_own_goes_with_it() {
    need_cgroup!();
    only_rt!(); // others cannot be asked whether a hybrid machine's cgroup2 counts
    let Some(root) = root() else {
        skip!("no cgroup2 here");
    };
    let container = Container::new(Bundle::sh("sleep 1000 & echo up; wait"));
    container.launch().until_output("up");
    let directory = root.join(container.cgroup().trim_start_matches('/'));
    let inner = directory.join("threads");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("cgroup.type"), "threaded").unwrap();
    let pids = || -> Vec<i32> {
        serde_json::from_str(&container.call(&["ps", "-f", "json", &container.id]).ok().stdout).unwrap()
    };
    let child = *pids().iter().find(|pid| **pid != container.pid()).unwrap();
    std::fs::write(inner.join("cgroup.procs"), child.to_string()).unwrap();
    assert_eq!(std::fs::read_to_string(inner.join("cgroup.threads")).unwrap(), format!("{child}\n"));
    assert!(pids().contains(&child));
    assert_eq!(container.exec(&["echo", "ran"]).ok().stdout, "ran\n");
    for (verb, status) in [("pause", "paused"), ("resume", "running")] {
        container.call(&[verb, &container.id]).ok();
        assert_eq!(container.status(), status);
    }
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// A cgroupsPath below a threaded cgroup is an error that says so, and nothing is left.
#[test]
fn a_path_below_a_threaded_cgroup_is_refused() {
    need_cgroup!();
    need_cgroupfs!();
    only_rt!();
    let Some(root) = root() else {
        skip!("no cgroup2 here");
    };
    let mut container = Container::new(Bundle::sleeping());
    // What is above it takes no other children then: that is a cgroup of this test's own.
    let domain = format!("{}/domain-{}", mode().cgroup_parent(), container.id);
    let parent = format!("{domain}/threaded");
    let directory = root.join(parent.trim_start_matches('/'));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("cgroup.type"), "threaded").unwrap();
    container.bundle.config["linux"]["cgroupsPath"] = json!(format!("{parent}/{}", container.id));
    container.bundle.config["linux"]["resources"] = Value::Null;
    container.write_config();
    let outcome = container.create();
    let left = directory.join(&container.id).exists();
    for path in [parent.as_str(), &domain].into_iter().flat_map(cgroups::existing) {
        std::fs::remove_dir(path).ok();
    }
    outcome.refused_with(&["threaded", &parent]);
    assert!(!left);
    container.assert_nothing_left();
}
