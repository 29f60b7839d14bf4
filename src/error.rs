//! Faults of a configuration: a JSON pointer and a reason.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// One thing that is wrong with a JSON document that the caller gave.
///
/// Prints as `config.json: /linux/namespaces/2/path: "x" is not absolute`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The file's name as the user knows it: `config.json`, or that of `--process` and `--resources`.
    pub file: &'static str,
    /// JSON pointer (RFC 6901) of the value that is at fault; empty for the whole document.
    pub pointer: String,
    /// What is wrong and what would be right, lower case, one line.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            write!(f, "{}: {}", self.file, printable(&self.reason))
        } else {
            write!(f, "{}: {}: {}", self.file, printable(&self.pointer), printable(&self.reason))
        }
    }
}

/// A text that may hold anything, without what would break a line or steer a terminal: `a\nb`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

/// Every fault that was found in one document, and the warnings beside them.
///
/// Checks and plan functions add to it and go on, so that a user sees all faults at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// What makes the document unusable, in the order of finding.
    pub errors: Vec<Fault>,
    /// What the OCI spec says to tolerate with a warning (unknown capabilities, for example).
    pub warnings: Vec<Fault>,
}

impl Faults {
    /// Adds an error in config.json at `pointer`.
    pub fn error(&mut self, pointer: impl Into<String>, reason: impl Into<String>) {
        self.errors.push(Fault { file: "config.json", pointer: pointer.into(), reason: reason.into() });
    }

    /// Adds a warning about config.json at `pointer`.
    pub fn warn(&mut self, pointer: impl Into<String>, reason: impl Into<String>) {
        self.warnings.push(Fault { file: "config.json", pointer: pointer.into(), reason: reason.into() });
    }

    /// Adds what a later look at the same document has found, except where something is wrong already: there it says
    /// the same in other words, or what follows from it.
    pub fn absorb(&mut self, later: Faults) {
        // Sets, because a document may have a fault in each of a hundred thousand places.
        if !later.errors.is_empty() {
            let known: HashSet<String> = self.errors.iter().map(|fault| fault.pointer.clone()).collect();
            self.errors.extend(later.errors.into_iter().filter(|fault| !known.contains(&fault.pointer)));
        }
        if !later.warnings.is_empty() {
            let mut known: HashSet<Fault> = self.warnings.iter().cloned().collect();
            self.warnings.extend(later.warnings.into_iter().filter(|warning| known.insert(warning.clone())));
        }
    }

    /// The warnings alone, to be kept beside the value.
    pub fn only_warnings(&self) -> Faults {
        Faults { errors: Vec::new(), warnings: self.warnings.clone() }
    }

    /// The same faults, of another file than config.json.
    pub fn of_file(mut self, file: &'static str) -> Faults {
        for fault in self.errors.iter_mut().chain(&mut self.warnings) {
            fault.file = file;
        }
        self
    }

    /// Gives `value` when nothing is wrong, and the errors otherwise.
    ///
    /// # Errors
    /// Itself, when there is at least one error.
    pub fn into_result<T>(self, value: T) -> Result<T, Faults> {
        if self.errors.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.split_first() {
            None => f.write_str("no fault"),
            Some((first, [])) => first.fmt(f),
            Some((first, rest)) => write!(f, "{first} (and {} more: see `rt check`)", rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_look_adds_only_what_is_new() {
        let faults = |pointers: &[&str], warnings: &[&str]| {
            let mut faults = Faults::default();
            pointers.iter().for_each(|pointer| faults.error(*pointer, "bad"));
            warnings.iter().for_each(|pointer| faults.warn(*pointer, "odd"));
            faults
        };
        let mut first = faults(&["/process/args"], &["/vm"]);
        first.absorb(faults(&["/process/args", "/hostname", "/hostname"], &["/vm", "/mounts/0"]));
        assert_eq!(first, faults(&["/process/args", "/hostname", "/hostname"], &["/vm", "/mounts/0"]));
        assert_eq!(first.to_string(), "config.json: /process/args: bad (and 2 more: see `rt check`)");
    }

    #[test]
    fn a_fault_is_one_line_whatever_the_document_holds() {
        let mut faults = Faults::default();
        faults.error("/annotations/a\nb\u{1b}[2J", "\u{7f}é is bad");
        assert_eq!(faults.to_string(), "config.json: /annotations/a\\nb\\u{1b}[2J: \\u{7f}é is bad");
        assert_eq!(printable("as it is"), "as it is");
    }
}
