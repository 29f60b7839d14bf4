//! Conditions on arguments: from the profile's operators to comparisons of 32-bit halves.

use std::cmp::{Ordering, Reverse};

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::arch::Architecture;
use super::bpf::{ANY_BIT, AT_LEAST, Assembler, EQUAL, GREATER, Target};

/// A comparison of one argument, as the hardware sees it: what an architecture cannot see is already left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    arg: u8,
    test: Test,
    datum: u64,
}

/// The operators, all unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// The argument under this mask equals the datum.
    Masked(u64),
}

impl Condition {
    /// The condition on an architecture; `None` if it always holds there because it looks at no bit.
    pub(super) fn new(arg: &LinuxSeccompArg, wide: bool) -> Option<Self> {
        let visible = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let (test, datum) = match arg.op() {
            LinuxSeccompOperator::ScmpCmpNe => (Test::NotEqual, arg.value()),
            LinuxSeccompOperator::ScmpCmpLt => (Test::Less, arg.value()),
            LinuxSeccompOperator::ScmpCmpLe => (Test::LessOrEqual, arg.value()),
            LinuxSeccompOperator::ScmpCmpEq => (Test::Equal, arg.value()),
            LinuxSeccompOperator::ScmpCmpGe => (Test::GreaterOrEqual, arg.value()),
            LinuxSeccompOperator::ScmpCmpGt => (Test::Greater, arg.value()),
            LinuxSeccompOperator::ScmpCmpMaskedEq => {
                let mask = arg.value() & visible;
                if mask == 0 {
                    return None;
                }
                (Test::Masked(mask), arg.value_two().unwrap_or(0) & mask)
            }
        };
        Some(Self { arg: arg.index() as u8, test, datum: datum & visible })
    }

    /// The first argument is this call of a multiplexer.
    pub(super) fn multiplexed(mask: u64, call: u8) -> Self {
        Self { arg: 0, test: Test::Masked(mask), datum: u64::from(call) }
    }

    /// The order in which conditions with different actions are tried; the first that holds decides.
    ///
    /// It is libseccomp's: the later argument, then equality before upper before lower bounds, then the narrower
    /// bound.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let class = |test: Test| match test {
            Test::Equal | Test::NotEqual | Test::Masked(_) => 0,
            Test::Less | Test::LessOrEqual => 1,
            Test::Greater | Test::GreaterOrEqual => 2,
        };
        let datum = match class(self.test) {
            1 => self.datum.cmp(&other.datum),
            _ => Reverse(self.datum).cmp(&Reverse(other.datum)),
        };
        Reverse(self.arg).cmp(&Reverse(other.arg)).then(class(self.test).cmp(&class(other.test))).then(datum)
    }

    /// Argument, upper half and lower half of a plain equality.
    pub(super) fn as_equality(&self) -> Option<(u8, u32, u32)> {
        (self.test == Test::Equal).then(|| {
            let (upper, lower) = halves(self.datum);
            (self.arg, upper, lower)
        })
    }

    /// Writes the comparison.
    pub(super) fn emit(&self, asm: &mut Assembler, arch: &Architecture, yes: Target, no: Target) -> Target {
        let at = Offsets::of(arch, self.arg);
        match self.test {
            Test::Equal => at.equal(asm, self.datum, yes, no),
            Test::NotEqual => at.equal(asm, self.datum, no, yes),
            Test::Greater => at.greater(asm, GREATER, self.datum, yes, no),
            Test::GreaterOrEqual => at.greater(asm, AT_LEAST, self.datum, yes, no),
            Test::LessOrEqual => at.greater(asm, GREATER, self.datum, no, yes),
            Test::Less => at.greater(asm, AT_LEAST, self.datum, no, yes),
            Test::Masked(mask) => at.masked(asm, mask, self.datum, yes, no),
        }
    }

    /// The condition in words: `arg0 & 0x7e020000 == 0x0`.
    pub(super) fn describe(&self) -> String {
        let (arg, datum) = (self.arg, self.datum);
        match self.test {
            Test::NotEqual => format!("arg{arg} != {datum:#x}"),
            Test::Less => format!("arg{arg} < {datum:#x}"),
            Test::LessOrEqual => format!("arg{arg} <= {datum:#x}"),
            Test::Equal => format!("arg{arg} == {datum:#x}"),
            Test::GreaterOrEqual => format!("arg{arg} >= {datum:#x}"),
            Test::Greater => format!("arg{arg} > {datum:#x}"),
            Test::Masked(mask) => format!("arg{arg} & {mask:#x} == {datum:#x}"),
        }
    }
}

/// Where the halves of an argument lie in `struct seccomp_data`.
pub(super) struct Offsets {
    /// `None` where arguments are 32 bits wide.
    pub(super) upper: Option<u32>,
    pub(super) lower: u32,
}

impl Offsets {
    pub(super) fn of(arch: &Architecture, arg: u8) -> Self {
        let start = 16 + 8 * u32::from(arg);
        let (upper, lower) = if arch.big_endian { (start, start + 4) } else { (start + 4, start) };
        Self { upper: arch.wide.then_some(upper), lower }
    }

    fn equal(&self, asm: &mut Assembler, datum: u64, yes: Target, no: Target) -> Target {
        let (upper, lower) = halves(datum);
        let low = asm.branch(EQUAL, lower, yes, no);
        let low = asm.load(self.lower, low);
        match self.upper {
            Some(offset) => {
                let high = asm.branch(EQUAL, upper, low, no);
                asm.load(offset, high)
            }
            None => low,
        }
    }

    fn greater(&self, asm: &mut Assembler, last: u16, datum: u64, yes: Target, no: Target) -> Target {
        let (upper, lower) = halves(datum);
        let low = asm.branch(last, lower, yes, no);
        let low = asm.load(self.lower, low);
        match self.upper {
            Some(offset) => {
                let same = asm.branch(EQUAL, upper, low, no);
                let high = asm.branch(GREATER, upper, yes, same);
                asm.load(offset, high)
            }
            None => low,
        }
    }

    fn masked(&self, asm: &mut Assembler, mask: u64, datum: u64, yes: Target, no: Target) -> Target {
        let ((upper_mask, lower_mask), (upper, lower)) = (halves(mask), halves(datum));
        let low = masked_half(asm, self.lower, lower_mask, lower, yes, no);
        match self.upper {
            Some(offset) => masked_half(asm, offset, upper_mask, upper, low, no),
            None => low,
        }
    }
}

fn masked_half(asm: &mut Assembler, offset: u32, mask: u32, datum: u32, yes: Target, no: Target) -> Target {
    let test = match (mask, datum) {
        (0, _) => return yes,
        (u32::MAX, _) => asm.branch(EQUAL, datum, yes, no),
        (_, 0) => asm.branch(ANY_BIT, mask, no, yes),
        _ if mask == datum && mask.is_power_of_two() => asm.branch(ANY_BIT, mask, yes, no),
        _ => {
            let compare = asm.branch(EQUAL, datum, yes, no);
            asm.mask(mask, compare)
        }
    };
    asm.load(offset, test)
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
