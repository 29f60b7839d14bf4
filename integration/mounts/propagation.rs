//! Mount propagation: of a mount and of the root.

use serde_json::json;

use super::{Mounted, line_of};
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

/// "`slave`: the rootfs mount receives propagation events from the host [...] but not the other way around", "`private`:
/// the rootfs mount doesn't receive mount propagation events from the host", "`shared`: the rootfs mount belongs to a new
/// peer group [...] this does not mean that it's shared with the host": a mount that the host makes later.
#[test]
fn the_root_hears_of_later_mounts_as_asked() {
    need_root!("mount something for the container to hear of");
    only_rt!(); // crun 1.8 and runc 1.1 differ about what "shared" means
    for (value, hears) in [
        ("slave", true),
        ("rslave", true),
        ("shared", false),
        ("rshared", false),
        ("private", false),
        ("rprivate", false),
        ("unbindable", false),
        ("runbindable", false),
    ] {
        let bundle = Bundle::sleeping().set("/linux/rootfsPropagation", json!(value));
        let place = bundle.rootfs("/later");
        std::fs::create_dir(&place).unwrap();
        let container = Container::new(bundle);
        let _shared = Mounted::shared(&container.bundle.rootfs(""));
        container.launch();
        let later = Mounted::tmpfs(&place);
        let seen = container.exec_sh("grep -c ' /later ' /proc/self/mountinfo; true").ok().stdout;
        assert_eq!(seen == "1\n", hears, "{value}: {seen}");
        drop(later);
        let table = container.exec(&["cat", "/proc/self/mountinfo"]).ok().stdout;
        let root = table.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let fields = optional_fields(root);
        let wanted = match value.trim_start_matches('r') {
            "slave" => fields.starts_with("master:"),
            "shared" => fields.contains("shared:"),
            "unbindable" => fields == "unbindable",
            _ => fields.is_empty(),
        };
        assert!(wanted, "{value}: {root}");
        container.delete_force().ok();
    }
}

/// "`unbindable`: the rootfs mount is a private mount that cannot be bind-mounted."
#[test]
fn an_unbindable_root_cannot_be_bound() {
    for (value, shown) in [("unbindable", "refused\n"), ("private", "bound\n")] {
        let script = "mount -o bind / /mnt 2>/dev/null && echo bound || echo refused";
        let bundle = Bundle::sh(script).capabilities(&["CAP_SYS_ADMIN"]).set("/linux/rootfsPropagation", json!(value));
        assert_eq!(Container::new(bundle).run().ok().stdout, shown, "{value}");
    }
}

/// "`shared`", "`slave`", "`private`" and "`unbindable`" of a volume, alone and with what is below: what it hears of a
/// mount that the host makes on it later, what the host hears of one that the container makes, and whether the container
/// can bind it again.
#[test]
fn a_volume_hears_and_tells_as_its_options_say() {
    need_root!("mount something for the container to hear of");
    only_rt!(); // crun 1.8: "shared" on a bind has no effect
    for (option, root, hears, tells, binds) in [
        // A volume that tells the host belongs to a root that does, as dockerd writes it.
        ("rshared", "rshared", true, true, true),
        ("shared", "rshared", true, true, true),
        ("rslave", "", true, false, true),
        ("slave", "", true, false, true),
        ("rprivate", "", false, false, true),
        ("private", "", false, false, true),
        ("runbindable", "", false, false, false),
        ("unbindable", "", false, false, false),
    ] {
        let script = "until [ -e /vol/ready ]; do sleep 0.02; done; mkdir -p /again
            mount -t tmpfs inner /vol/by-container && mount -o bind /vol /again 2>/dev/null && echo bound
            grep -c ' /vol/by-host ' /proc/self/mountinfo; echo end; sleep 1000";
        let mut bundle = Bundle::sh(script).capabilities(&["CAP_SYS_ADMIN"]);
        if !root.is_empty() {
            bundle = bundle.set("/linux/rootfsPropagation", json!(root));
        }
        let source = bundle.beside("volume");
        std::fs::create_dir(&source).unwrap();
        let container = Container::new(bundle.mount("bind", &source, "/vol", &["rbind", option]));
        let shared = Mounted::shared(&source);
        for name in ["by-host", "by-container"] {
            std::fs::create_dir(source.join(name)).unwrap();
        }
        container.launch();
        let by_host = Mounted::tmpfs(&source.join("by-host"));
        std::fs::write(source.join("ready"), "").unwrap();
        container.until_output("end");
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let inner = source.join("by-container");
        let told = table.lines().any(|line| line.split(' ').nth(4) == inner.to_str());
        let output = container.output();
        container.delete_force().ok();
        if told {
            nix::mount::umount(&inner).unwrap();
        }
        drop(by_host);
        drop(shared);
        assert_eq!(output.contains("\n1\n") || output.starts_with("1\n"), hears, "{option} hears: {output}");
        assert_eq!(told, tells, "{option} tells: {table}");
        assert_eq!(output.contains("bound\n"), binds, "{option} binds: {output}");
    }
}

/// Only with the "r" the mounts below follow: `private` on a recursive bind leaves what is below as it was.
#[test]
fn a_recursive_propagation_reaches_what_is_below() {
    need_root!("mount something for the container to hear of");
    only_rt!();
    for (option, top, below) in [
        ("rprivate", "", ""),
        ("runbindable", "unbindable", "unbindable"),
        ("unbindable", "unbindable", "master"),
        ("rshared", "shared", "shared"),
        ("shared", "shared", "master"),
        ("rslave", "master", "master"),
        ("slave", "master", "master"),
    ] {
        let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]);
        let source = bundle.beside("volume");
        std::fs::create_dir_all(source.join("below")).unwrap();
        let container = Container::new(bundle.mount("bind", &source, "/vol", &["rbind", option]));
        let outer = Mounted::shared(&source);
        let inner = Mounted::shared(&source.join("below"));
        let table = container.run().ok().stdout;
        drop((inner, outer));
        for (point, wanted) in [("/vol", top), ("/vol/below", below)] {
            let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point)).expect(point);
            let fields = optional_fields(line);
            assert!(if wanted.is_empty() { fields.is_empty() } else { fields.contains(wanted) }, "{option}: {line}");
        }
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
