//! What the fields of `linux` mean together, and with the rest of config.json.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxDeviceCgroup, LinuxIdMapping, LinuxMemoryPolicy, LinuxNamespace, LinuxNamespaceType, LinuxResources,
    MemoryPolicyFlagType, MemoryPolicyModeType, Spec,
};

use super::check::check_mappings;
use super::escape;
use crate::error::Faults;

/// Checks `linux`, and what depends on its namespaces.
pub fn check(oci: &Spec, faults: &mut Faults) {
    let namespaces =
        Namespaces(oci.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default());
    check_uts(oci, &namespaces, faults);
    let Some(linux) = oci.linux() else { return };
    namespaces.check_duplicates(faults);
    check_user_namespace(oci, linux, &namespaces, faults);
    check_time_offsets(linux, &namespaces, faults);
    check_sysctl(linux, faults);
    check_net_devices(linux, &namespaces, faults);
    check_paths(linux, faults);
    if let Some(resources) = linux.resources() {
        check_resources(resources, faults);
    }
    if let Some(policy) = linux.memory_policy() {
        check_memory_policy(policy, faults);
    }
}

struct Namespaces<'a>(&'a [LinuxNamespace]);

impl Namespaces<'_> {
    fn of(&self, typ: LinuxNamespaceType) -> Option<&LinuxNamespace> {
        self.0.iter().find(|namespace| namespace.typ() == typ)
    }

    fn is_new(&self, typ: LinuxNamespaceType) -> bool {
        self.of(typ).is_some_and(|namespace| namespace.path().is_none())
    }

    fn check_duplicates(&self, faults: &mut Faults) {
        for (index, namespace) in self.0.iter().enumerate() {
            if let Some(first) = self.0[..index].iter().position(|other| other.typ() == namespace.typ()) {
                let name = name(namespace.typ());
                faults.error(
                    format!("/linux/namespaces/{index}/type"),
                    format!("{name} is already at /linux/namespaces/{first}"),
                );
            }
        }
    }
}

/// The OCI spec's word for a type of namespace.
fn name(typ: LinuxNamespaceType) -> &'static str {
    match typ {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    }
}

/// The kernel's limit for both names.
const LONGEST_UTS_NAME: usize = 64;

fn check_uts(oci: &Spec, namespaces: &Namespaces<'_>, faults: &mut Faults) {
    for (pointer, value) in [("/hostname", oci.hostname()), ("/domainname", oci.domainname())] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
        if namespaces.of(LinuxNamespaceType::Uts).is_none() {
            faults.error(pointer, "needs a uts namespace in /linux/namespaces: it would rename the host");
        }
        if value.len() > LONGEST_UTS_NAME {
            faults.error(pointer, format!("has {} bytes: the kernel takes {LONGEST_UTS_NAME}", value.len()));
        }
    }
}

fn check_user_namespace(oci: &Spec, linux: &Linux, namespaces: &Namespaces<'_>, faults: &mut Faults) {
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    let sides = [("/linux/uidMappings", uids), ("/linux/gidMappings", gids)];
    let user = namespaces.of(LinuxNamespaceType::User);
    for (pointer, mappings) in sides {
        check_mappings(mappings, pointer, faults);
        match (user, mappings.is_empty()) {
            (None, false) => faults.error(pointer, "needs a user namespace in /linux/namespaces"),
            (Some(user), true) if user.path().is_none() => {
                faults.error(pointer, "missing: a new user namespace needs at least one mapping");
            }
            _ => {}
        }
    }
    if let Some(process) = oci.process()
        && namespaces.is_new(LinuxNamespaceType::User)
    {
        let user = process.user();
        check_mapped(user.uid(), sides[0], "/process/user/uid", faults);
        check_mapped(user.gid(), sides[1], "/process/user/gid", faults);
        for (index, gid) in user.additional_gids().iter().flatten().enumerate() {
            check_mapped(*gid, sides[1], &format!("/process/user/additionalGids/{index}"), faults);
        }
    }
}

