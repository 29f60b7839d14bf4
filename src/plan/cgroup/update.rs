//! New limits for a container that exists: what they mean together with those that it has.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

use super::resources::{ResourcePlan, plan_resources};
use super::{DeviceForm, DevicePlan, devices};
use crate::error::{Fault, Faults};
use crate::host::cgroup::Layout;

/// An update, and what it takes to take it back where files do not tell.
#[derive(Debug)]
pub struct UpdatePlan {
    /// What is written.
    pub resources: ResourcePlan,
    /// The device rules as they are.
    pub devices_before: Option<DevicePlan>,
}

/// Takes over the fields that are given; 0 and the empty string are what managers send for "not given".
macro_rules! overlay {
    ($base:expr, $given:expr, $($get:ident $set:ident $unset:expr),* $(,)?) => {
        $(if let Some(value) = $given.$get().clone().filter(|value| !$unset(value)) { $base.$set(Some(value)); })*
    };
}

fn never<T>(_: &T) -> bool {
    false
}

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The limits that a container has after an update.
pub fn merge(base: &LinuxResources, given: &LinuxResources) -> LinuxResources {
    let mut all = base.clone();
    if let Some(given) = given.memory() {
        let mut memory = all.memory().unwrap_or_default();
        overlay!(memory, given, limit set_limit zero, reservation set_reservation zero, swap set_swap zero,
            swappiness set_swappiness never, disable_oom_killer set_disable_oom_killer never,
            use_hierarchy set_use_hierarchy never, check_before_update set_check_before_update never,
            kernel_tcp set_kernel_tcp zero);
        if given.limit() == Some(-1) && given.swap().is_none_or(|swap| swap == 0) {
            // There is nothing left that the sum could be above; and a later update must not find the old one.
            memory.set_swap(Some(-1));
        }
        all.set_memory(Some(memory));
    }
    if let Some(given) = given.cpu() {
        let mut cpu = all.cpu().clone().unwrap_or_default();
        overlay!(cpu, given, shares set_shares zero, quota set_quota zero, period set_period zero, idle set_idle never,
            burst set_burst never, realtime_runtime set_realtime_runtime zero,
            realtime_period set_realtime_period zero, cpus set_cpus String::is_empty, mems set_mems String::is_empty);
        all.set_cpu(Some(cpu));
    }
    if let Some(given) = given.block_io() {
        let block_io = merge_block_io(all.block_io().clone().unwrap_or_default(), given);
        all.set_block_io(Some(block_io));
    }
    if let Some(given) = given.network() {
        let mut network: LinuxNetwork = all.network().clone().unwrap_or_default();
        overlay!(network, given, class_id set_class_id zero);
        network.set_priorities(merge_lists(network.priorities(), given.priorities(), |one| one.name().clone()));
        all.set_network(Some(network));
    }
    let limits = merge_lists(all.hugepage_limits(), given.hugepage_limits(), |limit| limit.page_size().clone());
    all.set_hugepage_limits(limits);
    overlay!(all, given, pids set_pids never, devices set_devices Vec::is_empty);
    for (name, limits) in given.rdma().iter().flatten() {
        all.rdma_mut().get_or_insert_default().insert(name.clone(), *limits);
    }
    for (name, value) in given.unified().iter().flatten() {
        all.unified_mut().get_or_insert_default().insert(name.clone(), value.clone());
    }
    all
}

fn merge_block_io(mut block_io: LinuxBlockIo, given: &LinuxBlockIo) -> LinuxBlockIo {
    overlay!(block_io, given, weight set_weight zero, leaf_weight set_leaf_weight zero);
    let weights = merge_lists(block_io.weight_device(), given.weight_device(), |one| (one.major(), one.minor()));
    block_io.set_weight_device(weights);
    macro_rules! throttles {
        ($($get:ident $set:ident),*) => {
            $(let merged = merge_lists(block_io.$get(), given.$get(), |one| (one.major(), one.minor()));
            block_io.$set(merged);)*
        };
    }
    throttles!(
        throttle_read_bps_device set_throttle_read_bps_device,
        throttle_write_bps_device set_throttle_write_bps_device,
        throttle_read_iops_device set_throttle_read_iops_device,
        throttle_write_iops_device set_throttle_write_iops_device
    );
    block_io
}

/// Of two entries about the same thing the later one counts.
fn merge_lists<T: Clone, K: PartialEq>(
    base: &Option<Vec<T>>,
    given: &Option<Vec<T>>,
    key: impl Fn(&T) -> K,
) -> Option<Vec<T>> {
    let Some(given) = given else { return base.clone() };
    let mut all = base.clone().unwrap_or_default();
    all.retain(|old| given.iter().all(|new| key(new) != key(old)));
    all.extend(given.iter().cloned());
    Some(all)
}

