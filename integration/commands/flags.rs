//! How flags may be written, and the exact command lines that managers issue.

use std::process::Command;

use crate::harness::runtime::outcome;
use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container, Kind, Mode, mode, runtime};

/// Appends the words of `line`. Each may hold one of ROOT, BUNDLE, HOME and ID, which stand for those of the container.
fn words(command: &mut Command, line: &str, container: &Container) {
    let places = [
        ("BUNDLE", container.bundle.dir.path().to_str().unwrap().to_owned()),
        ("HOME", container.home.path().to_str().unwrap().to_owned()),
        ("ROOT", container.root().to_str().unwrap().to_owned()),
        ("ID", container.id.clone()),
    ];
    for word in line.split_whitespace() {
        let place = places.iter().find(|(name, _)| word.contains(name));
        command.arg(place.map_or(word.to_owned(), |(name, value)| word.replacen(name, value, 1)));
    }
}

/// Runs a whole command line of a manager.
#[track_caller]
pub fn line(container: &Container, line: &str) -> crate::harness::Outcome {
    let mut command = Command::new(&runtime().path);
    command.env(crate::harness::container::MARK, &container.id).stdin(std::process::Stdio::null());
    words(&mut command, line, container);
    outcome(command)
}

/// `-bundle x`, `--bundle=x`, `-b x`, `-b=x`: nvidia-container-runtime and go-runc write all of these.
#[test]
fn a_flag_may_be_written_in_every_usual_way() {
    only_rt!(); // crun knows no single-dash long flags
    for spelling in ["--bundle BUNDLE", "--bundle=BUNDLE", "-bundle BUNDLE", "-bundle=BUNDLE", "-b BUNDLE", "-b=BUNDLE"]
    {
        let container = Container::new(Bundle::args(&["echo", "ran"]));
        assert_eq!(line(&container, &format!("--root ROOT run {spelling} ID")).ok().stdout, "ran\n", "{spelling}");
    }
}

/// conmon-rs repeats every global flag; the last one counts.
#[test]
fn a_global_flag_may_be_repeated() {
    let container = Container::new(Bundle::args(&["true"]));
    line(&container, "--root=/nonexistent/root --root=ROOT --root=ROOT list").ok();
}

/// Flags may stand after the id.
#[test]
fn a_flag_may_follow_the_id() {
    only_rt!(); // runc stops at the first operand
    let container = Container::new(Bundle::sleeping());
    line(&container, "--root ROOT create ID --bundle BUNDLE").ok();
    line(&container, "--root ROOT delete ID --force").ok();
}

/// What is not a flag is refused by name, and nothing is made.
#[test]
fn an_unknown_flag_is_refused() {
    let container = Container::new(Bundle::sleeping());
    line(&container, "--root ROOT create --no-such-flag --bundle BUNDLE ID").refused();
    line(&container, "--root ROOT --no-such-global create --bundle BUNDLE ID").refused();
    container.assert_nothing_left();
}

/// An unknown command is refused by name.
#[test]
fn an_unknown_command_is_refused() {
    let container = Container::new(Bundle::sleeping());
    if runtime().kind == Kind::Runc {
        skip!("runc prints its help and says 3");
    }
    line(&container, "--root ROOT nosuchcommand ID").refused_with(&["nosuchcommand"]);
    line(&container, "--root ROOT").refused();
}

/// One operand too many is refused.
#[test]
fn a_word_too_many_is_refused() {
    only_rt!(); // crun passes it over
    let container = Container::new(Bundle::sleeping());
    for verb in ["create --bundle BUNDLE", "start", "state", "delete --force", "pause", "resume"] {
        line(&container, &format!("--root ROOT {verb} ID ID")).refused();
    }
    container.assert_nothing_left();
}