fn check_mapped(id: u32, (mapped_by, mappings): (&str, &[LinuxIdMapping]), pointer: &str, faults: &mut Faults) {
    let is_mapped = mappings
        .iter()
        .any(|mapping| id.checked_sub(mapping.container_id()).is_some_and(|distance| distance < mapping.size()));
    if !is_mapped && !mappings.is_empty() {
        faults.error(pointer, format!("{id} is not mapped by {mapped_by}"));
    }
}

fn check_time_offsets(linux: &Linux, namespaces: &Namespaces<'_>, faults: &mut Faults) {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|offsets| !offsets.is_empty()) else { return };
    for clock in offsets.keys().filter(|clock| !["monotonic", "boottime"].contains(&clock.as_str())) {
        faults.error(format!("/linux/timeOffsets/{}", escape(clock)), "is neither monotonic nor boottime");
    }
    if !namespaces.is_new(LinuxNamespaceType::Time) {
        let reason = match namespaces.of(LinuxNamespaceType::Time) {
            None => "needs a time namespace in /linux/namespaces",
            Some(_) => "cannot be set in a time namespace that is joined by path",
        };
        faults.error("/linux/timeOffsets", reason);
    }
}

/// The form of the keys; which of them are namespaced is decided by `plan`.
fn check_sysctl(linux: &Linux, faults: &mut Faults) {
    for key in linux.sysctl().iter().flatten().map(|(key, _)| key) {
        let is_bad = key.contains('\0') || key.split(['.', '/']).any(str::is_empty);
        if is_bad {
            faults.error(format!("/linux/sysctl/{}", escape(key)), "is not the name of a kernel parameter");
        }
    }
}

/// The kernel's limit for the name of a network device, without the NUL.
const LONGEST_DEVICE_NAME: usize = 15;

fn check_net_devices(linux: &Linux, namespaces: &Namespaces<'_>, faults: &mut Faults) {
    let Some(devices) = linux.net_devices().as_ref().filter(|devices| !devices.is_empty()) else { return };
    if namespaces.of(LinuxNamespaceType::Network).is_none() {
        faults.error("/linux/netDevices", "needs a network namespace in /linux/namespaces");
    }
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    let mut names: Vec<_> = devices.iter().collect();
    names.sort_by_key(|(host_name, _)| *host_name);
    for (host_name, device) in names {
        let pointer = format!("/linux/netDevices/{}", escape(host_name));
        // Go programs write the empty string for "absent".
        let asked = device.name().as_deref().filter(|name| !name.is_empty());
        let name = asked.unwrap_or(host_name);
        if is_bad_device_name(host_name) || host_name.contains('%') {
            faults.error(pointer, "is not the name of a network device");
        } else if host_name == "lo" {
            faults.error(pointer, "the loopback device belongs to its network namespace: it cannot be moved");
        } else if is_bad_device_name(name) || name.replacen("%d", "", 1).contains('%') {
            faults.error(format!("{pointer}/name"), format!("{name:?} is not the name of a network device"));
        } else if name == "lo" {
            faults.error(format!("{pointer}/name"), "every network namespace has its lo already");
        } else if let Some(other) = places.get(name).filter(|_| !name.contains('%')) {
            let reason = format!("{name:?} is taken by /linux/netDevices/{}", escape(other));
            faults.error(if asked.is_some() { format!("{pointer}/name") } else { pointer }, reason);
        } else {
            places.insert(name, host_name);
        }
    }
}

/// What the kernel takes for no name of a device.
fn is_bad_device_name(name: &str) -> bool {
    name.len() > LONGEST_DEVICE_NAME
        || ["", ".", ".."].contains(&name)
        || name.contains(|c: char| matches!(c, '/' | ':' | '\0' | '\x0b') || c.is_ascii_whitespace())
}

