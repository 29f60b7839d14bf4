//! What a configuration may ask for.

use std::os::unix::fs::{chown, symlink};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::*;
use crate::host::cgroup::{Hierarchy, Unified};
use crate::sys::xattr;

/// What dockerd asks for.
pub(super) fn typical() -> Value {
    json!({
        "readonly": true,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        ],
        "linux": {
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/version", "/proc/scsi",
                "/sys/firmware", "/proc/none-such"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

#[test]
fn a_typical_container_has_all_it_needs() {
    in_bundle(|bundle| {
        let plan = plan(bundle, typical());
        let mut root = build(&plan).unwrap();
        root.apply_devices(&plan).unwrap();
        let console = root.open_console(0, Some((24, 80))).unwrap();
        assert!(nix::unistd::isatty(&console.slave).unwrap());
        root.bind_console(console.slave.as_fd()).unwrap();
        root.pivot(false).unwrap();
        root.apply_propagation(&plan).unwrap();
        root.apply_readonly_paths(&plan).unwrap();
        root.apply_masked_paths(&plan).unwrap();
        root.apply_readonly_root(&plan).unwrap();
        drop(root);

        for (name, number) in [("null", (1, 3)), ("full", (1, 7)), ("urandom", (1, 9)), ("tty", (5, 0))] {
            let node = fs::symlink_metadata(Path::new("/dev").join(name)).unwrap();
            assert!(node.file_type().is_char_device());
            assert_eq!((node.rdev(), node.mode() & 0o7777), (makedev(number.0, number.1), 0o666), "{name}");
        }
        for (name, target) in [("fd", "/proc/self/fd"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")] {
            assert_eq!(fs::read_link(Path::new("/dev").join(name)).unwrap(), Path::new(target));
        }
        assert!(fs::metadata("/dev/console").unwrap().file_type().is_char_device());
        assert_eq!(fs::metadata("/dev/shm").unwrap().mode() & 0o7777, 0o1777);
        assert!(flags("/dev/shm").contains(FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC));
        assert!(flags("/sys").contains(FsFlags::ST_RDONLY | FsFlags::ST_NOSUID));
        assert!(flags("/").contains(FsFlags::ST_RDONLY));
        assert!(!flags("/dev").contains(FsFlags::ST_RDONLY));
        assert!(flags("/proc/sys").contains(FsFlags::ST_RDONLY | FsFlags::ST_NOSUID));
        assert!(!flags("/proc").contains(FsFlags::ST_RDONLY));
        assert!(fs::read("/proc/keys").unwrap().is_empty());
        assert!(fs::read("/proc/version").unwrap().is_empty());
        assert!(is_empty(Path::new("/sys/firmware")));
        // The mode of the host's null device cannot be changed through a masked file.
        assert!(fs::set_permissions("/proc/version", fs::Permissions::from_mode(0o666)).is_err());
        // Nothing of the host is left.
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(mounts.lines().all(|line| !line.contains("rt-rootfs-test")), "{mounts}");
        assert_eq!(mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/")).count(), 1);
    });
}

#[test]
fn a_missing_target_behind_a_symlink_is_made_where_the_symlink_leads() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        fs::create_dir(rootfs.join("etc")).unwrap();
        symlink("../run/resolve/conf", rootfs.join("etc/resolv.conf")).unwrap();
        symlink("/data", rootfs.join("link")).unwrap();
        fs::write(bundle.join("conf"), "nameserver").unwrap();
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/etc/resolv.conf", "source": "conf", "options": ["bind", "ro"]},
                {"destination": "link/a/b", "type": "tmpfs"},
            ]}),
        );
        build(&plan).unwrap();
        assert_eq!(fs::read_to_string(rootfs.join("run/resolve/conf")).unwrap(), "nameserver");
        assert!(flags(rootfs.join("run/resolve/conf")).contains(FsFlags::ST_RDONLY));
        assert!(rootfs.join("data/a/b").is_dir());
    });
}

