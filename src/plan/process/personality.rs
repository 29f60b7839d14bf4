//! The execution domain of a container, as personality(2) takes it.

use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain};

use crate::error::Faults;

/// The flags of personality(2). OCI 1.3.0 has the field and names no values: these are the kernel's names.
const FLAGS: &[(&str, u32)] = &[
    ("UNAME26", 0x002_0000),
    ("ADDR_NO_RANDOMIZE", 0x004_0000),
    ("FDPIC_FUNCPTRS", 0x008_0000),
    ("MMAP_PAGE_ZERO", 0x010_0000),
    ("ADDR_COMPAT_LAYOUT", 0x020_0000),
    ("READ_IMPLIES_EXEC", 0x040_0000),
    ("ADDR_LIMIT_32BIT", 0x080_0000),
    ("SHORT_INODE", 0x100_0000),
    ("WHOLE_SECONDS", 0x200_0000),
    ("STICKY_TIMEOUTS", 0x400_0000),
    ("ADDR_LIMIT_3GB", 0x800_0000),
];

/// Plans `linux.personality`: the argument of personality(2).
pub fn plan_personality(personality: &LinuxPersonality, faults: &mut Faults) -> u32 {
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    let mut persona = domain;
    for (index, flag) in personality.flags().iter().flatten().enumerate() {
        match FLAGS.iter().find(|(name, _)| name == flag) {
            Some((_, bit)) => persona |= bit,
            None => {
                faults.error(
                    format!("/linux/personality/flags/{index}"),
                    format!("{flag:?} is not a flag of personality(2)"),
                );
            }
        }
    }
    persona
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_kernels_names_and_no_others() {
        let plan = |json| {
            let mut faults = Faults::default();
            let personality = serde_json::from_value(json).expect("of the model's shape");
            (plan_personality(&personality, &mut faults), faults.errors.len())
        };
        assert_eq!(plan(serde_json::json!({"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]})), (0x40008, 0));
        assert_eq!(plan(serde_json::json!({"domain": "LINUX", "flags": ["NONSENSE", "UNAME26"]})), (0x20000, 1));
    }
}
