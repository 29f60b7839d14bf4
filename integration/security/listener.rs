//! config-linux.md, "Seccomp" and "The Container Process State": SCMP_ACT_NOTIFY, and the agent that is asked.

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;

use nix::libc;
use serde_json::{Value, json};

use crate::harness::agent::{Agent, Answer, Question};
use crate::harness::runtime::outcome;
use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container, runtime};

/// A profile that allows everything but what `rules` say; it names the agent beside config.json.
fn notified(bundle: Bundle, default: &str, rules: Value) -> Bundle {
    let path = bundle.beside("agent");
    let profile = json!({ "defaultAction": default, "listenerPath": path, "syscalls": rules });
    bundle.set("/linux/seccomp", profile)
}

/// One that asks for `getppid`: a shell calls it once, when it starts.
fn asks_for_getppid(script: &str) -> Bundle {
    notified(Bundle::sh(script), "SCMP_ACT_ALLOW", json!([{ "names": ["getppid"], "action": "SCMP_ACT_NOTIFY" }]))
}

fn with_no_new_privileges(bundle: Bundle, value: bool) -> Bundle {
    bundle.set("/process/noNewPrivileges", json!(value))
}

/// Lets every call pass but `getppid`, which gives 4711.
fn listen(container: &Container) -> Agent {
    Agent::listen(&container.bundle.beside("agent"), |question: &Question| match question.number {
        libc::SYS_getppid => Answer::Value(4711),
        _ => Answer::Continue,
    })
}

/// "The runtime MUST send exactly one container process state per connection", with the listener, `metadata` and the
/// state, while the container is being created; "`pid`: the container process ID, as seen by the runtime."
#[test]
fn an_agent_answers_the_containers_calls() {
    for no_new_privileges in [true, false] {
        let bundle = asks_for_getppid("echo parent $PPID; sleep 1000");
        let bundle = with_no_new_privileges(bundle, no_new_privileges);
        let bundle = bundle.set("/linux/seccomp/listenerMetadata", json!("MKNOD=/dev/null"));
        let container = Container::new(bundle.set("/annotations", json!({ "my.key": "my value" })));
        let agent = listen(&container);
        container.create().ok();
        let state = agent.state();
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "MKNOD=/dev/null");
        assert_eq!(state["pid"], container.pid());
        assert_eq!(state["state"]["id"], container.id);
        assert_eq!(state["state"]["status"], "creating");
        assert_eq!(state["state"]["pid"], container.pid());
        assert_eq!(state["state"]["bundle"], json!(container.bundle.dir.path()));
        assert_eq!(state["state"]["annotations"]["my.key"], "my value");
        for version in [&state["ociVersion"], &state["state"]["ociVersion"]] {
            assert!(version.as_str().is_some_and(|version| version.starts_with("1.")), "{state:#}");
        }
        assert_eq!(agent.questions(), 0, "nothing that the runtime does itself was asked for");
        container.start().ok();
        container.until_output("parent 4711\n");
    }
}

/// "`metadata` (string, OPTIONAL)": none where the config has none.
#[test]
fn metadata_that_is_not_asked_for_is_not_sent() {
    let container = Container::new(asks_for_getppid("true"));
    let agent = listen(&container);
    container.run().ok();
    assert!(agent.state().get("metadata").is_none());
}

/// "If more than one sendmsg(2) is used, the file descriptors MUST be sent only in the first call."
#[test]
fn a_large_state_reaches_the_agent_whole() {
    let value = "x".repeat(400_000);
    let container = Container::new(asks_for_getppid("true").set("/annotations", json!({ "large": value })));
    let agent = listen(&container);
    container.run().ok();
    assert_eq!(agent.state()["state"]["annotations"]["large"], value);
}

/// `run` hands the listener out as `create` does; a call that the agent refuses fails with its errno.
#[test]
fn an_agent_may_refuse_a_call() {
    let rules = json!([{ "names": ["chdir"], "action": "SCMP_ACT_NOTIFY" }]);
    for no_new_privileges in [true, false] {
        let bundle = notified(Bundle::sh("cd /proc || echo refused"), "SCMP_ACT_ALLOW", rules.clone());
        let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
        let _agent = Agent::listen(&container.bundle.beside("agent"), |question| match question.number {
            libc::SYS_chdir => Answer::Fail(libc::ENOSPC),
            _ => Answer::Continue,
        });
        let output = container.run().ok();
        assert!(output.stderr.contains("No space left on device") && output.stdout == "refused\n", "{output:#?}");
    }
}

