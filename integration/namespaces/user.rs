//! config-linux.md, "User namespace mappings".

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::mode::SUBORDINATE;
use crate::harness::{Bundle, Container, Mode, mode};

/// The words of /proc/self/uid_map in a container of `mapped`.
fn written() -> Vec<&'static str> {
    match mode() {
        Mode::Rootless => vec!["0", "1000", "1", "1", "100000", "65536"],
        Mode::Root | Mode::Systemd => vec!["0", "100000", "65536"],
    }
}

fn mapped(script: &str) -> Bundle {
    Bundle::sh(script).user_namespace(100_000).without_mount("/sys/fs/cgroup")
}

/// Gives a file to somebody: as root, or within the caller's subordinate ids.
fn give(file: &Path, host_id: u32) {
    let mut chown = Command::new("chown");
    let mut id = host_id;
    if mode() == Mode::Rootless {
        chown = Command::new("unshare");
        chown.args(["--user", "--map-root-user", "--map-auto", "chown"]);
        id = host_id - SUBORDINATE + 1;
    }
    assert!(chown.arg(format!("{id}:{id}")).arg(file).status().unwrap().success());
}

/// "`uidMappings` describes the user namespace uid mappings from the host to the container."
#[test]
fn the_mappings_are_written() {
    let container = Container::new(mapped("cat /proc/self/uid_map /proc/self/gid_map; id -u"));
    let output = container.run().ok().stdout;
    let words: Vec<&str> = output.split_whitespace().collect();
    let map = written();
    assert_eq!(words, [&map[..], &map[..], &["0"]].concat());
}

/// root inside is 100000 outside.
#[test]
fn root_inside_is_nobody_outside() {
    let container = Container::new(mapped("touch /made; echo up; sleep 1000"));
    container.launch().until_output("up");
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let root = if mode() == Mode::Rootless { nix::unistd::geteuid().as_raw() } else { 100_000 };
    assert!(status.contains(&format!("Uid:\t{root}\t{root}\t{root}\t{root}")), "{status}");
    let made = std::fs::metadata(container.bundle.rootfs("/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), root);
}

/// Several ranges.
#[test]
fn several_ranges_are_mapped() {
    // Without privilege root is the caller, and the others are from /etc/subuid.
    let hosts = if mode() == Mode::Rootless { [1000, 120_000, 130_000] } else { [100_000, 200_000, 300_000] };
    let map = json!([
        { "containerID": 0, "hostID": hosts[0], "size": 1 },
        { "containerID": 1, "hostID": hosts[1], "size": 10 },
        { "containerID": 1000, "hostID": hosts[2], "size": 5 },
    ]);
    let bundle = mapped("cat /proc/self/uid_map").set("/linux/uidMappings", map);
    let output = Container::new(bundle).run().ok().stdout;
    let hosts = hosts.map(|id| id.to_string());
    assert_eq!(
        output.split_whitespace().collect::<Vec<_>>(),
        ["0", &hosts[0], "1", "1", &hosts[1], "10", "1000", &hosts[2], "5"]
    );
}

/// "The number of mapping entries MAY be limited by the kernel": 340 since Linux 4.15, all of them in less than a page.
#[test]
fn as_many_ranges_as_the_kernel_takes() {
    only_rt!();
    // "in less than a page" is fewer of them when their numbers are long.
    let (root, others, most) = if mode() == Mode::Rootless { (1000, SUBORDINATE, 300) } else { (10, 10, 340) };
    let ranges = |count: u32, first: u32, step: u32| -> Value {
        let host = |n: u32| if n == 0 { root } else { first + n * step };
        (0..count).map(|n| json!({ "containerID": n, "hostID": host(n), "size": 1 })).collect()
    };
    let all = ranges(most, others, 2);
    let bundle = mapped("wc -l < /proc/self/uid_map; wc -l < /proc/self/gid_map");
    if mode() != Mode::Rootless {
        Command::new("chown").args(["-R", "10:10"]).arg(bundle.rootfs("")).status().unwrap();
    }
    let bundle = bundle.set("/linux/uidMappings", all.clone()).set("/linux/gidMappings", all);
    assert_eq!(Container::new(bundle).run().ok().stdout, format!("{most}\n{most}\n"));
    for (too_many, words) in [
        (ranges(341, others, 2), ["/linux/uidMappings", "341", "340"]),
        (ranges(340, 1_000_000, 2), ["uid_map", "4645", "EINVAL"]),
    ] {
        if mode() == Mode::Rootless && words[2] == "EINVAL" {
            continue; // such ids are nobody's to give
        }
        let container = Container::new(mapped("true").set("/linux/uidMappings", too_many));
        container.run().refused_with(&words);
        container.assert_nothing_left();
    }
}

/// What the kernel would refuse with EINVAL alone is said with its place: overlaps, empty ranges, ids past the last.
#[test]
fn bad_mappings_are_refused() {
    only_rt!();
    let line = |container: u32, host: u32, size: u32| json!({ "containerID": container, "hostID": host, "size": size });
    for (map, words) in [
        (json!([line(0, 100_000, 10), line(5, 200_000, 10)]), ["/linux/uidMappings/1/containerID", "overlaps"]),
        (json!([line(0, 100_000, 10), line(10, 100_009, 1)]), ["/linux/uidMappings/1/hostID", "overlaps"]),
        (json!([line(0, 100_000, 1), line(1, 200_000, 0)]), ["/linux/uidMappings/1/size", "at least 1"]),
        (json!([line(0, u32::MAX - 1, 10)]), ["/linux/uidMappings/0/hostID", "past the last"]),
    ] {
        let container = Container::new(mapped("true").set("/linux/uidMappings", map));
        container.run().refused_with(&words);
        container.assert_nothing_left();
    }
}

/// "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the mapping."
#[test]
fn files_keep_their_owners() {
    let mut bundle = mapped("stat -c %u:%g /mine /of-nobody");
    // Without privilege the caller's own id is 0 inside; what is nobody's there is an id of his that he does not map.
    let (mine, nobodys) = if mode() == Mode::Rootless { (SUBORDINATE + 6, SUBORDINATE + 5000) } else { (100_007, 7) };
    if mode() == Mode::Rootless {
        for kind in ["uid", "gid"] {
            bundle = bundle.set(&format!("/linux/{kind}Mappings/1/size"), json!(100));
        }
    }
    for (name, id) in [("/mine", mine), ("/of-nobody", nobodys)] {
        std::fs::write(bundle.rootfs(name), "").unwrap();
        give(&bundle.rootfs(name), id);
    }
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout, "7:7\n65534:65534\n");
    let owner =
        |name: &str| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(container.bundle.rootfs(name)).unwrap());
    assert_eq!((owner("/mine"), owner("/of-nobody")), (mine, nobodys));
}

