//! "bind" and "rbind".

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{line_of, options_of};
use crate::harness::{Bundle, Container, Mode, mode};

fn with_source(script: &str) -> (Bundle, std::path::PathBuf) {
    let bundle = Bundle::sh(script);
    let source = bundle.beside("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "from outside\n").unwrap();
    (bundle, source)
}

/// "`bind`: Bind mount": a directory of the host, both ways.
#[test]
fn a_directory_is_seen_from_both_sides() {
    let (bundle, source) = with_source("cat /mnt/file; echo back > /mnt/new");
    let container = Container::new(bundle.bind(&source, "/mnt", &[]));
    assert_eq!(container.run().ok().stdout, "from outside\n");
    assert_eq!(std::fs::read_to_string(source.join("new")).unwrap(), "back\n");
}

/// A file on a destination that is not there yet.
#[test]
fn a_file_is_bound_and_its_place_is_made() {
    let (bundle, source) = with_source("cat /a/b/file");
    let container = Container::new(bundle.bind(source.join("file"), "/a/b/file", &[]));
    assert_eq!(container.run().ok().stdout, "from outside\n");
}

/// A read-only bind is read-only, and the source is not.
#[test]
fn a_read_only_bind_cannot_be_written() {
    let (bundle, source) = with_source("echo x > /mnt/new || echo refused");
    let container = Container::new(bundle.bind(&source, "/mnt", &["ro"]));
    assert_eq!(container.run().ok().stdout, "refused\n");
    std::fs::write(source.join("still"), "writable").unwrap();
}

/// "bind" is decided by the option, not by the type: with no type, and with a wrong one.
#[test]
fn the_option_makes_it_a_bind() {
    for kind in [json!(null), json!("none"), json!("ext4")] {
        let (bundle, source) = with_source("cat /mnt/file");
        let mut mount = json!({ "source": source, "destination": "/mnt", "options": ["bind"] });
        if !kind.is_null() {
            mount["type"] = kind;
        }
        assert_eq!(Container::new(bundle.push("/mounts", mount)).run().ok().stdout, "from outside\n");
    }
}

/// A relative source begins at the bundle: "either absolute or relative to the bundle".
#[test]
fn a_relative_source_begins_at_the_bundle() {
    let (bundle, _) = with_source("cat /mnt/file");
    assert_eq!(Container::new(bundle.bind("source", "/mnt", &[])).run().ok().stdout, "from outside\n");
}

/// All restrictions of one bind at once.
#[test]
fn a_bind_takes_many_restrictions() {
    // The access times of a mount that they did not make are not for users to change.
    let all = ["ro", "nosuid", "nodev", "noexec", "noatime"];
    let options = if mode() == Mode::Rootless { &all[..4] } else { &all[..] };
    let (bundle, source) = with_source("");
    let bundle = bundle.set("/process/args", json!(["cat", "/proc/self/mountinfo"]));
    let container = Container::new(bundle.bind(&source, "/mnt", options));
    let shown = options_of(&line_of(&container, "/mnt"));
    for &option in options {
        assert!(shown.contains(&option.to_owned()), "{option}: {shown:?}");
    }
}

/// "`rbind`: Recursive bind mount" brings the mounts below; "bind" does not.
#[test]
fn rbind_brings_the_mounts_below() {
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = host.matches(" /dev/pts ").count();
    if below == 0 {
        skip!("the host has no mount on /dev/pts");
    }
    for (option, count) in [("bind", "0\n".to_owned()), ("rbind", format!("{below}\n"))] {
        if option == "bind" && mode() == Mode::Rootless {
            continue; // what lies below the mounts of others is not for users to see
        }
        let bundle = Bundle::sh("grep -c ' /mnt/pts ' /proc/self/mountinfo || true");
        assert_eq!(Container::new(bundle.mount("bind", "/dev", "/mnt", &[option])).run().ok().stdout, count);
    }
}

/// A destination through a symbolic link of the image is resolved inside the root.
#[test]
fn a_symlinked_destination_stays_inside() {
    let (bundle, source) = with_source("cat /real/file");
    let outside = bundle.beside("outside");
    std::fs::create_dir(bundle.rootfs("/real")).unwrap();
    symlink("/../../../real", bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle.bind(&source, "/link", &[]));
    assert_eq!(container.run().ok().stdout, "from outside\n");
    assert!(!outside.exists());
}

/// A link to an absolute host path makes nothing on the host (CVE-2024-45310).
#[test]
fn nothing_is_made_outside_the_root() {
    let (bundle, source) = with_source("ls /mnt");
    let outside = bundle.beside("victim");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle.bind(&source, "/link/made", &[]));
    container.run();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something was made on the host");
}

