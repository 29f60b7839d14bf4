//! The container's system call filter, held against what `rt` itself must still do under it.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction};

use super::annotations::{
    SECCOMP_BPF_DATA, SECCOMP_FAIL_UNKNOWN, SECCOMP_PLUGINS, SECCOMP_RECEIVER, annotation, pointer,
};
use super::process::ProcessPlan;
use super::seccomp::{
    ACTIONS, Listener, SeccompFlags, SeccompHost, SeccompPlan, explain_profile, native_arch, plan_raw, plan_seccomp,
};
use crate::error::Faults;
use crate::host::Host;
use crate::spec::Spec;

/// What follows the filter when it is the very last thing: with `noNewPrivileges`, loading it takes no privilege.
const NEEDED_AT_THE_END: &[&str] = &["execve"];

/// What follows it where there is an agent, who has to have the listener before the container is created.
const NEEDED_WITH_AN_AGENT: &[&str] = &["recvfrom", "close", "prctl", "sendmsg", "accept4", "execve"];

/// What follows it otherwise: it is loaded while CAP_SYS_ADMIN is there, before the capabilities are dropped. Nothing
/// newer than Linux 2.6.28, so that old profiles need not know it.
const NEEDED_BEFORE_THE_DROP: &[&str] =
    &["capget", "prctl", "capset", "sendmsg", "recvfrom", "close", "accept4", "execve"];

/// The system call filter for a process of the container: that of `linux.seccomp`, or of the annotation in its place.
///
/// A profile under which `rt` could not finish its work is refused: the container would hang or die at the start.
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp>.
pub fn plan_filter(spec: &Spec, process: &ProcessPlan, host: &Host, faults: &mut Faults) -> Option<SeccompPlan> {
    let seccomp = spec.oci.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    if annotation(&spec.oci, SECCOMP_PLUGINS).is_some() {
        faults
            .warn(pointer(SECCOMP_PLUGINS), "rt loads no plugins: whoever is to answer must be an agent with a socket");
    }
    let receiver = plan_receiver(spec, seccomp, host, faults);
    if let Some(data) = annotation(&spec.oci, SECCOMP_BPF_DATA) {
        let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone());
        let listener = receiver.map(|path| Listener { path, metadata });
        return plan_raw(data, listener).map_err(|reason| faults.error(pointer(SECCOMP_BPF_DATA), reason)).ok();
    }
    plan_profile(seccomp?, receiver.as_deref(), spec, process, host, faults)
}

/// Compiles `linux.seccomp`.
fn plan_profile(
    seccomp: &LinuxSeccomp,
    receiver: Option<&Path>,
    spec: &Spec,
    process: &ProcessPlan,
    host: &Host,
    faults: &mut Faults,
) -> Option<SeccompPlan> {
    let Some(native) = native_arch() else {
        faults.error("/linux/seccomp", "rt knows no system call numbers of this machine's architecture");
        return None;
    };
    let profile = SeccompHost {
        native,
        flags: supported_flags(host.kernel),
        actions: &actions(),
        still_needed: match process.no_new_privileges {
            false => NEEDED_BEFORE_THE_DROP,
            true if notifies(seccomp) => NEEDED_WITH_AN_AGENT,
            true => NEEDED_AT_THE_END,
        },
        receiver,
        refuses_unknown: annotation(&spec.oci, SECCOMP_FAIL_UNKNOWN).is_some(),
    };
    match plan_seccomp(seccomp, &profile) {
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

/// The agent's socket: that of the profile, of crun's annotation, or of crun's variable of the environment.
fn plan_receiver(spec: &Spec, seccomp: Option<&LinuxSeccomp>, host: &Host, faults: &mut Faults) -> Option<PathBuf> {
    let own = seccomp.and_then(|seccomp| seccomp.listener_path().clone());
    if let Some(path) = own.filter(|path| !path.as_os_str().is_empty()) {
        return Some(spec.bundle.join(path));
    }
    let path = annotation(&spec.oci, SECCOMP_RECEIVER).map(PathBuf::from).or_else(|| host.seccomp_receiver.clone())?;
    if !path.is_absolute() {
        faults.error(pointer(SECCOMP_RECEIVER), format!("the agent's socket {path:?} is not an absolute path"));
    }
    Some(path)
}

/// Whether any action is `SCMP_ACT_NOTIFY`.
fn notifies(seccomp: &LinuxSeccomp) -> bool {
    let mut actions = seccomp.syscalls().iter().flatten().map(|syscall| syscall.action());
    let is_notify = |action| action == LinuxSeccompAction::ScmpActNotify;
    is_notify(seccomp.default_action()) || actions.any(is_notify)
}

/// What the profile means, architecture by architecture, and the program that was made of it; for `rt explain
/// --seccomp`, after `plan_filter` found nothing wrong.
pub fn explain_filter(spec: &Spec, plan: &SeccompPlan, host: &Host) -> Option<String> {
    let seccomp = spec.oci.linux().as_ref()?.seccomp().as_ref()?;
    let flags = supported_flags(host.kernel);
    let profile = SeccompHost {
        native: native_arch()?,
        flags,
        actions: &actions(),
        still_needed: &[],
        receiver: Some(Path::new("/")),
        refuses_unknown: false,
    };
    let profile = explain_profile(seccomp, &profile).ok()?;
    Some(format!("{profile}\n{}", plan.disassemble()))
}

fn actions() -> Vec<LinuxSeccompAction> {
    ACTIONS.iter().map(|action| action.0).collect()
}

fn check(plan: &SeccompPlan, native: Arch, faults: &mut Faults) {
    for warning in &plan.warnings {
        faults.warn(warning.pointer.as_str(), warning.reason.as_str());
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