/// A process of `exec` has a filter of its own, and so a listener: with its own pid, and the state of the container.
#[test]
fn exec_sends_a_listener_of_its_own() {
    for no_new_privileges in [true, false] {
        let bundle = asks_for_getppid("sleep 1000");
        let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
        let agent = listen(&container);
        container.launch();
        let output = container.exec_sh("echo parent $PPID in $$").ok().stdout;
        assert!(output.starts_with("parent 4711 in "), "{output}");
        let states = agent.states();
        assert_eq!(states.len(), 2, "{states:#?}");
        assert_eq!(states[1]["state"]["status"], "running");
        assert_eq!(states[1]["state"]["pid"], container.pid());
        let pid = states[1]["pid"].as_i64().unwrap();
        assert!(pid > 1 && pid != i64::from(container.pid()), "{states:#?}");
    }
}

/// Before the start the container's status is `created`, also for the agent.
#[test]
fn exec_before_the_start_says_that_the_container_is_created() {
    need_root!("join the user namespace of an init that waits");
    let container = Container::new(asks_for_getppid("sleep 1000"));
    let agent = listen(&container);
    container.create().ok();
    assert_eq!(container.exec_sh("echo parent $PPID").ok().stdout, "parent 4711\n");
    assert_eq!(agent.states()[1]["state"]["status"], "created");
}

/// SCMP_ACT_NOTIFY as `defaultAction`: every call is asked for, and those of the runtime itself until the listener is
/// handed out need no agent.
#[test]
fn a_profile_that_asks_for_everything_hangs_nowhere() {
    for no_new_privileges in [true, false] {
        let bundle = notified(Bundle::sh("echo parent $PPID"), "SCMP_ACT_NOTIFY", json!([]));
        let bundle = with_no_new_privileges(bundle, no_new_privileges);
        let container = Container::new(bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 })));
        let agent = listen(&container);
        assert_eq!(container.run().ok().stdout, "parent 4711\n");
        assert!(agent.asked(libc::SYS_execve) == 1 && agent.questions() > 20, "{}", agent.questions());
    }
}

/// The same for `create`, `start`, `exec` and `delete`, with hooks in the container, and in a user namespace.
#[test]
fn a_container_that_asks_for_everything_lives_and_dies() {
    for no_new_privileges in [true, false] {
        let bundle = notified(Bundle::sh("echo up; sleep 1000"), "SCMP_ACT_NOTIFY", json!([]));
        let bundle = bundle.user_namespace(100_000).hook("startContainer", "echo hook $PPID > /dev/null");
        let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
        let agent = listen(&container);
        container.launch();
        container.until_output("up\n");
        assert_eq!(container.exec_sh("echo $PPID; exit 0").ok().stdout, "4711\n");
        assert_eq!(agent.states().len(), 2);
        container.stop();
        container.delete().ok();
        container.assert_nothing_left();
    }
}

/// A user namespace that is joined, where another process makes the init: the listener is fetched from there all the same.
#[test]
fn a_joined_user_namespace_goes_with_a_listener() {
    only_rt!(); // runc 1.1 wants mappings beside the path
    let first = Container::new(Bundle::sleeping().user_namespace(100_000));
    first.launch();
    let path = format!("/proc/{}/ns/user", first.pid());
    let bundle = notified(Bundle::sh("echo $PPID"), "SCMP_ACT_NOTIFY", json!([])).user_namespace(100_000);
    let bundle = bundle.namespace("user", Some(&path)).without("/linux/uidMappings").without("/linux/gidMappings");
    let container = Container::new(bundle);
    let _agent = listen(&container);
    assert_eq!(container.run().ok().stdout, "4711\n");
}

