//! What will be done: pure data, made by pure functions from a `Spec` and the `Host`'s facts.

pub mod annotations;
pub mod cgroup;
pub mod checkpoint;
pub mod explain;
pub mod filter;
pub mod namespaces;
pub mod net_devices;
pub mod notify;
pub mod process;
pub mod rdt;
pub mod rootfs;
pub mod seccomp;

use oci_spec::runtime::Hooks;

use crate::error::{Fault, Faults};
use crate::host::Host;
use crate::host::cgroup::Layout;
use crate::spec::Spec;
use cgroup::{CgroupPlan, plan_cgroup};
use filter::plan_filter;
use namespaces::{NamespacePlan, plan_namespaces};
use net_devices::{NetDevice, plan_net_devices};
use process::{ProcessPlan, plan_process};
use rdt::{RdtPlan, plan_rdt};
use rootfs::{RootfsPlan, Sysctl, plan_rootfs, plan_sysctl};
use seccomp::SeccompPlan;

/// Everything that is done to make a container.
#[derive(Debug)]
pub struct Plan {
    /// Which namespaces are new, joined or inherited.
    pub namespaces: NamespacePlan,
    /// Network devices that are moved into the container's network namespace.
    pub net_devices: Vec<NetDevice>,
    /// The mount tree.
    pub rootfs: RootfsPlan,
    /// Where the container's cgroups are, and what is written to them.
    pub cgroup: CgroupPlan,
    /// The container's resctrl group.
    pub rdt: Option<RdtPlan>,
    /// The user's program; without it the container can be created, not started.
    pub process: Option<ProcessPlan>,
    /// The system call filter.
    pub seccomp: Option<SeccompPlan>,
    /// What is written below /proc/sys, as file and value.
    pub sysctl: Vec<Sysctl>,
    /// `hostname`
    pub hostname: Option<String>,
    /// `domainname`
    pub domainname: Option<String>,
    /// All six kinds.
    pub hooks: Hooks,
    /// What was tolerated.
    pub warnings: Vec<Fault>,
}

impl Plan {
    /// Decides everything, and does nothing. Gives every fault, each with its JSON pointer, and beside it the plan of a
    /// faulty configuration too, for a caller that has more to look at.
    pub fn examine(spec: &Spec, host: &Host, id: &str, cgroup_driver: cgroup::Driver) -> (Plan, Faults) {
        let mut faults = spec.warnings.clone();
        let namespaces = plan_namespaces(spec, host, &mut faults);
        let net_devices = plan_net_devices(spec, host, &mut faults);
        let rootfs = plan_rootfs(spec, host, &namespaces, &mut faults);
        let cgroup = plan_cgroup(spec, host, id, cgroup_driver, &mut faults);
        let process = spec.oci.process().as_ref().map(|process| {
            let mut process = plan_process(process, host, "/process", &mut faults);
            process.add_containers(&spec.oci, &mut faults);
            process
        });
        let seccomp = process.as_ref().and_then(|process| plan_filter(spec, process, host, &mut faults));
        annotations::check(&spec.oci, &mut faults);
        let sysctl = plan_sysctl(spec, &namespaces, &mut faults);
        let plan = Plan {
            namespaces,
            net_devices,
            rootfs,
            cgroup,
            rdt: plan_rdt(spec, id),
            process,
            seccomp,
            sysctl,
            hostname: spec.oci.hostname().clone().filter(|name| !name.is_empty()),
            domainname: spec.oci.domainname().clone().filter(|name| !name.is_empty()),
            hooks: spec.oci.hooks().clone().unwrap_or_default(),
            warnings: faults.warnings.clone(),
        };
        (plan, faults)
    }

    /// Whether the cgroup namespace is made by INIT itself, after it has entered its cgroup.
    ///
    /// On v2, clone3 puts the process into its cgroup and roots the namespace there in one go, unless systemd moves it.
    pub fn unshares_cgroup_in_init(&self, host: &Host) -> bool {
        let joins_later = self.cgroup.scope.is_some() || !matches!(host.cgroup, Layout::Unified { .. });
        self.namespaces.cgroup.is_new() && joins_later
    }

    /// Whether INIT waits for the runtime between the namespaces and pivot_root: for hooks, or for network devices,
    /// which sysctls may be about.
    pub fn waits_before_pivot(&self) -> bool {
        self.has_create_hooks() || !self.net_devices.is_empty()
    }

    /// Whether INIT itself runs hooks.
    pub fn has_hooks_in_the_container(&self) -> bool {
        let any = |hooks: &Option<Vec<_>>| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
        any(self.hooks.create_container()) || any(self.hooks.start_container())
    }

    /// Whether hooks run between the namespaces and pivot_root.
    pub fn has_create_hooks(&self) -> bool {
        let any = |hooks: &Option<Vec<_>>| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
        any(self.hooks.prestart()) || any(self.hooks.create_runtime()) || any(self.hooks.create_container())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
