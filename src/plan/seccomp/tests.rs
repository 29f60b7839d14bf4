//! The compiler as a whole: profiles by hand, and every rule of the spec that a profile can break.

use oci_spec::runtime::{Arch, LinuxSeccomp};
use serde_json::{Value, json};

use super::action::describe;
use super::bpf::tests::{Question, run};
use super::*;

/// The seccomp part of a config.json that dockerd 20.10 wrote.
pub(super) fn docker() -> LinuxSeccomp {
    serde_json::from_str(include_str!("testdata/docker.json")).expect("a profile")
}

/// The seccomp part of a config.json that podman 4.3 wrote.
pub(super) fn podman() -> LinuxSeccomp {
    serde_json::from_str(include_str!("testdata/podman.json")).expect("a profile")
}

pub(super) fn arch(name: &str) -> &'static Architecture {
    arch::ARCHITECTURES.iter().find(|arch| arch.name == name).expect("an architecture")
}

/// Compiles for these architectures, whatever the profile lists.
pub(super) fn plan(profile: &LinuxSeccomp, arches: &[Arch]) -> SeccompPlan {
    let mut profile = profile.clone();
    profile.set_architectures(Some(arches.to_vec()));
    let actions = ACTIONS.map(|row| row.0);
    plan_seccomp(&profile, &host(arches[0], &actions)).expect("a plan")
}

fn host<'a>(native: Arch, actions: &'a [LinuxSeccompAction]) -> SeccompHost<'a> {
    SeccompHost {
        native,
        flags: SeccompFlags::from_bits(0x3f),
        actions,
        still_needed: &["write", "sendmsg"],
        receiver: None,
        refuses_unknown: false,
    }
}

fn try_plan(profile: Value) -> Result<SeccompPlan, SeccompFault> {
    let profile: LinuxSeccomp = serde_json::from_value(profile).expect("the shape of a profile");
    plan_seccomp(&profile, &host(Arch::ScmpArchX86_64, &ACTIONS.map(|row| row.0)))
}

/// What the filter of these rules says, in words; `args` fill up with zeros.
fn answer(plan: &SeccompPlan, arch_name: &str, call: &str, args: &[u64]) -> String {
    let arch = arch(arch_name);
    let number = Call::find(call).and_then(|call| arch.number(call)).expect("the architecture has the call");
    answer_number(plan, arch, number, args)
}

fn answer_number(plan: &SeccompPlan, arch: &Architecture, number: u32, given: &[u64]) -> String {
    let mut args = [0; 6];
    args[..given.len()].copy_from_slice(given);
    let question = Question { number, audit: arch.audit(), args, big_endian: arch.big_endian };
    describe(run(&plan.program, &question))
}

#[test]
fn dockers_profile_takes_less_than_400_instructions() {
    let plan = try_plan(serde_json::to_value(docker()).expect("JSON")).expect("a plan");
    assert!(plan.program.len() < 400, "{}", plan.program.len());
    assert_eq!(plan.warnings.len(), 0);
    assert_eq!(plan.listener, None);
}

#[test]
fn every_fault_names_its_place() {
    let rule = |rest: Value| {
        let mut rule = json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO" });
        rule.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["brk"], "action": "SCMP_ACT_LOG" }, rule] })
    };
    for (profile, pointer, reason) in [
        (rule(json!({"names": []})), "syscalls/1/names", "must name at least one system call"),
        (
            rule(json!({"action": "SCMP_ACT_TRAP", "errnoRet": 1})),
            "syscalls/1/errnoRet",
            "SCMP_ACT_TRAP takes no errno",
        ),
        (
            rule(json!({"action": "SCMP_ACT_ALLOW", "errnoRet": 0})),
            "syscalls/1/errnoRet",
            "SCMP_ACT_ALLOW takes no errno",
        ),
        (
            rule(json!({"errnoRet": 70000})),
            "syscalls/1/errnoRet",
            "70000 is more than 4095, the most that SCMP_ACT_ERRNO takes",
        ),
        (
            rule(
                json!({"args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}),
            ),
            "syscalls/1/args/1/index",
            "6 is not an argument: a system call has arguments 0 to 5",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "defaultErrnoRet": 38}),
            "defaultErrnoRet",
            "SCMP_ACT_KILL_PROCESS takes no errno",
        ),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "listenerPath", "must be set where SCMP_ACT_NOTIFY is used"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
            "listenerMetadata",
            "must not be set without listenerPath",
        ),
        (rule(json!({"action": "SCMP_ACT_NOTIFY"})), "listenerPath", "must be set where SCMP_ACT_NOTIFY is used"),
    ] {
        let fault = try_plan(profile).expect_err(reason);
        assert_eq!((fault.pointer.as_str(), fault.reason.as_str()), (&*format!("/linux/seccomp/{pointer}"), reason));
    }
}