#[test]
fn recursive_attributes_reach_every_mount_of_the_tree() {
    in_bundle(|bundle| {
        let source = bundle.join("source");
        fs::create_dir_all(source.join("below")).unwrap();
        mount(Some("x"), &source.join("below"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::create_dir(source.join("below/dir")).unwrap();
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/all", "source": "source", "options": ["rbind", "rro", "rnosuid", "rprivate"]},
                {"destination": "/one", "source": "source", "options": ["rbind", "ro", "nosuid"]},
                {"destination": "/alone", "source": "source", "options": ["bind"]},
            ]}),
        );
        build(&plan).unwrap();
        let rootfs = bundle.join("rootfs");
        let both = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID;
        assert!(flags(rootfs.join("all")).contains(both));
        assert!(flags(rootfs.join("all/below")).contains(both));
        assert!(flags(rootfs.join("one")).contains(both));
        assert!(!flags(rootfs.join("one/below")).intersects(both));
        assert!(is_empty(&rootfs.join("alone/below")));
        assert!(!flags(&source).intersects(both));
    });
}

#[test]
fn propagation_is_what_the_options_say() {
    in_bundle(|bundle| {
        let options =
            |name: &str| json!({"destination": format!("/{name}"), "source": "victim", "options": ["bind", name]});
        let plan = plan(
            bundle,
            json!({"mounts": [
                options("shared"), options("private"), options("unbindable"),
                {"destination": "/tmpfs", "type": "tmpfs", "options": ["rshared"]},
            ]}),
        );
        build(&plan).unwrap();
        let line = |name: &str| mountinfo(&bundle.join("rootfs").join(name));
        assert!(line("shared").contains(" shared:"));
        assert!(line("tmpfs").contains(" shared:"));
        assert!(!line("private").contains("shared:"));
        assert!(line("unbindable").contains(" unbindable "));
    });
}

#[test]
fn an_idmapped_mount_shows_other_owners() {
    in_bundle(|bundle| {
        let source = bundle.join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "").unwrap();
        chown(source.join("file"), Some(7), Some(8)).unwrap();
        let line = json!([{"containerID": 0, "hostID": 1000, "size": 100}]);
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/a", "source": "source", "options": ["bind", "idmap"], "uidMappings": line, "gidMappings": line},
                {"destination": "/b", "source": "source", "options": ["bind", "idmap=uids=0-2000-100;gids=0-3000-100"]},
            ]}),
        );
        build(&plan).unwrap();
        let owner = |name: &str| {
            let file = fs::metadata(bundle.join("rootfs").join(name).join("file")).unwrap();
            (file.uid(), file.gid())
        };
        assert_eq!(owner("a"), (1007, 1008));
        assert_eq!(owner("b"), (2007, 3008));
    });
}

#[test]
fn tmpcopyup_keeps_owner_mode_and_symlinks() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        fs::create_dir_all(rootfs.join("etc/sub")).unwrap();
        fs::set_permissions(rootfs.join("etc"), fs::Permissions::from_mode(0o751)).unwrap();
        fs::write(rootfs.join("etc/sub/file"), "text").unwrap();
        chown(rootfs.join("etc/sub/file"), Some(7), Some(8)).unwrap();
        fs::set_permissions(rootfs.join("etc/sub/file"), fs::Permissions::from_mode(0o4640)).unwrap();
        symlink("/victim/x", rootfs.join("etc/link")).unwrap();
        chown(rootfs.join("etc"), Some(9), Some(10)).unwrap();
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup", "ro", "nosuid"]},
            ]}),
        );
        build(&plan).unwrap();
        let file = fs::metadata(rootfs.join("etc/sub/file")).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (7, 8, 0o4640));
        assert_eq!(fs::read_to_string(rootfs.join("etc/sub/file")).unwrap(), "text");
        assert_eq!(fs::read_link(rootfs.join("etc/link")).unwrap(), Path::new("/victim/x"));
        let top = fs::metadata(rootfs.join("etc")).unwrap();
        assert_eq!((top.uid(), top.gid(), top.mode() & 0o7777), (9, 10, 0o751));
        assert!(flags(rootfs.join("etc")).contains(FsFlags::ST_RDONLY | FsFlags::ST_NOSUID));
    });
}

