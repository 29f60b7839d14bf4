//! Every action of config-linux.md, "Seccomp", seen from inside of a container by a probe of our own (probe.c).

use std::process::Command;

use nix::libc;
use serde_json::{Value, json};

use crate::harness::agent::{Agent, Answer};
use crate::harness::program::compile;
use crate::harness::runtime::{eventually, outcome};
use crate::harness::{Bundle, Container};

/// A container that runs the probe, whose `getppid` meets this action; `None` is no rule at all.
fn probe(mode: &str, no_new_privileges: bool, action: &str, errno: Option<u32>) -> Container {
    let bundle = Bundle::args(&["/probe", mode]).set("/process/noNewPrivileges", json!(no_new_privileges));
    let rule =
        json!({ "names": ["getppid"], "action": action, "errnoRet": errno.map_or(Value::Null, |errno| json!(errno)) });
    let default = if action == "SCMP_ACT_ALLOW" { "SCMP_ACT_LOG" } else { "SCMP_ACT_ALLOW" };
    let profile = json!({ "defaultAction": default, "listenerPath": bundle.beside("agent"), "syscalls": [rule] });
    compile("integration/security/probe.c", &bundle.rootfs("/probe"));
    Container::new(bundle.set("/linux/seccomp", profile))
}

/// What the probe prints, and the exit status, both ways of loading the filter.
#[track_caller]
fn assert_sees(mode: &str, action: &str, errno: Option<u32>, stdout: &str, code: i32) {
    for no_new_privileges in [true, false] {
        let output = probe(mode, no_new_privileges, action, errno).run();
        assert_eq!((output.stdout.as_str(), output.code), (stdout, code), "{action}: {output:#?}");
    }
}

#[test]
fn allow_lets_the_call_pass() {
    assert_sees("call", "SCMP_ACT_ALLOW", None, "value 0\nthread returned\n", 0);
}

#[test]
fn errno_gives_the_errno_and_the_call_does_not_happen() {
    assert_sees("call", "SCMP_ACT_ERRNO", None, "errno 1\nthread returned\n", 0);
    assert_sees("call", "SCMP_ACT_ERRNO", Some(77), "errno 77\nthread returned\n", 0);
    assert_sees("call", "SCMP_ACT_ERRNO", Some(4095), "errno 4095\nthread returned\n", 0);
}

/// The thread alone: the process lives on.
#[test]
fn kill_thread_kills_the_thread() {
    for action in ["SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL"] {
        assert_sees("call", action, None, "thread gone\n", 0);
    }
}

/// The whole process, by SIGSYS.
#[test]
fn kill_process_kills_all_threads() {
    assert_sees("call", "SCMP_ACT_KILL_PROCESS", None, "", 128 + libc::SIGSYS);
}

/// SIGSYS with SYS_SECCOMP (1), which says what was called; without a handler it kills.
#[test]
fn trap_sends_a_signal() {
    let told = format!("signal {} code 1 call 1 errno 0\n", libc::SIGSYS);
    assert_sees("trap", "SCMP_ACT_TRAP", None, &told, 0);
    assert_sees("call", "SCMP_ACT_TRAP", None, "", 128 + libc::SIGSYS);
}

/// A tracer is asked, and gets the errnoRet as its message; without one the call does not exist.
#[test]
fn trace_asks_the_tracer() {
    assert_sees("trace", "SCMP_ACT_TRACE", None, "asked 1 with 1, then exit 42\n", 0);
    assert_sees("trace", "SCMP_ACT_TRACE", Some(4711), "asked 1 with 4711, then exit 42\n", 0);
    let nobody = format!("errno {}\nthread returned\n", libc::ENOSYS);
    assert_sees("call", "SCMP_ACT_TRACE", Some(7), &nobody, 0);
}

/// The agent's answer is the call's.
#[test]
fn notify_asks_the_agent() {
    for no_new_privileges in [true, false] {
        for (answer, stdout) in [
            (Answer::Value(4711), "value 4711\nthread returned\n"),
            (Answer::Fail(libc::EDOM), "errno 33\nthread returned\n"),
            (Answer::Continue, "value 0\nthread returned\n"),
            (Answer::Die, "errno 38\nthread returned\n"),
        ] {
            let container = probe("call", no_new_privileges, "SCMP_ACT_NOTIFY", None);
            let agent = Agent::listen(&container.bundle.beside("agent"), move |_| answer);
            assert_eq!(container.run().ok().stdout, stdout);
            assert_eq!(agent.asked(libc::SYS_getppid), 1);
        }
    }
}

/// The call happens, and the kernel's log has a record of it: AUDIT_SECCOMP (1326) with the action's value.
#[test]
fn log_writes_into_the_kernels_log() {
    assert_sees("call", "SCMP_ACT_LOG", None, "value 0\nthread returned\n", 0);
    if outcome(Command::new("dmesg")).code != 0 {
        skip!("the kernel's log cannot be read here");
    }
    let record = format!("syscall={} compat=0", libc::SYS_getppid);
    // The kernel leaves records out when there are many.
    eventually("a record in the kernel's log", || {
        let container = probe("call", true, "SCMP_ACT_LOG", None);
        container.run().ok();
        let log = outcome(Command::new("dmesg")).stdout;
        let is_ours = |line: &&str| line.contains("type=1326") && line.contains("comm=\"probe\"");
        log.lines().filter(is_ours).any(|line| line.contains(&record) && line.contains("code=0x7ffc0000"))
    });
}