/// The containerd shim (go-runc): create, start, exec, kill, delete.
#[test]
fn the_lines_of_containerd_work() {
    let container = Container::new(Bundle::sleeping());
    let home = container.home.path();
    let globals = "--root ROOT --log HOME/log.json --log-format json";
    line(&container, &format!("{globals} create --bundle BUNDLE --pid-file HOME/init.pid ID")).ok();
    assert_eq!(std::fs::read_to_string(home.join("init.pid")).unwrap(), container.pid().to_string());
    line(&container, &format!("{globals} start ID")).ok();
    let process = r#"{ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"], "args": ["touch", "/made"] }"#;
    std::fs::write(home.join("runc-process1"), process).unwrap();
    line(&container, &format!("{globals} exec --process HOME/runc-process1 --detach --pid-file HOME/e.pid ID")).ok();
    crate::harness::runtime::eventually("exec ran", || container.bundle.rootfs("/made").exists());
    let rules = if runtime().kind == Kind::Rt { "--all " } else { "" };
    line(&container, &format!("{globals} kill {rules}ID 9")).ok();
    container.until("stopped");
    line(&container, &format!("{globals} delete ID")).ok();
    assert_eq!(std::fs::read_to_string(home.join("log.json")).unwrap_or_default(), "", "nothing went wrong");
    container.assert_nothing_left();
}

/// conmon under podman: `--log-format=json --log FILE`, create with a console socket, kill by number.
#[test]
fn the_lines_of_conmon_work() {
    let container = Container::new(Bundle::sh("tty; sleep 1000").set("/process/terminal", serde_json::json!(true)));
    let socket = ConsoleSocket::bind(container.home.path());
    let globals = "--root ROOT --log-format=json --log HOME/oci-log";
    line(
        &container,
        &format!("{globals} create --bundle BUNDLE --pid-file HOME/pidfile --console-socket HOME/tty.sock ID"),
    )
    .ok();
    let (mut terminal, _) = socket.receive();
    line(&container, &format!("{globals} start ID")).ok();
    terminal.until("/dev/");
    line(&container, &format!("{globals} kill ID 9")).ok();
    container.until("stopped");
    line(&container, &format!("{globals} delete --force ID")).ok();
    container.assert_nothing_left();
}

/// buildah: create with a pid file, state until it is running, `kill ID` alone, delete without --force.
#[test]
fn the_lines_of_buildah_work() {
    let container = Container::new(Bundle::sh("trap 'exit 0' TERM; while :; do sleep 0.02; done"));
    line(&container, "--root ROOT create --bundle BUNDLE --pid-file HOME/pid ID").ok();
    line(&container, "--root ROOT start ID").ok();
    assert_eq!(container.status(), "running");
    crate::harness::runtime::eventually("TERM ends it", || {
        container.call(&["kill", &container.id]);
        container.status() == "stopped"
    });
    line(&container, "--root ROOT delete ID").ok();
    container.assert_nothing_left();
}

/// BuildKit: `run --bundle B --keep ID`, then `delete ID`.
#[test]
fn the_lines_of_buildkit_work() {
    if runtime().kind == Kind::Crun {
        skip!("crun 1.8 has no --keep");
    }
    let container = Container::new(Bundle::sh("exit 4"));
    let globals = "--root ROOT --log HOME/runc-log.json --log-format json";
    assert_eq!(line(&container, &format!("{globals} run --bundle BUNDLE --keep ID")).code, 4);
    line(&container, &format!("{globals} delete ID")).ok();
    container.assert_nothing_left();
}

/// conmon-rs: `exec -d --pid-file=F ID CMD...` with every global flag twice and no `--`.
#[test]
fn the_lines_of_conmon_rs_work() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    line(&container, "--root=ROOT --root=ROOT exec -d --pid-file=HOME/exec.pid ID touch -c /made /kept").ok();
    let text = std::fs::read_to_string(container.home.path().join("exec.pid")).unwrap();
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
}

/// `--no-pivot`, `--no-new-keyring`, `--preserve-fds 0`, `--no-subreaper`: accepted by run.
#[test]
fn the_flags_of_run_are_accepted() {
    if runtime().kind == Kind::Crun {
        skip!("crun 1.8 knows some of them");
    }
    let container = Container::new(Bundle::args(&["true"]));
    line(&container, "--root ROOT run --no-new-keyring --no-subreaper --preserve-fds 0 --bundle BUNDLE ID").ok();
}

