//! `exec`: one more process in a running container.

use serde_json::json;

use crate::harness::runtime::{eventually, outcome};
use crate::harness::{Bundle, Container, Kind, cgroups, runtime};

fn sleeping() -> Container {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container
}

/// exec runs in all namespaces of the container.
#[test]
fn exec_is_in_the_containers_namespaces() {
    let container = sleeping();
    let pid = container.pid();
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "uts", "user", "time"] {
        let inside = container.exec(&["readlink", &format!("/proc/self/ns/{name}")]).ok().stdout;
        let outside = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(inside.trim(), outside.to_str().unwrap());
    }
}

/// exec runs in the container's cgroups.
#[test]
fn exec_is_in_the_containers_cgroups() {
    let container = sleeping();
    let of_init = container.exec(&["cat", "/proc/1/cgroup"]).ok().stdout;
    let own = container.exec(&["cat", "/proc/self/cgroup"]).ok().stdout;
    assert_eq!(own, of_init);
}

/// `--cgroup`: a cgroup that was made below the container's, in every hierarchy or in those of some controllers.
#[test]
fn exec_may_go_into_a_cgroup_below_the_containers() {
    only_rt!(); // crun 1.8 and runc 1.1 are older
    need_root!("make cgroups");
    need_cgroup!();
    let container = sleeping();
    let own = cgroups::existing(&container.cgroup());
    for directory in &own {
        let below = directory.join("below");
        std::fs::create_dir(&below).unwrap();
        for file in
            ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| below.join(file).exists() && cgroups::is_v1("cpuset"))
        {
            std::fs::write(below.join(file), std::fs::read(directory.join(file)).unwrap()).unwrap();
        }
    }
    // Where a process is, seen from outside: for each hierarchy its name and whether it is below.
    let places = |flags: &[&str]| -> Vec<(String, bool)> {
        let pid_file = container.home.path().join("exec.pid");
        let pid_file = pid_file.to_str().unwrap();
        let args = [&["exec", "-d", "--pid-file", pid_file], flags, &[container.id.as_str(), "sleep", "1000"]].concat();
        container.call(&args).ok();
        let text =
            std::fs::read_to_string(format!("/proc/{}/cgroup", std::fs::read_to_string(pid_file).unwrap())).unwrap();
        let parts = text.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let parts = parts.filter(|parts| parts[2].contains(&container.id));
        parts.map(|parts| (parts[1].to_owned(), parts[2].ends_with("/below"))).collect()
    };
    let all = places(&["--cgroup", "below"]);
    assert!(all.len() >= own.len() && all.iter().all(|(_, below)| *below), "{all:?}");
    assert!(places(&["--cgroup", "/"]).iter().all(|(_, below)| !below));
    if cgroups::is_v1("pids") && cgroups::is_v1("memory") {
        for (controllers, below) in places(&["--cgroup", "pids:below", "--cgroup=memory:/below"]) {
            assert_eq!(below, ["pids", "memory"].contains(&controllers.as_str()), "{controllers}");
        }
    }
    for (path, word) in [("../x", "leads out"), ("nosuch", "/nosuch"), ("nosuch:below", "nosuch"), ("", "empty")] {
        let outcome = container.call(&["exec", "--cgroup", path, &container.id, "true"]).refused_with(&[word]);
        assert_eq!(outcome.code, 255);
    }
}

/// The exit code is the program's, or 128+N.
#[test]
fn exec_returns_the_programs_status() {
    let container = sleeping();
    for code in [0, 1, 77, 255] {
        assert_eq!(container.exec_sh(&format!("exit {code}")).code, code);
    }
    assert_eq!(container.exec_sh("kill -9 $$").code, 137);
    assert_eq!(container.exec_sh("kill -15 $$").code, 143);
}

/// A program that is not there: 255 (crun: 1) and the words that managers look for.
#[test]
fn exec_of_nothing_is_an_error() {
    let container = sleeping();
    let outcome = container.exec(&["nosuch"]).refused_with(&["exec: \"nosuch\": executable file not found in $PATH"]);
    if runtime().kind != Kind::Crun {
        assert_eq!(outcome.code, 255);
    }
    assert_eq!(container.status(), "running");
}

/// exec into nobody, and into a stopped container, is an error.
#[test]
fn exec_needs_a_running_container() {
    let container = Container::new(Bundle::args(&["true"]));
    container.exec(&["true"]).refused_with(&["does not exist"]);
    container.launch().until("stopped");
    container.exec(&["true"]).refused_with(&["container not running"]);
}

/// exec works in a created container too.
#[test]
fn exec_works_before_start() {
    need_root!("join the user namespace of an init that waits");
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    assert_eq!(container.exec(&["echo", "early"]).ok().stdout, "early\n");
}

