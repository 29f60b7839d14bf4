//! Mounts of type cgroup and cgroup2, on v1, v2 and hybrid hosts, with and without a cgroup namespace.

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, cgroups, mode};

const PLACE: &str = "/sys/fs/cgroup";

fn with_cgroups(script: &str, kind: &str, options: &[&str]) -> Bundle {
    Bundle::sh(script).without_mount(PLACE).mount(kind, "cgroup", PLACE, options)
}

/// The file that shows which processes are in the container's cgroup, in the container.
fn procs() -> &'static str {
    if cgroups::is_v1("pids") { "/sys/fs/cgroup/pids/cgroup.procs" } else { "/sys/fs/cgroup/cgroup.procs" }
}

fn is_v2_alone() -> bool {
    cgroups::hierarchies().iter().all(|hierarchy| hierarchy.v2)
}

/// With a cgroup namespace, and on v1 or under a user namespace without one: the container sees its own cgroup, and no
/// other.
#[test]
fn the_container_sees_its_own_cgroup() {
    need_cgroup!();
    let whole = is_v2_alone() && mode() != Mode::Rootless;
    for namespace in [true, false].into_iter().filter(|namespace| *namespace || !whole) {
        let script = format!("cat {}; find {PLACE} -maxdepth 2 -name rt-test", procs());
        let bundle = with_cgroups(&script, "cgroup", &["ro"]);
        let bundle = if namespace { bundle } else { bundle.without_namespace("cgroup") };
        let output = Container::new(bundle).run().ok().stdout;
        // The shell and cat; without the namespace the same, as the pid namespace is the container's own.
        assert!(output.starts_with("1\n") && !output.contains("rt-test"), "cgroup namespace {namespace}: {output}");
    }
}

/// The options of the machine's one tree of cgroup v2.
fn options_of_the_machine() -> String {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

/// Without a cgroup namespace, on cgroup v2 alone, the tree is the machine's: the path in /proc/self/cgroup is there. The
/// machine keeps its options, `nsdelegate` first of all.
#[test]
fn without_a_namespace_the_tree_is_the_machines() {
    need_cgroup!();
    need_root!("see all of it: a user namespace has its own part");
    if !is_v2_alone() {
        skip!("there are cgroup v1 hierarchies here");
    }
    only_rt!(); // crun's mount takes nsdelegate away from the machine
    let before = options_of_the_machine();
    let script = format!(
        "path=$(sed -n s/^0:://p /proc/self/cgroup); grep ' {PLACE} ' /proc/self/mountinfo | cut -d' ' -f4; \
         head -n 1 {PLACE}$path/cgroup.procs; mkdir {PLACE}/made; ls {PLACE}/cgroup.type"
    );
    for kind in ["cgroup", "cgroup2"] {
        let container = Container::new(with_cgroups(&script, kind, &["ro"]).without_namespace("cgroup"));
        let outcome = container.run();
        assert_eq!(outcome.stdout, "/\n1\n", "{outcome:?}");
        for words in ["Read-only file system", "cgroup.type: No such file"] {
            assert!(outcome.stderr.contains(words), "{outcome:?}");
        }
        assert_eq!(options_of_the_machine(), before);
    }
}

/// In a cgroup namespace a bind of the container's own cgroup is what a mount of cgroup2 would be: the root and the
/// options in mountinfo, the device, what is seen, what is made in it, and what the kernel refuses there for delegation.
#[test]
fn a_bind_of_the_own_cgroup_is_a_mount_of_cgroup2() {
    need_cgroup!();
    only_rt!(); // others mount it
    if !cgroups::hierarchies().iter().any(|hierarchy| hierarchy.v2) {
        skip!("no cgroup2 here");
    }
    let script = format!(
        "mount -t cgroup2 none /mnt || exit 9; mkdir {PLACE}/made
         for place in {PLACE} /mnt; do
             echo \"--- $(grep \" $place \" /proc/self/mountinfo | cut -d' ' -f3,4) $(grep \" $place \" /proc/self/mountinfo | sed 's/.* - //' | cut -d' ' -f1,3)\"
             stat -c '%d %i %u %a' $place $place/cgroup.procs $place/made
             (cd $place; find . | sort)
             for file in cgroup.procs cgroup.max.depth pids.max cgroup.subtree_control made/cgroup.max.depth made/cgroup.procs; do
                 case $file in *procs) value=$$ ;; *control) value= ;; *) value=max ;; esac
                 (echo $value > $place/$file) 2>&1 | sed 's/.*: //'; echo \"$file: $(grep -E \"^($$|max)$\" $place/$file)\"
             done
             echo $$ > $place/cgroup.procs
         done
         rmdir /mnt/made && ls -d {PLACE}/made"
    );
    for user_namespace in [false, true] {
        let bundle = with_cgroups(&script, "cgroup2", &["rw"]).capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        let bundle = if user_namespace { bundle.user_namespace(100_000) } else { bundle };
        let outcome = Container::new(bundle).run();
        if outcome.code == 9 {
            skip!("no mount of cgroup2 is allowed here: {}", outcome.stderr.trim());
        }
        let halves: Vec<&str> = outcome.stdout.split("--- ").skip(1).collect();
        assert_eq!(halves.len(), 2, "{outcome:?}");
        assert_eq!(halves[0], halves[1], "user namespace {user_namespace}");
        assert!(halves[0].lines().next().unwrap().contains(" / cgroup2 "), "{}", halves[0]);
        if halves[0].contains("nsdelegate") {
            // Its own files delegation refuses, those of others their owner.
            let words = ["Operation not permitted", "Permission denied"];
            assert!(words.iter().any(|word| halves[0].contains(word)), "{}", halves[0]);
        }
        assert!(outcome.stderr.contains("No such file"), "{outcome:?}");
    }
}

/// An option that the file system has not is refused, as a mount of it would be.
#[test]
fn an_unknown_option_of_cgroup2_is_refused() {
    only_rt!();
    let container = Container::new(with_cgroups("true", "cgroup2", &["ro", "nosuch=1"]));
    container.run().refused_with(&["/options", "nosuch"]);
    container.assert_nothing_left();
    if cgroups::hierarchies().iter().any(|hierarchy| hierarchy.v2) && cgroups::has_cgroup() {
        Container::new(with_cgroups("true", "cgroup2", &["ro", "nsdelegate", "memory_recursiveprot"])).run().ok();
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
