//! What the fields of `process` mean together.

use oci_spec::runtime::{LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};

use crate::error::Faults;

/// `NGROUPS_MAX`, setgroups(2).
const MOST_GROUPS: usize = 65536;

/// Checks `process`, which is at `pointer`.
pub fn check(process: &Process, pointer: &str, faults: &mut Faults) {
    match process.args() {
        None => faults.error(format!("{pointer}/args"), "missing"),
        Some(args) if args.is_empty() => faults.error(format!("{pointer}/args"), "args must not be empty"),
        // podman makes it of an image without a command, and its exit code of these words.
        Some(args) if args[0].is_empty() => {
            faults.error(format!("{pointer}/args/0"), "exec: \"\": executable file not found in $PATH");
        }
        Some(_) => {}
    }
    let user = process.user();
    for (name, id) in [("uid", user.uid()), ("gid", user.gid())] {
        check_id(id, || format!("{pointer}/user/{name}"), faults);
    }
    let groups = user.additional_gids().as_ref().map_or(0, Vec::len);
    if groups > MOST_GROUPS {
        let reason = format!("has {groups} groups: the kernel takes {MOST_GROUPS}");
        faults.error(format!("{pointer}/user/additionalGids"), reason);
    }
    for (index, gid) in user.additional_gids().iter().flatten().enumerate() {
        check_id(*gid, || format!("{pointer}/user/additionalGids/{index}"), faults);
    }
    check_rlimits(process, pointer, faults);
    if let Some(scheduler) = process.scheduler() {
        check_scheduler(scheduler, &format!("{pointer}/scheduler"), faults);
    }
}

/// To the kernel the largest number is no id: it means "leave as it is".
fn check_id(id: u32, pointer: impl Fn() -> String, faults: &mut Faults) {
    if id == u32::MAX {
        faults.error(pointer(), format!("{id} is not an id"));
    }
}

fn check_rlimits(process: &Process, pointer: &str, faults: &mut Faults) {
    let rlimits = process.rlimits().as_deref().unwrap_or_default();
    for (index, rlimit) in rlimits.iter().enumerate() {
        if let Some(first) = rlimits[..index].iter().position(|other| other.typ() == rlimit.typ()) {
            faults.error(
                format!("{pointer}/rlimits/{index}/type"),
                format!("{} is already at {pointer}/rlimits/{first}", rlimit.typ()),
            );
        }
        if rlimit.soft() > rlimit.hard() {
            faults.error(
                format!("{pointer}/rlimits/{index}/soft"),
                format!("{} is more than the hard limit {}", rlimit.soft(), rlimit.hard()),
            );
        }
    }
}

/// See sched(7): what each policy takes.
fn check_scheduler(scheduler: &Scheduler, pointer: &str, faults: &mut Faults) {
    let policy = *scheduler.policy();
    let priority = scheduler.priority().unwrap_or(0);
    match policy {
        LinuxSchedulerPolicy::SchedIso => {
            faults.error(format!("{pointer}/policy"), "SCHED_ISO is reserved: no Linux has it");
        }
        LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr if !(1..=99).contains(&priority) => {
            faults
                .error(format!("{pointer}/priority"), format!("{priority} is not between 1 and 99, as {policy} needs"));
        }
        LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr => {}
        _ if priority != 0 => {
            faults.error(format!("{pointer}/priority"), format!("must be 0 with {policy}, not {priority}"));
        }
        _ => {}
    }
    let nice = scheduler.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        faults.error(format!("{pointer}/nice"), format!("{nice} is not between -20 and 19"));
    }
    check_deadline(scheduler, pointer, faults);
}

/// The kernel wants 1024 ns <= runtime <= deadline <= period < 2^63; a period of 0 is the deadline.
fn check_deadline(scheduler: &Scheduler, pointer: &str, faults: &mut Faults) {
    let [runtime, deadline, period] =
        [scheduler.runtime(), scheduler.deadline(), scheduler.period()].map(|value| value.unwrap_or(0));
    if *scheduler.policy() != LinuxSchedulerPolicy::SchedDeadline {
        for (name, value) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
            if value != 0 {
                faults.error(format!("{pointer}/{name}"), format!("is for SCHED_DEADLINE, not {}", scheduler.policy()));
            }
        }
        return;
    }
    if runtime < 1024 {
        faults.error(format!("{pointer}/runtime"), format!("{runtime} is less than 1024 ns"));
    }
    if deadline < runtime {
        faults.error(format!("{pointer}/deadline"), format!("{deadline} is less than the runtime {runtime}"));
    }
    if period != 0 && period < deadline {
        faults.error(format!("{pointer}/period"), format!("{period} is less than the deadline {deadline}"));
    }
    for (name, value) in [("deadline", deadline), ("period", period)] {
        if value > i64::MAX as u64 {
            faults.error(format!("{pointer}/{name}"), format!("{value} is more than {}", i64::MAX));
        }
    }
}

/// startContainer hooks are children of the process, and have its policy: the kernel lets nobody with a deadline fork.
pub fn check_can_fork(process: &Process, pointer: &str, faults: &mut Faults) {
    let Some(scheduler) = process.scheduler() else { return };
    let resets = scheduler.flags().iter().flatten().any(|flag| *flag == LinuxSchedulerFlag::SchedResetOnFork);
    if *scheduler.policy() == LinuxSchedulerPolicy::SchedDeadline && !resets {
        let reason = "SCHED_DEADLINE cannot fork: startContainer hooks need SCHED_FLAG_RESET_ON_FORK";
        faults.error(format!("{pointer}/scheduler/flags"), reason);
    }
}
