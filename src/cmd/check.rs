//! `rt check`: every fault of a configuration at once, before anything is created.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::creation::{driver, examine, host};
use super::print;
use crate::cli::Globals;
use crate::error::{Fault, Faults};

/// Prints the faults of config.json, each with its JSON pointer, and what it asks for that this machine and this user
/// cannot have; the exit code is 1 when there are any.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let bundle = path("bundle").unwrap_or(Path::new("."));
    let host = host(globals)?;
    let (_, faults) = examine(bundle, path("config"), &host, "check", driver(globals, &host), |_| {});
    let text = if matches.get_flag("json") { as_json(&faults) } else { as_lines(&faults) };
    print(text.as_bytes())?;
    Ok(i32::from(!faults.errors.is_empty()))
}

fn as_lines(faults: &Faults) -> String {
    let errors = faults.errors.iter().map(|fault| format!("error: {fault}\n"));
    let warnings = faults.warnings.iter().map(|fault| format!("warning: {fault}\n"));
    let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let sum = match (faults.errors.len(), faults.warnings.len()) {
        (0, 0) => "no faults".to_owned(),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    errors.chain(warnings).chain([format!("{sum}\n")]).collect()
}

fn as_json(faults: &Faults) -> String {
    let list = |faults: &[Fault]| -> Value {
        let entry = |fault: &Fault| json!({ "file": fault.file, "pointer": fault.pointer, "reason": fault.reason });
        faults.iter().map(entry).collect()
    };
    format!("{:#}\n", json!({ "errors": list(&faults.errors), "warnings": list(&faults.warnings) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_listed_and_counted() {
        let mut faults = Faults::default();
        assert_eq!(as_lines(&faults), "no faults\n");
        faults.error("/process/cwd", "\"x\" is not absolute");
        faults.warn("/process/capabilities/bounding/0", "\"CAP_X\" is not known");
        assert_eq!(
            as_lines(&faults),
            "error: config.json: /process/cwd: \"x\" is not absolute\n\
             warning: config.json: /process/capabilities/bounding/0: \"CAP_X\" is not known\n\
             1 error, 1 warning\n"
        );
        let document: Value = serde_json::from_str(&as_json(&faults)).unwrap();
        assert_eq!(document["errors"][0]["pointer"], "/process/cwd");
        assert_eq!(document["warnings"][0]["file"], "config.json");
    }
}
