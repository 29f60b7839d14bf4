//! config-linux.md, "Seccomp".

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Bundle, Container};

/// A bundle with one rule beside the default of allowing everything.
fn with_rule(script: &str, rule: Value) -> Bundle {
    Bundle::sh(script).set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
}

fn deny_mkdir(action: &str) -> Value {
    json!({ "names": ["mkdir", "mkdirat"], "action": action })
}

/// "`action`: the action for seccomp rules": SCMP_ACT_ERRNO gives EPERM where nothing else is said.
#[test]
fn a_denied_call_fails_with_eperm() {
    let container = Container::new(with_rule("mkdir /new 2>&1; echo end", deny_mkdir("SCMP_ACT_ERRNO")));
    let output = container.run().ok().stdout;
    assert!(output.contains("Operation not permitted") && output.ends_with("end\n"), "{output}");
    assert!(!container.bundle.rootfs("/new").exists());
}

/// "`errnoRet`: the errno return code to use."
#[test]
fn a_denied_call_fails_as_asked() {
    let mut rule = deny_mkdir("SCMP_ACT_ERRNO");
    rule["errnoRet"] = json!(28);
    let output = Container::new(with_rule("mkdir /new 2>&1; true", rule)).run().ok().stdout;
    assert!(output.contains("No space left on device"), "{output}");
}

/// "SCMP_ACT_KILL_PROCESS": the program ends by SIGSYS.
#[test]
fn a_forbidden_call_kills() {
    let container = Container::new(with_rule("(mkdir /new); echo $?", deny_mkdir("SCMP_ACT_KILL_PROCESS")));
    assert!(container.run().ok().stdout.contains("159\n"));
}

/// Each action that a rule may have, in the container: what the shell hears of a call that meets it.
#[test]
fn each_action_does_what_it_says() {
    let script = "(mkdir /new) 2>&1; echo $?";
    for (action, words) in [
        ("SCMP_ACT_ALLOW", "0\n"),
        ("SCMP_ACT_LOG", "0\n"),
        ("SCMP_ACT_ERRNO", "Operation not permitted\n1\n"),
        ("SCMP_ACT_TRACE", "Function not implemented\n1\n"), // nobody traces it
        ("SCMP_ACT_TRAP", "159\n"),
        ("SCMP_ACT_KILL", "159\n"),
        ("SCMP_ACT_KILL_THREAD", "159\n"),
        ("SCMP_ACT_KILL_PROCESS", "159\n"),
    ] {
        let mut bundle = with_rule(script, deny_mkdir(action));
        if action == "SCMP_ACT_ALLOW" {
            bundle = bundle.set("/linux/seccomp/defaultAction", json!("SCMP_ACT_LOG"));
        }
        let container = Container::new(bundle);
        let output = container.run().ok().stdout;
        assert!(output.ends_with(words), "{action}: {output}");
        assert_eq!(container.bundle.rootfs("/new").exists(), words == "0\n", "{action}");
    }
}

/// "`defaultErrnoRet`: the errno return code to use": of all that the profile does not name.
#[test]
fn the_default_answer_may_be_another_errno() {
    let text = include_str!("../../src/plan/seccomp/testdata/docker.json");
    let mut profile: Value = serde_json::from_str(text).unwrap();
    profile["defaultErrnoRet"] = json!(28);
    let bundle = Bundle::sh("mount -t tmpfs x /mnt 2>&1; echo end").set("/linux/seccomp", profile);
    let output = Container::new(bundle).run().ok().stdout;
    assert!(output.contains("No space left on device") && output.ends_with("end\n"), "{output}");
}

/// "`op`: the operator for syscall arguments in seccomp", "`valueTwo`": which signals each one keeps from being sent.
#[test]
fn each_operator_compares() {
    // To nobody: a call that passes says ESRCH.
    let script = "for s in 9 10 11 12; do kill -$s 30000 2>&1 | grep -q 'not permitted' && echo -n $s,; done; true";
    for (operator, value, second, denied) in [
        ("SCMP_CMP_NE", 10, 0, "9,11,12,"),
        ("SCMP_CMP_LT", 10, 0, "9,"),
        ("SCMP_CMP_LE", 10, 0, "9,10,"),
        ("SCMP_CMP_EQ", 10, 0, "10,"),
        ("SCMP_CMP_GE", 11, 0, "11,12,"),
        ("SCMP_CMP_GT", 11, 0, "12,"),
        ("SCMP_CMP_MASKED_EQ", 2, 2, "10,11,"),
    ] {
        let argument = json!({ "index": 1, "value": value, "valueTwo": second, "op": operator });
        let rule = json!({ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [argument] });
        assert_eq!(Container::new(with_rule(script, rule)).run().ok().stdout, denied, "{operator}");
    }
}

/// "`architectures`: the architecture used for system calls": a profile for others than this machine's own still holds
/// for it, as with libseccomp.
#[test]
fn the_architecture_of_the_machine_is_always_meant() {
    let all = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64"]);
    for list in [all, json!(["SCMP_ARCH_ARM"]), json!([])] {
        let bundle = with_rule("mkdir /new 2>&1; true", deny_mkdir("SCMP_ACT_ERRNO"));
        let output = Container::new(bundle.set("/linux/seccomp/architectures", list.clone())).run().ok().stdout;
        assert!(output.contains("Operation not permitted"), "{list}: {output}");
    }
}