/// Without any privilege, for `run` and `exec`: nobody may fetch a descriptor of a process that hides itself.
#[test]
fn an_unprivileged_user_may_have_an_agent() {
    need_root!("become somebody else");
    only_rt!();
    for no_new_privileges in [true, false] {
        let bundle = notified(Bundle::sh("echo $PPID; sleep 1000"), "SCMP_ACT_NOTIFY", json!([]));
        let one = json!([{ "containerID": 0, "hostID": 65534, "size": 1 }]);
        let bundle = bundle.namespace("user", None).set("/linux/uidMappings", one.clone());
        let bundle = with_no_new_privileges(bundle, no_new_privileges).set("/linux/gidMappings", one);
        let bundle = bundle.without_mount("/sys/fs/cgroup").without_mount("/sys").without_mount("/dev/pts");
        let container = Container::new(bundle.without("/linux/resources").without("/linux/cgroupsPath"));
        let home = container.home.path();
        crate::harness::program::copy(&runtime().path, &home.join("rt"));
        for directory in [home, container.bundle.dir.path()] {
            assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(directory).status().unwrap().success());
        }
        let _agent = listen(&container);
        let socket = container.bundle.beside("agent");
        assert!(Command::new("chown").arg("65534:65534").arg(socket).status().unwrap().success());
        let unprivileged = |words: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i"]);
            command.arg(format!("XDG_RUNTIME_DIR={}", home.display())).arg(home.join("rt"));
            command.arg("--root").arg(container.root()).args(words);
            outcome(command)
        };
        let bundle = container.bundle.dir.path().to_str().unwrap();
        unprivileged(&["run", "--detach", "--bundle", bundle, &container.id]).ok();
        assert_eq!(unprivileged(&["exec", &container.id, "sh", "-c", "echo $PPID"]).ok().stdout, "4711\n");
        unprivileged(&["delete", "--force", &container.id]).ok();
        container.assert_nothing_left();
    }
}

/// With a terminal, detached and in the foreground of `exec`.
#[test]
fn a_terminal_goes_with_a_listener() {
    for no_new_privileges in [true, false] {
        let bundle = notified(Bundle::sh("echo up; read line; echo \"<$line>\""), "SCMP_ACT_NOTIFY", json!([]));
        let bundle = with_no_new_privileges(bundle, no_new_privileges).set("/process/terminal", json!(true));
        let container = Container::new(bundle);
        let _agent = listen(&container);
        let socket = ConsoleSocket::bind(container.home.path());
        outcome(container.verb("run", &["--detach", "--console-socket", socket.path.to_str().unwrap()])).ok();
        let mut terminal = socket.receive().0;
        terminal.until("up");
        let second = container.home.path().join("exec");
        std::fs::create_dir(&second).unwrap();
        let socket = ConsoleSocket::bind(&second);
        let flags = ["exec", "--detach", "--tty", "--console-socket", socket.path.to_str().unwrap()];
        container.call(&[&flags[..], &[&container.id, "sh", "-c", "tty; sleep 1000"]].concat()).ok();
        // It lives on: its end would interrupt the first one's `read`, which begins anew then, without what it had.
        let mut of_exec = socket.receive().0;
        of_exec.until("/dev/pts/");
        terminal.type_in("typed\n");
        terminal.until("<typed>");
    }
}

/// Each call that the runtime makes under the filter, asked for or denied: it works or is refused, and never hangs.
#[test]
fn whatever_the_runtime_calls_itself_may_be_asked_for_or_is_refused() {
    const CALLS: &[&str] =
        &["sendmsg", "recvfrom", "read", "write", "close", "prctl", "capset", "close_range", "accept4", "execve"];
    for no_new_privileges in [true, false] {
        for call in CALLS {
            let rules = json!([{ "names": [call], "action": "SCMP_ACT_NOTIFY" }]);
            let bundle = notified(Bundle::sh("sleep 1000"), "SCMP_ACT_ALLOW", rules);
            let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
            let _agent = listen(&container);
            container.launch();
            container.exec(&["true"]).ok();
        }
        for call in CALLS {
            let asked = json!({ "names": ["getppid"], "action": "SCMP_ACT_NOTIFY" });
            let rules = json!([asked, { "names": [call], "action": "SCMP_ACT_ERRNO" }]);
            let bundle = notified(Bundle::sh("true"), "SCMP_ACT_ALLOW", rules);
            let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
            let _agent = listen(&container);
            let outcome = container.run();
            let may_run = ["read", "write", "close_range"].contains(call) || (*call == "capset" && no_new_privileges);
            match may_run {
                true => assert!(!outcome.stderr.contains("rt: "), "{outcome:#?}"),
                false => drop(outcome.refused_with(&["/linux/seccomp/syscalls/1/action", call])),
            }
            container.delete_force();
            container.assert_nothing_left();
        }
    }
}