/// A directory cannot be bound on a file; the error names both.
#[test]
fn a_directory_on_a_file_is_refused() {
    let (bundle, source) = with_source("true");
    let container = Container::new(bundle.bind(&source, "/etc/passwd", &[]));
    container.run().refused_with(&["/etc/passwd"]);
    container.assert_nothing_left();
}

/// "`uidMappings`" and "`idmap`": files of host id 100000 are root's inside. (Linux 5.12; runc 1.1 cannot.)
#[test]
fn an_idmapped_bind_shifts_the_owner() {
    need_root!("map the ids of a mount");
    let (bundle, source) = with_source("stat -c '%u %g' /mnt/file");
    std::os::unix::fs::chown(source.join("file"), Some(100_000), Some(100_000)).unwrap();
    let map = json!([{ "containerID": 100_000, "hostID": 0, "size": 65536 }]);
    let mount = json!({ "type": "bind", "source": source, "destination": "/mnt", "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map });
    let container = Container::new(bundle.push("/mounts", mount).set("/ociVersion", json!("1.1.0")));
    only_rt!(); // crun 1.8 turns the mapping round
    assert_eq!(container.run().ok().stdout, "0 0\n");
}

/// "If there are no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, an
/// error MUST be returned."
#[test]
fn idmap_without_a_mapping_is_refused() {
    let (bundle, source) = with_source("true");
    let container = Container::new(bundle.bind(&source, "/mnt", &["idmap"]));
    container.run().refused_with(&["idmap"]);
    container.assert_nothing_left();
}

/// Without a type a mount must be a bind; a bind needs a source. Each is refused with its place.
#[test]
fn a_mount_of_nothing_is_refused() {
    only_rt!();
    for (mount, place) in [
        (json!({ "destination": "/mnt" }), "/mounts/7/type"),
        (json!({ "destination": "/mnt", "source": "/tmp", "options": ["ro"] }), "/mounts/7/type"),
        (json!({ "destination": "/mnt", "type": "none", "source": "none" }), "/mounts/7/type"),
        (json!({ "destination": "/mnt", "options": ["bind"] }), "/mounts/7/source"),
        (json!({ "destination": "/mnt", "source": "", "options": ["rbind"] }), "/mounts/7/source"),
        (json!({ "type": "tmpfs", "source": "tmpfs" }), "/mounts/7/destination"),
        (json!({ "destination": "", "type": "tmpfs" }), "/mounts/7/destination"),
    ] {
        let container = Container::new(Bundle::args(&["true"]).push("/mounts", mount.clone()));
        container.create().refused_with(&[place]);
        container.assert_nothing_left();
    }
}

/// Managers leave their own words in the options, which they have carried out by then: `z`, `Z` (label the source) and
/// `U` (give it to the container's user).
#[test]
fn the_words_of_managers_are_passed_over() {
    let (bundle, source) = with_source("cat /mnt/file");
    let outcome = Container::new(bundle.bind(&source, "/mnt", &["z", "Z", "U", "ro"])).run().ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("from outside\n", ""));
}

/// Any other word that a bind mount has no use for is told, behind theirs as well.
#[test]
fn an_option_without_meaning_is_told() {
    only_rt!();
    let (bundle, source) = with_source("cat /mnt/file");
    let outcome = Container::new(bundle.bind(&source, "/mnt", &["z", "size=1m"])).run().ok();
    assert!(outcome.stderr.contains("/mounts/") && outcome.stderr.contains("\"size\""), "{outcome:?}");
}