#[test]
fn what_the_kernel_does_not_have_is_a_fault() {
    let profile: LinuxSeccomp = serde_json::from_value(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_LOG" }],
    }))
    .expect("a profile");
    let old = [LinuxSeccompAction::ScmpActAllow, LinuxSeccompAction::ScmpActErrno];
    let fault = plan_seccomp(&profile, &host(Arch::ScmpArchX86_64, &old)).expect_err("no LOG");
    assert_eq!(fault.to_string(), "/linux/seccomp/syscalls/0/action: the kernel does not have this action");
    let actions = ACTIONS.map(|row| row.0);
    let old = SeccompHost { flags: SeccompFlags::LOG, ..host(Arch::ScmpArchX86_64, &actions) };
    let fault = plan_seccomp(&profile, &old).expect_err("no TSYNC");
    assert_eq!(fault.to_string(), "/linux/seccomp/flags/1: the kernel does not have SECCOMP_FILTER_FLAG_TSYNC");
    let nowhere = host(Arch::ScmpArchNative, &actions);
    assert!(plan_seccomp(&profile, &nowhere).is_err());
}

#[test]
fn a_program_that_the_kernel_would_refuse_is_a_fault() {
    let rules: Vec<Value> = (0..3000u64)
        .map(|value| {
            let arg = json!({"index": value % 6, "value": value << 20 | value, "op": "SCMP_CMP_GE"});
            json!({"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [arg]})
        })
        .collect();
    let fault = try_plan(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).expect_err("too long");
    assert_eq!(fault.pointer, "/linux/seccomp/syscalls");
    assert!(fault.reason.contains("at most 4096"), "{}", fault.reason);
}

#[test]
fn flags_become_the_kernels_bits() {
    let with = |flags: &[&str], action: &str| {
        let rules = json!([{ "names": ["mknod"], "action": action }]);
        let flags: Vec<_> = flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect();
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "listenerMetadata": "m",
            "flags": flags, "syscalls": rules});
        try_plan(profile).expect("a plan")
    };
    assert_eq!(with(&[], "SCMP_ACT_LOG").flags.bits(), 0);
    assert_eq!(with(&["TSYNC", "LOG", "SPEC_ALLOW"], "SCMP_ACT_LOG").flags.bits(), 0b111);
    assert_eq!(with(&["TSYNC", "WAIT_KILLABLE_RECV"], "SCMP_ACT_NOTIFY").flags.bits(), 0b11_1001);
    let idle = with(&["WAIT_KILLABLE_RECV"], "SCMP_ACT_LOG");
    assert_eq!((idle.flags.bits(), idle.warnings.len(), idle.listener), (0, 1, None));
    let listener = Listener { path: "/agent".into(), metadata: Some("m".to_owned()) };
    assert_eq!(with(&[], "SCMP_ACT_NOTIFY").listener, Some(listener));
}

#[test]
fn an_agent_may_be_asked_for_everything() {
    let profile = json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/agent",
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }]});
    let plan = try_plan(profile).expect("a plan");
    assert_eq!(plan.flags, SeccompFlags::NEW_LISTENER);
    assert_eq!(
        (answer(&plan, "x86_64", "read", &[]), answer(&plan, "x86_64", "write", &[])),
        ("ALLOW".into(), "NOTIFY".into())
    );
    // Also for what is newer than the profile.
    assert_eq!(answer(&plan, "x86_64", "file_setattr", &[]), "NOTIFY");
    assert_eq!(plan.obstacles, []);
}