/// Decides what is written. `base` is what the container has: values that depend on each other are written together.
pub fn plan_update(
    base: &LinuxResources,
    given: &LinuxResources,
    layout: &Layout,
    file: &'static str,
    faults: &mut Faults,
) -> UpdatePlan {
    let mut given = given.clone();
    if let Some(memory) = given.memory() {
        given.set_memory(Some(complete_memory(base.memory().unwrap_or_default(), *memory, file, faults)));
    }
    if let Some(cpu) = given.cpu() {
        let cpu = complete_cpu(base.cpu().clone().unwrap_or_default(), cpu.clone(), file, faults);
        given.set_cpu(Some(cpu));
    }
    if let (Some(base), Some(block_io)) = (base.block_io(), given.block_io_mut()) {
        complete_weights(base, block_io);
    }
    let mut resources = plan_resources(&given, layout, file, "", faults);
    let mut devices_before = None;
    if let Some(new) = &mut resources.devices {
        let rules = base.devices().clone().unwrap_or_default();
        devices_before = devices::plan_devices(&rules, layout, file, "", &mut Faults::default());
        if let Some(before) = &mut devices_before {
            (*before, *new) = (new.changed_to(before), before.changed_to(new));
        }
    }
    UpdatePlan { resources, devices_before }
}

/// The limit of memory and swap together is one of both: where one changes, what is left for the other changes too.
fn complete_memory(base: LinuxMemory, mut given: LinuxMemory, file: &'static str, faults: &mut Faults) -> LinuxMemory {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let base_swap = set(base.swap());
    match (set(given.limit()), set(given.swap())) {
        // Without a limit of memory there is nothing that the sum could be above.
        (Some(-1), None) if base_swap.is_some() => {
            given.set_swap(Some(-1));
        }
        (Some(limit), None) => match base_swap {
            Some(swap) if swap != -1 && swap < limit => {
                let reason = format!("{limit} is above the limit of memory and swap together, {swap}: give that too");
                faults.errors.push(Fault { file, pointer: "/memory/limit".into(), reason });
            }
            Some(_) => {
                given.set_swap(base_swap);
            }
            None => {}
        },
        (None, Some(swap)) if swap != -1 => {
            given.set_limit(set(base.limit()));
        }
        _ => {}
    }
    if given.check_before_update().is_none() {
        given.set_check_before_update(base.check_before_update());
    }
    given
}

/// The kernel refuses shares for an idle cgroup, and forgets them; systemd forgets the period when there is no quota.
fn complete_cpu(base: LinuxCpu, mut given: LinuxCpu, file: &'static str, faults: &mut Faults) -> LinuxCpu {
    let limit = |quota: Option<i64>| quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota != 0);
    let mut error = |pointer: &str, reason: String| {
        faults.errors.push(Fault { file, pointer: pointer.into(), reason });
    };
    match (limit(given.quota()), given.burst()) {
        (Some(quota), None) if base.burst().is_some_and(|burst| burst > quota) => {
            let burst = base.burst().unwrap_or_default();
            error("/cpu/quota", format!("{quota} is below the burst, {burst}: give that too"));
        }
        (None, Some(burst)) if given.quota() != Some(-1) && limit(base.quota()).is_some_and(|quota| burst > quota) => {
            let quota = base.quota().unwrap_or_default();
            error("/cpu/burst", format!("{burst} is above the quota, {quota}: give that too"));
        }
        _ => {}
    }
    if given.quota().is_some_and(|quota| quota != 0) && given.period().is_none_or(|period| period == 0) {
        given.set_period(base.period());
    }
    let (was_idle, has_shares) = (base.idle() == Some(1), given.shares().is_some_and(|shares| shares != 0));
    if was_idle && given.idle().is_none() && has_shares {
        given.set_idle(Some(1));
    } else if was_idle && given.idle() == Some(0) && !has_shares {
        given.set_shares(base.shares());
    }
    given
}

/// BFQ forgets the weights of single devices when it is given the weight of all: they are written again behind it.
fn complete_weights(base: &LinuxBlockIo, given: &mut LinuxBlockIo) {
    if given.weight().is_some_and(|weight| weight != 0) {
        let of_device = |one: &oci_spec::runtime::LinuxWeightDevice| (one.major(), one.minor());
        given.set_weight_device(merge_lists(base.weight_device(), given.weight_device(), of_device));
    }
}