#[test]
fn tmpcopyup_keeps_file_capabilities_and_acls() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        fs::create_dir_all(rootfs.join("etc/sub")).unwrap();
        fs::write(rootfs.join("etc/sub/file"), "text").unwrap();
        chown(rootfs.join("etc/sub/file"), Some(7), Some(8)).unwrap();
        // Revision 2, effective: CAP_NET_RAW.
        let mut capability = vec![1, 0, 0, 2, 0, 0x20];
        capability.resize(20, 0);
        // Version 2; owner rwx, user 1000 r, group r, mask r, others nothing.
        let entry = |tag: u16, rights: u16, id: u32| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let entries = [(1, 7, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
        let acl =
            entries.iter().fold(vec![2, 0, 0, 0], |acl, (tag, rights, id)| [acl, entry(*tag, *rights, *id)].concat());
        let file = |path: &str| fs::File::open(rootfs.join(path)).unwrap();
        xattr::set(file("etc/sub/file").as_fd(), c"security.capability", &capability).unwrap();
        xattr::set(file("etc/sub").as_fd(), c"system.posix_acl_default", &acl).unwrap();
        xattr::set(file("etc/sub").as_fd(), c"trusted.rt", b"of a directory").unwrap();
        let plan =
            plan(bundle, json!({"mounts": [{"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup"]}]}));
        build(&plan).unwrap();
        let get = |path: &str, name| xattr::get(file(path).as_fd(), name);
        assert_eq!(get("etc/sub/file", c"security.capability").unwrap(), capability);
        assert_eq!(get("etc/sub", c"system.posix_acl_default").unwrap(), acl);
        assert_eq!(get("etc/sub", c"trusted.rt").unwrap(), b"of a directory");
        // The file was there before its directory had a default ACL.
        assert!(get("etc/sub/file", c"system.posix_acl_access").is_err());
        assert_eq!(fs::metadata(rootfs.join("etc/sub/file")).unwrap().uid(), 7);
    });
}

#[test]
fn symlinks_can_be_copied_and_mounted_themselves() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        symlink("victim", bundle.join("link")).unwrap();
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/copy", "source": "link", "options": ["bind", "copy-symlink"]},
                {"destination": "/copy", "source": "link", "options": ["bind", "copy-symlink"]},
                {"destination": "/plain", "source": "link", "options": ["bind"]},
            ]}),
        );
        build(&plan).unwrap();
        assert_eq!(fs::read_link(rootfs.join("copy")).unwrap(), Path::new("victim"));
        assert!(rootfs.join("plain").is_dir());
        mountinfo(&rootfs.join("plain"));
    });
}

#[test]
fn a_symlink_can_be_mounted_over_a_symlink() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        symlink("new", bundle.join("link")).unwrap();
        symlink("old", rootfs.join("there")).unwrap();
        let options = json!(["bind", "src-nofollow", "dest-nofollow"]);
        let plan = plan(bundle, json!({"mounts": [{"destination": "/there", "source": "link", "options": options}]}));
        build(&plan).unwrap();
        assert_eq!(fs::read_link(rootfs.join("there")).unwrap(), Path::new("new"));
        assert!(!rootfs.join("old").exists());
    });
}

#[test]
fn a_readonly_tmpfs_takes_the_mounts_below_it() {
    in_bundle(|bundle| {
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/run", "type": "tmpfs", "options": ["ro"]},
                {"destination": "/run/secrets", "type": "tmpfs"},
                {"destination": "/dev", "type": "tmpfs", "options": ["ro"]},
            ]}),
        );
        let mut root = build(&plan).unwrap();
        root.apply_devices(&plan).unwrap();
        root.apply_readonly_root(&plan).unwrap();
        let rootfs = bundle.join("rootfs");
        for (name, readonly) in [("run", true), ("run/secrets", false), ("dev", true)] {
            assert_eq!(flags(rootfs.join(name)).contains(FsFlags::ST_RDONLY), readonly, "{name}");
        }
        assert!(rootfs.join("dev/null").exists());
    });
}

