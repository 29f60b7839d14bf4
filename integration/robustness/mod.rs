//! Many at once, killed half-way, on a full disk: "generating an error MUST leave the state of the environment as if
//! the operation were never attempted", and `delete --force` cleans whatever a crash has left.

mod crash;
mod kernels;

use std::process::{Child, Stdio};

use crate::harness::runtime::{runtime, wait};
use crate::harness::{Bundle, Container, cgroups, mode};

fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

fn spawn(container: &Container, args: &[&str]) -> Child {
    let mut command = container.command();
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// 200 runs of `true`, one after the other.
#[test]
fn two_hundred_runs_leave_nothing() {
    let container = Container::new(Bundle::args(&["true"]));
    let before = mounts();
    for _ in 0..200 {
        container.run().ok();
    }
    container.assert_nothing_left();
    assert_eq!(mounts(), before);
}

/// 64 at once: every one returns its own status.
#[test]
fn sixty_four_parallel_runs_leave_nothing() {
    let containers: Vec<Container> = (0..64).map(|code| Container::new(Bundle::sh(&format!("exit {code}")))).collect();
    let children: Vec<Child> = containers.iter().map(|container| container.spawn_run(&[])).collect();
    for (code, child) in (0..).zip(children) {
        assert_eq!(wait(child, "run"), code);
    }
    for container in &containers {
        container.assert_nothing_left();
    }
}

/// What waits in the foreground, once for each container, is small: .cargo/order-cc has put the code that runs side by
/// side, where the linker is LLVM's. A debug build is large anyhow.
#[test]
fn who_waits_in_the_foreground_is_small() {
    only_rt!();
    let binary = std::fs::read(&runtime().path).unwrap();
    let is_ordered = binary.windows(12).any(|words| words == b"Linker: LLD ") && binary.len() < 4 << 20;
    if !is_ordered {
        skip!("a debug build, or not linked by lld");
    }
    let container = Container::new(Bundle::sleeping());
    let waiting = container.spawn_run(&[]);
    container.until("running");
    let status = std::fs::read_to_string(format!("/proc/{}/status", waiting.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u32 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    container.kill("KILL").ok();
    wait(waiting, "run");
    assert!(kib <= 2304, "its memory was {kib} KiB at its peak: is .cargo/order still true? `make order`");
}

/// Many containers below one root: all are listed, none disturbs another.
#[test]
fn many_containers_share_a_root() {
    let first = Container::new(Bundle::sleeping());
    let bundle = first.bundle.dir.path().to_str().unwrap();
    let ids: Vec<String> = (0..20).map(|number| format!("{}-{number}", first.id)).collect();
    for id in &ids {
        let mut container = first.bundle.config.clone();
        container["linux"]["cgroupsPath"] = serde_json::json!(mode().cgroups_path(id));
        std::fs::write(first.bundle.beside("config.json"), container.to_string()).unwrap();
        first.call(&["create", "--bundle", bundle, id]).ok();
    }
    let listed = first.call(&["list", "-q"]).ok().stdout;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    for id in &ids {
        first.call(&["delete", "--force", id]).ok();
        assert!(cgroups::existing(&mode().cgroup(id)).is_empty(), "{id}");
    }
    assert_eq!(listed, wanted);
    assert_eq!(first.call(&["list", "-q"]).ok().stdout.trim(), "");
}

/// "The ID [...] MUST be unique across all containers": of many creates at once exactly one makes it.
#[test]
fn of_many_creates_one_wins() {
    let container = Container::new(Bundle::sleeping());
    let bundle = container.bundle.dir.path().to_str().unwrap().to_owned();
    let children: Vec<Child> =
        (0..8).map(|_| spawn(&container, &["create", "--bundle", &bundle, &container.id])).collect();
    let won = children.into_iter().map(|child| wait(child, "create")).filter(|code| *code == 0).count();
    assert_eq!(won, 1);
    assert_eq!(container.status(), "created");
    container.start().ok();
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// "Attempting to `start` a container that is not `created` MUST [...] generate an error": also at the same moment.
#[test]
fn of_many_starts_one_wins() {
    let container = Container::new(Bundle::sh("echo once; sleep 1000"));
    container.create().ok();
    let children: Vec<Child> = (0..8).map(|_| spawn(&container, &["start", &container.id])).collect();
    let won = children.into_iter().map(|child| wait(child, "start")).filter(|code| *code == 0).count();
    assert_eq!(won, 1);
    container.until_output("once");
    assert_eq!(container.output(), "once\n");
}

/// `state` asked at any moment of a life gives a whole document or an error, never half of one.
#[test]
fn state_is_never_half_written() {
    let container = Container::new(Bundle::sleeping());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                seen.insert(container.status());
            }
            seen
        });
        for _ in 0..20 {
            container.create().ok();
            container.start().ok();
            container.delete_force().ok();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = watcher.join().expect("every document was whole");
        let known = ["none", "creating", "created", "running", "paused", "stopped"];
        assert!(seen.iter().all(|status| known.contains(&status.as_str())), "{seen:?}");
    });
    container.assert_nothing_left();
}

