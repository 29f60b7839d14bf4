//! What one architecture does with each system call number: the profile's rules, sorted out by number.
//!
//! The meaning of rules that overlap is libseccomp's, see docs/seccomp.md.

use std::cmp::Ordering;

use super::action::is_stricter;
use super::arch::Architecture;
use super::condition::Condition;
use super::syscalls::{ARM_PRIVATE, Call};

/// A rule with conditions that all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) action: u32,
    /// Which of the profile's `syscalls` it comes from.
    pub(super) entry: usize,
    /// By argument; never empty.
    pub(super) conditions: Vec<Condition>,
}

/// What happens to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The profile does not name the call.
    Unnamed,
    /// The profile names the call, but leaves it to the default action.
    Default,
    /// Whatever the arguments are.
    Action { action: u32, entry: usize },
    /// Decided by the rules at this place in [`Rules::conditional`].
    Conditional(usize),
}

/// One entry of the profile, its alternatives made ready for an architecture.
pub(super) struct Entry {
    pub(super) index: usize,
    pub(super) action: u32,
    /// Any of these lists lets the rule apply; an empty list always holds. Without lists it always applies.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// A [`Verdict`] in four bytes, because there are hundreds of them: two bits say which, the others are the entry of
/// the profile, or the place in [`Rules::conditional`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u32);

impl Slot {
    const UNNAMED: Slot = Slot(0);
    const DEFAULT: Slot = Slot(1);

    fn action(entry: usize) -> Slot {
        Slot((entry as u32) << 2 | 2)
    }

    fn conditional(at: usize) -> Slot {
        Slot((at as u32) << 2 | 3)
    }

    fn is_action(self) -> bool {
        self.0 & 3 == 2
    }

    /// The place in [`Rules::conditional`].
    fn as_conditional(self) -> Option<usize> {
        (self.0 & 3 == 3).then_some((self.0 >> 2) as usize)
    }
}

/// The rules of one architecture.
pub(super) struct Rules {
    pub(super) arch: &'static Architecture,
    default: u32,
    /// By number, without the architecture's base.
    numbers: Vec<Slot>,
    /// Arm's private calls.
    private: Vec<(u32, Slot)>,
    /// The action of each entry of the profile that has come so far.
    actions: Vec<u32>,
    newest: Option<u32>,
    pub(super) conditional: Vec<Vec<Rule>>,
}

impl Rules {
    pub(super) fn new(arch: &'static Architecture, default: u32) -> Self {
        Self {
            arch,
            default,
            // More than most architectures have yet.
            numbers: vec![Slot::UNNAMED; 480],
            private: Vec::new(),
            actions: Vec::new(),
            newest: None,
            conditional: Vec::new(),
        }
    }

    /// Adds an entry for a call, under all the numbers by which it is reached.
    pub(super) fn add(&mut self, call: Call, entry: &Entry) {
        if self.actions.len() <= entry.index {
            self.actions.resize(entry.index + 1, entry.action);
        }
        if let Some(number) = call.number(self.arch.column) {
            if entry.action == self.default {
                self.name(number);
            } else if entry.alternatives.is_empty() {
                self.decide(number, entry);
            } else {
                for conditions in &entry.alternatives {
                    self.restrict(number, entry, conditions.clone());
                }
            }
        }
        if self.arch.multiplexes && entry.action != self.default {
            self.add_multiplexed(call, entry);
        }
    }

    /// A filter cannot follow the pointer to the arguments of a multiplexed call. So conditions are left out where
    /// that errs on the strict side, and the whole rule is left out where it would not.
    fn add_multiplexed(&mut self, call: Call, entry: &Entry) {
        let Some(multiplexed) = call.multiplexed() else { return };
        if !entry.alternatives.is_empty() && !is_stricter(entry.action, self.default) {
            return;
        }
        let by = Call::find(multiplexed.by.name()).expect("the table has both multiplexers");
        if let Some(number) = by.number(self.arch.column) {
            let condition = Condition::multiplexed(multiplexed.by.mask(), multiplexed.call);
            self.restrict(number, entry, vec![condition]);
        }
    }

