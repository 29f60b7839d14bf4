//! config-linux.md, "Devices" and "Default Devices".

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, mode};

/// "In addition to any devices configured with this setting, the runtime MUST also supply: `/dev/null`, `/dev/zero`,
/// `/dev/full`, `/dev/random`, `/dev/urandom`, `/dev/tty`, `/dev/ptmx`."
#[test]
fn the_default_devices_are_there() {
    let script =
        "cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty; ls -l ptmx | grep -o 'ptmx.*'";
    let container = Container::new(Bundle::sh(script));
    let lines =
        ["null", "zero", "full", "random", "urandom", "tty"].iter().zip(["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"]);
    // Without privilege they are the host's own, whose owner nobody inside is.
    let owner = if mode() == Mode::Rootless { "65534:65534" } else { "0:0" };
    let wanted: Vec<String> =
        lines.map(|(name, number)| format!("{name} character special file {number} 666 {owner}")).collect();
    let output = container.run().ok().stdout;
    assert_eq!(output.lines().take(6).collect::<Vec<_>>(), wanted);
    assert_eq!(output.lines().nth(6), Some("ptmx -> pts/ptmx"));
}

/// They work: also under the device rules that deny everything else.
#[test]
fn the_default_devices_work() {
    let script = "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; (echo x > /dev/full) 2>/dev/null || echo full";
    let bundle = Bundle::sh(script).set("/linux/resources/devices", json!([{ "allow": false, "access": "rwm" }]));
    assert_eq!(Container::new(bundle).run().ok().stdout, "4\n4\nfull\n");
}

/// runtime-linux.md, "Dev symbolic links": fd, stdin, stdout, stderr.
#[test]
fn the_symbolic_links_are_there() {
    let container =
        Container::new(Bundle::sh("cd /dev; readlink fd; readlink stdin; readlink stdout; readlink stderr"));
    assert_eq!(container.run().ok().stdout, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n");
}

/// "`devices` lists devices that MUST be available in the container": type, numbers, mode, owner.
#[test]
fn devices_are_made_as_listed() {
    need_root!("make device nodes");
    let list = json!([
        { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8 },
        { "path": "/dev/sub/dir/block", "type": "b", "major": 7, "minor": 229 },
        { "path": "/dev/pipe", "type": "p", "fileMode": 0o600 },
        { "path": "/elsewhere", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666 },
    ]);
    let script = "stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/sub/dir/block /dev/pipe /elsewhere";
    let output = Container::new(Bundle::sh(script).set("/linux/devices", list)).run().ok().stdout;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "character special file 1:5 640 7:8");
    assert!(lines[1].starts_with("block special file 7:e5"), "{output}");
    assert_eq!(lines[2], "fifo 0:0 600 0:0");
    assert_eq!(lines[3], "character special file 1:3 666 0:0");
}

/// The mode is not cut by the caller's umask.
#[test]
fn the_umask_does_not_change_the_mode() {
    need_root!("make device nodes");
    let list = json!([{ "path": "/dev/open", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]);
    let container = Container::new(Bundle::sh("stat -c %a /dev/open /dev/null").set("/linux/devices", list));
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(&crate::harness::runtime().path)
        .arg("--root")
        .arg(container.root());
    command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "666\n666\n");
}

/// "If a file already exists at `path` that does not match the requested device, the runtime MUST generate an error."
/// (runc and crun pass it over.)
#[test]
fn another_file_in_the_way_is_an_error() {
    let list = json!([{ "path": "/etc/inway", "type": "c", "major": 1, "minor": 3 }]);
    let container =
        Container::new(Bundle::args(&["true"]).file("/etc/inway", "text", 0o644).set("/linux/devices", list));
    container.run().refused_with(&["/etc/inway"]);
    container.assert_nothing_left();
}

/// A node of another number in the way is an error too; the very node that is asked for is none.
#[test]
fn the_node_itself_may_be_there() {
    need_root!("make device nodes");
    only_rt!(); // runc and crun pass both over
    for (minor, is_right) in [(3, true), (5, false)] {
        let list = json!([{ "path": "/nodes/it", "type": "c", "major": 1, "minor": 3 }]);
        let bundle = Bundle::sh("echo x > /nodes/it && stat -c %t:%T /nodes/it").set("/linux/devices", list);
        let node = bundle.rootfs("/nodes/it");
        std::fs::create_dir(bundle.rootfs("/nodes")).unwrap();
        let (mode, kind) = (nix::sys::stat::Mode::from_bits_truncate(0o666), nix::sys::stat::SFlag::S_IFCHR);
        nix::sys::stat::mknod(&node, kind, mode, nix::sys::stat::makedev(1, minor)).unwrap();
        let container = Container::new(bundle);
        if is_right {
            assert_eq!(container.run().ok().stdout, "1:3\n");
        } else {
            container.run().refused_with(&["/nodes/it"]);
            container.assert_nothing_left();
        }
    }
}

/// "`major, minor` (int64, REQUIRED unless `type` is `p`)": a fifo needs none, and what is out of range is refused.
#[test]
fn bad_numbers_are_refused() {
    only_rt!();
    for (device, pointer) in [
        (json!({ "path": "/dev/x", "type": "c", "minor": 1 }), "/linux/devices/0/major"),
        (json!({ "path": "/dev/x", "type": "b", "major": 1 }), "/linux/devices/0/minor"),
        (json!({ "path": "/dev/x", "type": "c", "major": 4096, "minor": 1 }), "/linux/devices/0/major"),
        (json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": -1 }), "/linux/devices/0/minor"),
        (json!({ "path": "dev/x", "type": "p" }), "/linux/devices/0/path"),
        (json!({ "path": "/", "type": "p" }), "/linux/devices/0/path"),
        (json!({ "path": "/dev/x", "type": "a", "major": 1, "minor": 1 }), "/linux/devices/0/type"),
        (json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 1, "uid": -1 }), "/linux/devices/0/uid"),
    ] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/devices", json!([device])));
        container.run().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}

