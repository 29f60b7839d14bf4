//! runtime.md, "Delete".

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, cgroups, leaks};

/// "Deleting a container MUST delete the resources that were created during the `create` step."
#[test]
fn delete_removes_everything() {
    let container = Container::new(Bundle::args(&["true"]).limited());
    container.launch().until("stopped");
    container.delete().ok();
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// "Attempting to `delete` a container that is not `stopped` MUST have no effect on the container and MUST
/// generate an error."
#[test]
fn a_running_container_cannot_be_deleted() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let pid = container.pid();
    container.delete().refused_with(&[&container.id, "running"]);
    assert_eq!((container.status().as_str(), container.pid()), ("running", pid));
}

/// As above, for a created container. (runc and crun delete it: they take created for stoppable.)
#[test]
fn a_created_container_is_deleted_only_by_force() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    container.delete().refused_with(&["created"]);
    assert_eq!(container.status(), "created");
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// `delete --force` kills first.
#[test]
fn delete_force_ends_a_running_container() {
    let container = Container::new(Bundle::sh("trap '' TERM; sleep 1000 & sleep 1000"));
    container.launch();
    container.delete_force().ok();
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// Deleting nobody is an error, but with --force it is none.
#[test]
fn delete_of_nobody() {
    let container = Container::new(Bundle::sleeping());
    container.delete().refused_with(&["container does not exist"]);
    container.delete_force().ok();
}

/// "resources associated with the container, but not created by this container, MUST NOT be deleted": a bind's source.
#[test]
fn the_source_of_a_bind_mount_survives() {
    let bundle = Bundle::args(&["true"]);
    let source = bundle.beside("kept");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "kept").unwrap();
    let container = Container::new(bundle.bind(&source, "/mnt", &[]));
    container.launch().until("stopped");
    container.delete().ok();
    assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "kept");
}

/// A container without its own pid namespace: what remains in its cgroup ends with it.
#[test]
fn delete_ends_what_remains_without_a_pid_namespace() {
    need_cgroup!();
    let bundle = Bundle::sh("setsid sleep 1000 & echo up").without_namespace("pid");
    let container = Container::new(bundle);
    container.launch().until("stopped");
    // While it calls execve it has no environment to be known by.
    eventually("the sleep outlives its parent", || leaks::processes(&container.id).len() == 1);
    container.delete_force().ok();
    eventually("the sleep is gone", || leaks::processes(&container.id).is_empty());
    container.assert_nothing_left();
}

/// Sub-cgroups that the container made for itself go as well.
#[test]
fn delete_removes_cgroups_that_the_container_made() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    for directory in cgroups::existing(&container.cgroup()) {
        std::fs::create_dir_all(directory.join("inner/most")).unwrap();
    }
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// A paused container can be deleted by force.
#[test]
fn delete_force_ends_a_paused_container() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.call(&["pause", &container.id]).ok();
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// Delete works where the bundle has gone meanwhile.
#[test]
fn delete_needs_no_bundle() {
    let container = Container::new(Bundle::sleeping());
    container.launch().stop();
    std::fs::remove_dir_all(container.bundle.dir.path()).unwrap();
    container.delete().ok();
    container.assert_nothing_left();
}

/// Two deletes at once: one does it, neither hangs, nothing is left.
#[test]
fn two_deletes_at_once_agree() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let delete = || {
        let mut command = container.command();
        command.args(["delete", "--force", &container.id]).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let pair = [delete(), delete()];
    let codes = pair.map(|child| crate::harness::runtime::wait(child, "delete --force"));
    assert!(codes.contains(&0), "{codes:?}");
    container.assert_nothing_left();
}

/// "Note that resources associated with the container, but not created by this container, MUST NOT be deleted": a cgroup
/// that was there before stays.
#[test]
fn a_cgroup_that_was_there_stays() {
    need_cgroup!();
    need_cgroupfs!();
    only_rt!(); // runc and crun remove it
    let container = Container::new(Bundle::args(&["true"]).limited());
    let mut made = Vec::new();
    for hierarchy in cgroups::hierarchies() {
        let directory = hierarchy.path.join(container.cgroup().trim_start_matches('/'));
        std::fs::create_dir_all(&directory).unwrap();
        made.push(directory);
    }
    container.launch().until("stopped");
    container.delete().ok();
    let kept: Vec<bool> = made.iter().map(|directory| directory.exists()).collect();
    for directory in &made {
        std::fs::remove_dir(directory).ok();
    }
    assert!(kept.iter().all(|kept| *kept), "{kept:?}");
}

/// The same for what lies in the bundle: root file system, config.json, and files that the container made in it.
#[test]
fn the_bundle_survives() {
    let container = Container::new(Bundle::sh("echo mine > /made"));
    container.launch().until("stopped");
    container.delete().ok();
    assert_eq!(std::fs::read_to_string(container.bundle.rootfs("/made")).unwrap(), "mine\n");
    assert!(container.bundle.beside("config.json").exists());
}

/// The same for namespaces that were joined: the other container lives on in them.
#[test]
fn joined_namespaces_survive() {
    let first = Container::new(Bundle::sleeping());
    first.launch();
    let path = |link: &str| format!("/proc/{}/ns/{link}", first.pid());
    let bundle = Bundle::args(&["true"]).without("/hostname").namespace("uts", Some(&path("uts")));
    let bundle = bundle.namespace("ipc", Some(&path("ipc"))).namespace("network", Some(&path("net")));
    let second = Container::new(bundle.joining(first.pid()));
    second.launch().until("stopped");
    second.delete().ok();
    second.assert_nothing_left();
    assert_eq!(first.exec(&["hostname"]).ok().stdout, "hello\n");
}