/// --cwd, --env, --user change what the config says.
#[test]
fn exec_flags_change_the_process() {
    let container = sleeping();
    let script = "pwd; echo $WHO; id -u; id -g";
    let outcome = container.call(&[
        "exec",
        "--cwd",
        "/tmp",
        "--env",
        "WHO=me",
        "--env=OTHER=1",
        "--user",
        "1000:1001",
        &container.id,
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(outcome.ok().stdout, "/tmp\nme\n1000\n1001\n");
}

/// A working directory that is missing is a slip of whoever types it: `exec` makes none.
#[test]
fn exec_makes_no_cwd() {
    let container = sleeping();
    let outcome = container.call(&["exec", "--cwd", "/mistyped", &container.id, "true"]).refused();
    assert!(outcome.stderr.to_lowercase().contains("no such file or directory"), "{outcome:#?}");
    assert!(!container.bundle.rootfs("/mistyped").exists());
}

/// --user UID alone; what is not a number is refused, never taken for root (CVE-2026-30892).
#[test]
fn exec_users_are_parsed_strictly() {
    let container = sleeping();
    assert_eq!(container.call(&["exec", "-u", "1000", &container.id, "id", "-u"]).ok().stdout, "1000\n");
    only_rt!();
    for user in ["root", "", "1x", "-1", "1:", ":1", "1:2:3", "4294967296", " 1", "0x1"] {
        let outcome = container.call(&["exec", &format!("--user={user}"), &container.id, "id", "-u"]);
        outcome.refused();
    }
}

/// --process FILE replaces the whole process.
#[test]
fn exec_takes_a_process_file() {
    let container = sleeping();
    let file = container.home.path().join("process.json");
    let process = json!({ "user": { "uid": 5, "gid": 6 }, "cwd": "/tmp", "env": ["PATH=/bin", "X=y"], "args": ["sh", "-c", "id -u; id -g; pwd; echo $X"] });
    std::fs::write(&file, process.to_string()).unwrap();
    let outcome = container.call(&["exec", "--process", file.to_str().unwrap(), &container.id]);
    assert_eq!(outcome.ok().stdout, "5\n6\n/tmp\ny\n");
}

/// The words after the program are its own, also when they begin with a dash (conmon-rs gives no `--`).
#[test]
fn exec_leaves_the_programs_flags_alone() {
    let container = sleeping();
    assert_eq!(container.exec(&["echo", "-e", "--user", "x", "--", "-d"]).ok().stdout, "--user x -- -d\n");
}

/// --detach returns while the program runs; the pid file is there before it returns.
#[test]
fn exec_detach_returns_at_once() {
    let container = sleeping();
    let file = container.home.path().join("exec.pid");
    let path = file.to_str().unwrap();
    container.call(&["exec", "--detach", "--pid-file", path, &container.id, "sleep", "500"]).ok();
    let pid = std::fs::read_to_string(&file).unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(pid.bytes().all(|byte| byte.is_ascii_digit()), "{pid:?}");
    eventually("the program runs", || {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().starts_with("sleep\x00500")
    });
    assert!(!line.is_empty());
}

/// A failed detached exec leaves no pid file: that is how conmon sees that it failed.
#[test]
fn a_failed_exec_leaves_no_pid_file() {
    only_rt!();
    let container = sleeping();
    let file = container.home.path().join("exec.pid");
    let path = file.to_str().unwrap();
    container.call(&["exec", "--detach", "--pid-file", path, &container.id, "/nosuch"]).refused();
    assert!(!file.exists());
}

/// exec by itself changes nothing in the container's state.
#[test]
fn many_execs_leave_the_container_as_it_was() {
    let container = sleeping();
    let before = container.state();
    for _ in 0..5 {
        container.exec(&["true"]).ok();
    }
    assert_eq!(container.state(), before);
    let ps: Vec<i32> = serde_json::from_str(&container.call(&["ps", "-f", "json", &container.id]).ok().stdout).unwrap();
    assert_eq!(ps, [container.pid()]);
}

/// exec's program sees the same root, and noNewPrivileges of the config.
#[test]
fn exec_has_the_root_and_the_restrictions() {
    let container = sleeping();
    std::fs::write(container.bundle.rootfs("/seen"), "same root").unwrap();
    let output = container.exec_sh("cat /seen; grep NoNewPrivs /proc/self/status").ok().stdout;
    assert_eq!(output, "same rootNoNewPrivs:\t1\n");
}

/// A signal to a foreground exec reaches its program.
#[test]
fn exec_forwards_signals() {
    let container = sleeping();
    let mut command = container.command();
    let out = container.home.path().join("exec.out");
    command.args(["exec", &container.id, "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"]);
    command.stdout(std::fs::File::create(&out).unwrap());
    let child = command.spawn().unwrap();
    eventually("the program is up", || std::fs::read_to_string(&out).unwrap().contains("up"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert_eq!(crate::harness::runtime::wait(child, "exec"), 9);
}

/// --cap, --no-new-privs: managers and people pass them. (crun 1.8: other spellings.)
#[test]
fn exec_can_be_given_capabilities() {
    let container = sleeping();
    let mut command = container.command();
    command.args(["exec", "--cap", "CAP_KILL", &container.id, "grep", "CapEff", "/proc/self/status"]);
    let output = outcome(command).ok().stdout;
    let value = u64::from_str_radix(output.split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_ne!(value & (1 << 5), 0, "{output}");
}

/// The user, groups, environment and working directory of the config are the defaults.
#[test]
fn exec_begins_with_what_the_config_says() {
    let user = json!({ "uid": 1000, "gid": 1001, "additionalGids": [1002], "umask": 0o027 });
    let bundle = Bundle::sleeping().set("/process/user", user).set("/process/cwd", json!("/tmp"));
    let container = Container::new(bundle.push("/process/env", json!("FROM=config")));
    container.launch();
    let output = container.exec_sh("id -u; id -g; id -G; pwd; echo $FROM").ok().stdout;
    assert_eq!(output, "1000\n1001\n1001 1002\n/tmp\nconfig\n");
}

/// `--additional-gids`, repeated and short.
#[test]
fn exec_can_be_given_groups() {
    if runtime().kind == Kind::Crun {
        skip!("crun has no such flag");
    }
    let container = sleeping();
    let args = ["exec", "-u", "1000:1000", "-g", "7", "-g", "8", &container.id, "id", "-G"];
    assert_eq!(container.call(&args).ok().stdout, "1000 7 8\n");
}

/// A program is looked up in the PATH that `--env` gives.
#[test]
fn exec_searches_the_given_path() {
    let bundle = Bundle::sleeping().file("/opt/mine", "#!/bin/sh\necho found\n", 0o755);
    let container = Container::new(bundle);
    container.launch();
    let outcome = container.call(&["exec", "--env", "PATH=/opt", &container.id, "mine"]);
    assert_eq!(outcome.ok().stdout, "found\n");
}

/// The resource limits and oomScoreAdj of the config hold for exec too.
#[test]
fn exec_has_the_limits_of_the_config() {
    let limits = json!([{ "type": "RLIMIT_NOFILE", "soft": 33, "hard": 44 }]);
    let container =
        Container::new(Bundle::sleeping().set("/process/rlimits", limits).set("/process/oomScoreAdj", json!(123)));
    container.launch();
    assert_eq!(container.exec_sh("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj").ok().stdout, "33\n44\n123\n");
}

/// `--preserve-fds` hands descriptors to the program of exec.
#[test]
fn exec_can_be_given_descriptors() {
    let container = sleeping();
    let file = container.home.path().join("given");
    std::fs::write(&file, "through fd 3\n").unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec 3<\"$0\"; exec \"$@\""])
        .arg(&file)
        .arg(&runtime().path)
        .arg("--root")
        .arg(container.root());
    command.args(["exec", "--preserve-fds", "1", &container.id, "sh", "-c", "cat <&3"]);
    assert_eq!(outcome(command).ok().stdout, "through fd 3\n");
}

/// A process file with mistakes is refused with their place; the container does not notice.
#[test]
fn exec_of_a_bad_process_file_is_refused() {
    let container = sleeping();
    let file = container.home.path().join("process.json");
    let path = file.to_str().unwrap();
    let rows = [
        ("{", "process.json"),
        (r#"{ "user": { "uid": 0, "gid": 0 }, "cwd": "relative", "args": ["true"] }"#, "/cwd"),
        (r#"{ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "args": [] }"#, "/args"),
    ];
    for (text, words) in rows {
        if runtime().kind != Kind::Rt && words == "/cwd" {
            continue; // crun takes it
        }
        std::fs::write(&file, text).unwrap();
        container.call(&["exec", "--process", path, &container.id]).refused_with(&[words]);
    }
    std::fs::remove_file(&file).unwrap();
    container.call(&["exec", "--process", path, &container.id]).refused_with(&["process.json"]);
    assert_eq!(container.status(), "running");
}

/// An exec without a program is refused.
#[test]
fn exec_needs_a_program() {
    let container = sleeping();
    container.exec(&[]).refused();
}

/// What exec started and left behind ends with the container.
#[test]
fn the_children_of_exec_end_with_the_container() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping().without_namespace("pid"));
    container.launch();
    container.exec_sh("setsid sleep 1000 > /dev/null 2>&1 & exit 0").ok();
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// Many at once, each with its own status.
#[test]
fn many_execs_at_once() {
    let container = sleeping();
    let children: Vec<_> = (0..16)
        .map(|code| {
            let mut command = container.command();
            command.args(["exec", &container.id, "sh", "-c", &format!("exit {code}")]);
            command.spawn().unwrap()
        })
        .collect();
    for (code, child) in (0..).zip(children) {
        assert_eq!(crate::harness::runtime::wait(child, "exec"), code);
    }
}
