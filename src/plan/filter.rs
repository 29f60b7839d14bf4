//! The container's system call filter, held against what `rt` itself must still do under it.

use oci_spec::runtime::{Arch, LinuxSeccompAction};

use super::process::ProcessPlan;
use super::seccomp::{ACTIONS, SeccompFlags, SeccompHost, SeccompPlan, explain_profile, native_arch, plan_seccomp};
use crate::error::Faults;
use crate::host::Host;
use crate::spec::Spec;

/// What follows the filter when it is the very last thing: with `noNewPrivileges`, loading it takes no privilege.
const NEEDED_AT_THE_END: &[&str] = &["execve"];

/// What follows it otherwise: it is loaded while CAP_SYS_ADMIN is there, before the capabilities are dropped. Nothing
/// newer than Linux 2.6.28, so that old profiles need not know it.
const NEEDED_BEFORE_THE_DROP: &[&str] = &["capget", "prctl", "capset", "sendmsg", "recvfrom", "accept4", "execve"];

/// Compiles `linux.seccomp` for a process of the container; `None` when there is none.
///
/// A profile under which `rt` could not finish its work is refused: the container would hang or die at the start.
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp>.
pub fn plan_filter(spec: &Spec, process: &ProcessPlan, host: &Host, faults: &mut Faults) -> Option<SeccompPlan> {
    let seccomp = spec.oci.linux().as_ref()?.seccomp().as_ref()?;
    let Some(native) = native_arch() else {
        faults.error("/linux/seccomp", "rt knows no system call numbers of this machine's architecture");
        return None;
    };
    let still_needed = if process.no_new_privileges { NEEDED_AT_THE_END } else { NEEDED_BEFORE_THE_DROP };
    let flags = supported_flags(host.kernel);
    match plan_seccomp(seccomp, &SeccompHost { native, flags, actions: &actions(), still_needed }) {
        Err(fault) => {
            faults.error(fault.pointer, fault.reason);
            None
        }
        Ok(plan) => {
            check(&plan, native, faults);
            Some(plan)
        }
    }
}

/// What the profile means, architecture by architecture, and the program that was made of it; for `rt explain
/// --seccomp`, after `plan_filter` found nothing wrong.
pub fn explain_filter(spec: &Spec, plan: &SeccompPlan, host: &Host) -> Option<String> {
    let seccomp = spec.oci.linux().as_ref()?.seccomp().as_ref()?;
    let flags = supported_flags(host.kernel);
    let profile = SeccompHost { native: native_arch()?, flags, actions: &actions(), still_needed: &[] };
    let profile = explain_profile(seccomp, &profile).ok()?;
    Some(format!("{profile}\n{}", plan.disassemble()))
}

fn actions() -> Vec<LinuxSeccompAction> {
    ACTIONS.iter().map(|action| action.0).collect()
}

fn check(plan: &SeccompPlan, native: Arch, faults: &mut Faults) {
    for warning in &plan.warnings {
        faults.warn("/linux/seccomp", warning.as_str());
    }
    if plan.listener.is_some() {
        faults.error("/linux/seccomp/listenerPath", "this rt cannot hand a seccomp listener out yet");
    }
    if let Some(obstacle) = plan.obstacles.first() {
        let (call, action) = (&obstacle.syscall, &obstacle.action);
        faults.error(
            obstacle.pointer.as_str(),
            format!("rt itself must call {call} once more under this filter ({native}), which answers with {action}"),
        );
    }
}

/// All of the flags came before Linux 5.12, the oldest for `rt`, but one.
fn supported_flags((major, minor): (u32, u32)) -> SeccompFlags {
    let all = SeccompFlags::TSYNC.bits()
        | SeccompFlags::LOG.bits()
        | SeccompFlags::SPEC_ALLOW.bits()
        | SeccompFlags::NEW_LISTENER.bits()
        | SeccompFlags::TSYNC_ESRCH.bits();
    let since_5_19 = if (major, minor) >= (5, 19) { SeccompFlags::WAIT_KILLABLE_RECV.bits() } else { 0 };
    SeccompFlags::from_bits(all | since_5_19)
}
