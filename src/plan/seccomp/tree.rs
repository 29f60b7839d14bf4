//! From the rules of the architectures to the program: a binary tree over ranges of numbers with the same fate.

use super::action::{ENOSYS, ERRNO, KILL_THREAD};
use super::arch::X32_BIT;
use super::bpf::{AT_LEAST, Assembler, EQUAL, SockFilter, Target};
use super::condition::Offsets;
use super::rules::{Rule, Rules, Verdict};

/// `seccomp_data.nr`.
const NUMBER: u32 = 0;
/// `seccomp_data.arch`.
const AUDIT: u32 = 4;
/// What a tracer sets to skip a call; never the number of one.
const SKIPPED: u32 = u32::MAX;
/// A call of an architecture that the profile does not list.
const BAD_ARCH: u32 = KILL_THREAD;
/// How many single numbers a range may have as exceptions before it is split.
const MAX_EXCEPTIONS: usize = 2;
/// The kernel tries a new filter on each of its few hundred numbers, so a longer range is no more to it than this.
const MAX_WEIGHT: u32 = 64;

/// What a range leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    Return(u32),
    /// Rules of the architecture at the first place; the second is in its `conditional`.
    Rules(u8, u16),
}

/// Numbers from `first` to the next range's; the exceptions each have a leaf of their own.
#[derive(Debug)]
struct Range {
    first: u32,
    leaf: Leaf,
    exceptions: [Option<(u32, Leaf)>; MAX_EXCEPTIONS],
    /// What all ranges before this one weigh, see [`middle`].
    weight_before: u32,
}

/// Writes the program for these architectures, native first.
pub(super) fn compile(architectures: &[Rules], default: u32) -> Vec<SockFilter> {
    let mut asm = Assembler::default();
    let mut entry = Target::Return(BAD_ARCH);
    let mut rest = architectures;
    let mut dispatch = Vec::with_capacity(architectures.len());
    // x32 has the audit token of x86_64: both share a tree.
    while let Some((last, before)) = rest.split_last() {
        rest = before;
        let audit = last.arch.audit();
        if before.iter().any(|other| other.arch.audit() == audit) {
            continue;
        }
        let group: Vec<&Rules> = architectures.iter().filter(|other| other.arch.audit() == audit).collect();
        let mut tree = Tree { asm: &mut asm, group: &group, default, blocks: Vec::new() };
        dispatch.push((audit, tree.emit()));
    }
    for (audit, tree) in dispatch {
        entry = asm.branch(EQUAL, audit, tree, entry);
    }
    let entry = asm.load(AUDIT, entry);
    asm.finish(entry)
}

/// The tree of one audit token.
struct Tree<'a> {
    asm: &'a mut Assembler,
    group: &'a [&'a Rules],
    default: u32,
    /// Rules that are already written.
    blocks: Vec<(Leaf, Target)>,
}

impl Tree<'_> {
    fn emit(&mut self) -> Target {
        let mut ranges = fold(&ranges(self.group, self.default));
        weigh(&mut ranges);
        let entry = self.split(&ranges);
        self.asm.load(NUMBER, entry)
    }

    fn split(&mut self, ranges: &[Range]) -> Target {
        if let [range] = ranges {
            let mut next = self.leaf(range.leaf);
            for (number, leaf) in range.exceptions.iter().flatten() {
                let yes = self.leaf(*leaf);
                next = self.asm.branch(EQUAL, *number, yes, next);
            }
            return next;
        }
        let at = middle(ranges);
        let right = self.split(&ranges[at..]);
        let left = self.split(&ranges[..at]);
        self.asm.branch(AT_LEAST, ranges[at].first, right, left)
    }

    fn leaf(&mut self, leaf: Leaf) -> Target {
        let (member, at) = match leaf {
            Leaf::Return(value) => return Target::Return(value),
            Leaf::Rules(member, at) => (usize::from(member), usize::from(at)),
        };
        if let Some((_, block)) = self.blocks.iter().find(|(known, _)| *known == leaf) {
            return *block;
        }
        let rules = self.group[member];
        let block = emit_rules(self.asm, rules, &rules.conditional[at], Target::Return(self.default));
        self.blocks.push((leaf, block));
        block
    }
}

/// Writes rules of which the first that holds decides.
fn emit_rules(asm: &mut Assembler, rules: &Rules, mut list: &[Rule], otherwise: Target) -> Target {
    let mut next = otherwise;
    while let Some((last, before)) = list.split_last() {
        let alike = switch_length(list);
        if alike > 1 {
            next = emit_switch(asm, rules, &list[list.len() - alike..], next);
            list = &list[..list.len() - alike];
            continue;
        }
        let mut yes = Target::Return(last.action);
        for condition in last.conditions.iter().rev() {
            yes = condition.emit(asm, rules.arch, yes, next);
        }
        next = yes;
        list = before;
    }
    next
}

/// How many rules at the end only compare one argument with values that have the same upper half.
fn switch_length(list: &[Rule]) -> usize {
    let key = |rule: &Rule| match rule.conditions.as_slice() {
        [only] => only.as_equality().map(|(arg, upper, _)| (arg, upper)),
        _ => None,
    };
    let Some(last) = list.last().and_then(key) else { return 0 };
    list.iter().rev().take_while(|rule| key(rule) == Some(last)).count()
}