#[test]
fn a_device_has_its_mode_and_owner_and_never_replaces_another_file() {
    in_bundle(|bundle| {
        let dev = bundle.join("rootfs/dev");
        fs::create_dir(&dev).unwrap();
        let device = |path: &str, kind: &str| json!({"path": path, "type": kind, "major": 10, "minor": 229, "fileMode": 432, "uid": 7, "gid": 8});
        let asked = json!([device("/dev/fuse", "c"), device("/dev/deep/loop", "b"), device("/data/pipe", "p")]);
        let plan_three = plan(bundle, json!({"linux": {"devices": asked}}));
        let mut root = build(&plan_three).unwrap();
        root.apply_devices(&plan_three).unwrap();
        // What is right stays.
        root.apply_devices(&plan_three).unwrap();
        for path in ["dev/fuse", "dev/deep/loop", "data/pipe"] {
            let node = fs::symlink_metadata(bundle.join("rootfs").join(path)).unwrap();
            assert_eq!((node.uid(), node.gid(), node.mode() & 0o7777), (7, 8, 0o660), "{path}");
        }
        for make in [0, 1] {
            let path = dev.join("other");
            match make {
                0 => fs::write(&path, "").unwrap(),
                _ => mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 3)).unwrap(),
            }
            let plan = plan(bundle, json!({"linux": {"devices": [device("/dev/other", "c")]}}));
            assert!(error_of(root.apply_devices(&plan)).contains("something else is there"));
            fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn the_hosts_nodes_are_bound_where_mknod_is_not_allowed() {
    in_bundle(|bundle| {
        let mut plan = plan(bundle, json!({"mounts": [{"destination": "/dev", "type": "tmpfs"}]}));
        plan.devices.bind = true;
        let mut root = build(&plan).unwrap();
        root.apply_devices(&plan).unwrap();
        let null = bundle.join("rootfs/dev/null");
        assert!(mountinfo(&null).contains(" /null "));
        assert_eq!(fs::metadata(null).unwrap().rdev(), makedev(1, 3));
    });
}

#[test]
fn a_filesystem_says_itself_what_is_wrong() {
    in_bundle(|bundle| {
        for (option, word) in [("size=much", "size"), ("nonsense=1", "nonsense")] {
            let plan =
                plan(bundle, json!({"mounts": [{"destination": "/a", "type": "tmpfs", "options": [option, "nodev"]}]}));
            let error = error_of(build(&plan));
            let start = format!("mount \"tmpfs\" on /a ({option},nodev) (/mounts/0): ");
            assert!(error.starts_with(&start) && error[start.len()..].contains(word), "{error}");
        }
        let plan = plan(bundle, json!({"mounts": [{"destination": "/a", "type": "nosuchfs"}]}));
        assert!(error_of(build(&plan)).contains("ENODEV"));
    });
}

#[test]
fn an_option_longer_than_fsconfig_takes_is_mounted() {
    in_bundle(|bundle| {
        let mut lower = Vec::new();
        for number in 0..12 {
            let directory = bundle.join(format!("a-layer-with-a-rather-long-name-{number}"));
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join(number.to_string()), "").unwrap();
            lower.push(directory.display().to_string());
        }
        let option = format!("lowerdir={}", lower.join(":"));
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/merged", "type": "overlay", "source": "overlay", "options": [option, "nodev", "rshared"]},
            ]}),
        );
        build(&plan).unwrap();
        let merged = bundle.join("rootfs/merged");
        assert_eq!(fs::read_dir(&merged).unwrap().count(), 12);
        assert!(flags(&merged).contains(FsFlags::ST_NODEV));
        assert!(mountinfo(&merged).contains(" shared:"));
    });
}

#[test]
fn a_mount_can_be_changed_later() {
    in_bundle(|bundle| {
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/a", "type": "tmpfs", "options": ["size=64k"]},
                {"destination": "/a", "type": "tmpfs", "options": ["remount", "size=128k", "nodev"]},
                {"destination": "/b", "type": "tmpfs"},
                {"destination": "/b", "options": ["remount", "bind", "ro"]},
            ]}),
        );
        build(&plan).unwrap();
        let rootfs = bundle.join("rootfs");
        assert!(mountinfo(&rootfs.join("a")).contains("size=128k"));
        assert!(flags(rootfs.join("a")).contains(FsFlags::ST_NODEV));
        assert!(flags(rootfs.join("b")).contains(FsFlags::ST_RDONLY));
    });
}

#[test]
fn a_mount_over_the_root_becomes_the_root() {
    in_bundle(|bundle| {
        fs::write(bundle.join("victim/inside"), "").unwrap();
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/", "source": "victim", "options": ["bind"]},
                {"destination": "/sub", "type": "tmpfs"},
            ]}),
        );
        let root = build(&plan).unwrap();
        root.pivot(false).unwrap();
        assert!(Path::new("/inside").exists() && Path::new("/sub").is_dir());
    });
}

