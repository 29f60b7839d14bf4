//! The filters that libseccomp makes, and what is wrong with them.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::AsFd;

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

use super::action::{ERRNO, plan_action};
use super::arch::ARCHITECTURES;
use super::bpf::{AND, JUMP, LOAD, RETURN};
use super::{SockFilter, alternatives};

pub(super) fn scmp_arch(arch: Arch) -> Option<ScmpArch> {
    Some(match arch {
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        Arch::ScmpArchMips => ScmpArch::Mips,
        Arch::ScmpArchMips64 => ScmpArch::Mips64,
        Arch::ScmpArchMips64n32 => ScmpArch::Mips64N32,
        Arch::ScmpArchMipsel => ScmpArch::Mipsel,
        Arch::ScmpArchMipsel64 => ScmpArch::Mipsel64,
        Arch::ScmpArchMipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::ScmpArchPpc => ScmpArch::Ppc,
        Arch::ScmpArchPpc64 => ScmpArch::Ppc64,
        Arch::ScmpArchPpc64le => ScmpArch::Ppc64Le,
        Arch::ScmpArchS390 => ScmpArch::S390,
        Arch::ScmpArchS390x => ScmpArch::S390X,
        Arch::ScmpArchParisc => ScmpArch::Parisc,
        Arch::ScmpArchParisc64 => ScmpArch::Parisc64,
        Arch::ScmpArchRiscv64 => ScmpArch::Riscv64,
        // libseccomp 2.5 has none of these; the model in tests.rs judges them.
        Arch::ScmpArchLoongarch64 | Arch::ScmpArchM68k | Arch::ScmpArchSh | Arch::ScmpArchSheb => return None,
        Arch::ScmpArchNative => return None,
    })
}

fn scmp_action(value: u32) -> ScmpAction {
    let data = value & 0xffff;
    match value & 0xffff_0000 {
        0x8000_0000 => ScmpAction::KillProcess,
        0 => ScmpAction::KillThread,
        0x0003_0000 => ScmpAction::Trap,
        ERRNO => ScmpAction::Errno(data as i32),
        0x7fc0_0000 => ScmpAction::Notify,
        0x7ff0_0000 => ScmpAction::Trace(data as u16),
        0x7ffc_0000 => ScmpAction::Log,
        0x7fff_0000 => ScmpAction::Allow,
        other => panic!("{other:#x}"),
    }
}

fn scmp_compare(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let op = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => ScmpCompareOp::NotEqual,
        LinuxSeccompOperator::ScmpCmpLt => ScmpCompareOp::Less,
        LinuxSeccompOperator::ScmpCmpLe => ScmpCompareOp::LessOrEqual,
        LinuxSeccompOperator::ScmpCmpEq => ScmpCompareOp::Equal,
        LinuxSeccompOperator::ScmpCmpGe => ScmpCompareOp::GreaterEqual,
        LinuxSeccompOperator::ScmpCmpGt => ScmpCompareOp::Greater,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let datum = arg.value_two().unwrap_or(0);
            return ScmpArgCompare::new(arg.index() as u32, ScmpCompareOp::MaskedEqual(arg.value()), datum);
        }
    };
    ScmpArgCompare::new(arg.index() as u32, op, arg.value())
}

pub(super) fn value_of(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    plan_action(action, errno, &String::new).expect("tests use valid actions")
}

/// libseccomp's filter, fed as runc feeds it; `None` if it refuses the profile.
pub(super) fn libseccomp_filter(profile: &LinuxSeccomp, arches: &[Arch]) -> Option<Vec<SockFilter>> {
    let default = value_of(profile.default_action(), profile.default_errno_ret());
    let mut filter = ScmpFilterContext::new(scmp_action(default)).expect("libseccomp starts");
    filter.remove_arch(ScmpArch::native()).expect("remove the native architecture");
    for arch in arches {
        filter.add_arch(scmp_arch(*arch)?).expect("add an architecture");
    }
    for syscall in profile.syscalls().iter().flatten() {
        let action = value_of(syscall.action(), syscall.errno_ret());
        if action == default {
            continue;
        }
        for name in syscall.names() {
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            let args = syscall.args().as_deref().unwrap_or_default();
            let added = match args.is_empty() {
                true => filter.add_rule(scmp_action(action), call).is_ok(),
                false => alternatives(args).iter().all(|group| {
                    let comparators: Vec<_> = group.iter().map(scmp_compare).collect();
                    filter.add_rule_conditional(scmp_action(action), call, &comparators).is_ok()
                }),
            };
            if !added {
                return None;
            }
        }
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    filter.export_bpf(writer.as_fd()).expect("export");
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("read the filter");
    // It writes for the machine that the filter is for.
    let foreign = ARCHITECTURES.iter().any(|arch| arch.arch == arches[0] && arch.big_endian);
    let swap16 = |value: u16| if foreign { value.swap_bytes() } else { value };
    let swap32 = |value: u32| if foreign { value.swap_bytes() } else { value };
    let instruction = |b: &[u8]| SockFilter {
        code: swap16(u16::from_le_bytes([b[0], b[1]])),
        jt: b[2],
        jf: b[3],
        k: swap32(u32::from_le_bytes([b[4], b[5], b[6], b[7]])),
    };
    let mut program: Vec<SockFilter> = bytes.chunks_exact(8).map(instruction).collect();
    if foreign {
        let actions = profile.syscalls().iter().flatten().map(|one| value_of(one.action(), one.errno_ret()));
        let values: Vec<u32> = actions.chain([default]).collect();
        program.iter_mut().for_each(|instruction| unswap_return(instruction, &values));
    }
    Some(program)
}

/// libseccomp swaps the bytes of the returns that it duplicates twice where it compiles for another byte order, and
/// so not at all; nobody but this test does that.
fn unswap_return(instruction: &mut SockFilter, values: &[u32]) {
    if instruction.code == RETURN && values.contains(&instruction.k.swap_bytes()) {
        instruction.k = instruction.k.swap_bytes();
    }
}

/// Finds libseccomp's bug: comparisons that are reached with different things in the accumulator, and numbers that
/// are compared with the architecture. Its code generator forgets a load where rules share code.
pub(super) fn stale_comparisons(program: &[SockFilter], mut audits: HashSet<u32>) -> Vec<bool> {
    const ARCH: u64 = 1 << 4;
    // Bit N: the accumulator may hold the word at offset N. Jumps only go forward.
    let mut holds = vec![0u64; program.len() + 1];
    let mut stale = vec![false; program.len()];
    for (at, instruction) in program.iter().enumerate() {
        let SockFilter { code, jt, jf, k } = *instruction;
        let held = holds[at];
        match code {
            LOAD => holds[at + 1] |= 1 << k,
            AND => holds[at + 1] |= held,
            JUMP => holds[at + 1 + k as usize] |= held,
            RETURN => {}
            _ => {
                stale[at] = held.count_ones() > 1 || (held == ARCH && !audits.remove(&k));
                holds[at + 1 + usize::from(jt)] |= held;
                holds[at + 1 + usize::from(jf)] |= held;
            }
        }
    }
    stale
}
