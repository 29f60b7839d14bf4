//! Scheduling policy, I/O priority and CPUs of a process, as the kernel takes them.

use std::fmt;

use oci_spec::runtime::{IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy, Scheduler};

use crate::spec::number_list;

/// The arguments of sched_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerPlan {
    /// SCHED_*
    pub policy: u32,
    /// SCHED_FLAG_*
    pub flags: u64,
    /// -20 to 19
    pub nice: i32,
    /// 1 to 99 with SCHED_FIFO and SCHED_RR, else 0
    pub priority: u32,
    /// In nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// In nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// In nanoseconds, for SCHED_DEADLINE; 0 is the deadline.
    pub period: u64,
    /// For messages.
    name: LinuxSchedulerPolicy,
}

/// Plans the scheduler, which was checked by `spec`.
pub fn plan_scheduler(scheduler: &Scheduler) -> SchedulerPlan {
    let flags = scheduler.flags().iter().flatten().fold(0, |flags, flag| flags | flag_bit(*flag));
    SchedulerPlan {
        policy: match scheduler.policy() {
            LinuxSchedulerPolicy::SchedOther => 0,
            LinuxSchedulerPolicy::SchedFifo => 1,
            LinuxSchedulerPolicy::SchedRr => 2,
            LinuxSchedulerPolicy::SchedBatch => 3,
            LinuxSchedulerPolicy::SchedIso => 4,
            LinuxSchedulerPolicy::SchedIdle => 5,
            LinuxSchedulerPolicy::SchedDeadline => 6,
        },
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler.priority().and_then(|priority| priority.try_into().ok()).unwrap_or(0),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
        name: *scheduler.policy(),
    }
}

/// See linux/sched.h.
fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

impl fmt::Display for SchedulerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.nice != 0 {
            write!(f, " nice {}", self.nice)?;
        }
        if self.priority != 0 {
            write!(f, " priority {}", self.priority)?;
        }
        if self.name == LinuxSchedulerPolicy::SchedDeadline {
            write!(f, " runtime {} ns deadline {} ns period {} ns", self.runtime, self.deadline, self.period)?;
        }
        if self.flags != 0 {
            write!(f, " flags {:#x}", self.flags)?;
        }
        Ok(())
    }
}

/// The argument of ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPriority {
    class: IOPriorityClass,
    level: u16,
}

/// Plans the I/O priority, which was checked by `spec`.
pub fn plan_io_priority(priority: &LinuxIOPriority) -> IoPriority {
    IoPriority { class: priority.class(), level: priority.priority().clamp(0, 7) as u16 }
}

impl IoPriority {
    /// Class and level as the kernel packs them.
    pub fn packed(self) -> u16 {
        let class = match self.class {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        class << 13 | self.level
    }
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} level {}", self.class, self.level)
    }
}

/// CPUs, or memory nodes: a bit mask of as many words as its largest number needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet {
    /// The mask, lowest numbers first.
    pub mask: Vec<u64>,
    list: String,
}

/// Plans a list of CPUs or nodes; an empty one is none. `spec` has checked its form.
pub fn plan_cpus(list: Option<&str>) -> Option<CpuSet> {
    let list = list.filter(|list| !list.is_empty())?;
    let ranges = number_list::parse(list).ok()?;
    let largest = ranges.iter().map(|(_, last)| *last).max()?;
    let mut mask = vec![0_u64; largest as usize / 64 + 1];
    for number in ranges.into_iter().flat_map(|(first, last)| first..=last) {
        mask[number as usize / 64] |= 1 << (number % 64);
    }
    Some(CpuSet { mask, list: list.to_string() })
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_masks_of_lists_beyond_1024_cpus() {
        let cpus = plan_cpus(Some("0-2,64,1500")).expect("a list");
        assert_eq!((cpus.mask[0], cpus.mask[1], cpus.mask[23]), (0b111, 1, 1 << (1500 % 64)));
        assert_eq!(cpus.mask.len(), 24);
        assert_eq!(cpus.to_string(), "0-2,64,1500");
        assert_eq!(plan_cpus(None), None);
        assert_eq!(plan_cpus(Some("")), None);
    }

    #[test]
    fn packs_the_io_priority_of_the_specs_example() {
        let priority = IoPriority { class: IOPriorityClass::IoprioClassIdle, level: 4 };
        assert_eq!(priority.packed(), 3 << 13 | 4);
    }
}
