//! Images that are made to lead the runtime astray: links where directories belong.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container, Kind, runtime};

/// A directory of the host with one file, which must stay as it is.
fn victim(bundle: &Bundle) -> PathBuf {
    let directory = bundle.beside("victim");
    std::fs::create_dir(&directory).unwrap();
    for name in ["null", "console", "ptmx", "file"] {
        std::fs::write(directory.join(name), "kept").unwrap();
    }
    directory
}

#[track_caller]
fn assert_untouched(directory: &Path) {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["console", "file", "null", "ptmx"], "the host's directory was changed");
    for name in names {
        let path = directory.join(name);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept", "{}", path.display());
        assert_eq!(
            std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap()),
            nix::unistd::geteuid().as_raw()
        );
    }
}

fn without_dev(bundle: Bundle) -> Bundle {
    bundle.without_mount("/dev").without_mount("/dev/pts").without_mount("/dev/shm").without_mount("/dev/mqueue")
}

/// CVE-2025-54867, CVE-2019-19921: /proc or /sys of the image is a link: a mount must not follow it out of the root,
/// and what the runtime writes to /proc must reach no other file.
#[test]
fn a_proc_or_sys_that_is_a_link_is_not_followed_out() {
    for name in ["proc", "sys"] {
        let bundle = Bundle::args(&["true"]);
        let directory = victim(&bundle);
        std::fs::remove_dir(bundle.rootfs(name)).unwrap();
        symlink(&directory, bundle.rootfs(name)).unwrap();
        let container = Container::new(bundle);
        let outcome = container.run();
        assert_untouched(&directory);
        assert!(runtime().kind != Kind::Rt || outcome.code != 0, "a linked /{name} was accepted");
        container.assert_nothing_left();
    }
}

/// As above, with a link that stays inside: refused too, since the program could change what is masked there.
#[test]
fn a_proc_that_is_a_link_inside_is_refused() {
    only_rt!(); // runc and crun of Debian follow it inside the root
    let bundle = Bundle::args(&["true"]);
    std::fs::remove_dir(bundle.rootfs("proc")).unwrap();
    std::fs::create_dir(bundle.rootfs("elsewhere")).unwrap();
    symlink("elsewhere", bundle.rootfs("proc")).unwrap();
    let container = Container::new(bundle);
    container.run().refused_with(&["/proc"]);
    container.assert_nothing_left();
}

/// CVE-2025-31133: a /dev/null of the image that is a link must not become what masks a path.
#[test]
fn a_linked_dev_null_masks_nothing_with_something_else() {
    let bundle = without_dev(Bundle::sh("cat /secret; (echo written > /secret) 2>/dev/null; echo end"));
    let directory = victim(&bundle);
    let bundle = bundle.file("/secret", "secret\n", 0o666).file("/other", "other\n", 0o666);
    symlink("/other", bundle.rootfs("/dev/null")).unwrap();
    symlink(directory.join("null"), bundle.rootfs("/dev/zero")).unwrap();
    let container = Container::new(bundle.push("/linux/maskedPaths", json!("/secret")));
    let outcome = container.run();
    assert!(!outcome.stdout.contains("secret\n") && !outcome.stdout.contains("other\n"), "{outcome:#?}");
    assert_eq!(std::fs::read_to_string(container.bundle.rootfs("/other")).unwrap(), "other\n");
    assert_untouched(&directory);
}

/// CVE-2026-88264, CVE-2025-52565: a /dev/console of the image that is a link to a file of the host.
#[test]
fn a_linked_console_is_not_followed_out() {
    if runtime().kind != Kind::Rt {
        skip!("crun 1.8 follows it");
    }
    let bundle = without_dev(Bundle::args(&["true"])).set("/process/terminal", json!(true));
    let directory = victim(&bundle);
    for name in ["console", "null", "ptmx"] {
        symlink(directory.join(name), bundle.rootfs("/dev").join(name)).unwrap();
    }
    let container = Container::new(bundle);
    let socket = ConsoleSocket::bind(container.home.path());
    crate::harness::runtime::outcome(container.verb("create", &["--console-socket", socket.path.to_str().unwrap()]));
    container.start();
    container.delete_force().ok();
    assert_untouched(&directory);
}

/// A root file system that is itself a link is the directory that it leads to; one that leads nowhere is refused.
#[test]
fn a_root_that_is_a_link_is_resolved_once() {
    let bundle = Bundle::args(&["echo", "inside"]);
    symlink("rootfs", bundle.beside("link")).unwrap();
    symlink("nowhere", bundle.beside("dangling")).unwrap();
    assert_eq!(Container::new(bundle.set("/root/path", json!("link"))).run().ok().stdout, "inside\n");
    let bundle = Bundle::args(&["true"]);
    symlink("nowhere", bundle.beside("dangling")).unwrap();
    Container::new(bundle.set("/root/path", json!("dangling"))).run().refused_with(&["dangling"]);
}

/// A device whose parent directory is a link to the host is not made there.
#[test]
fn a_device_is_not_made_through_a_link() {
    let bundle = Bundle::args(&["true"]);
    let directory = victim(&bundle);
    symlink(&directory, bundle.rootfs("/devices")).unwrap();
    let list = json!([{ "path": "/devices/made", "type": "c", "major": 1, "minor": 3 }]);
    let container = Container::new(bundle.set("/linux/devices", list));
    container.run();
    assert_untouched(&directory);
}

/// readonlyPaths through a link remounts nothing of the host.
#[test]
fn a_readonly_path_does_not_reach_the_host() {
    let bundle = Bundle::args(&["true"]);
    let directory = victim(&bundle);
    symlink(&directory, bundle.rootfs("/link")).unwrap();
    let container = Container::new(
        bundle.push("/linux/readonlyPaths", json!("/link")).push("/linux/maskedPaths", json!("/link/file")),
    );
    container.run();
    std::fs::write(directory.join("file"), "kept").unwrap();
    assert_untouched(&directory);
}

/// A working directory that is made for the program is made inside the root.
#[test]
fn a_missing_cwd_is_not_made_on_the_host() {
    let bundle = Bundle::args(&["true"]);
    let directory = victim(&bundle);
    symlink(&directory, bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle.set("/process/cwd", json!("/link/new/deep")));
    container.run();
    assert_untouched(&directory);
}
