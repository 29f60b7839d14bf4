//! Resource limits, scheduling, memory policy, personality, the OOM killer's opinion.

use anyhow::{Context, Result};
use nix::sys::resource::{getrlimit, setrlimit};

use crate::plan::process::memory_policy::MemoryPolicy;
use crate::plan::process::scheduling::CpuSet;
use crate::plan::process::{ProcessPlan, Rlimit};
use crate::sys::sched;

/// Raises the runtime's own hard limits to those of the plan that are higher, for INIT to inherit: root of a user
/// namespace has no CAP_SYS_RESOURCE that counts. In the runtime, before clone, when INIT has its own user namespace.
///
/// # Errors
/// EPERM without CAP_SYS_RESOURCE.
pub fn raise_hard_limits(plan: &ProcessPlan) -> Result<()> {
    for (index, Rlimit { resource, typ, soft, hard }) in plan.rlimits.iter().copied().enumerate() {
        let (own_soft, own_hard) = getrlimit(resource).with_context(|| format!("read {typ}"))?;
        if hard > own_hard {
            setrlimit(resource, own_soft, hard)
                .with_context(|| format!("raise {typ} to {soft}:{hard} (/process/rlimits/{index})"))?;
        }
    }
    Ok(())
}

/// Sets the resource limits. Late, because INIT itself needs files, memory and time until then, but with
/// CAP_SYS_RESOURCE still there.
///
/// # Errors
/// EPERM for a hard limit above the caller's without CAP_SYS_RESOURCE, or RLIMIT_NOFILE above fs.nr_open.
pub fn apply_rlimits(plan: &ProcessPlan) -> Result<()> {
    for (index, Rlimit { resource, typ, soft, hard }) in plan.rlimits.iter().copied().enumerate() {
        setrlimit(resource, soft, hard)
            .with_context(|| format!("set {typ} to {soft}:{hard} (/process/rlimits/{index})"))?;
    }
    Ok(())
}

/// Writes the OOM score adjustment of `process` (`self`, or a pid) with `write_proc`, which takes a path within /proc.
/// While privileged: lowering it needs CAP_SYS_RESOURCE in the first user namespace, so for a container with its own
/// the runtime writes it for INIT's pid.
///
/// # Errors
/// EACCES without CAP_SYS_RESOURCE.
pub fn apply_oom_score_adj(
    plan: &ProcessPlan,
    process: &str,
    write_proc: impl FnOnce(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    match plan.oom_score_adj {
        None => Ok(()),
        Some(adjustment) => write_proc(&format!("{process}/oom_score_adj"), adjustment.to_string().as_bytes())
            .with_context(|| format!("set oom_score_adj to {adjustment} (/process/oomScoreAdj)")),
    }
}

/// Sets the scheduling policy. Before capabilities are dropped, in the container's cgroup.
///
/// # Errors
/// EPERM without CAP_SYS_NICE, or where the cgroup has no real-time bandwidth.
pub fn apply_scheduler(plan: &ProcessPlan) -> Result<()> {
    let Some(scheduler) = &plan.scheduler else { return Ok(()) };
    let attr = sched::SchedAttr {
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
        // The OCI spec has the flags and no values for them: the whole range.
        util_min: 0,
        util_max: 1024,
        ..Default::default()
    };
    sched::sched_setattr(attr).with_context(|| format!("set scheduler {scheduler} (/process/scheduler)"))
}

/// Sets the I/O priority, of this process: what it starts inherits it. Not of its process group, which may still be
/// that of whoever called rt.
///
/// # Errors
/// EPERM for the real-time class without privilege.
pub fn apply_io_priority(plan: &ProcessPlan) -> Result<()> {
    let Some(priority) = plan.io_priority else { return Ok(()) };
    sched::ioprio_set(priority.packed()).with_context(|| format!("set io priority {priority} (/process/ioPriority)"))
}

/// Runs only on these CPUs from here on: for `exec`, before and after it joins the container's cgroup.
///
/// # Errors
/// EINVAL when none of them is usable.
pub fn apply_cpus(cpus: Option<&CpuSet>) -> Result<()> {
    let Some(cpus) = cpus else { return Ok(()) };
    sched::sched_setaffinity(&cpus.mask).with_context(|| format!("run on cpus {cpus} (/process/execCPUAffinity)"))
}

/// Sets the NUMA memory policy. In the container's cgroup: its cpuset says which nodes there are.
///
/// # Errors
/// EINVAL for nodes that are not there.
pub fn apply_memory_policy(policy: Option<&MemoryPolicy>) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    let nodes = policy.nodes.as_ref().map_or(&[][..], |nodes| &nodes.mask);
    sched::set_mempolicy(policy.mode, nodes)
        .with_context(|| format!("set memory policy {policy} (/linux/memoryPolicy)"))
}