/// Another user than root inside, with groups.
#[test]
fn a_user_inside_a_user_namespace() {
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] });
    let container = Container::new(mapped("id -u; id -g; id -G").set("/process/user", user));
    assert_eq!(container.run().ok().stdout, "1000\n1000\n1000 7\n");
}

/// A user that is not mapped cannot be had.
#[test]
fn an_unmapped_user_is_refused() {
    let container = Container::new(mapped("true").set("/process/user", json!({ "uid": 70_000, "gid": 0 })));
    container.run().refused_with(&["70000"]);
    container.assert_nothing_left();
}

/// exec joins the user namespace and is root there.
#[test]
fn exec_joins_the_user_namespace() {
    let container = Container::new(mapped("sleep 1000"));
    container.launch();
    let output = container.exec_sh("id -u; cat /proc/self/uid_map").ok().stdout;
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), [&["0"], &written()[..]].concat());
}

/// A second container can join a user namespace by path, with new namespaces inside it (as every Kubernetes pod does).
#[test]
fn a_user_namespace_can_be_joined() {
    let first = Container::new(mapped("sleep 1000"));
    first.launch();
    let path = format!("/proc/{}/ns/user", first.pid());
    let second = mapped("readlink /proc/self/ns/user; id -u").namespace("user", Some(&path));
    let second = Container::new(second.without("/linux/uidMappings").without("/linux/gidMappings"));
    only_rt!(); // runc 1.1 wants mappings beside the path
    let output = second.run().ok().stdout;
    assert_eq!(output, format!("{}\n0\n", std::fs::read_link(&path).unwrap().display()));
}

/// Mappings without a user namespace mean nothing and are refused or ignored, but never applied to the host.
#[test]
fn a_user_namespace_without_mappings_is_refused() {
    only_rt!();
    let bundle = Bundle::args(&["true"]).namespace("user", None).without_mount("/sys/fs/cgroup");
    let container = Container::new(bundle.without("/linux/uidMappings").without("/linux/gidMappings"));
    container.run().refused_with(&["/linux/uidMappings"]);
    container.assert_nothing_left();
}

/// Without any privilege at all: the whole life of a container by user 65534, one id mapped.
#[test]
fn an_unprivileged_user_can_run_a_container() {
    need_root!("become somebody else: rootless::a_single_id_needs_no_helper");
    let bundle =
        Bundle::sh("id -u; hostname; echo /proc/[0-9]*").namespace("user", None).without_mount("/sys/fs/cgroup");
    let one = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    let bundle = bundle.set("/linux/uidMappings", one(65534)).set("/linux/gidMappings", one(65534));
    let bundle = bundle
        .without_mount("/sys")
        .without_mount("/dev/pts")
        .without("/linux/resources")
        .without("/linux/cgroupsPath");
    let container = Container::new(bundle);
    let home = container.home.path();
    for directory in [home, container.bundle.dir.path()] {
        assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(directory).status().unwrap().success());
    }
    only_rt!(); // runc and crun want a user session, a cgroup or a reachable binary first
    let copy = home.join("rt");
    crate::harness::program::copy(&crate::harness::runtime().path, &copy);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i"]);
    command.arg(format!("XDG_RUNTIME_DIR={}", home.display())).arg(&copy).arg("--root").arg(container.root());
    command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "0\nhello\n/proc/1\n");
    container.assert_nothing_left();
}