fn check_paths(linux: &Linux, faults: &mut Faults) {
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        if device.path() == Path::new("/") {
            faults.error(format!("/linux/devices/{index}/path"), "is the root directory");
        }
    }
    if let Some(rdt) = linux.intel_rdt() {
        check_l3_schema(rdt.l3_cache_schema().as_deref().unwrap_or_default(), faults);
        if rdt.mem_bw_schema().as_ref().is_some_and(|line| line.contains('\n')) {
            faults.error("/linux/intelRdt/memBwSchema", "must be one line");
        }
        if rdt.mem_bw_schema().as_ref().is_some_and(|line| !line.starts_with("MB:")) {
            faults.error("/linux/intelRdt/memBwSchema", "must start with MB:");
        }
        for (index, line) in rdt.schemata().iter().flatten().enumerate() {
            if line.contains('\n') {
                faults.error(format!("/linux/intelRdt/schemata/{index}"), "must be one line");
            }
        }
        if let Some(id) = rdt.clos_id()
            && id != "/"
            && (id.contains(['/', '\n', '\0']) || [".", "..", "info", "mon_groups", "mon_data"].contains(&id.as_str()))
        {
            faults.error("/linux/intelRdt/closID", format!("{id:?} is not the name of a directory"));
        }
    }
}

/// "The value SHOULD start with `L3:` and SHOULD NOT contain newlines": with code and data apart it has to do both.
fn check_l3_schema(schema: &str, faults: &mut Faults) {
    if !schema.is_empty() && !schema.starts_with("L3") {
        faults.warn("/linux/intelRdt/l3CacheSchema", "should start with L3:");
    }
    if schema.trim_end().contains('\n') {
        faults.warn("/linux/intelRdt/l3CacheSchema", "should be one line");
    }
}

/// The form of what cannot be a number; limits are judged by `plan`, which knows the controllers.
fn check_resources(resources: &LinuxResources, faults: &mut Faults) {
    for (index, rule) in resources.devices().iter().flatten().enumerate() {
        if let Some(access) = bad_access(rule) {
            let reason = format!("{access:?} has other letters than r, w and m");
            faults.error(format!("/linux/resources/devices/{index}/access"), reason);
        }
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        if !is_page_size(limit.page_size()) {
            faults.error(
                format!("/linux/resources/hugepageLimits/{index}/pageSize"),
                format!("{:?} is not a size like 64KB, 2MB or 1GB", limit.page_size()),
            );
        }
    }
    for (device, limits) in resources.rdma().iter().flatten() {
        if limits.hca_handles().is_none() && limits.hca_objects().is_none() {
            let pointer = format!("/linux/resources/rdma/{}", escape(device));
            faults.error(pointer, "needs hcaHandles or hcaObjects");
        }
    }
}

fn bad_access(rule: &LinuxDeviceCgroup) -> Option<&str> {
    rule.access().as_deref().filter(|access| access.contains(|letter| !"rwm".contains(letter)))
}

fn is_page_size(text: &str) -> bool {
    let digits = text.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
    text.len() == digits.len() + 2
        && !digits.starts_with('0')
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
}

/// See set_mempolicy(2): which modes need nodes, and which flags go together.
fn check_memory_policy(policy: &LinuxMemoryPolicy, faults: &mut Faults) {
    let mode = policy.mode();
    let has_nodes = policy.nodes().as_ref().is_some_and(|nodes| !nodes.is_empty());
    match mode {
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal if has_nodes => {
            faults.error("/linux/memoryPolicy/nodes", format!("must be empty with {mode}"));
        }
        // MPOL_PREFERRED without nodes is local allocation.
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal | MemoryPolicyModeType::MpolPreferred => {}
        _ if !has_nodes => faults.error("/linux/memoryPolicy/nodes", format!("missing: {mode} needs a node")),
        _ => {}
    }
    let flags = policy.flags().as_deref().unwrap_or_default();
    let has = |flag| flags.contains(&flag);
    if has(MemoryPolicyFlagType::MpolFStaticNodes) && has(MemoryPolicyFlagType::MpolFRelativeNodes) {
        let reason = "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other";
        faults.error("/linux/memoryPolicy/flags", reason);
    }
    if !flags.is_empty() && matches!(mode, MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal) {
        faults.error("/linux/memoryPolicy/flags", format!("must be empty with {mode}"));
    }
}