/// Sets the execution domain; `exec` sets the container's too.
///
/// # Errors
/// The kernel's.
pub fn apply_personality(persona: Option<u32>) -> Result<()> {
    let Some(persona) = persona else { return Ok(()) };
    sched::personality(persona).with_context(|| format!("set personality {persona:#x} (/linux/personality)"))
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::Resource;
    use serde_json::json;

    use super::*;
    use crate::plan::process::memory_policy::plan_memory_policy;
    use crate::plan::process::scheduling::plan_cpus;
    use crate::plan::process::tests::plan_of;
    use crate::sys::credentials::{capget, capset};
    use crate::sys::testing::in_child;

    #[test]
    fn sets_limits_and_says_which_one_the_kernel_refused() {
        let lower = plan_of(json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 30}]}));
        let raise = plan_of(json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 31}]}));
        let told = in_child(|| {
            apply_rlimits(&lower)?;
            let now = getrlimit(Resource::RLIMIT_NOFILE)?;
            let mut own = capget()?;
            own.effective &= !(1 << 24);
            capset(own)?;
            let refused = apply_rlimits(&raise).map_err(|error| format!("{error:#}"));
            raise_hard_limits(&lower)?;
            Ok(format!("{now:?} {refused:?}"))
        });
        let expected =
            r#"(20, 30) Err("set RLIMIT_NOFILE to 20:31 (/process/rlimits/0): EPERM: Operation not permitted")"#;
        assert_eq!(told.as_deref(), Ok(expected));
    }

    #[test]
    fn sets_the_scheduler() {
        let plan = plan_of(json!({
            "scheduler": {"policy": "SCHED_BATCH", "nice": 7},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
        }));
        let told = in_child(|| {
            apply_scheduler(&plan)?;
            apply_io_priority(&plan)?;
            let stat = std::fs::read_to_string("/proc/self/stat")?;
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            Ok(format!("nice {} policy {}", fields[16], fields[38]))
        });
        assert_eq!(told.as_deref(), Ok("nice 7 policy 3"));
    }

    #[test]
    fn says_which_policy_the_kernel_refused() {
        let plan = plan_of(json!({"scheduler": {"policy": "SCHED_FIFO", "priority": 100}}));
        let told = in_child(|| apply_scheduler(&plan).map(|()| String::new()));
        assert_eq!(
            told,
            Err("set scheduler SCHED_FIFO priority 100 (/process/scheduler): EINVAL: Invalid argument".into())
        );
    }

    #[test]
    fn runs_on_the_cpus_asked_for() {
        let told = in_child(|| {
            apply_cpus(plan_cpus(Some("0")).as_ref())?;
            let status = std::fs::read_to_string("/proc/self/status")?;
            Ok(status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default().into())
        });
        assert_eq!(told.as_deref(), Ok("Cpus_allowed_list:\t0"));
        let nowhere = in_child(|| apply_cpus(plan_cpus(Some("60000")).as_ref()).map(|()| String::new()));
        assert_eq!(nowhere, Err("run on cpus 60000 (/process/execCPUAffinity): EINVAL: Invalid argument".into()));
    }

    #[test]
    fn sets_the_memory_policy_where_the_kernel_has_nodes() {
        let apply = |policy: serde_json::Value| {
            let policy = plan_memory_policy(&serde_json::from_value(policy).expect("of the model's shape"));
            in_child(|| apply_memory_policy(Some(&policy)).map(|()| "set".into()))
        };
        let good = apply(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}));
        if good == Err(
            "set memory policy MPOL_BIND nodes 0 flags 0x8000 (/linux/memoryPolicy): ENOSYS: Function not implemented"
                .into(),
        ) {
            return;
        }
        assert_eq!(good.as_deref(), Ok("set"));
        let bad = apply(json!({"mode": "MPOL_BIND", "nodes": "900"}));
        assert_eq!(
            bad,
            Err("set memory policy MPOL_BIND nodes 900 (/linux/memoryPolicy): EINVAL: Invalid argument".into())
        );
    }

    #[test]
    fn sets_the_personality() {
        let told = in_child(|| {
            apply_personality(Some(0x40008))?;
            Ok(std::fs::read_to_string("/proc/self/personality")?.trim().into())
        });
        assert_eq!(told.as_deref(), Ok("00040008"));
    }

    #[test]
    fn leaves_oom_score_adj_alone_unless_asked() {
        let untouched = plan_of(json!({}));
        apply_oom_score_adj(&untouched, "self", |path, _| panic!("wrote {path}")).expect("nothing to do");
        let plan = plan_of(json!({"oomScoreAdj": -5}));
        let mut written = Vec::new();
        apply_oom_score_adj(&plan, "42", |path, bytes| {
            written.push((path.to_string(), bytes.to_vec()));
            Ok(())
        })
        .expect("written");
        assert_eq!(written, [("42/oom_score_adj".to_string(), b"-5".to_vec())]);
    }
}