#[test]
fn v1_hierarchies_are_bound_below_one_tmpfs() {
    in_bundle(|bundle| {
        // Any directory does for a bind: these only look like hierarchies.
        let fake = bundle.join("cgroup");
        for name in ["memory/rt/x", "cpu,cpuacct/rt/x", "systemd/own", "unified/rt/x"] {
            fs::create_dir_all(fake.join(name)).unwrap();
            fs::write(fake.join(name).join("tasks"), name).unwrap();
        }
        let hierarchy = |name: &str, controllers: &[&str]| Hierarchy {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount: fake.join(name),
            own: PathBuf::from("/own"),
        };
        let layout = Layout::Legacy {
            hierarchies: vec![
                hierarchy("memory", &["memory"]),
                hierarchy("cpu,cpuacct", &["cpu", "cpuacct"]),
                hierarchy("systemd", &["name=systemd"]),
            ],
            unified: Some(Unified { mount: fake.join("unified"), own: PathBuf::from("/"), controllers: Vec::new() }),
        };
        let cgroup = CgroupPaths {
            v1: vec![
                ("memory".to_owned(), fake.join("memory/rt/x")),
                ("cpu,cpuacct".to_owned(), fake.join("cpu,cpuacct/rt/x")),
            ],
            v2: Some(fake.join("unified/rt/x")),
            unit: None,
        };
        let plan = plan(
            bundle,
            json!({"mounts": [
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "ro"]},
                {"destination": "/two", "type": "cgroup2", "options": ["ro"]},
            ]}),
        );
        let mut root = Root::open(&plan).unwrap();
        let context = MountContext { cgroup: &cgroup, layout: &layout };
        root.apply_mounts(&plan, &mut Prepared::default(), &context).unwrap();
        let mounted = bundle.join("rootfs/sys/fs/cgroup");
        let read = |name: &str| fs::read_to_string(mounted.join(name).join("tasks")).unwrap();
        assert_eq!(read("memory"), "memory/rt/x");
        assert_eq!(read("cpu"), "cpu,cpuacct/rt/x");
        assert_eq!(read("cpuacct"), "cpu,cpuacct/rt/x");
        assert_eq!(read("systemd"), "systemd/own");
        assert_eq!(read("unified"), "unified/rt/x");
        for name in ["", "memory", "unified"] {
            assert!(flags(mounted.join(name)).contains(FsFlags::ST_RDONLY | FsFlags::ST_NOSUID), "{name}");
        }
        assert_eq!(fs::read_to_string(bundle.join("rootfs/two/tasks")).unwrap(), "unified/rt/x");
    });
}

#[test]
fn the_root_gets_the_propagation_that_was_asked_for() {
    for (asked, word) in [("shared", " shared:"), ("unbindable", " unbindable "), ("private", " - "), ("rslave", " - ")]
    {
        in_bundle(move |bundle| {
            // As on a machine with systemd; the peer group ends with this namespace.
            let shared = MsFlags::MS_REC | MsFlags::MS_SHARED;
            mount(None::<&str>, "/", None::<&str>, shared, None::<&str>).unwrap();
            let plan = plan(
                bundle,
                json!({
                    "mounts": [{"destination": "/proc", "type": "proc"}],
                    "linux": {"rootfsPropagation": asked},
                }),
            );
            let root = build(&plan).unwrap();
            root.pivot(false).unwrap();
            root.apply_propagation(&plan).unwrap();
            let line = mountinfo(Path::new("/"));
            assert!(line.contains(word), "{asked}: {line}");
            assert_eq!(line.contains(" shared:"), asked == "shared", "{line}");
        });
    }
}

#[test]
fn the_root_can_be_moved_where_pivot_root_does_not_work() {
    in_bundle(|bundle| {
        fs::write(bundle.join("rootfs/inside"), "").unwrap();
        let plan = plan(bundle, json!({"mounts": [{"destination": "/proc", "type": "proc"}]}));
        let root = build(&plan).unwrap();
        root.pivot(true).unwrap();
        assert!(Path::new("/inside").exists());
        assert!(!Path::new("/usr").exists());
    });
}
