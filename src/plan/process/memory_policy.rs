//! The NUMA memory policy of a container, as set_mempolicy(2) takes it.

use std::fmt;

use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

use super::scheduling::{CpuSet, plan_cpus};

/// The arguments of set_mempolicy(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// MPOL_* and MPOL_F_*
    pub mode: u32,
    /// The memory nodes; none where the mode takes none.
    pub nodes: Option<CpuSet>,
    name: MemoryPolicyModeType,
}

/// Plans `linux.memoryPolicy`, which was checked by `spec`.
pub fn plan_memory_policy(policy: &LinuxMemoryPolicy) -> MemoryPolicy {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = policy.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            }
    });
    MemoryPolicy { mode: mode | flags, nodes: plan_cpus(policy.nodes().as_deref()), name: policy.mode() }
}

impl fmt::Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(nodes) = &self.nodes {
            write!(f, " nodes {nodes}")?;
        }
        if self.mode >> 13 != 0 {
            write!(f, " flags {:#x}", self.mode & 0xe000)?;
        }
        Ok(())
    }
}