    /// The verdict on a number, without its base.
    pub(super) fn verdict(&self, number: u32) -> Verdict {
        let private = || self.private.iter().find(|(private, _)| *private == number).map(|(_, slot)| *slot);
        let slot = self.numbers.get(number as usize).copied().or_else(private);
        self.decode(slot.unwrap_or(Slot::UNNAMED))
    }

    fn decode(&self, slot: Slot) -> Verdict {
        match (slot.0 & 3, (slot.0 >> 2) as usize) {
            (0, _) => Verdict::Unnamed,
            (1, _) => Verdict::Default,
            (2, entry) => Verdict::Action { action: self.actions[entry], entry },
            (_, at) => Verdict::Conditional(at),
        }
    }

    /// Every number that the profile names, in order, without its base.
    pub(super) fn named(&self) -> impl Iterator<Item = (u32, Verdict)> + '_ {
        let dense = self.numbers.iter().enumerate().map(|(number, slot)| (number as u32, *slot));
        let named = dense.chain(self.private.iter().copied()).filter(|(_, slot)| *slot != Slot::UNNAMED);
        named.map(|(number, slot)| (number, self.decode(slot)))
    }

    /// The last number of the profile's knowledge: what is newer than that gets ENOSYS.
    pub(super) fn newest(&self) -> Option<u32> {
        self.newest
    }

    /// Sorts out what overlaps; to be called once, after the last rule.
    pub(super) fn settle(&mut self) {
        self.private.sort_unstable_by_key(|(number, _)| *number);
        for rules in self.conditional.iter_mut().filter(|rules| rules.len() > 1) {
            rules.sort_by(precedence);
            rules.dedup_by(|later, earlier| later.conditions == earlier.conditions);
        }
    }

    /// The profile knows the call, but has nothing to say beyond the default.
    fn name(&mut self, number: u32) {
        let slot = self.slot(number);
        if *slot == Slot::UNNAMED {
            *slot = Slot::DEFAULT;
        }
    }

    /// A rule without conditions: the first one stands, and any conditional one falls.
    fn decide(&mut self, number: u32, entry: &Entry) {
        let slot = self.slot(number);
        if !slot.is_action() {
            *slot = Slot::action(entry.index);
        }
    }

    fn restrict(&mut self, number: u32, entry: &Entry, conditions: Vec<Condition>) {
        if conditions.is_empty() {
            return self.decide(number, entry);
        }
        let rule = Rule { action: entry.action, entry: entry.index, conditions };
        let next = self.conditional.len();
        let slot = self.slot(number);
        if slot.is_action() {
            return;
        }
        match slot.as_conditional() {
            Some(at) => self.conditional[at].push(rule),
            None => {
                *slot = Slot::conditional(next);
                self.conditional.push(vec![rule]);
            }
        }
    }

    fn slot(&mut self, number: u32) -> &mut Slot {
        if self.newest.is_none_or(|newest| newest < number) && !self.arch.out_of_sequence().contains(&number) {
            self.newest = Some(number);
        }
        if number < ARM_PRIVATE {
            let at = number as usize;
            if at >= self.numbers.len() {
                self.numbers.resize(at + 1, Slot::UNNAMED);
            }
            return &mut self.numbers[at];
        }
        let known = self.private.iter().position(|(private, _)| *private == number);
        let at = known.unwrap_or_else(|| {
            self.private.push((number, Slot::UNNAMED));
            self.private.len() - 1
        });
        &mut self.private[at].1
    }
}

/// Which of two rules is tried first. A list that is the beginning of the other includes it, and decides.
fn precedence(one: &Rule, other: &Rule) -> Ordering {
    one.conditions
        .iter()
        .zip(&other.conditions)
        .map(|(one, other)| one.precedence(other))
        .find(|order| order.is_ne())
        .unwrap_or(one.conditions.len().cmp(&other.conditions.len()))
}
