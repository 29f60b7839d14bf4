//! "These `AT_RECURSIVE` options need kernel 5.12 or later": each reaches the mounts below, its sister without "r" does not.

use crate::harness::tree::Tree;
use crate::harness::{Bundle, Container};

/// The option, what both mounts of the tree were before, what both show then (`!x`: not).
const ROWS: &[(&str, &str, &str)] = &[
    ("rro", "rw", "ro"),
    ("rrw", "ro", "rw"),
    ("rnosuid", "suid", "nosuid"),
    ("rsuid", "nosuid", "!nosuid"),
    ("rnodev", "dev", "nodev"),
    ("rdev", "nodev", "!nodev"),
    ("rnoexec", "exec", "noexec"),
    ("rexec", "noexec", "!noexec"),
    ("rnoatime", "relatime", "noatime"),
    ("ratime", "noatime", "!noatime"),
    ("rnodiratime", "diratime", "nodiratime"),
    ("rdiratime", "nodiratime", "!nodiratime"),
    ("rrelatime", "noatime", "relatime"),
    ("rnorelatime", "noatime", "!noatime"),
    ("rstrictatime", "relatime", "!relatime"),
    ("rnostrictatime", "strictatime", "relatime"),
    ("rnosymfollow", "rw", "nosymfollow"),
    ("rsymfollow", "nosymfollow", "!nosymfollow"),
];

/// The options of /mnt and of /mnt/below, as the program's mount table has them.
fn shown(container: &Container) -> [Vec<String>; 2] {
    let table = container.run().ok().stdout;
    ["/mnt", "/mnt/below"].map(|point| {
        let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point)).expect(point);
        line.split(' ').nth(5).unwrap().split(',').map(str::to_owned).collect()
    })
}

fn container(options: &[&str]) -> Container {
    let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]);
    let source = bundle.beside("tree");
    Container::new(bundle.mount("bind", source, "/mnt", options))
}

fn has(options: &[String], wanted: &str) -> bool {
    let (name, wanted) = wanted.strip_prefix('!').map_or((wanted, true), |name| (name, false));
    options.iter().any(|option| option == name) == wanted
}

/// Eighteen options, each on a tree that was the contrary before.
#[test]
fn each_recursive_option_reaches_both_mounts() {
    need_root!("mount a tree to bind");
    only_rt!(); // Debian's runc and crun know some of them
    for (option, before, after) in ROWS {
        let container = container(&["rbind", option]);
        let _tree = Tree::beside(&container.bundle, before);
        for (options, place) in shown(&container).iter().zip(["top", "below"]) {
            assert!(has(options, after), "{option} on {before}: {place} is {options:?}, not {after}");
        }
    }
}

/// Without the "r" only the mount itself changes: `ro` on a recursive bind leaves what is below writable.
#[test]
fn an_option_that_is_not_recursive_stays_on_top() {
    need_root!("mount a tree to bind");
    for (option, shown_on_top) in [("ro", "ro"), ("nosuid", "nosuid"), ("noexec", "noexec"), ("noatime", "noatime")] {
        let container = container(&["rbind", option]);
        let _tree = Tree::beside(&container.bundle, "rw");
        let [top, below] = shown(&container);
        assert!(has(&top, shown_on_top) && !has(&below, shown_on_top), "{option}: {top:?}, below {below:?}");
    }
}

/// The last one wins, and the mount's own option stands over that of the tree.
#[test]
fn recursive_and_plain_options_are_combined() {
    need_root!("mount a tree to bind");
    only_rt!();
    for (options, on_top, on_below) in [
        (&["rbind", "rro", "rw"][..], "rw", "ro"),
        (&["rbind", "rro", "rrw"], "rw", "rw"),
        (&["rbind", "rw", "rro"], "rw", "ro"),
    ] {
        let container = container(options);
        let _tree = Tree::beside(&container.bundle, "rw");
        let [top, below] = shown(&container);
        assert!(has(&top, on_top) && has(&below, on_below), "{options:?}: {top:?}, below {below:?}");
    }
}

/// The source on the host stays as it was.
#[test]
fn the_source_of_a_recursive_bind_is_not_changed() {
    need_root!("mount a tree to bind");
    let container = container(&["rbind", "rro", "rnosuid"]);
    let tree = Tree::beside(&container.bundle, "rw");
    only_rt!();
    container.run().ok();
    for place in [tree.path.clone(), tree.below()] {
        std::fs::write(place.join("new"), "still writable").unwrap();
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.split(' ').nth(4) == tree.below().to_str()).unwrap();
    assert!(!line.contains("nosuid"), "{line}");
}