/// "If sending to this socket fails, the runtime MUST generate an error", and nothing is left of the container.
#[test]
fn without_an_agent_there_is_no_container() {
    for no_new_privileges in [true, false] {
        for verb in ["create", "run"] {
            for broken in ["missing", "file", "refusing", "datagrams"] {
                let bundle = asks_for_getppid("echo ran");
                let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
                let path = container.bundle.beside("agent");
                // "This socket MUST use `AF_UNIX` domain and `SOCK_STREAM` type."
                let _datagrams = (broken == "datagrams").then(|| UnixDatagram::bind(&path).unwrap());
                match broken {
                    "file" => std::fs::write(&path, "").unwrap(),
                    "refusing" => drop(UnixListener::bind(&path).unwrap()),
                    _ => {}
                }
                let outcome = outcome(container.verb(verb, &[]));
                assert_eq!(outcome.stdout, "");
                let path = path.display().to_string();
                let cause = match broken {
                    "missing" => "(ENOENT)",
                    "datagrams" => "(EPROTOTYPE)",
                    _ => "(ECONNREFUSED)",
                };
                outcome.refused_with(&["send the seccomp listener to", &path, cause]);
                container.assert_nothing_left();
            }
        }
    }
}

/// The container of an `exec` whose agent is gone lives on; the program of the `exec` never ran.
#[test]
fn exec_without_an_agent_is_refused() {
    for no_new_privileges in [true, false] {
        let bundle = with_no_new_privileges(asks_for_getppid("sleep 1000"), no_new_privileges);
        let container = Container::new(bundle);
        let agent = listen(&container);
        container.launch();
        drop(agent);
        std::fs::remove_file(container.bundle.beside("agent")).unwrap();
        let outcome = container.exec_sh("echo ran");
        assert_eq!(outcome.stdout, "");
        outcome.refused_with(&["send the seccomp listener to", "(ENOENT)"]);
        assert_eq!(container.status(), "running");
    }
}

/// seccomp_unotify(2): once nobody has the listener, "the system call fails with ENOSYS". Not even the waiting init has
/// it: a start whose agent has died fails at once.
#[test]
fn an_agent_that_dies_leaves_enosys_and_no_hang() {
    for no_new_privileges in [true, false] {
        let rules = json!([{ "names": ["getppid", "execve"], "action": "SCMP_ACT_NOTIFY" }]);
        let bundle = notified(Bundle::sh("true"), "SCMP_ACT_ALLOW", rules);
        let container = Container::new(with_no_new_privileges(bundle, no_new_privileges));
        let agent = Agent::listen(&container.bundle.beside("agent"), |_| Answer::Die);
        container.create().ok();
        agent.state();
        container.start().refused_with(&["(ENOSYS)"]);
        container.delete_force().ok();
        container.assert_nothing_left();
    }
}

/// A profile that asks nobody needs no agent: "If the SCMP_ACT_NOTIFY action is not used this value is ignored."
#[test]
fn a_listener_path_without_notify_is_ignored() {
    let rules = json!([{ "names": ["getppid"], "action": "SCMP_ACT_LOG" }]);
    let container = Container::new(notified(Bundle::args(&["echo", "ran"]), "SCMP_ACT_ALLOW", rules));
    assert_eq!(container.run().ok().stdout, "ran\n");
}

/// "This field MUST NOT be set if `listenerPath` is not set"; and nobody to ask is an error too.
#[test]
fn an_agent_must_have_a_path() {
    only_rt!();
    let bundle = asks_for_getppid("true").without("/linux/seccomp/listenerPath");
    Container::new(bundle).run().refused_with(&["config.json: /linux/seccomp/listenerPath: must be set"]);
    let bundle = asks_for_getppid("true").without("/linux/seccomp/listenerPath");
    let bundle = bundle.set("/linux/seccomp/listenerMetadata", json!("x"));
    Container::new(bundle).run().refused_with(&["config.json: /linux/seccomp/listenerMetadata: must not be set"]);
}