#[test]
fn the_caller_may_name_the_agent_and_forbid_unknown_names() {
    let rules = json!([{ "names": ["no_such_call", "read"], "action": "SCMP_ACT_NOTIFY" }]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m", "syscalls": rules});
    let profile: LinuxSeccomp = serde_json::from_value(profile).expect("the shape of a profile");
    let actions = ACTIONS.map(|row| row.0);
    let named = SeccompHost { receiver: Some(Path::new("/named")), ..host(Arch::ScmpArchX86_64, &actions) };
    let plan = plan_seccomp(&profile, &named).expect("a plan");
    assert_eq!(plan.listener, Some(Listener { path: "/named".into(), metadata: Some("m".to_owned()) }));
    assert_eq!(lines(&plan.warnings), [SKIPPED]);
    let fault = plan_seccomp(&profile, &SeccompHost { refuses_unknown: true, ..named }).expect_err("a fault");
    assert_eq!(fault.to_string(), "/linux/seccomp/syscalls/0/names: no system call is named \"no_such_call\"");
}

const SKIPPED: &str = "/linux/seccomp/syscalls/0/names: no system call is named \"no_such_call\", skipped";

fn lines(warnings: &[SeccompFault]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules = json!([
        { "names": ["read", "close_range", "rt_sigaction", "set_tls", "no_such_call"], "action": "SCMP_ACT_ALLOW" },
        // Known, though left to the default action.
        { "names": ["mount_setattr"], "action": "SCMP_ACT_ERRNO" },
    ]);
    let profile: LinuxSeccomp =
        serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).expect("a profile");
    let x86 = plan(&profile, &[Arch::ScmpArchX86_64, Arch::ScmpArchX32]);
    assert_eq!(lines(&x86.warnings), [SKIPPED]);
    let arm = plan(&profile, &[Arch::ScmpArchArm]);
    let mips = plan(&profile, &[Arch::ScmpArchMips]);
    for (plan, name, number, wanted) in [
        (&x86, "x86_64", 0, "ALLOW"),
        (&x86, "x86_64", 1, "ERRNO(1)"),
        (&x86, "x86_64", 441, "ERRNO(1)"),
        (&x86, "x86_64", 442, "ERRNO(1)"), // mount_setattr
        (&x86, "x86_64", 443, "ERRNO(38)"),
        (&x86, "x86_64", 0x3fff_ffff, "ERRNO(38)"),
        (&x86, "x86_64", u32::MAX, "ERRNO(1)"), // a tracer skips a call
        (&x86, "x32", 0x4000_0000 + 443, "ERRNO(38)"),
        (&x86, "x32", 0x4000_0000 + 512, "ALLOW"), // rt_sigaction
        (&x86, "x32", 0x4000_0000 + 513, "ERRNO(1)"),
        (&x86, "x32", 0x4000_0000 + 548, "ERRNO(38)"),
        (&arm, "arm", 443, "ERRNO(38)"),
        (&arm, "arm", 0xf_0004, "ERRNO(1)"),
        (&arm, "arm", 0xf_0005, "ALLOW"), // set_tls
        (&arm, "arm", 0x10_0000, "ERRNO(38)"),
        (&mips, "mips", 443, "ERRNO(1)"),
        (&mips, "mips", 4443, "ERRNO(38)"),
    ] {
        assert_eq!(answer_number(plan, arch(name), number, &[]), wanted, "{name} {number}");
    }
    for (default, errno, wanted) in [
        ("SCMP_ACT_ERRNO", Some(38), "ERRNO(38)"),
        ("SCMP_ACT_KILL", None, "KILL_THREAD"),
        ("SCMP_ACT_ALLOW", None, "ALLOW"),
        ("SCMP_ACT_TRACE", Some(9), "TRACE(9)"),
    ] {
        let rules = json!([{ "names": ["read"], "action": "SCMP_ACT_LOG" }]);
        let profile = json!({"defaultAction": default, "defaultErrnoRet": errno, "syscalls": rules});
        let plan = try_plan(profile).expect("a plan");
        assert_eq!(answer_number(&plan, arch("x86_64"), 400, &[]), wanted, "only an errno becomes ENOSYS");
    }
}

#[test]
fn x32_calls_are_foreign_to_a_profile_without_x32() {
    let profile = serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ALLOW"})).expect("a profile");
    let without = plan(&profile, &[Arch::ScmpArchX86_64, Arch::ScmpArchX86]);
    assert_eq!(answer(&without, "x32", "read", &[]), "KILL_THREAD");
    assert_eq!(answer(&without, "x86_64", "read", &[]), "ALLOW");
    assert_eq!(answer(&without, "x86", "read", &[]), "ALLOW");
    assert_eq!(answer(&without, "aarch64", "read", &[]), "KILL_THREAD");
    assert_eq!(answer_number(&without, arch("x86_64"), u32::MAX, &[]), "ALLOW");
    let only = plan(&profile, &[Arch::ScmpArchX32]);
    assert_eq!(answer(&only, "x86_64", "read", &[]), "KILL_THREAD");
    assert_eq!(answer(&only, "x32", "read", &[]), "ALLOW");
}