/// A state root on a full disk: an error that says so, and nothing left.
#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    let container = Container::new(Bundle::sleeping());
    std::fs::create_dir(container.root()).unwrap();
    let mount = |args: &[&str]| {
        std::process::Command::new("mount").args(args).arg(container.root()).status().unwrap().success()
    };
    if !mount(&["-t", "tmpfs", "-o", "size=4k,nr_inodes=3", "full"]) {
        skip!("no tmpfs here");
    }
    let outcome = container.create();
    let unmounted = std::process::Command::new("umount").arg(container.root()).status().unwrap().success();
    assert!(unmounted);
    outcome.refused_with(&["no space left on device"]);
    container.assert_nothing_left();
}

/// A state root that cannot be written is an error that names it.
#[test]
fn a_read_only_root_is_an_error() {
    let container = Container::new(Bundle::sleeping());
    let mut command = container.verb("create", &[]);
    command = {
        let mut other = std::process::Command::new(command.get_program());
        // The project's own files are read-only in containment and in the guest.
        other.args(["--root", concat!(env!("CARGO_MANIFEST_DIR"), "/rt-state")]);
        other.args(command.get_args().skip(2));
        other
    };
    crate::harness::runtime::outcome(command).refused_with(&["/rt-state", "read-only file system"]);
    container.assert_nothing_left();
}

/// Whatever stands in the state directory, the answer is an error and no panic; `delete --force` removes it.
#[test]
fn a_broken_state_directory_can_be_deleted() {
    only_rt!();
    for text in ["", "{", "null", "[]", "{\"version\": 99}", "\u{0}"] {
        let container = Container::new(Bundle::sleeping());
        container.create().ok();
        let file = container.root().join(&container.id).join("state.json");
        let kept = std::fs::read(&file).unwrap();
        std::fs::write(&file, text).unwrap();
        container.call(&["state", &container.id]).refused();
        container.start().refused();
        std::fs::write(&file, kept).unwrap();
        container.delete_force().ok();
        container.assert_nothing_left();
    }
    let container = Container::new(Bundle::sleeping());
    std::fs::create_dir_all(container.root().join(&container.id)).unwrap();
    container.delete_force().ok();
    assert!(!container.root().join(&container.id).exists());
}

/// The shortest lives: a program that is over before `start` returns.
#[test]
fn a_program_may_end_at_once() {
    for _ in 0..20 {
        let container = Container::new(Bundle::args(&["true"]));
        container.launch().until("stopped");
        container.delete().ok();
        container.assert_nothing_left();
    }
}

/// `run` with its output closed, and with standard streams that are not there at all.
#[test]
fn closed_standard_streams_are_no_obstacle() {
    let container = Container::new(Bundle::sh("ls /proc/self/fd > /seen"));
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
        .arg(&crate::harness::runtime().path)
        .arg("--root")
        .arg(container.root());
    command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
    crate::harness::runtime::outcome(command);
    container.assert_nothing_left();
    only_rt!(); // others hand descriptors of their own to the program as 0, 1, 2
    let seen = std::fs::read_to_string(container.bundle.rootfs("/seen")).unwrap_or_default();
    assert!(seen.lines().count() <= 4, "{seen}");
}