/// A path that is longer than a socket's address, and one that is relative to the bundle.
#[test]
fn a_listener_path_may_be_long_or_relative() {
    only_rt!();
    let container =
        Container::new(asks_for_getppid("echo parent $PPID").set("/linux/seccomp/listenerPath", json!("agent")));
    let _agent = listen(&container);
    assert_eq!(container.run().ok().stdout, "parent 4711\n");

    let mut container = Container::new(asks_for_getppid("echo parent $PPID"));
    let long = container.bundle.beside(&"d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let _agent = listen(&container);
    std::os::unix::fs::symlink(container.bundle.beside("agent"), long.join("socket")).unwrap();
    container.bundle.config["linux"]["seccomp"]["listenerPath"] = json!(long.join("socket"));
    container.write_config();
    assert_eq!(container.run().ok().stdout, "parent 4711\n");
}

/// crun's `run.oci.seccomp.receiver` and RUN_OCI_SECCOMP_RECEIVER name the agent where the profile does not.
#[test]
fn an_annotation_or_a_variable_names_the_agent() {
    let without = || asks_for_getppid("echo parent $PPID").without("/linux/seccomp/listenerPath");
    let bundle = without();
    let path = json!({ "run.oci.seccomp.receiver": bundle.beside("agent") });
    let container = Container::new(bundle.set("/annotations", path));
    let _agent = listen(&container);
    assert_eq!(container.run().ok().stdout, "parent 4711\n");

    let container = Container::new(without());
    let _agent = listen(&container);
    let with_variable = |mut command: Command| {
        outcome({
            command.env("RUN_OCI_SECCOMP_RECEIVER", container.bundle.beside("agent"));
            command
        })
    };
    assert_eq!(with_variable(container.verb("run", &[])).ok().stdout, "parent 4711\n");

    let container = Container::new(without().set("/annotations", json!({ "run.oci.seccomp.receiver": "agent" })));
    container.run().refused_with(&["/annotations/run.oci.seccomp.receiver", "not an absolute path"]);
}

/// crun's `run.oci.seccomp_bpf_data` takes the profile's place.
#[cfg(all(target_arch = "x86_64", target_endian = "little"))]
#[test]
fn a_compiled_filter_is_loaded_as_it_is() {
    // ld [0]; jeq #80 (chdir), 0, 1; ret ERRNO 28; ret ALLOW
    let filter = "IAAAAAAAAAAVAAABUAAAAAYAAAAcAAUABgAAAAAA/38=";
    for no_new_privileges in [true, false] {
        let bundle = Bundle::sh("grep Seccomp_filters /proc/self/status; cd /proc");
        let bundle = bundle.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS" }));
        let bundle = bundle.set("/annotations", json!({ "run.oci.seccomp_bpf_data": filter }));
        let output = Container::new(with_no_new_privileges(bundle, no_new_privileges)).run();
        assert_eq!(output.stdout, "Seccomp_filters:\t1\n");
        assert!(output.stderr.contains("No space left on device"), "{output:#?}");
    }
    // The same, but getppid (110) is asked for.
    let asks = "IAAAAAAAAAAVAAABbgAAAAYAAAAAAMB/BgAAAAAA/38=";
    let bundle = Bundle::sh("echo parent $PPID");
    let receiver = bundle.beside("agent");
    let annotations = json!({ "run.oci.seccomp_bpf_data": asks, "run.oci.seccomp.receiver": receiver });
    let container = Container::new(bundle.set("/annotations", annotations));
    let _agent = listen(&container);
    assert_eq!(container.run().ok().stdout, "parent 4711\n");
    for (bad, reason) in [("%", "is not Base64"), ("AAAA", "has 3 bytes"), (asks, "returns SECCOMP_RET_USER_NOTIF")] {
        let bundle = Bundle::args(&["true"]).set("/annotations", json!({ "run.oci.seccomp_bpf_data": bad }));
        Container::new(bundle).run().refused_with(&["/annotations/run.oci.seccomp_bpf_data", reason]);
    }
}

/// crun's `run.oci.seccomp_fail_unknown_syscall`, and the plugins that rt does not have.
#[test]
fn the_other_annotations_of_crun_for_seccomp() {
    only_rt!();
    let rules = json!([{ "names": ["a_call_of_the_future"], "action": "SCMP_ACT_ERRNO" }]);
    let bundle = || notified(Bundle::args(&["true"]), "SCMP_ACT_ALLOW", rules.clone());
    let warned = Container::new(bundle()).run().ok().stderr;
    assert!(warned.contains("a_call_of_the_future"), "{warned}");
    let strict = bundle().set("/annotations", json!({ "run.oci.seccomp_fail_unknown_syscall": "1" }));
    Container::new(strict).run().refused_with(&["/linux/seccomp/syscalls/0/names", "a_call_of_the_future"]);
    let plugins = json!({ "run.oci.seccomp.plugins": "/lib/plugin.so" });
    let warned = Container::new(Bundle::args(&["true"]).set("/annotations", plugins)).run().ok().stderr;
    assert!(warned.contains("/annotations/run.oci.seccomp.plugins: rt loads no plugins"), "{warned}");
}
