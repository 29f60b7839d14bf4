//! The state of a container of which nothing is made yet.

use super::settings::Settings;
use crate::host::Host;
use crate::plan::Plan;
use crate::spec::Spec;
use crate::state::{State, VERSION};
use crate::sys::mount;

/// What is known before anything is made.
pub fn first_state(spec: &Spec, plan: &Plan, host: &Host, settings: &Settings) -> State {
    State {
        version: VERSION,
        oci_version: spec.oci.version().clone(),
        id: settings.id.clone(),
        bundle: spec.bundle.clone(),
        rootfs: plan.rootfs.path.clone(),
        created: crate::log::rfc3339(std::time::SystemTime::now()),
        owner: host.euid,
        annotations: spec.oci.annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        cgroup: plan.cgroup.paths.clone(),
        own_pid_namespace: plan.namespaces.pid.is_new(),
        own_mount_namespace: plan.namespaces.mount.is_own(),
        has_process: plan.process.is_some(),
        has_start_hooks: plan.hooks.start_container().as_ref().is_some_and(|hooks| !hooks.is_empty()),
        new_keyring: settings.new_keyring,
        mount_below: if plan.namespaces.mount.is_own() { None } else { mount::mount_id(&plan.rootfs.path).ok() },
        poststart: plan.hooks.poststart().clone().unwrap_or_default(),
        poststop: plan.hooks.poststop().clone().unwrap_or_default(),
        ..State::default()
    }
}
