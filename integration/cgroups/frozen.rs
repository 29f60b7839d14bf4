//! Frozen cgroups above and below the container's: nothing waits for them for ever, and they go with the container.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::runtime::{eventually, record_skip};
use crate::harness::{Bundle, Container, Mode, cgroups, mode};

/// A way to freeze: the root of a hierarchy, the file that does it, and what is written there.
struct Freezer {
    root: PathBuf,
    file: &'static str,
    words: [&'static str; 2],
}

impl Freezer {
    /// All that this machine has: v1's freezer, cgroup2's own, or both.
    fn all() -> Vec<Freezer> {
        let of = |hierarchy: cgroups::Hierarchy| {
            let is_freezer = hierarchy.controllers.iter().any(|name| name == "freezer");
            match (hierarchy.v2, is_freezer) {
                (true, _) => Some(Freezer { root: hierarchy.path, file: "cgroup.freeze", words: ["0", "1"] }),
                (false, true) => {
                    Some(Freezer { root: hierarchy.path, file: "freezer.state", words: ["THAWED", "FROZEN"] })
                }
                (false, false) => None,
            }
        };
        cgroups::hierarchies().into_iter().filter_map(of).collect()
    }

    fn is_v1(&self) -> bool {
        self.file == "freezer.state"
    }

    fn directory(&self, cgroup: &str) -> PathBuf {
        self.root.join(cgroup.trim_start_matches('/'))
    }

    fn freeze(&self, cgroup: &str, frozen: bool) {
        std::fs::write(self.directory(cgroup).join(self.file), self.words[usize::from(frozen)]).unwrap();
    }
}

/// A cgroup above the container's, which is thawed and removed when the test ends, however it does.
struct Parent<'a> {
    freezer: &'a Freezer,
    path: String,
}

impl<'a> Parent<'a> {
    /// Gives the container a cgroup below a new one.
    fn of(container: &mut Container, freezer: &'a Freezer) -> Parent<'a> {
        let path = format!("{}/above-{}", mode().cgroup_parent(), container.id);
        std::fs::create_dir_all(freezer.directory(&path)).unwrap();
        container.bundle.config["linux"]["cgroupsPath"] = json!(format!("{path}/{}", container.id));
        container.write_config();
        Parent { freezer, path }
    }
}

impl Drop for Parent<'_> {
    fn drop(&mut self) {
        self.freezer.freeze(&self.path, false);
        for directory in cgroups::existing(&self.path) {
            eventually("the cgroup above is removed", || std::fs::remove_dir(&directory).is_ok());
        }
    }
}

/// "check if the container cgroup is fit for purpose, and MUST generate an error if such a check fails. For example, a
/// frozen cgroup": also when it is new, and frozen because the one above it is. Its init would never come to an end.
#[test]
fn a_container_below_a_frozen_cgroup_is_refused() {
    need_cgroup!();
    need_cgroupfs!();
    only_rt!(); // others hang
    for freezer in Freezer::all() {
        let mut container = Container::new(Bundle::sleeping());
        let parent = Parent::of(&mut container, &freezer);
        freezer.freeze(&parent.path, true);
        container.create().refused_with(&[&parent.path, "frozen"]);
        container.assert_nothing_left();
        freezer.freeze(&parent.path, false);
        container.create().ok();
        container.delete_force().ok();
    }
}

/// The same of `exec`, which may be told to wait; `resume` says that it cannot do everything.
#[test]
fn nothing_is_executed_below_a_frozen_cgroup() {
    need_cgroup!();
    need_cgroupfs!();
    only_rt!(); // others hang
    for freezer in Freezer::all() {
        let mut container = Container::new(Bundle::sleeping());
        let parent = Parent::of(&mut container, &freezer);
        container.launch();
        freezer.freeze(&parent.path, true);
        let events = freezer.directory(&parent.path).join("cgroup.events");
        eventually("it stands still", || {
            freezer.is_v1() || std::fs::read_to_string(&events).unwrap().contains("frozen 1")
        });
        container.exec(&["true"]).refused_with(&["cannot exec", "--ignore-paused"]);
        if freezer.is_v1() {
            assert_eq!(container.status(), "paused");
            container.call(&["resume", &container.id]).refused_with(&["above"]);
        }
        freezer.freeze(&parent.path, false);
        container.exec(&["true"]).ok();
        container.delete_force().ok();
    }
}

/// A container in the container that is paused: on cgroup v1 its processes do not die before they are thawed, and the
/// init of their pid namespace dies after them.
#[test]
fn what_is_frozen_in_the_container_goes_with_it() {
    need_cgroup!();
    if mode() == Mode::Rootless && Freezer::all().iter().any(Freezer::is_v1) {
        skip!("the freezer of cgroup v1 is root's");
    }
    for freezer in Freezer::all() {
        for own_pids in [true, false] {
            for by_kill in [true, false] {
                if mode() == Mode::Rootless && !own_pids {
                    record_skip("without a pid namespace: needs root");
                    continue;
                }
                let bundle = Bundle::sh("sleep 1000 & echo up; wait");
                let container = Container::new(if own_pids { bundle } else { bundle.without_namespace("pid") });
                container.launch().until_output("up");
                let pids: Vec<i32> =
                    serde_json::from_str(&container.call(&["ps", "-f", "json", &container.id]).ok().stdout).unwrap();
                let child = pids.iter().find(|pid| **pid != container.pid()).unwrap();
                let below = format!("{}/inner/deeper", container.cgroup());
                std::fs::create_dir_all(freezer.directory(&below)).unwrap();
                std::fs::write(freezer.directory(&below).join("cgroup.procs"), child.to_string()).unwrap();
                freezer.freeze(&format!("{}/inner", container.cgroup()), true);
                if by_kill {
                    container.call(&["kill", "--all", &container.id, "KILL"]).ok();
                    container.until("stopped");
                    container.delete().ok();
                } else {
                    container.delete_force().ok();
                }
                container.assert_nothing_left();
            }
        }
    }
}
