//! Mount propagation: of a mount and of the root.

use serde_json::json;

use super::line_of;
use crate::harness::{Bundle, Container};

fn optional_fields(line: &str) -> String {
    line.split(' ').skip(6).take_while(|field| *field != "-").collect::<Vec<_>>().join(" ")
}

/// "`private`, `shared`, `slave`, `unbindable`: Bind mount propagation."
#[test]
fn each_propagation_shows_in_the_mount_table() {
    for (option, shown) in [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]);
        let source = bundle.beside("source");
        std::fs::create_dir(&source).unwrap();
        let container = Container::new(bundle.bind(&source, "/mnt", &[option]));
        let fields = optional_fields(&line_of(&container, "/mnt"));
        assert!(
            if shown.is_empty() { !fields.contains("shared") } else { fields.contains(shown) },
            "{option}: {fields:?}"
        );
    }
}

/// "`rootfsPropagation` sets the rootfs's mount propagation": "shared", "slave", "private" or "unbindable".
#[test]
fn the_roots_propagation_is_set() {
    for (value, shown) in
        [("shared", "shared:"), ("private", ""), ("unbindable", "unbindable"), ("rshared", "shared:"), ("rprivate", "")]
    {
        let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]).set("/linux/rootfsPropagation", json!(value));
        let fields = optional_fields(&line_of(&Container::new(bundle), "/"));
        assert!(
            if shown.is_empty() { fields.is_empty() || fields.starts_with("master") } else { fields.contains(shown) },
            "{value}: {fields:?}"
        );
    }
}

/// An unknown propagation is refused.
#[test]
fn an_unknown_root_propagation_is_refused() {
    let container = Container::new(Bundle::args(&["true"]).set("/linux/rootfsPropagation", json!("sideways")));
    container.run().refused_with(&["/linux/rootfsPropagation", "sideways"]);
    container.assert_nothing_left();
}

/// A mount made in the container does not reach the host, whatever its propagation.
#[test]
fn mounts_of_the_container_do_not_reach_the_host() {
    let bundle = Bundle::sh("mount -t tmpfs inner /mnt && echo mounted").capabilities(&["CAP_SYS_ADMIN"]);
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout, "mounted\n");
    container.assert_nothing_left();
}
