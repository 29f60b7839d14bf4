//! A runtime that is killed at any instant leaves something that `delete --force` cleans completely.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, Kind, leaks, runtime};

const ROUNDS: u32 = 60;

/// A container that has something of everything to lose: limits, mounts, hooks.
fn rich() -> Container {
    Container::new(Bundle::sleeping().limited().hook("createRuntime", "true").hook("poststop", "true"))
}

/// Starts `command` and kills it after each `step` of the time that it takes, so that every instant is met.
fn kill_at_every_instant(took: Duration, round: u32, mut command: std::process::Command) {
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(took * round / ROUNDS);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).ok();
    child.wait().unwrap();
}

/// `delete --force`, which must work; when it does not, says what every remaining process is doing.
#[track_caller]
fn clean(container: &Container, round: u32) {
    let outcome = container.delete_force();
    if outcome.code != 0 {
        let look = |pid: i32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let facts = |pid| {
            format!(
                "{pid}: {} {}\n{}{}",
                look(pid, "comm"),
                look(pid, "wchan"),
                look(pid, "stack"),
                look(pid, "status")
            )
        };
        let remaining: Vec<String> = leaks::processes(&container.id).into_iter().map(facts).collect();
        panic!(
            "round {round}: {outcome:#?}\nfreezer: {:?}\n{}",
            container.cgroup_file("freezer", "freezer.state"),
            remaining.join("\n")
        );
    }
    container.assert_nothing_left();
}

fn time(action: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    action();
    begin.elapsed()
}

/// SIGKILL of `create`.
#[test]
fn a_killed_create_can_be_cleaned() {
    if runtime().kind != Kind::Rt {
        skip!("runc and crun leave cgroups and half a state directory");
    }
    let container = rich();
    let took = time(|| {
        container.create().ok();
    });
    container.delete_force().ok();
    for round in 0..ROUNDS {
        kill_at_every_instant(took, round, container.verb("create", &[]));
        clean(&container, round);
    }
}

/// SIGKILL of `run`, in the foreground.
#[test]
fn a_killed_run_can_be_cleaned() {
    if runtime().kind != Kind::Rt {
        skip!("runc and crun leave cgroups and half a state directory");
    }
    let container = rich();
    let took = time(|| {
        container.launch();
    });
    container.delete_force().ok();
    for round in 0..ROUNDS {
        kill_at_every_instant(took, round, container.verb("run", &[]));
        clean(&container, round);
    }
}

/// SIGKILL of `start`: the container is created or running afterwards, and its program runs at most once.
#[test]
fn a_killed_start_leaves_a_container_in_order() {
    for round in 0..20 {
        let container = Container::new(Bundle::sh("echo ran; sleep 1000"));
        container.create().ok();
        let mut command = container.command();
        command.args(["start", &container.id]);
        kill_at_every_instant(Duration::from_millis(12), round * 3, command);
        let status = container.status();
        assert!(["created", "running", "stopped"].contains(&status.as_str()), "{status}");
        if runtime().kind == Kind::Rt && status == "created" {
            container.start();
        }
        assert!(container.output().matches("ran").count() <= 1, "{}", container.output());
        container.delete_force().ok();
        container.assert_nothing_left();
    }
}

/// SIGKILL of `delete --force`: the next one ends the work.
#[test]
fn a_killed_delete_can_be_repeated() {
    if runtime().kind != Kind::Rt {
        skip!("crun forgets the cgroup");
    }
    let container = rich();
    container.launch();
    let took = time(|| {
        container.delete_force().ok();
    });
    for round in 0..ROUNDS / 2 {
        container.launch();
        let mut command = container.command();
        command.args(["delete", "--force", &container.id]);
        kill_at_every_instant(took, round * 2, command);
        clean(&container, round);
    }
}

/// SIGKILL of `exec`: its program may go on, the container does, and all of it ends with the container.
#[test]
fn a_killed_exec_leaves_the_container() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    for round in 0..20 {
        let mut command = container.command();
        command.args(["exec", &container.id, "sleep", "999"]);
        kill_at_every_instant(Duration::from_millis(15), round * 3, command);
        assert_eq!(container.status(), "running");
    }
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// The init that waits for `start` is killed from outside: the container is stopped, nothing hangs.
#[test]
fn a_killed_init_is_noticed() {
    let container = rich();
    container.create().ok();
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    container.until("stopped");
    container.start().refused();
    container.delete().ok();
    container.assert_nothing_left();
}

/// Starts `sleep` under this pid, which must be free; `None` when another process is always faster.
fn stranger_with_pid(pid: i32) -> Option<std::process::Child> {
    for _ in 0..200 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        if child.id().cast_signed() == pid {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    None
}

/// The pid of a container that has died belongs to somebody else now: he is not the container, and not to be killed.
#[test]
fn a_reused_pid_is_a_stranger() {
    let container = rich();
    container.launch();
    let pid = container.pid();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("the pid is free", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    let Some(mut stranger) = stranger_with_pid(pid) else {
        skip!("ns_last_pid cannot be set here");
    };
    let status = container.status();
    let kill = container.kill("KILL");
    let exec = container.exec(&["true"]);
    container.delete_force().ok();
    let alive = stranger.try_wait().unwrap().is_none();
    stranger.kill().ok();
    stranger.wait().unwrap();
    assert!(alive, "a process that is not the container's was killed");
    assert_eq!(status, "stopped");
    kill.refused_with(&["container not running"]);
    exec.refused();
    container.assert_nothing_left();
}

/// A state that was written before a reboot, under a root that survived it: nobody of today is that container.
#[test]
fn a_state_of_another_boot_is_stopped() {
    only_rt!();
    let container = rich();
    container.launch();
    let file = container.root().join(&container.id).join("state.json");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(boot_id.trim()), "the state holds the boot id: {text}");
    std::fs::write(&file, text.replace(boot_id.trim(), "00000000-0000-4000-8000-000000000000")).unwrap();
    assert_eq!(container.status(), "stopped");
    container.kill("KILL").refused_with(&["container not running"]);
    std::fs::write(&file, text).unwrap();
    assert_eq!(container.status(), "running");
}
