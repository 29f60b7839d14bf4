//! A filter in words: what happens to which calls, and the program as an assembler would write it.

use std::collections::BTreeMap;
use std::fmt::Write;

use oci_spec::runtime::LinuxSeccomp;

use super::action::describe;
use super::bpf::{AND, ANY_BIT, AT_LEAST, EQUAL, GREATER, JUMP, LOAD, RETURN, SockFilter};
use super::rules::Verdict;
use super::syscalls::name_of;
use super::{Compiled, SeccompFault, SeccompHost, SeccompPlan};

/// What a profile means on each architecture, a line for each action and for each call with conditions.
///
/// # Errors
/// Those of [`super::plan_seccomp`].
pub fn explain_profile(seccomp: &LinuxSeccomp, host: &SeccompHost<'_>) -> Result<String, SeccompFault> {
    let compiled = Compiled::new(seccomp, host)?;
    let mut text = format!("default {}\n", describe(compiled.default));
    for rules in &compiled.architectures {
        let _ = writeln!(text, "{}", rules.arch.name);
        let mut by_action: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut conditional = String::new();
        for (number, verdict) in rules.named() {
            let name = name_of(rules.arch.column, number).unwrap_or("?");
            match verdict {
                Verdict::Unnamed | Verdict::Default => {}
                Verdict::Action { action, .. } => by_action.entry(describe(action)).or_default().push(name),
                Verdict::Conditional(at) => {
                    for rule in &rules.conditional[at] {
                        let conditions: Vec<_> = rule.conditions.iter().map(|one| one.describe()).collect();
                        let _ =
                            writeln!(conditional, "  {} {name} if {}", describe(rule.action), conditions.join(" and "));
                    }
                }
            }
        }
        for (action, names) in by_action {
            let _ = writeln!(text, "  {action} {} calls: {}", names.len(), names.join(" "));
        }
        text.push_str(&conditional);
        if let Some(newest) = rules.newest() {
            let name = name_of(rules.arch.column, newest).unwrap_or("?");
            let _ = writeln!(text, "  newest call named: {name} ({})", rules.arch.base + newest);
        }
    }
    Ok(text)
}

impl SeccompPlan {
    /// How many instructions return each action.
    pub fn returns(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for instruction in self.program.iter().filter(|instruction| instruction.code == RETURN) {
            *counts.entry(describe(instruction.k)).or_default() += 1;
        }
        counts
    }

    /// The program, an instruction on each line, with absolute jump targets.
    pub fn disassemble(&self) -> String {
        let mut text = String::new();
        for (at, instruction) in self.program.iter().enumerate() {
            let _ = writeln!(text, "{at:04}  {}", instruction_text(at, instruction));
        }
        text
    }
}

fn instruction_text(at: usize, instruction: &SockFilter) -> String {
    let SockFilter { code, jt, jf, k } = *instruction;
    let (yes, no) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
    let branch = |operator: &str| format!("if A {operator} {k:#x} goto {yes:04} else {no:04}");
    match code {
        LOAD => format!("A = {}", field(k)),
        AND => format!("A &= {k:#x}"),
        JUMP => format!("goto {:04}", at + 1 + k as usize),
        EQUAL => branch("=="),
        GREATER => branch(">"),
        AT_LEAST => branch(">="),
        ANY_BIT => branch("&"),
        RETURN => format!("return {}", describe(k)),
        other => format!("{other:#x} {jt} {jf} {k:#x}"),
    }
}

fn field(offset: u32) -> String {
    match offset {
        0 => "nr".to_owned(),
        4 => "arch".to_owned(),
        _ => format!("args[{}] byte {}", offset.saturating_sub(16) / 8, offset % 8),
    }
}
