//! "cgroupsPath".

use serde_json::json;

use crate::harness::{Bundle, Container, Kind, cgroups, runtime};

/// "In the case of an absolute path (starting with `/`), the runtime MUST take the path to be relative to the cgroups
/// mount point": in every hierarchy.
#[test]
fn an_absolute_path_begins_at_the_mount_point() {
    need_cgroupfs!();
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    let table = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let path = container.cgroup();
    for hierarchy in cgroups::hierarchies() {
        let names = hierarchy.controllers.join(",");
        let wanted = if hierarchy.v2 { format!("0::{path}") } else { format!(":{names}:{path}") };
        let missing_on_hybrid = hierarchy.v2 && runtime().kind != Kind::Rt; // runc leaves cgroup2 alone there
        assert!(missing_on_hybrid || table.lines().any(|line| line.ends_with(&wanted)), "{wanted}: {table}");
    }
    assert!(!cgroups::existing(&path).is_empty());
}

/// "If the value is specified, the runtime MUST consistently attach to the same place given the same value."
#[test]
fn the_same_path_is_the_same_place() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    let look = || {
        container.create().ok();
        let table = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
        container.delete_force().ok();
        table
    };
    assert_eq!(look(), look());
}

/// "check if the container cgroup is fit for purpose, and MUST generate an error if such a check fails. For example, a
/// frozen cgroup or (for create operation) a non-empty cgroup."
#[test]
fn a_cgroup_that_is_used_or_frozen_is_refused() {
    need_cgroup!();
    need_cgroupfs!();
    only_rt!(); // crun 1.8 and runc 1.1 take some
    let first = Container::new(Bundle::sleeping());
    first.launch();
    let used = first.cgroup();
    let second = Container::new(Bundle::sleeping().set("/linux/cgroupsPath", json!(used)));
    second.create().refused_with(&[&used, "not empty"]);
    assert_eq!((first.status(), second.status()), ("running".into(), "none".into()));
    drop(first);
    second.assert_nothing_left();

    let third = Container::new(Bundle::sleeping());
    let Some(directory) = cgroups::directory("freezer", &third.cgroup())
        .or_else(|| Some(cgroups::hierarchies().pop()?.path.join(third.cgroup().trim_start_matches('/'))))
    else {
        skip!("no cgroups");
    };
    let file =
        if cgroups::is_v1("freezer") { ("freezer.state", "FROZEN", "THAWED") } else { ("cgroup.freeze", "1", "0") };
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(file.0), file.1).unwrap();
    let outcome = third.create();
    std::fs::write(directory.join(file.0), file.2).unwrap();
    std::fs::remove_dir(&directory).unwrap();
    outcome.refused_with(&[&third.cgroup(), "frozen"]);
    third.assert_nothing_left();
}

/// "The value of `cgroupsPath` MUST be either an absolute path or a relative path", "Runtimes MAY consider certain
/// `cgroupsPath` values to be invalid, and MUST generate an error if this is the case": the root itself, a path that
/// climbs (`commands::flags`), one that no file can have.
#[test]
fn an_impossible_path_is_refused() {
    need_cgroupfs!();
    only_rt!();
    for path in ["/", "/.", "//", "/a\nb", "a\0b"] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/cgroupsPath", json!(path)));
        container.create().refused_with(&["/linux/cgroupsPath"]);
        container.assert_nothing_left();
    }
    let container = Container::new(Bundle::args(&["true"]).set("/linux/cgroupsPath", json!(["/a"])));
    container.create().refused_with(&["/linux/cgroupsPath"]);
    let long = format!("/rt-test/{}", "x".repeat(5000));
    let container = Container::new(Bundle::args(&["true"]).set("/linux/cgroupsPath", json!(long)));
    container.create().refused_with(&["ENAMETOOLONG"]);
    container.assert_nothing_left();
}

/// A deeper path: only what create made is removed, not the parent that was there before.
/// "resources associated with the container, but not created by this container, MUST NOT be deleted."
#[test]
fn a_parent_that_was_there_stays() {
    need_cgroupfs!();
    need_cgroup!();
    let mut container = Container::new(Bundle::sleeping());
    let parent = container.cgroup();
    container.bundle.config["linux"]["cgroupsPath"] = json!(format!("{parent}/inner"));
    container.write_config();
    let Some(directory) = cgroups::directory("pids", &parent) else {
        skip!("no pids controller");
    };
    std::fs::create_dir_all(&directory).unwrap();
    container.launch();
    container.delete_force().ok();
    let stayed = directory.is_dir();
    let inner = directory.join("inner").exists();
    for path in cgroups::existing(&parent) {
        std::fs::remove_dir(path).ok();
    }
    assert!(stayed && !inner);
}

/// As root, a container without a path goes to /rt/ID of each hierarchy, never below the caller's own cgroup.
#[test]
fn without_a_path_it_is_below_rt() {
    need_cgroupfs!();
    need_root!("make cgroups in the root of a hierarchy");
    only_rt!();
    let container = Container::new(Bundle::sleeping().without("/linux/cgroupsPath"));
    container.create().ok();
    assert!(!cgroups::existing(&format!("/rt/{}", container.id)).is_empty());
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// As root, a relative path is taken below /rt.
#[test]
fn a_relative_path_is_below_rt() {
    need_cgroupfs!();
    need_root!("make cgroups in the root of a hierarchy");
    only_rt!();
    let mut container = Container::new(Bundle::sleeping());
    let name = format!("relative-{}", container.id);
    container.bundle.config["linux"]["cgroupsPath"] = json!(name);
    container.write_config();
    container.create().ok();
    assert!(!cgroups::existing(&format!("/rt/{name}")).is_empty());
    container.delete_force().ok();
    assert!(cgroups::existing(&format!("/rt/{name}")).is_empty());
}

/// The cgroup namespace is rooted at the container's own cgroup.
#[test]
fn the_cgroup_namespace_is_rooted_at_the_cgroup() {
    let output = Container::new(Bundle::args(&["cat", "/proc/self/cgroup"])).run().ok().stdout;
    for line in output.lines().filter(|line| !line.starts_with("0::")) {
        assert!(line.ends_with(":/"), "{output}");
    }
}

/// A process that the container moves to a cgroup of its own making is still ended and its cgroup removed.
#[test]
fn sub_cgroups_with_processes_are_cleaned() {
    need_cgroup!();
    let Some(directory) = cgroups::directory("pids", "/") else {
        skip!("no pids controller");
    };
    let container = Container::new(Bundle::sh("sleep 1000 & echo up; wait"));
    container.launch().until_output("up");
    let inner = directory.join(container.cgroup().trim_start_matches('/')).join("inner");
    std::fs::create_dir(&inner).unwrap();
    let pids: Vec<i32> =
        serde_json::from_str(&container.call(&["ps", "-f", "json", &container.id]).ok().stdout).unwrap();
    let child = pids.iter().find(|pid| **pid != container.pid()).unwrap();
    std::fs::write(inner.join("cgroup.procs"), child.to_string()).unwrap();
    container.delete_force().ok();
    container.assert_nothing_left();
}