/// "`args`: the specific syscall in seccomp": only the calls whose argument has the value.
#[test]
fn a_rule_may_look_at_an_argument() {
    let rule = json!({ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 1, "value": 10, "op": "SCMP_CMP_EQ" }] });
    let script = "kill -0 $$ && echo zero; kill -12 $$ && echo twelve; kill -10 $$ 2>/dev/null || echo ten";
    assert_eq!(Container::new(with_rule(script, rule)).run().ok().stdout, "zero\ntwelve\nten\n");
}

/// A profile that denies by default lets through what it names; names that no kernel here knows are passed over.
#[test]
fn what_is_not_named_is_denied_by_default() {
    let mut rule = deny_mkdir("SCMP_ACT_ALLOW");
    rule["names"] = json!(["chown", "fchownat", "a_call_of_the_future"]);
    let bundle = with_rule("mkdir /new && echo made", rule);
    assert_eq!(Container::new(bundle).run().ok().stdout, "made\n");
}

/// A warning has the place of what is left out.
#[test]
fn what_has_no_effect_is_said() {
    only_rt!();
    let mut rule = deny_mkdir("SCMP_ACT_ERRNO");
    rule["names"] = json!(["mkdir", "a_call_of_the_future"]);
    let bundle = with_rule("true", rule).set("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]));
    let outcome = Container::new(bundle).run().ok();
    for line in ["config.json: /linux/seccomp/syscalls/0/names: ", "config.json: /linux/seccomp/flags/0: "] {
        assert!(outcome.stderr.contains(line), "{outcome:?}");
    }
}

/// The filter is on the program, and on what exec starts.
#[test]
fn exec_has_the_filter_too() {
    let bundle = with_rule("sleep 1000", deny_mkdir("SCMP_ACT_ERRNO"));
    let container = Container::new(bundle);
    container.launch();
    let output = container.exec_sh("mkdir /new 2>&1; grep Seccomp: /proc/self/status /proc/1/status").ok().stdout;
    assert!(output.contains("Operation not permitted"), "{output}");
    assert_eq!(output.matches("Seccomp:\t2").count(), 2, "{output}");
}

/// Without noNewPrivileges the filter is loaded while the runtime still may.
#[test]
fn a_filter_needs_no_no_new_privileges() {
    let bundle = with_rule("mkdir /new 2>/dev/null || echo denied", deny_mkdir("SCMP_ACT_ERRNO"));
    let bundle =
        bundle.set("/process/noNewPrivileges", json!(false)).set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(Container::new(bundle).run().ok().stdout, "denied\n");
}

/// A profile may be older than the kernel: under the filter rt itself needs nothing that is newer than Linux 2.6.28,
/// and little that is older.
#[test]
fn a_profile_may_know_no_new_system_calls() {
    let denied = [
        "faccessat2",
        "close_range",
        "openat2",
        "clone3",
        "pidfd_open",
        "pidfd_send_signal",
        "execveat",
        "statx",
        "getpid",
    ];
    let rule = json!({ "names": denied, "action": "SCMP_ACT_KILL_PROCESS" });
    for no_new_privileges in [false, true] {
        let bundle = with_rule("", rule.clone())
            .set("/process/args", json!(["sleep", "1000"]))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
        let container = Container::new(bundle);
        container.launch();
        assert_eq!(container.exec(&["grep", "Seccomp:", "/proc/1/status"]).ok().stdout, "Seccomp:\t2\n");
    }
}

/// The program is looked for before the filter is there, and yet with no more than the program's own rights.
#[test]
fn a_program_that_its_user_may_not_execute_is_refused_at_create_with_a_filter_too() {
    need_root!("give files to anybody");
    let rule = deny_mkdir("SCMP_ACT_ERRNO");
    for user in [json!({ "uid": 1000, "gid": 1000 }), json!({ "uid": 0, "gid": 0 })] {
        let bundle = with_rule("", rule.clone())
            .file("/private/program", "#!/bin/sh\n", 0o755)
            .set("/process/args", json!(["/private/program"]))
            .set("/process/noNewPrivileges", json!(false))
            .set("/process/user", user)
            .capabilities(&[]);
        let private = bundle.rootfs("/private");
        std::os::unix::fs::chown(&private, Some(2000), Some(2000)).expect("chown");
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o700)).expect("chmod");
        let container = Container::new(bundle);
        container.create().refused();
        container.assert_nothing_left();
    }
}

/// "When the action doesn't support an errno, the runtime MUST print an error and fail", and what it does not know.
#[test]
fn a_bad_profile_is_refused() {
    only_rt!();
    let mut rule = deny_mkdir("SCMP_ACT_ALLOW");
    rule["errnoRet"] = json!(1);
    let bad_argument = json!({ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }] });
    for rule in [rule, deny_mkdir("SCMP_ACT_NOSUCH"), bad_argument, json!({ "names": [], "action": "SCMP_ACT_ERRNO" })]
    {
        let container = Container::new(with_rule("true", rule));
        container.run().refused_with(&["/linux/seccomp"]);
        container.assert_nothing_left();
    }
}
