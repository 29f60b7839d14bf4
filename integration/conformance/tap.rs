//! What a validation program of runtime-tools says, in TAP, and what it means.
//!
//! Their exit code says little. Some report a fault as `not ok` and exit with 0; the programs about hooks assert nothing
//! at all and put the fault into a diagnostic of their own, in YAML, that no test line leads.

/// What one run of a program came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub result: Result,
    /// Test lines that passed; skipped ones are not counted here.
    pub passed: usize,
    /// Test lines that failed.
    pub failed: usize,
    /// Test lines that say SKIP or TODO.
    pub skipped: usize,
    /// The first thing that went wrong, in one line.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    Pass,
    Fail,
    /// It tried nothing: each test line says SKIP.
    Skip,
}

impl std::fmt::Display for Result {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Result::Pass => "pass",
            Result::Fail => "fail",
            Result::Skip => "skip",
        })
    }
}

/// Judges a program by its streams and its exit code; `None` when it was ended because it took too long.
pub fn judge(stdout: &str, stderr: &str, code: Option<i32>) -> Verdict {
    let mut reader = Reader::default();
    for line in stdout.lines() {
        reader.line(line);
    }
    reader.end_of_stream();
    let Reader { passed, failed, skipped, fault, .. } = reader;
    let last_words = stderr.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("exit status"));
    let why = match (code, fault, stderr.lines().find(|line| line.starts_with("panic: "))) {
        (None, _, _) => Some("took too long".to_owned()),
        (Some(_), _, Some(panic)) => Some(panic.to_owned()),
        (Some(_), Some(fault), None) => Some(fault),
        (Some(0), None, None) => None,
        (Some(code), None, None) => Some(format!("exit code {code}: {}", last_words.unwrap_or("nothing was said"))),
    };
    let result = match &why {
        Some(_) => Result::Fail,
        None if passed == 0 && skipped > 0 => Result::Skip,
        None => Result::Pass,
    };
    Verdict { result, passed, failed, skipped, why: why.unwrap_or_default() }
}

/// Reads one or more TAP streams, one after the other.
#[derive(Default)]
struct Reader {
    passed: usize,
    failed: usize,
    skipped: usize,
    fault: Option<String>,
    /// Test lines since the header; none before the first header, and after a plan.
    since_header: Option<usize>,
    /// The last test line, until a diagnostic has been read for it.
    pending: Option<Pending>,
    /// The diagnostic that is being read.
    yaml: Option<String>,
}

