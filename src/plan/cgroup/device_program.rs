//! Device rules as an eBPF program: the kernel runs it at each mknod and open of a device.
//!
//! The rules are asked from the last to the first. Register 3 holds the accesses that no rule has decided yet: a rule
//! that denies one of them ends with 0, a rule that allows some takes them out, and when none is left the end is 1.

use super::devices::{ALL, DeviceKind, DeviceRule};

// Opcodes: class, source, operation (linux/bpf.h).
const LOAD_U32: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_UNLESS_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_UNLESS_EQUAL_32: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_IF_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// The result: allowed or not.
const RESULT: u8 = 0;
/// The address of struct bpf_cgroup_dev_ctx; later, the part of a rule's accesses that is asked.
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;

/// Compiles `rules`, of which the last that fits decides each access; what no rule decides is denied.
pub(super) fn compile(rules: &[DeviceRule]) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD_U32, KIND, CONTEXT, 0, 0),
        instruction(MOVE, UNDECIDED, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, UNDECIDED, 0, 0, 16),
        instruction(LOAD_U32, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_U32, MINOR, CONTEXT, 8, 0),
    ];
    let mut later: Vec<&DeviceRule> = Vec::with_capacity(rules.len());
    for rule in rules.iter().rev() {
        if later.iter().any(|l| l.covers(rule) && rule.access & !l.access == 0) {
            continue;
        }
        later.push(rule);
        program.extend(compile_rule(rule));
        if rule.is_total() {
            // The verifier refuses what can never be reached.
            return program;
        }
    }
    program.extend(end_with(false));
    program
}

fn compile_rule(rule: &DeviceRule) -> Vec<u64> {
    let body = match (rule.allow, rule.access) {
        (allow, ALL) => end_with(allow).to_vec(),
        (true, access) => {
            let [set, exit] = end_with(true);
            let others = i32::from(ALL & !access);
            vec![
                instruction(AND, UNDECIDED, 0, 0, others),
                instruction(JUMP_UNLESS_EQUAL, UNDECIDED, 0, 2, 0),
                set,
                exit,
            ]
        }
        (false, access) => {
            let [set, exit] = end_with(false);
            vec![
                instruction(MOVE, CONTEXT, UNDECIDED, 0, 0),
                instruction(AND, CONTEXT, 0, 0, i32::from(access)),
                instruction(JUMP_IF_EQUAL, CONTEXT, 0, 2, 0),
                set,
                exit,
            ]
        }
    };
    let kind = match rule.kind {
        DeviceKind::Any => None,
        DeviceKind::Block => Some((KIND, BLOCK)),
        DeviceKind::Char => Some((KIND, CHAR)),
    };
    let number = |register, value: Option<u32>| value.map(|v| (register, v.cast_signed()));
    let conditions: Vec<_> =
        [kind, number(MAJOR, rule.major), number(MINOR, rule.minor)].into_iter().flatten().collect();
    let mut code = Vec::with_capacity(conditions.len() + body.len());
    for (index, (register, value)) in conditions.iter().enumerate() {
        let over = conditions.len() - index - 1 + body.len();
        let over = i16::try_from(over).expect("a rule has at most 8 instructions");
        code.push(instruction(JUMP_UNLESS_EQUAL_32, *register, 0, over, *value));
    }
    code.extend(body);
    code
}

fn end_with(allow: bool) -> [u64; 2] {
    [instruction(SET, RESULT, 0, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
}

/// struct bpf_insn: two registers share a byte, in the order of a bit field.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
    let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
}

#[cfg(test)]
mod tests {
    use super::super::devices::{MKNOD, READ, WRITE};
    use super::*;

    /// Runs a program as the kernel would, on `(kind, access, major, minor)`.
    fn run(program: &[u64], (kind, access, major, minor): (i32, u8, u32, u32)) -> bool {
        let context = [kind as u32 | u32::from(access) << 16, major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let [code, both, o0, o1, i0, i1, i2, i3] = program[at].to_le_bytes();
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            let offset = i16::from_le_bytes([o0, o1]);
            let value = i32::from_le_bytes([i0, i1, i2, i3]);
            let mut jump = false;
            match code {
                LOAD_U32 => registers[to] = u64::from(context[offset as usize / 4]),
                MOVE => registers[to] = u64::from(registers[from] as u32),
                SET => registers[to] = value as u64,
                AND => registers[to] = u64::from(registers[to] as u32 & value as u32),
                SHIFT_RIGHT => registers[to] = u64::from(registers[to] as u32 >> value),
                JUMP_UNLESS_EQUAL => jump = registers[to] != value as i64 as u64,
                JUMP_UNLESS_EQUAL_32 => jump = registers[to] as u32 != value as u32,
                JUMP_IF_EQUAL => jump = registers[to] == value as i64 as u64,
                EXIT => return registers[0] != 0,
                other => panic!("opcode {other:#x}"),
            }
            at = (at + 1).strict_add_signed(if jump { isize::from(offset) } else { 0 });
        }
    }

    /// The meaning: each access is decided by the last rule that fits it.
    fn meaning(rules: &[DeviceRule], (kind, access, major, minor): (i32, u8, u32, u32)) -> bool {
        let kind = if kind == BLOCK { DeviceKind::Block } else { DeviceKind::Char };
        let device = DeviceRule { allow: true, kind, major: Some(major), minor: Some(minor), access };
        [MKNOD, READ, WRITE]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| rules.iter().rev().find(|r| r.covers(&device) && r.access & bit != 0).is_some_and(|r| r.allow))
    }

    #[test]
    fn programs_mean_what_the_rules_say() {
        // A fixed generator: the same ten thousand lists of rules each time.
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..10_000 {
            let rules: Vec<DeviceRule> = (0..next(8))
                .map(|_| DeviceRule {
                    allow: next(2) == 0,
                    kind: [DeviceKind::Any, DeviceKind::Block, DeviceKind::Char][next(3) as usize],
                    major: [None, Some(1), Some(u32::MAX)][next(3) as usize],
                    minor: [None, Some(1), Some(2)][next(3) as usize],
                    access: next(7) as u8 + 1,
                })
                .collect();
            let program = compile(&rules);
            for kind in [BLOCK, CHAR] {
                for access in 1..=ALL {
                    for (major, minor) in [(1, 1), (1, 2), (u32::MAX, 1), (7, 7)] {
                        let question = (kind, access, major, minor);
                        assert_eq!(run(&program, question), meaning(&rules, question), "{rules:?} {question:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_stands_behind_a_rule_about_everything() {
        let total = DeviceRule { allow: false, kind: DeviceKind::Any, major: None, minor: None, access: ALL };
        let other = DeviceRule { allow: true, kind: DeviceKind::Char, major: Some(1), minor: Some(3), access: ALL };
        assert_eq!(compile(&[other, total]).len(), 6 + 2);
        assert_eq!(compile(&[total, other, other]).len(), 6 + 5 + 2);
        assert_eq!(compile(&[]).len(), 6 + 2);
    }
}