/// Writes such rules with one load of each half.
fn emit_switch(asm: &mut Assembler, rules: &Rules, list: &[Rule], otherwise: Target) -> Target {
    let parts = |rule: &Rule| rule.conditions[0].as_equality().expect("switch_length looked");
    let (arg, upper, _) = parts(&list[0]);
    let at = Offsets::of(rules.arch, arg);
    let mut low = otherwise;
    for rule in list.iter().rev() {
        low = asm.branch(EQUAL, parts(rule).2, Target::Return(rule.action), low);
    }
    let low = asm.load(at.lower, low);
    match at.upper {
        Some(offset) => {
            let high = asm.branch(EQUAL, upper, low, otherwise);
            asm.load(offset, high)
        }
        None => low,
    }
}

/// The fate of every 32-bit number, as the first numbers of ranges; neighbours differ.
fn ranges(group: &[&Rules], default: u32) -> Vec<(u32, Leaf)> {
    let mut out = Ranges(Vec::with_capacity(256));
    let newer = if default & 0xffff_0000 == ERRNO { ERRNO | ENOSYS } else { default };
    let (default, newer) = (Leaf::Return(default), Leaf::Return(newer));
    let first = group.iter().map(|rules| rules.arch.base).min().unwrap_or(0);
    // Below the first number of an architecture there is nothing: MIPS begins at 4000. Below x32's are those of
    // x86_64, which a profile without that architecture does not allow.
    out.push(0, if first == X32_BIT { Leaf::Return(BAD_ARCH) } else { default });
    let mut members: Vec<usize> = (0..group.len()).collect();
    members.sort_unstable_by_key(|member| group[*member].arch.base);
    for member in members {
        let rules = group[member];
        let (base, island) = (rules.arch.base, rules.arch.out_of_sequence());
        // In sequence and beyond the newest that the profile names: from a kernel newer than the profile.
        let newest = rules.newest().unwrap_or(SKIPPED);
        let unnamed = |out: &mut Ranges, from: u32, to: u32| {
            let mut cuts = [from, newest.saturating_add(1), island.start, island.end];
            cuts.sort_unstable();
            for cut in cuts.into_iter().filter(|cut| (from..to).contains(cut)) {
                out.push(base + cut, if cut > newest && !island.contains(&cut) { newer } else { default });
            }
        };
        let mut next = 0; // The first number that nothing is said of yet.
        for (number, verdict) in rules.named() {
            unnamed(&mut out, next, number);
            let leaf = match verdict {
                Verdict::Unnamed | Verdict::Default => default,
                Verdict::Action { action, .. } => Leaf::Return(action),
                // Fewer lists of rules than numbers, and fewer numbers than that.
                Verdict::Conditional(at) => Leaf::Rules(member as u8, at as u16),
            };
            out.push(base + number, leaf);
            next = number + 1;
        }
        unnamed(&mut out, next, SKIPPED - base);
    }
    if group.iter().all(|rules| rules.arch.base == 0) && group[0].arch.name == "x86_64" {
        out.push(X32_BIT, Leaf::Return(BAD_ARCH));
    }
    out.push(SKIPPED, default);
    out.0
}

/// Ranges that grow to the right.
struct Ranges(Vec<(u32, Leaf)>);

impl Ranges {
    fn push(&mut self, first: u32, leaf: Leaf) {
        match self.0.last() {
            Some((_, last)) if *last == leaf => {}
            Some((start, _)) if *start == first => {
                self.0.pop();
                self.push(first, leaf);
            }
            _ => self.0.push((first, leaf)),
        }
    }
}

/// Makes a single number between two ranges of the same leaf an exception of one range: one comparison, not two.
fn fold(ranges: &[(u32, Leaf)]) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    let mut at = 0;
    while at < ranges.len() {
        let (first, leaf) = ranges[at];
        let surrounded = match (out.last(), ranges.get(at + 1)) {
            (Some(before), Some((next, after))) => *next == first + 1 && before.leaf == *after,
            _ => false,
        };
        if !surrounded {
            out.push(Range { first, leaf, exceptions: [None; MAX_EXCEPTIONS], weight_before: 0 });
            at += 1;
            continue;
        }
        let before = out.last_mut().expect("surrounded");
        match before.exceptions.iter_mut().find(|exception| exception.is_none()) {
            Some(free) => *free = Some((first, leaf)),
            None => {
                let leaf_around = before.leaf;
                let mut exceptions = [None; MAX_EXCEPTIONS];
                exceptions[0] = Some((first, leaf));
                out.push(Range { first, leaf: leaf_around, exceptions, weight_before: 0 });
            }
        }
        at += 2;
    }
    out
}

/// Sums up how long each range is for the kernel, which tries each number once.
fn weigh(ranges: &mut [Range]) {
    let mut sum = 0;
    for at in 0..ranges.len() {
        ranges[at].weight_before = sum;
        if let Some(next) = ranges.get(at + 1) {
            sum += (next.first - ranges[at].first).min(MAX_WEIGHT) + 1;
        }
    }
}

/// Where to split: both sides as long for the kernel as can be. The last range weighs the same wherever it ends.
fn middle(ranges: &[Range]) -> usize {
    let left_of = |at: usize| ranges[at].weight_before - ranges[0].weight_before;
    let half = (left_of(ranges.len() - 1) + MAX_WEIGHT) / 2;
    let at = ranges.partition_point(|range| range.weight_before - ranges[0].weight_before <= half);
    if at == ranges.len() {
        return at - 1;
    }
    // The nearer of the two boundaries around the half.
    let nearer = if half - left_of(at - 1) < left_of(at) - half { at - 1 } else { at };
    nearer.clamp(1, ranges.len() - 1)
}
