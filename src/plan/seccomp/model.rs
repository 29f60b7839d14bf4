//! The meaning of a profile, written as plainly as possible: the second judge of the compiler.
//!
//! It knows nothing of BPF, halves and trees, and answers one question at a time. libseccomp cannot be that judge
//! alone: it does not have our decisions, nor all architectures, and it has bugs (docs/seccomp.md).

use std::cmp::Reverse;
use std::collections::HashMap;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator};

use super::action::{ENOSYS, ERRNO, is_stricter};
use super::arch::{Architecture, X32_BIT};
use super::syscalls::{Call, Multiplexer};
use super::theirs::value_of;

/// An argument, an operator, the bits that count, the value.
type Comparison = (usize, LinuxSeccompOperator, u64, u64);

/// What a profile says about one architecture.
pub(super) struct Model {
    default: u32,
    arch: &'static Architecture,
    rules: HashMap<u32, Vec<(u32, Vec<Comparison>)>>,
    newest: Option<u32>,
}

impl Model {
    pub(super) fn new(profile: &LinuxSeccomp, arch: &'static Architecture) -> Self {
        let default = value_of(profile.default_action(), profile.default_errno_ret());
        let mut model = Self { default, arch, rules: HashMap::new(), newest: None };
        for syscall in profile.syscalls().iter().flatten() {
            let action = value_of(syscall.action(), syscall.errno_ret());
            let args = syscall.args().as_deref().unwrap_or_default();
            for call in syscall.names().iter().filter_map(|name| Call::find(name)) {
                if let Some(number) = arch.number(call) {
                    model.know(number);
                    for comparisons in alternatives(args, arch.wide) {
                        model.add(number, action, comparisons);
                    }
                }
                if arch.multiplexes
                    && action != default
                    && (args.is_empty() || is_stricter(action, default))
                    && let Some(hidden) = call.multiplexed()
                {
                    let (name, mask) = match hidden.by {
                        Multiplexer::Socketcall => ("socketcall", 0xffff_ffff),
                        Multiplexer::Ipc => ("ipc", 0xffff),
                    };
                    let number = Call::find(name).and_then(|call| arch.number(call)).expect("a multiplexer");
                    model.know(number);
                    let masked = LinuxSeccompOperator::ScmpCmpMaskedEq;
                    model.add(number, action, vec![(0, masked, mask, u64::from(hidden.call))]);
                }
            }
        }
        model
    }

    pub(super) fn answer(&self, number: u32, args: &[u64; 6]) -> u32 {
        let Some(rules) = self.rules.get(&number) else { return self.unnamed(number) };
        let mut rules: Vec<_> = rules.iter().filter(|(action, _)| *action != self.default).collect();
        if let Some((action, _)) = rules.iter().find(|(_, comparisons)| comparisons.is_empty()) {
            return *action;
        }
        rules.sort_by_key(|(_, comparisons)| comparisons.iter().map(rank).collect::<Vec<_>>());
        let holds = |(_, comparisons): &&&(u32, Vec<Comparison>)| comparisons.iter().all(|one| self.holds(one, args));
        rules.iter().find(holds).map_or(self.default, |(action, _)| *action)
    }

    /// The actions of all rules that hold.
    pub(super) fn candidates(&self, number: u32, args: &[u64; 6]) -> Vec<u32> {
        let rules = self.rules.get(&number).into_iter().flatten().filter(|(action, _)| *action != self.default);
        rules.filter(|(_, list)| list.iter().all(|one| self.holds(one, args))).map(|(action, _)| *action).collect()
    }

    /// libseccomp mixes the rules of this call up. It makes one test of two comparisons where both are inequalities
    /// on the same 64-bit argument with the same upper half, or where one is the opposite of the other; then what
    /// follows on one side also follows on the other, or a rule is dropped as if it were contained in another.
    pub(super) fn libseccomp_mixes(&self, number: u32) -> bool {
        let Some(rules) = self.rules.get(&number) else { return false };
        let alike = |one: &Comparison, other: &Comparison| {
            let unequal = |operator| class(operator) != 0 || *operator == LinuxSeccompOperator::ScmpCmpNe;
            let upper = self.arch.wide && unequal(&one.1) && unequal(&other.1) && one.3 >> 32 == other.3 >> 32;
            let opposite = node(&one.1) == node(&other.1) && one.1 != other.1 && one.3 == other.3;
            one.0 == other.0 && (upper || opposite)
        };
        rules.iter().enumerate().any(|(at, (_, list))| {
            let earlier = rules[..at].iter().flat_map(|(_, list)| list);
            earlier.into_iter().any(|one| list.iter().any(|other| alike(one, other)))
        })
    }