#[test]
fn a_multiplexed_call_is_reached_both_ways() {
    let arg = json!([{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]);
    let rules = |action: &str, other: &str| {
        json!([{ "names": ["connect", "semget"], "action": action },
            { "names": ["socket", "semctl"], "action": action, "args": arg },
            { "names": ["listen"], "action": other, "args": arg }])
    };
    let deny = json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": rules("SCMP_ACT_TRAP", "SCMP_ACT_ALLOW")});
    let deny = plan(&serde_json::from_value(deny).expect("a profile"), &[Arch::ScmpArchS390x]);
    for (call, args, wanted) in [
        ("connect", &[0][..], "TRAP"),
        ("socketcall", &[3], "TRAP"),
        ("socketcall", &[1 << 32 | 3], "TRAP"), // The kernel takes an int.
        ("socketcall", &[1 << 16 | 3], "LOG"),
        ("socketcall", &[2], "LOG"),
        ("ipc", &[2], "TRAP"),
        ("ipc", &[1 << 16 | 2], "TRAP"), // The upper bits are a version.
        // A condition cannot be looked at there: the strict rule applies without it, the lax one does not.
        ("socket", &[0, 2], "TRAP"),
        ("socket", &[0, 3], "LOG"),
        ("socketcall", &[1, 3], "TRAP"),
        ("ipc", &[3, 3], "TRAP"),
        ("listen", &[0, 2], "ALLOW"),
        ("socketcall", &[4, 2], "LOG"),
    ] {
        assert_eq!(answer(&deny, "s390x", call, args), wanted, "{call} {args:x?}");
    }
}

#[test]
fn one_rule_without_conditions_beats_all_with() {
    let arg = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([
        { "names": ["read"], "action": "SCMP_ACT_LOG", "args": arg },
        { "names": ["read"], "action": "SCMP_ACT_TRAP" },
        { "names": ["read"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["read"], "action": "SCMP_ACT_KILL", "args": arg },
        { "names": ["write"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["write"], "action": "SCMP_ACT_TRACE", "args": arg },
        { "names": ["write"], "action": "SCMP_ACT_TRACE", "args": [{"index": 0, "value": 0, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}] },
    ]);
    let plan = try_plan(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).expect("a plan");
    assert_eq!(answer(&plan, "x86_64", "read", &[1]), "TRAP");
    assert_eq!(answer(&plan, "x86_64", "write", &[0]), "TRACE(1)", "a mask without bits is no condition");
}

#[test]
fn an_argument_compared_twice_makes_alternatives() {
    let args = json!([{"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([{ "names": ["read"], "action": "SCMP_ACT_TRAP", "args": args }]);
    let plan = try_plan(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).expect("a plan");
    for (arg, wanted) in [(5, "TRAP"), (9, "TRAP"), (7, "ALLOW")] {
        assert_eq!(answer(&plan, "x86_64", "read", &[arg]), wanted, "{arg}");
    }
    assert!(plan.warnings[0].pointer == "/linux/seccomp/syscalls/0/args", "{:?}", plan.warnings);
}

#[test]
fn a_rule_with_the_default_action_has_no_effect_and_says_so() {
    let arg = json!([{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([{ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": arg },
        { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}] }]);
    let plan = try_plan(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).expect("a plan");
    assert_eq!(answer(&plan, "x86_64", "read", &[38]), "ALLOW");
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn what_rt_still_needs_and_may_not_call_is_noted() {
    let arg = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([{ "names": ["write"], "action": "SCMP_ACT_TRAP", "args": arg },
        { "names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY" }]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": rules});
    let found = try_plan(profile).expect("a plan").obstacles;
    let found: Vec<_> = found.iter().map(|one| (&*one.syscall, &*one.action, one.conditional, &*one.pointer)).collect();
    // Whoever is asked answers, and that is rt itself as long as nobody else has the listener.
    assert_eq!(found, [("write", "TRAP", true, "/linux/seccomp/syscalls/0/action")]);
    let rules = json!([{ "names": ["sendmsg"], "action": "SCMP_ACT_LOG" }]);
    let found = try_plan(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).expect("a plan").obstacles;
    let found: Vec<_> = found.iter().map(|one| (&*one.syscall, &*one.action, one.conditional, &*one.pointer)).collect();
    assert_eq!(found, [("write", "ERRNO(1)", false, "/linux/seccomp/defaultAction")]);
}

#[test]
fn a_person_can_read_the_filter() {
    let actions = ACTIONS.map(|row| row.0);
    let text = explain::explain_profile(&docker(), &host(Arch::ScmpArchX86_64, &actions)).expect("a profile");
    for line in ["default ERRNO(1)", "x32", "  ALLOW clone if arg0 & 0x7e020000 == 0x0", "  ERRNO(38) 1 calls: clone3"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let plan = try_plan(serde_json::to_value(docker()).expect("JSON")).expect("a plan");
    let text = plan.disassemble();
    assert!(text.starts_with("0000  A = arch\n0001  if A == 0xc000003e goto "), "{text}");
    assert_eq!(text.lines().count(), plan.program.len());
    assert!(plan.returns().keys().eq(["ALLOW", "ERRNO(1)", "ERRNO(38)", "KILL_THREAD"].iter()), "{:?}", plan.returns());
}
