//! What docs/conformance.md promises.

use std::path::Path;

use super::tap::Result;
use crate::harness::cgroups;

/// The column of the table that counts here: `v1` where any controller is on cgroup v1.
pub fn view() -> &'static str {
    if ["pids", "memory", "cpu"].into_iter().any(cgroups::is_v1) { "v1" } else { "v2" }
}

/// The table of docs/conformance.md, one row for each program.
pub struct Documented {
    rows: Vec<Row>,
}

struct Row {
    program: String,
    v1: Promise,
    v2: Promise,
    reason: String,
}

/// What a cell of rt's columns may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Pass,
    Fail,
    /// It depends on what the reason says: the program races with itself, or wants something of the machine.
    Either,
}

impl Promise {
    fn parse(cell: &str) -> Option<Promise> {
        match cell {
            "pass" => Some(Promise::Pass),
            "fail" => Some(Promise::Fail),
            "either" => Some(Promise::Either),
            _ => None,
        }
    }
}

impl Documented {
    pub fn load() -> Documented {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
        Documented::parse(&std::fs::read_to_string(path).expect("docs/conformance.md"))
    }

    /// The rows that begin with the name of a program in backquotes: program, v1, v2, others, reason.
    fn parse(text: &str) -> Documented {
        let rows = text.lines().filter(|line| line.starts_with("| `")).map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let promise = |cell: &str| Promise::parse(cell).unwrap_or_else(|| panic!("{cell:?} in: {line}"));
            Row {
                program: cells[0].trim_matches('`').to_owned(),
                v1: promise(cells[1]),
                v2: promise(cells[2]),
                reason: cells.last().copied().unwrap_or_default().to_owned(),
            }
        });
        Documented { rows: rows.collect() }
    }

    /// The programs that came out worse than promised, and those that nothing is promised of.
    pub fn worse(&self, view: &str, results: &[(&str, Result, bool)]) -> Vec<String> {
        let verdict = |(program, result, _): &(&str, Result, bool)| {
            let Some(row) = self.rows.iter().find(|row| row.program == *program) else {
                return Some(format!("{program}: is not listed"));
            };
            let promise = if view == "v1" { row.v1 } else { row.v2 };
            (promise == Promise::Pass && *result != Result::Pass).then(|| format!("{program}: {result}"))
        };
        results.iter().filter_map(verdict).collect()
    }
}

/// Each program once, in order, and a reason for each that rt does not pass.
#[test]
fn each_miss_in_the_conformance_table_has_its_reason() {
    let rows = Documented::load().rows;
    assert_eq!(rows.len(), 58);
    assert!(rows.is_sorted_by(|a, b| a.program < b.program));
    for Row { program, v1, v2, reason } in &rows {
        let is_passed = *v1 == Promise::Pass && *v2 == Promise::Pass;
        assert!(is_passed || reason.contains(".go:"), "{program}: no place in its source");
    }
}

#[test]
fn a_program_that_is_worse_than_promised_is_told() {
    let table = Documented::parse("| `a` | pass | fail | x | y |\n| `b` | either | pass | x | y |\n| no | row |\n");
    let results = [("a", Result::Fail, false), ("b", Result::Fail, false), ("c", Result::Pass, false)];
    assert_eq!(table.worse("v1", &results), ["a: fail", "c: is not listed"]);
    assert_eq!(table.worse("v2", &results), ["b: fail", "c: is not listed"]);
}