/// "`uid`, `gid`: id of device owner in the container namespace", and "The same `type`, `major` and `minor` SHOULD NOT be
/// used for multiple devices": two names for one device are still two nodes.
#[test]
fn one_device_may_have_two_names() {
    need_root!("make device nodes");
    let list = json!([
        { "path": "/dev/one", "type": "c", "major": 1, "minor": 5, "uid": 7 },
        { "path": "/dev/two", "type": "c", "major": 1, "minor": 5, "gid": 8 },
    ]);
    let bundle = Bundle::sh("stat -c '%t:%T %u:%g' /dev/one /dev/two; head -c 3 /dev/two | wc -c");
    let output = Container::new(bundle.set("/linux/devices", list)).run().ok().stdout;
    assert_eq!(output, "1:5 7:0\n1:5 0:8\n3\n");
}

/// "Containers MAY NOT access any device node that is not either explicitly referenced in the `devices` array or listed
/// as being part of the default devices": with no rules at all, too.
#[test]
fn other_devices_cannot_be_used() {
    if crate::harness::cgroups::directory("devices", "/").is_none() {
        skip!("no devices controller");
    }
    // /dev/mem's number: the node can be made, and not be opened.
    let script = "mknod /tmp/mem c 1 1 && (: < /tmp/mem) 2>&1; true";
    let bundle = Bundle::sh(script).without("/linux/resources/devices").capabilities(&["CAP_MKNOD"]);
    let output = Container::new(bundle).run().stdout;
    assert!(output.contains("Operation not permitted"), "{output}");
}

/// Device rules: "The runtime MUST apply entries in the listed order."
#[test]
fn device_rules_are_applied_in_order() {
    need_root!("limit devices");
    let list = json!([{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666 }]);
    let rules = |last: bool| {
        json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
            { "allow": last, "type": "c", "major": 10, "minor": 229, "access": "rw" },
        ])
    };
    // Whether the driver is there does not matter: only the cgroup says EPERM.
    for (last, denied) in [(true, false), (false, true)] {
        let script = "(: < /dev/fuse) 2>&1 || true";
        let bundle =
            Bundle::sh(script).set("/linux/devices", list.clone()).set("/linux/resources/devices", rules(last));
        let output = Container::new(bundle).run().stdout;
        assert_eq!(output.contains("Operation not permitted"), denied, "{output}");
    }
}

/// An unknown type is refused with its place.
#[test]
fn an_unknown_device_type_is_refused() {
    let list = json!([{ "path": "/dev/x", "type": "x", "major": 1, "minor": 3 }]);
    let container = Container::new(Bundle::args(&["true"]).set("/linux/devices", list));
    container.run().refused_with(&["/linux/devices/0/type"]);
    container.assert_nothing_left();
}

/// In a user namespace the host's nodes are bound, because no node can be made.
#[test]
fn the_default_devices_work_in_a_user_namespace() {
    let bundle = Bundle::sh("echo x > /dev/null && head -c 2 /dev/zero | wc -c")
        .user_namespace(100_000)
        .without_mount("/sys/fs/cgroup");
    assert_eq!(Container::new(bundle).run().ok().stdout, "2\n");
}

/// They may have other names there: "`path`: full path to device inside container", "notably outside of `/dev`". What the
/// host has no node of cannot be had.
#[test]
fn a_device_may_have_another_name_in_a_user_namespace() {
    only_rt!(); // runc and crun bind the node of the same path only
    let list = json!([
        { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5 },
        { "path": "/data/null", "type": "c", "major": 1, "minor": 3 },
        { "path": "/data/pipe", "type": "p", "fileMode": 0o640, "uid": 7, "gid": 8 },
    ]);
    let script = "stat -c '%t:%T' /dev/mine /data/null; stat -c '%F %a %u:%g' /data/pipe; head -c 2 /dev/mine | wc -c";
    let bundle = Bundle::sh(script).user_namespace(100_000).without_mount("/sys/fs/cgroup");
    let output = Container::new(bundle.set("/linux/devices", list)).run().ok().stdout;
    assert_eq!(output, "1:5\n1:3\nfifo 640 7:8\n2\n");
    let list = json!([{ "path": "/dev/mine", "type": "c", "major": 4000, "minor": 5 }]);
    let bundle = Bundle::args(&["true"]).user_namespace(100_000).without_mount("/sys/fs/cgroup");
    let container = Container::new(bundle.set("/linux/devices", list));
    container.run().refused_with(&["/dev/mine", "4000:5", "ENOENT"]);
    container.assert_nothing_left();
}

/// An image whose /dev leads outside must not make nodes or links on the host (CVE-2026-41579).
#[test]
fn a_dev_that_is_a_symlink_makes_nothing_on_the_host() {
    let bundle = Bundle::args(&["true"])
        .without_mount("/dev")
        .without_mount("/dev/pts")
        .without_mount("/dev/shm")
        .without_mount("/dev/mqueue");
    let victim = bundle.beside("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("ptmx"), "kept").unwrap();
    std::fs::remove_dir(bundle.rootfs("/dev")).unwrap();
    symlink(&victim, bundle.rootfs("/dev")).unwrap();
    let container = Container::new(bundle);
    container.run();
    let names: Vec<_> = std::fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ptmx"], "the host's directory was changed");
    assert_eq!(std::fs::read_to_string(victim.join("ptmx")).unwrap(), "kept");
}