    pub(super) fn is_unnamed(&self, number: u32) -> bool {
        !self.rules.contains_key(&number)
    }

    fn unnamed(&self, number: u32) -> u32 {
        let newer = self.newest.is_some_and(|newest| number > newest);
        let errno = self.default & 0xffff_0000 == ERRNO;
        if newer && errno && number != u32::MAX && !self.out_of_sequence(number) {
            ERRNO | ENOSYS
        } else {
            self.default
        }
    }

    fn out_of_sequence(&self, number: u32) -> bool {
        match self.arch.name {
            "x86_64" => number >= X32_BIT,
            "x32" => (X32_BIT + 512..X32_BIT + 548).contains(&number),
            "arm" => (0xf_0000..0x10_0000).contains(&number),
            _ => false,
        }
    }

    fn know(&mut self, number: u32) {
        self.rules.entry(number).or_default();
        if !self.out_of_sequence(number) {
            self.newest = self.newest.max(Some(number));
        }
    }

    fn add(&mut self, number: u32, action: u32, comparisons: Vec<Comparison>) {
        self.rules.entry(number).or_default().push((action, comparisons));
    }

    fn holds(&self, (arg, operator, mask, value): &Comparison, args: &[u64; 6]) -> bool {
        let arg = args[*arg] & if self.arch.wide { u64::MAX } else { 0xffff_ffff };
        match operator {
            LinuxSeccompOperator::ScmpCmpNe => arg != *value,
            LinuxSeccompOperator::ScmpCmpLt => arg < *value,
            LinuxSeccompOperator::ScmpCmpLe => arg <= *value,
            LinuxSeccompOperator::ScmpCmpEq => arg == *value,
            LinuxSeccompOperator::ScmpCmpGe => arg >= *value,
            LinuxSeccompOperator::ScmpCmpGt => arg > *value,
            LinuxSeccompOperator::ScmpCmpMaskedEq => arg & mask == *value,
        }
    }
}

/// The order of overlapping rules: the later argument, the tighter kind of comparison, the narrower bound.
fn rank((arg, operator, _, value): &Comparison) -> (Reverse<usize>, u8, u64) {
    let class = class(operator);
    (Reverse(*arg), class, if class == 1 { *value } else { !*value })
}

fn class(operator: &LinuxSeccompOperator) -> u8 {
    match operator {
        LinuxSeccompOperator::ScmpCmpLt | LinuxSeccompOperator::ScmpCmpLe => 1,
        LinuxSeccompOperator::ScmpCmpGt | LinuxSeccompOperator::ScmpCmpGe => 2,
        _ => 0,
    }
}

/// The test that libseccomp makes of an operator and of its opposite.
fn node(operator: &LinuxSeccompOperator) -> u8 {
    match operator {
        LinuxSeccompOperator::ScmpCmpEq | LinuxSeccompOperator::ScmpCmpNe => 0,
        LinuxSeccompOperator::ScmpCmpGe | LinuxSeccompOperator::ScmpCmpLt => 1,
        LinuxSeccompOperator::ScmpCmpGt | LinuxSeccompOperator::ScmpCmpLe => 2,
        LinuxSeccompOperator::ScmpCmpMaskedEq => 3,
    }
}

fn alternatives(args: &[LinuxSeccompArg], wide: bool) -> Vec<Vec<Comparison>> {
    let visible = if wide { u64::MAX } else { 0xffff_ffff };
    let compare = |arg: &LinuxSeccompArg| match arg.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let mask = arg.value() & visible;
            (arg.index(), arg.op(), mask, arg.value_two().unwrap_or(0) & mask)
        }
        operator => (arg.index(), operator, visible, arg.value() & visible),
    };
    let mut all: Vec<Comparison> = args.iter().map(compare).collect();
    let repeats = all.iter().enumerate().any(|(at, one)| all[..at].iter().any(|other| one.0 == other.0));
    all.sort_by_key(|comparison| comparison.0);
    let groups = if repeats { all.into_iter().map(|one| vec![one]).collect() } else { vec![all] };
    let real = |group: Vec<Comparison>| group.into_iter().filter(|(_, _, mask, _)| *mask != 0).collect();
    groups.into_iter().map(real).collect()
}