/// crun's and youki's global flags are accepted as well: the union of all.
#[test]
fn the_flags_of_all_runtimes_are_accepted() {
    only_rt!();
    let truth = if mode() == Mode::Rootless { "--rootless true" } else { "--rootless false" };
    for globals in [
        "--debug",
        "--log-level warning",
        "--cgroup-manager cgroupfs",
        truth,
        "--rootless=auto",
        "--systemd-cgroup=false",
    ] {
        let container = Container::new(Bundle::args(&["true"]));
        line(&container, &format!("--root ROOT {globals} run --bundle BUNDLE ID")).ok();
    }
}

/// podman starts direct commands with no environment but an empty XDG_RUNTIME_DIR: root's state is in /run/rt then.
#[test]
fn without_root_the_state_is_in_run() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    let podman = || {
        let mut command = Command::new(&runtime().path);
        command
            .env_clear()
            .env("XDG_RUNTIME_DIR", "")
            .env(crate::harness::container::MARK, &container.id)
            .stdin(std::process::Stdio::null());
        command
    };
    let mut create = podman();
    words(&mut create, "create --bundle BUNDLE ID", &container);
    outcome(create).ok();
    let place = mode().state_home().join("rt").join(&container.id);
    let there = place.exists();
    let mut delete = podman();
    words(&mut delete, "delete --force ID", &container);
    outcome(delete).ok();
    assert!(there, "no {}", place.display());
    assert!(!place.exists());
    container.assert_nothing_left();
}

/// A regular expression is no id: what other runtimes take for a pattern names nobody here.
#[test]
fn bad_ids_are_refused_by_every_verb() {
    only_rt!(); // crun 1.8 deleted the machine's own files: it is not asked, not even in containment
    let long = "x".repeat(2000);
    let container = Container::new(Bundle::sleeping());
    let kept = container.home.path().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    for id in ["", ".", "..", "/", "../x", "a/b", "a\nb", "ä", "a b", "*", long.as_str()] {
        for verb in ["create", "start", "state", "kill", "delete", "pause", "resume", "ps"] {
            let mut command = container.command();
            command.arg(verb);
            if verb == "create" {
                command.arg("--bundle").arg(container.bundle.dir.path());
            }
            outcome({
                command.arg("--").arg(id);
                command
            })
            .refused();
        }
        let mut force = container.command();
        force.args(["delete", "--force", "--", id]);
        outcome(force).refused();
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    container.assert_nothing_left();
}

/// A cgroupsPath that climbs is refused: what it means would depend on where the container stands.
#[test]
fn a_climbing_cgroups_path_is_refused() {
    only_rt!(); // not a question for a runtime that may follow it
    for path in ["../../x", "/rt-test/../../../rt-test/x", "/../rt-test/x", "/", "/..", ".."] {
        let container = Container::new(Bundle::sleeping().set("/linux/cgroupsPath", serde_json::json!(path)));
        container.create().refused_with(&["/linux/cgroupsPath"]);
        container.assert_nothing_left();
    }
}

/// A `unified` key names a file of the container's own cgroup, never a path.
#[test]
fn a_climbing_unified_key_is_refused() {
    only_rt!();
    for key in ["../cgroup.procs", "a/b", "/cgroup.procs", ".."] {
        let container =
            Container::new(Bundle::sleeping().set("/linux/resources/unified", serde_json::json!({ key: "0" })));
        container.create().refused_with(&["/linux/resources/unified"]);
        container.assert_nothing_left();
    }
}

/// A sysctl name that climbs is refused.
#[test]
fn a_climbing_sysctl_is_refused() {
    only_rt!();
    for name in ["net/../net/ipv4/ip_forward", "net..ipv4", "kernel/shm/../msgmax", "/net/ipv4/ip_forward", ""] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/sysctl", serde_json::json!({ name: "0" })));
        container.run().refused_with(&["/linux/sysctl"]);
        container.assert_nothing_left();
    }
}
