//! config-linux.md, "Cgroup ownership".

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, cgroups, mode};

const PLACE: &str = "/sys/fs/cgroup";

/// A container whose user is 1000, if it can be, with a mount of cgroups that has these options.
fn container(options: &[&str], change: impl Fn(Bundle) -> Bundle) -> Container {
    // Without privilege the one user that a cgroup can belong to is the caller, who is root inside.
    let user = if mode() == Mode::Rootless { 0 } else { 1000 };
    let bundle = Bundle::sleeping().set("/process/user", json!({ "uid": user, "gid": user })).without_mount(PLACE);
    let container = Container::new(change(bundle.mount("cgroup", "cgroup", PLACE, options)));
    container.create().ok();
    container
}

/// The owner of the container's directory, or of a file in it, in every hierarchy that has it.
fn owners(container: &Container, file: &str) -> Vec<u32> {
    let directories = cgroups::existing(&container.cgroup()).into_iter();
    directories.filter_map(|directory| Some(std::fs::metadata(directory.join(file)).ok()?.uid())).collect()
}

fn only_v2() -> Option<PathBuf> {
    let mut hierarchies = cgroups::hierarchies();
    match hierarchies.pop() {
        Some(hierarchy) if hierarchy.v2 && hierarchies.is_empty() => Some(hierarchy.path),
        _ => None,
    }
}

/// "Runtimes SHOULD change the cgroup ownership if and only if the cgroup filesystem is to be mounted read/write", "only
/// change the ownership of the container's cgroup directory and files within that directory that are listed in
/// `/sys/kernel/cgroup/delegate`", "not all files listed [...] necessarily exist in every cgroup. Runtimes MUST NOT fail
/// in this scenario".
#[test]
fn a_writable_cgroup_belongs_to_the_containers_user() {
    need_root!("give a cgroup to somebody else");
    only_rt!(); // crun gives it to root of a user namespace only
    if only_v2().is_none() {
        skip!("there are cgroup v1 hierarchies here");
    }
    let container = container(&["rw", "nosuid"], |bundle| bundle);
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owners(&container, file), [1000], "{file}");
    }
    for file in listed.lines().filter(|file| !owners(&container, file).is_empty()) {
        assert_eq!(owners(&container, file), [1000], "{file}");
    }
    for entry in std::fs::read_dir(&cgroups::existing(&container.cgroup())[0]).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !listed.lines().any(|file| file == name) {
            assert_eq!(entry.metadata().unwrap().uid(), 0, "{name} is not to be given away");
        }
    }
}

/// It is the user who may make cgroups then, and move processes between them.
#[test]
fn the_user_of_the_container_can_make_cgroups() {
    need_cgroup!();
    only_rt!();
    if only_v2().is_none() {
        skip!("there are cgroup v1 hierarchies here");
    }
    let container = container(&["rw", "nosuid"], |bundle| bundle);
    container.start().ok();
    let script = format!("mkdir {PLACE}/inner && echo $$ > {PLACE}/inner/cgroup.procs && cat /proc/self/cgroup");
    assert!(container.exec_sh(&script).ok().stdout.ends_with("0::/inner\n"));
    container.stop();
    container.delete().ok();
    container.assert_nothing_left();
}

/// "the host uid that maps to the value of `process.user.uid` in the container namespace": root of a user namespace makes
/// cgroups and gives them controllers, as a systemd or dockerd does, and cannot lift its own limits. `exec` finds its way
/// into the cgroup that has become an inner node, and all of it goes with the container.
#[test]
fn root_of_a_user_namespace_has_the_cgroup_and_not_its_limits() {
    need_root!("give a cgroup to somebody else");
    need_controller!("pids");
    only_rt!();
    if only_v2().is_none() {
        skip!("there are cgroup v1 hierarchies here");
    }
    let bundle = Bundle::sleeping().set("/linux/resources/pids", json!({ "limit": 50 })).without_mount(PLACE);
    let container = Container::new(bundle.mount("cgroup", "cgroup", PLACE, &["rw", "nosuid"]).user_namespace(100_000));
    container.launch();
    assert_eq!(owners(&container, ""), [100_000]);
    assert_eq!((owners(&container, "cgroup.procs"), owners(&container, "pids.max")), (vec![100_000], vec![0]));
    let script = format!(
        "cd {PLACE}; (echo 60 > pids.max) 2>/dev/null && echo lifted; mkdir -p inner/most; \
         for pid in $(cat cgroup.procs); do echo $pid > inner/cgroup.procs; done; \
         echo +pids > cgroup.subtree_control; cat inner/cgroup.controllers; echo 40 > inner/pids.max; cat inner/pids.max"
    );
    // Its own shell is moved with the rest; what `cat` was is gone.
    assert_eq!(container.exec_sh(&script).ok().stdout, "pids\n40\n");
    assert_eq!(container.exec(&["cat", "/proc/self/cgroup"]).ok().stdout, "0::/inner\n");
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// "Runtimes SHOULD NOT change the ownership of container cgroups when cgroups v1 is in use."
#[test]
fn cgroups_of_v1_stay_the_runtimes() {
    if only_v2().is_some() {
        skip!("there is cgroup v2 alone");
    }
    let container = container(&["rw", "nosuid"], |bundle| bundle);
    for file in ["", "cgroup.procs"] {
        let owners = owners(&container, file);
        assert!(!owners.is_empty() && owners.iter().all(|owner| *owner == 0), "{owners:?}");
    }
}

/// "A runtime SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace",
/// "If the configuration does not specify such a mount, the runtime SHOULD NOT change the cgroup ownership": read-only, at
/// another place, or of another source.
#[test]
fn without_namespace_or_mount_it_stays_the_runtimes() {
    need_root!("give a cgroup to somebody else");
    let elsewhere = |bundle: Bundle| bundle.without_mount(PLACE).mount("cgroup", "cgroup", "/mnt", &["rw"]);
    let other_source = |bundle: Bundle| bundle.without_mount(PLACE).mount("cgroup", "cgroup2", PLACE, &["rw"]);
    for container in [
        container(&["rw"], |bundle| bundle.without_namespace("cgroup")),
        container(&["rw"], |bundle| bundle.namespace("cgroup", Some("/proc/self/ns/cgroup"))),
        container(&["ro"], |bundle| bundle),
        container(&["rw"], elsewhere),
        container(&["rw"], other_source),
        container(&["rw"], |bundle| bundle.without_mount(PLACE)),
    ] {
        let owners = owners(&container, "");
        assert!(!owners.is_empty() && owners.iter().all(|owner| *owner == 0), "{owners:?}");
    }
}
