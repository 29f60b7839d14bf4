//! `mounts add` and `mounts remove`: the tree of a container that runs, as crun has it.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::runtime::outcome_with_stdin;
use crate::harness::{Bundle, Container, Kind, Outcome, runtime};

/// Leaves the test for a runtime that has no such command: runc, and Debian's crun.
macro_rules! need_mounts {
    () => {
        if runtime().kind != Kind::Rt {
            skip!("a command of newer runtimes");
        }
        need_root!("enter a container with what the host has");
    };
}

/// `mounts ACTION ID FILE`.
#[track_caller]
fn mounts(container: &Container, action: &str, mounts: &Value) -> Outcome {
    let file = container.bundle.beside("mounts.json");
    std::fs::write(&file, mounts.to_string()).unwrap();
    container.call(&["mounts", action, &container.id, file.to_str().unwrap()])
}

/// A running container, and beside it a folder with a file.
fn launched(bundle: Bundle) -> Container {
    let folder = bundle.beside("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "from outside\n").unwrap();
    let container = Container::new(bundle);
    container.launch();
    container
}

/// A bind mount, its options in effect, seen by the processes that run and by new ones; and gone again.
#[test]
fn a_folder_is_added_and_removed() {
    need_mounts!();
    let container = launched(Bundle::sh("until cat /added/file 2>/dev/null; do sleep 0.05; done; exec sleep 1000"));
    let source = container.bundle.beside("folder");
    let list =
        json!([{ "type": "bind", "source": source, "destination": "/added", "options": ["rbind", "ro", "nosuid"] }]);
    mounts(&container, "add", &list).ok();
    container.until_output("from outside");
    let table = container.exec_sh("grep ' /added ' /proc/self/mountinfo; touch /added/x 2>&1").stdout;
    assert!(table.contains(" ro,nosuid") && table.contains("Read-only file system"), "{table}");
    mounts(&container, "remove", &json!([{ "destination": "/added" }])).ok();
    assert_eq!(container.exec_sh("ls /added; grep -c ' /added ' /proc/self/mountinfo").stdout, "0\n");
    assert!(source.join("file").exists());
}

/// A single file; the document may be the object that crun's manual means, and come from standard input.
#[test]
fn a_file_is_added_from_standard_input() {
    need_mounts!();
    let container = launched(Bundle::sleeping());
    let source = container.bundle.beside("folder/file");
    let object = json!({ "mounts": [{ "source": source, "destination": "/etc/added", "options": ["bind"] }] });
    let mut command = container.command();
    command.args(["mounts", "add", &container.id, "-"]).stdin(Stdio::piped());
    outcome_with_stdin(command, &object.to_string()).ok();
    assert_eq!(container.exec(&["cat", "/etc/added"]).ok().stdout, "from outside\n");
    mounts(&container, "remove", &object).ok();
    assert_eq!(container.exec(&["cat", "/etc/added"]).ok().stdout, "");
}

/// Filesystems are made inside: a tmpfs with its options, a proc that shows the container's processes.
#[test]
fn filesystems_are_added() {
    need_mounts!();
    let container = launched(Bundle::sleeping());
    let list = json!([
        { "type": "tmpfs", "source": "tmpfs", "destination": "/t", "options": ["size=64k", "mode=1700", "noexec"] },
        { "type": "proc", "source": "proc", "destination": "/t/proc" },
    ]);
    mounts(&container, "add", &list).ok();
    let script = "stat -c %a /t; df -k /t | tail -1 | awk '{ print $2 }'; cat /t/proc/1/comm";
    assert_eq!(container.exec_sh(script).ok().stdout, "1700\n64\nsleep\n");
    mounts(&container, "remove", &list).ok();
    assert_eq!(container.exec_sh("grep -c ' /t' /proc/self/mountinfo").stdout, "0\n");
}

/// With a user namespace the source is still the host's, and a tmpfs belongs to the container's root.
#[test]
fn mounts_are_added_in_a_user_namespace() {
    need_mounts!();
    let container = launched(Bundle::sleeping().user_namespace(100_000));
    let list = json!([
        { "type": "tmpfs", "source": "tmpfs", "destination": "/t" },
        { "source": container.bundle.beside("folder"), "destination": "/added", "options": ["bind"] },
    ]);
    mounts(&container, "add", &list).ok();
    let outcome = container.exec_sh("stat -c %u /t; touch /t/x && cat /added/file").ok();
    assert_eq!(outcome.stdout, "0\nfrom outside\n");
    mounts(&container, "remove", &list).ok();
    assert_eq!(container.exec_sh("grep -cE ' /(t|added) ' /proc/self/mountinfo").stdout, "0\n");
}

/// No symlink of the image leads out of the container's root.
#[test]
fn a_destination_never_leaves_the_root() {
    need_mounts!();
    let container = launched(Bundle::sleeping());
    let outside = container.bundle.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    for (name, target) in [("up", "../../../../../../../.."), ("out", outside.to_str().unwrap())] {
        std::os::unix::fs::symlink(target, container.bundle.rootfs(name)).unwrap();
    }
    let list = json!([
        { "source": container.bundle.beside("folder"), "destination": "/out", "options": ["bind"] },
        { "source": container.bundle.beside("folder"), "destination": "/up/inside", "options": ["bind"] },
    ]);
    mounts(&container, "add", &list).ok();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let inside = format!("cat /inside/file; cat {}/file", outside.display());
    assert_eq!(container.exec_sh(&inside).ok().stdout, "from outside\nfrom outside\n");
    mounts(&container, "remove", &list).ok();
    assert_eq!(container.exec_sh(&inside).stdout, "");
}

/// When one is refused, those before it are taken away.
#[test]
fn all_mounts_are_added_or_none() {
    need_mounts!();
    let container = launched(Bundle::sleeping());
    let list = json!([
        { "source": container.bundle.beside("folder"), "destination": "/added", "options": ["bind"] },
        { "type": "tmpfs", "source": "tmpfs", "destination": "/t" },
        { "type": "tmpfs", "source": "tmpfs", "destination": "/u", "options": ["size=nonsense"] },
    ]);
    mounts(&container, "add", &list).refused_with(&["/u", "size"]);
    assert_eq!(container.exec_sh("grep -cE ' /(added|t|u) ' /proc/self/mountinfo").stdout, "0\n");
    let list = json!([{ "source": "/no/such/source", "destination": "/added", "options": ["bind"] }]);
    mounts(&container, "add", &list).refused_with(&["/no/such/source", "ENOENT"]);
}

/// What is wrong is named, and changes nothing.
#[test]
fn what_cannot_be_mounted_is_named() {
    need_mounts!();
    let container = launched(Bundle::sleeping());
    for (action, document, words) in [
        ("add", json!([{ "destination": "/a", "options": ["bind"] }]), &["mounts.json: /mounts/0", "source"][..]),
        ("add", json!([{ "type": "tmpfs", "destination": "/" }]), &["/mounts/0/destination", "root"]),
        ("add", json!([{ "destination": "/tmp", "options": ["remount", "ro"] }]), &["/mounts/0/options", "remount"]),
        ("add", json!([{ "destination": 7 }]), &["/mounts/0/destination"]),
        ("add", json!({ "linux": {} }), &["mounts.json", "array"]),
        ("remove", json!([{ "destination": "/" }]), &["/mounts/0/destination"]),
        ("remove", json!([{ "destination": "/etc" }]), &["unmount /etc", "nothing is mounted there"]),
        ("remove", json!([{ "destination": "/nowhere" }]), &["unmount /nowhere", "ENOENT"]),
        ("change", json!([]), &["\"change\" is neither add nor remove"]),
    ] {
        mounts(&container, action, &document).refused_with(words);
    }
    container.stop();
    mounts(&container, "add", &json!([])).refused_with(&["container not running"]);
}