impl DevicePlan {
    /// What turns these rules into others while processes use devices: never "deny all" in between.
    fn changed_to(&self, new: &DevicePlan) -> DevicePlan {
        let (DeviceForm::Lines(old_lines), DeviceForm::Lines(new_lines)) = (&self.form, &new.form) else {
            return new.clone();
        };
        let (Some((old_default, _)), Some((new_default, _))) = (old_lines.first(), new_lines.first()) else {
            return new.clone();
        };
        if old_default != new_default {
            return new.clone();
        }
        let is_allowed = !new_default;
        let mut lines = difference(new_lines, old_lines, is_allowed);
        // Taken away last: what is in both under different names stays usable.
        lines.extend(difference(old_lines, new_lines, !is_allowed));
        DevicePlan { rules: new.rules.clone(), form: DeviceForm::Lines(lines) }
    }
}

/// The letters of access that `lines` has and `others` has not, device by device, without the line that resets.
fn difference(lines: &[(bool, String)], others: &[(bool, String)], allow: bool) -> Vec<(bool, String)> {
    let parts = |line: &str| line.rsplit_once(' ').map(|(device, access)| (device.to_owned(), access.to_owned()));
    let others: Vec<_> = others.iter().skip(1).filter_map(|(_, line)| parts(line)).collect();
    let mut found = Vec::new();
    for (device, access) in lines.iter().skip(1).filter_map(|(_, line)| parts(line)) {
        let other = others.iter().find(|(name, _)| *name == device).map_or("", |(_, access)| access.as_str());
        let missing: String = access.chars().filter(|letter| !other.contains(*letter)).collect();
        if !missing.is_empty() {
            found.push((allow, format!("{device} {missing}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::{v1, v2};
    use super::*;

    fn of(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    /// `file=value` of each write of an update, or the pointers of its faults, each after a `!`.
    fn planned(base: &str, given: &str, layout: &Layout) -> String {
        let mut faults = Faults::default();
        let plan = plan_update(&of(base), &of(given), layout, "x", &mut faults);
        let faults = faults.errors.iter().map(|fault| format!("!{}", fault.pointer));
        let writes = plan.resources.writes.iter().map(|w| format!("{}={}", w.file, w.value.replace(' ', "_")));
        faults.chain(writes).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_belongs_together_is_written_together() {
        let swapping = r#"{"memory":{"limit":4096,"swap":12288}}"#;
        for (base, given, on_v1, on_v2) in [
            ("{}", r#"{"memory":{"limit":4096}}"#, "memory.limit_in_bytes=4096", "memory.max=4096"),
            (
                swapping,
                r#"{"memory":{"limit":8192}}"#,
                "memory.limit_in_bytes=8192 memory.memsw.limit_in_bytes=12288",
                "memory.max=8192 memory.swap.max=4096",
            ),
            (
                swapping,
                r#"{"memory":{"swap":8192}}"#,
                "memory.limit_in_bytes=4096 memory.memsw.limit_in_bytes=8192",
                "memory.max=4096 memory.swap.max=4096",
            ),
            (swapping, r#"{"memory":{"swap":-1}}"#, "memory.memsw.limit_in_bytes=-1", "memory.swap.max=max"),
            (
                swapping,
                r#"{"memory":{"limit":-1}}"#,
                "memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1",
                "memory.max=max memory.swap.max=max",
            ),
            (
                r#"{"cpu":{"idle":1,"shares":512}}"#,
                r#"{"cpu":{"idle":0}}"#,
                "cpu.idle=0 cpu.shares=512",
                "cpu.idle=0 cpu.weight=59",
            ),
            (r#"{"cpu":{"idle":1}}"#, r#"{"cpu":{"shares":512}}"#, "cpu.idle=1", "cpu.idle=1"),
            (
                r#"{"cpu":{"quota":-1,"period":200000}}"#,
                r#"{"cpu":{"quota":5000,"period":0}}"#,
                "cpu.cfs_period_us=200000 cpu.cfs_quota_us=5000",
                "cpu.max=5000_200000",
            ),
            (
                r#"{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":20},{"major":8,"minor":1,"weight":30}]}}"#,
                r#"{"blockIO":{"weight":50,"weightDevice":[{"major":8,"minor":0,"weight":60}]}}"#,
                "blkio.weight=50 blkio.weight_device=8:1_30 blkio.weight_device=8:0_60",
                "io.bfq.weight=50 io.bfq.weight=8:1_30 io.bfq.weight=8:0_60",
            ),
            (
                r#"{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":20}]}}"#,
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]}}"#,
                "blkio.throttle.read_bps_device=8:0_1",
                "io.max=8:0_rbps=1",
            ),
            (swapping, r#"{"memory":{"limit":0,"swap":0},"cpu":{"shares":0,"cpus":""}}"#, "", ""),
        ] {
            assert_eq!(planned(base, given, &v1()), on_v1, "{base} {given}");
            assert_eq!(planned(base, given, &v2()), on_v2, "{base} {given}");
        }
        assert!(planned(swapping, r#"{"memory":{"limit":16384}}"#, &v2()).starts_with("!/memory/limit"));
        assert!(planned("{}", r#"{"memory":{"swap":4096}}"#, &v2()).starts_with("!/memory/swap"));
        let bursting = r#"{"cpu":{"quota":5000,"burst":4000}}"#;
        for (given, expected) in [
            (r#"{"cpu":{"quota":3999}}"#, "!/cpu/quota"),
            (r#"{"cpu":{"burst":5001}}"#, "!/cpu/burst"),
            (r#"{"cpu":{"quota":3999,"burst":0}}"#, "cpu.max.burst=0"),
            (r#"{"cpu":{"quota":-1,"burst":5001}}"#, "cpu.max.burst=5001"),
            (r#"{"cpu":{"quota":-1}}"#, "cpu.max=max"),
        ] {
            assert!(planned(bursting, given, &v2()).starts_with(expected), "{given}");
        }
    }

    #[test]
    fn a_limit_that_is_taken_away_is_forgotten_with_its_sum() {
        let swapping = of(r#"{"memory":{"limit":4096,"swap":8192}}"#);
        let updated = merge(&LinuxResources::default(), &of(r#"{"memory":{"limit":-1}}"#));
        let updated = merge(&updated, &of(r#"{"memory":{"limit":16384}}"#));
        assert_eq!(merge(&swapping, &updated), of(r#"{"memory":{"limit":16384,"swap":-1}}"#));
    }

    #[test]
    fn what_is_not_given_stays() {
        let base = r#"{"memory":{"limit":4096,"swap":8192},"cpu":{"shares":512,"cpus":"0-1"},"pids":{"limit":5},
            "hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"1GB","limit":2}],
            "blockIO":{"weight":10,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},
            "unified":{"a.b":"1"},"devices":[{"allow":false,"access":"rwm"}]}"#;
        let given = r#"{"memory":{"limit":0,"swap":-1},"cpu":{"shares":0,"quota":7,"cpus":""},"devices":[],
            "hugepageLimits":[{"pageSize":"2MB","limit":3}],"pids":{"limit":0},
            "blockIO":{"weight":0,"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":2},{"major":8,"minor":0,"rate":9}]},
            "unified":{"c.d":"2"}}"#;
        let expected = r#"{"memory":{"limit":4096,"swap":-1},"cpu":{"shares":512,"quota":7,"cpus":"0-1"},
            "pids":{"limit":0},
            "hugepageLimits":[{"pageSize":"1GB","limit":2},{"pageSize":"2MB","limit":3}],
            "blockIO":{"weight":10,"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":2},{"major":8,"minor":0,"rate":9}]},
            "unified":{"a.b":"1","c.d":"2"},"devices":[{"allow":false,"access":"rwm"}]}"#;
        assert_eq!(merge(&of(base), &of(given)), of(expected));
        assert_eq!(merge(&of(base), &of("{}")), of(base));
        assert_eq!(merge(&of("{}"), &of(expected)), of(expected));
    }

    #[test]
    fn device_rules_change_without_denying_all() {
        let rules = |list: &str| {
            let all = of(&format!(r#"{{"devices":[{{"allow":false,"access":"rwm"}},{list}]}}"#)).devices().clone();
            devices::plan_devices(&all.unwrap(), &v1(), "x", "", &mut Faults::default()).unwrap()
        };
        let fuse = r#"{"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"}"#;
        let kmsg = r#"{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}"#;
        let lines = |plan: DevicePlan| match plan.form {
            DeviceForm::Lines(lines) => lines,
            DeviceForm::Program(_) => panic!("a program on v1"),
        };
        let line = |allow: bool, text: &str| (allow, text.to_owned());
        let change = rules(fuse).changed_to(&rules(&format!("{kmsg},{}", fuse.replace("rwm", "r"))));
        // Making nodes is allowed for every device.
        assert_eq!(lines(change), [line(true, "c 1:11 r"), line(false, "c 10:229 wm")]);
        assert_eq!(lines(rules(fuse).changed_to(&rules(fuse))), []);
        let open = r#"{"allow":true,"access":"rwm"}"#;
        assert_eq!(lines(rules(fuse).changed_to(&rules(open))), [line(true, "a")]);
    }
}