struct Pending {
    is_failure: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(mut yaml) = self.yaml.take() {
            if line == "  ..." {
                self.end_of_diagnostic(&yaml);
            } else {
                yaml.push_str(line);
                self.yaml = Some(yaml);
            }
        } else if line == "  ---" {
            self.yaml = Some(String::new());
        } else if line.starts_with("TAP version") {
            self.end_of_stream();
            self.since_header = Some(0);
        } else if let Some(planned) = line.strip_prefix("1..") {
            let counted = self.since_header.take();
            if planned.parse().ok() != counted {
                self.blame(format!("planned {planned} tests, ran {}", counted.unwrap_or(0)));
            }
        } else if line.starts_with("Bail out!") {
            self.blame(line.to_owned());
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            self.test(false, rest);
        } else if let Some(rest) = line.strip_prefix("ok ") {
            self.test(true, rest);
        }
    }

    fn test(&mut self, is_ok: bool, rest: &str) {
        self.since_header = self.since_header.map(|count| count + 1);
        let is_excused = rest.contains("# SKIP") || rest.contains("# TODO");
        match (is_ok, is_excused) {
            (_, true) => self.skipped += 1,
            (true, false) => self.passed += 1,
            (false, false) => {
                self.failed += 1;
                self.blame(format!("not ok {rest}"));
            }
        }
        self.pending = Some(Pending { is_failure: !is_ok && !is_excused });
    }

    /// A diagnostic belongs to the test line above it. One with an error that has no such line is all that some programs
    /// say; one without an error is what a container has written, before the test line that is about it.
    fn end_of_diagnostic(&mut self, yaml: &str) {
        let error = field(yaml, "error").filter(|text| !text.is_empty());
        match (self.pending.take(), &mut self.fault, error) {
            (None, _, Some(error)) => self.blame(format!("diagnostic: {error}")),
            (Some(Pending { is_failure: true }), Some(fault), Some(error)) if self.failed == 1 => {
                let said = field(yaml, "stderr").unwrap_or(error);
                *fault = format!("{fault}: {said}");
            }
            _ => {}
        }
    }

    fn end_of_stream(&mut self) {
        self.pending = None;
        if self.since_header.take().is_some() {
            self.blame("ended before it told its plan".to_owned());
        }
    }

    fn blame(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

/// A field of a diagnostic (they are JSON), in one line.
fn field(yaml: &str, name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(yaml).ok()?;
    let text = value.get(name)?.as_str()?;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Some(lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(stdout: &str, stderr: &str, code: Option<i32>) -> (Result, usize, usize, usize, String) {
        let Verdict { result, passed, failed, skipped, why } = judge(stdout, stderr, code);
        (result, passed, failed, skipped, why)
    }

    #[test]
    fn a_program_passes_when_nothing_went_wrong() {
        let tap = "TAP version 13\nok 1 - a\n  ---\n  {\n    \"error\": \"expected\"\n  }\n  ...\nok 2 - b\n1..2\n";
        assert_eq!(verdict(tap, "", Some(0)), (Result::Pass, 2, 0, 0, String::new()));
        // Two of them say nothing at all where an error was expected and came.
        assert_eq!(verdict("", "rt: refused\n", Some(0)), (Result::Pass, 0, 0, 0, String::new()));
        // A diagnostic that comes before its test line, and says nothing bad.
        let inside = "TAP version 13\n  ---\n  {\n    \"stderr\": \"rt: warning: w\"\n  }\n  ...\nok 1 - a\n1..1\n";
        assert_eq!(verdict(inside, "", Some(0)).0, Result::Pass);
        let two = "TAP version 13\nok 1 - a\n1..1\nTAP version 13\nok 1 # SKIP b\n1..1\n";
        assert_eq!(verdict(two, "", Some(0)), (Result::Pass, 1, 0, 1, String::new()));
    }

    #[test]
    fn a_failed_line_counts_whatever_the_exit_code() {
        let tap = "TAP version 13\nok 1 - a\nnot ok 2 - b\n  ---\n  {\n  \"error\": \"e\",\n  \"stderr\": \"rt: no\\n\"\n  }\n  ...\nnot ok 3 - c\n1..3\n";
        assert_eq!(verdict(tap, "", Some(0)), (Result::Fail, 1, 2, 0, "not ok 2 - b: rt: no".into()));
        assert_eq!(verdict("TAP version 13\nnot ok 1 # TODO a\n1..1\n", "", Some(0)).0, Result::Skip);
    }

    #[test]
    fn a_diagnostic_without_a_test_line_is_a_fault() {
        let hooks = "TAP version 13\n  ---\n  {\n    \"error\": \"MUST be\\nRefer to: x\"\n  }\n  ...\n1..0\n";
        assert_eq!(verdict(hooks, "", Some(0)), (Result::Fail, 0, 0, 0, "diagnostic: MUST be Refer to: x".into()));
        let second = "TAP version 13\nok 1 - a\n  ---\n  {}\n  ...\n  ---\n  {\"error\": \"bad\"}\n  ...\n1..1\n";
        assert_eq!(verdict(second, "", Some(0)).4, "diagnostic: bad");
    }

    #[test]
    fn an_exit_code_a_panic_and_a_hang_are_faults() {
        let told = verdict("", "failed to create\nrt: mount: no (EPERM)\nexit status 1\n", Some(1));
        assert_eq!((told.0, told.4.as_str()), (Result::Fail, "exit code 1: rt: mount: no (EPERM)"));
        assert_eq!(verdict("", "panic: index out of range\n\ngoroutine 1", Some(2)).4, "panic: index out of range");
        assert_eq!(verdict("TAP version 13\nok 1 - a\n", "", None).4, "took too long");
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_fault() {
        assert_eq!(verdict("TAP version 13\nok 1 - a\n", "", Some(0)).4, "ended before it told its plan");
        assert_eq!(verdict("TAP version 13\nok 1 - a\n1..2\n", "", Some(0)).4, "planned 2 tests, ran 1");
        assert_eq!(verdict("TAP version 13\nok 1 - a\nBail out! b\n1..1\n", "", Some(0)).4, "Bail out! b");
        assert_eq!(verdict("TAP version 13\nok 1 # SKIP a\n1..1\n", "", Some(0)).0, Result::Skip);
    }
}
