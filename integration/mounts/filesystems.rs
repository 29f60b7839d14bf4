//! config-linux.md, "Default Filesystems": proc, sysfs, devpts, tmpfs, mqueue, cgroup.

use super::line_of;
use crate::harness::{Bundle, Container, cgroups};

/// "The following filesystems SHOULD be made available in each container's filesystem."
#[test]
fn each_file_system_has_its_type() {
    let rows = [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
    ];
    let container = Container::new(Bundle::args(&["cat", "/proc/self/mountinfo"]));
    let table = container.run().ok().stdout;
    for (point, kind) in rows {
        let line = table.lines().find(|line| line.split(' ').nth(4) == Some(point)).expect(point);
        assert!(line.contains(&format!(" - {kind} ")), "{line}");
    }
}

/// proc belongs to the container's pid namespace: nothing but its own processes.
#[test]
fn proc_shows_the_containers_processes_only() {
    let container = Container::new(Bundle::sh("echo /proc/[0-9]*"));
    assert_eq!(container.run().ok().stdout, "/proc/1\n");
}

/// The whole mount table is the container's: no mount of the host is left in it.
#[test]
fn no_mount_of_the_host_is_left() {
    let container = Container::new(Bundle::args(&["cat", "/proc/self/mountinfo"]).without_mount("/sys/fs/cgroup"));
    let table = container.run().ok().stdout;
    let points: Vec<&str> = table.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    let known = ["/", "/proc", "/sys", "/dev"];
    let inside = |point: &&str| {
        known.contains(point) || ["/dev/", "/proc/", "/sys/firmware"].iter().any(|start| point.starts_with(start))
    };
    assert!(points.iter().all(inside), "{points:?}");
}

/// A tmpfs copies nothing, is empty and has the mode asked for.
#[test]
fn a_tmpfs_is_empty_and_has_its_mode() {
    let bundle = Bundle::sh("ls -A /etc; stat -c %a /etc").mount("tmpfs", "tmpfs", "/etc", &["mode=701"]);
    assert_eq!(Container::new(bundle).run().ok().stdout, "701\n");
}

/// `tmpcopyup`: the image's files are in the tmpfs (an option of runc and crun).
#[test]
fn tmpcopyup_brings_the_images_files() {
    let bundle =
        Bundle::sh("cat /data/a/file; stat -c %a /data/a; echo x > /data/new; mount | grep -c 'on /data type tmpfs'");
    let bundle = bundle.file("/data/a/file", "copied\n", 0o640);
    let container = Container::new(bundle.mount("tmpfs", "tmpfs", "/data", &["tmpcopyup"]));
    assert_eq!(container.run().ok().stdout, "copied\n755\n1\n");
    assert!(!container.bundle.rootfs("/data/new").exists());
}

/// A new devpts is the container's own: its first terminal is number 0, and ptmx leads there.
#[test]
fn devpts_is_a_new_instance() {
    let container = Container::new(Bundle::sh("ls /dev/pts; readlink /dev/ptmx"));
    assert_eq!(container.run().ok().stdout, "ptmx\npts/ptmx\n");
}

/// A cgroup mount shows the container's own cgroup, with every controller that the host has.
#[test]
fn the_cgroup_mount_shows_the_containers_cgroup() {
    if !cgroups::is_v1("pids") {
        skip!("pids is not on cgroup v1 here");
    }
    let container = Container::new(Bundle::sh(
        "cat /sys/fs/cgroup/pids/cgroup.procs; ls -d /sys/fs/cgroup/pids/rt-test 2>/dev/null; ls /sys/fs/cgroup",
    ));
    let output = container.run().ok().stdout;
    assert!(output.starts_with("1\n"), "{output}");
    for name in ["cpu", "cpuset", "devices", "freezer", "memory", "pids", "systemd"] {
        assert!(output.lines().any(|line| line == name), "{name}: {output}");
    }
    assert!(!output.contains("rt-test"), "{output}");
}

/// A read-only cgroup mount cannot be written, in any of its parts.
#[test]
fn a_read_only_cgroup_mount_is_read_only() {
    let script = "for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do [ -e $f ] || continue; (echo 0 > $f) 2>/dev/null && echo wrote $f; done; mkdir /sys/fs/cgroup/new 2>/dev/null && echo made; echo done";
    assert_eq!(Container::new(Bundle::sh(script)).run().ok().stdout, "done\n");
}

/// An unknown file system type is an error with its name.
#[test]
fn an_unknown_file_system_is_refused() {
    let container = Container::new(Bundle::args(&["true"]).mount("nosuchfs", "x", "/mnt", &[]));
    container.run().refused_with(&["nosuchfs", "/mnt"]);
    container.assert_nothing_left();
}

/// proc inside a new user namespace.
#[test]
fn proc_can_be_mounted_in_a_user_namespace() {
    let container = Container::new(
        Bundle::args(&["cat", "/proc/self/mountinfo"]).user_namespace(100_000).without_mount("/sys/fs/cgroup"),
    );
    assert!(line_of(&container, "/proc").contains(" - proc "));
}
