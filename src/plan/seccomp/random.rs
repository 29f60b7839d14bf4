//! Profiles and arguments by chance, the same in every run.

use std::collections::{HashMap, HashSet};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator};

use super::syscalls::Call;

/// A small generator of pseudo-random numbers (xorshift64*), the same in every run.
pub(in crate::plan) struct Random(pub(in crate::plan) u64);

impl Random {
    pub(in crate::plan) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(in crate::plan) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    pub(in crate::plan) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A profile that nobody would write. With `overlap`, conditional rules of one call may have different actions.
pub(super) fn random_profile(random: &mut Random, overlap: bool) -> LinuxSeccomp {
    const ACTIONS: [(&str, Option<u32>); 11] = [
        ("SCMP_ACT_ALLOW", None),
        ("SCMP_ACT_ERRNO", None),
        ("SCMP_ACT_ERRNO", Some(38)),
        ("SCMP_ACT_ERRNO", Some(0)),
        ("SCMP_ACT_KILL", None),
        ("SCMP_ACT_KILL_PROCESS", None),
        ("SCMP_ACT_TRAP", None),
        ("SCMP_ACT_TRACE", Some(7)),
        ("SCMP_ACT_TRACE", None),
        ("SCMP_ACT_LOG", None),
        ("SCMP_ACT_NOTIFY", None),
    ];
    let default = random.pick(&ACTIONS[..10]);
    // Two calls of PowerPC that libseccomp cannot tell apart on another machine: both have the pseudo number -10191.
    let twins = ["sys_debug_setcontext", "switch_endian"];
    let calls: Vec<Call> = Call::all().filter(|call| !twins.contains(&call.name())).collect();
    let single: Vec<Call> = calls
        .iter()
        .copied()
        .filter(|call| call.multiplexed().is_none() && !["socketcall", "ipc"].contains(&call.name()))
        .collect();
    let mut fixed: HashMap<&str, (&str, Option<u32>)> = HashMap::new();
    let mut syscalls = Vec::new();
    for _ in 0..1 + random.below(12) {
        let args = if random.below(2) == 0 { random_args(random) } else { Vec::new() };
        let mut action = *random.pick(&ACTIONS);
        let names: Vec<&str> = if args.is_empty() {
            // Neighbours share leaves.
            let (from, count) = (random.below(calls.len()), 1 + random.below(40));
            calls.iter().skip(from).take(count).map(|call| call.name()).collect()
        } else {
            (0..1 + random.below(3)).map(|_| single[random.below(single.len()) % 60].name()).collect()
        };
        if !args.is_empty() && !overlap {
            // The first action that a call has under conditions is the only one.
            action = *fixed.entry(names[0]).or_insert(action);
            if names.iter().any(|name| *fixed.entry(*name).or_insert(action) != action) {
                continue;
            }
        }
        syscalls.push(serde_json::json!({ "names": names, "action": action.0, "errnoRet": action.1, "args": args }));
    }
    let profile = serde_json::json!({
        "defaultAction": default.0, "defaultErrnoRet": default.1, "listenerPath": "/agent", "syscalls": syscalls,
    });
    serde_json::from_value(profile).expect("a profile")
}

fn random_args(random: &mut Random) -> Vec<serde_json::Value> {
    const OPERATORS: [&str; 7] = [
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ];
    const VALUES: [u64; 16] = [
        0,
        1,
        2,
        3,
        8,
        16,
        0x7e02_0000,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        0xffff_ffff_0000_0000,
        0x8000_0000,
        0x8000_0000_0000_0000,
        u64::MAX,
        0x1_0000_0010,
        0x1234_5678_9abc_def0,
    ];
    let mut args = Vec::new();
    for _ in 0..1 + random.below(3) {
        let value = if random.below(8) == 0 { random.next() } else { *random.pick(&VALUES) };
        args.push(serde_json::json!({
            "index": random.below(4), "value": value, "valueTwo": random.pick(&VALUES), "op": random.pick(&OPERATORS),
        }));
    }
    args
}

/// Values around those that a comparison distinguishes, in both halves.
pub(super) fn interesting(arg: &LinuxSeccompArg, random: &mut Random) -> Vec<u64> {
    let (value, datum) = (arg.value(), arg.value_two().unwrap_or(0));
    let mut list = vec![0, u64::MAX, value, value.wrapping_sub(1), value.wrapping_add(1), value ^ 1 << 32];
    list.extend([value & 0xffff_ffff, value | 0xffff_ffff << 32, !value]);
    if matches!(arg.op(), LinuxSeccompOperator::ScmpCmpMaskedEq) {
        let free = random.next() & !value;
        list.extend([
            datum,
            datum & value,
            datum & value | free,
            datum ^ value,
            (datum & value) ^ (value & value.wrapping_neg()),
        ]);
    }
    list
}

/// Combinations of interesting values; all of them if there are not too many.
pub(super) fn combinations(sets: &[HashSet<u64>], random: &mut Random) -> Vec<[u64; 6]> {
    let lists: Vec<Vec<u64>> = sets
        .iter()
        .map(|set| {
            let mut list: Vec<_> = set.iter().copied().collect();
            list.sort_unstable();
            list
        })
        .collect();
    let all: usize = lists.iter().map(|list| list.len().max(1)).product();
    let nth = |mut at: usize| {
        std::array::from_fn(|arg| {
            let Some(list) = lists.get(arg).filter(|list| !list.is_empty()) else { return 3 };
            let value = list[at % list.len()];
            at /= list.len();
            value
        })
    };
    const MANY: usize = 400;
    if all <= MANY { (0..all).map(nth).collect() } else { (0..MANY).map(|_| nth(random.below(all))).collect() }
}
