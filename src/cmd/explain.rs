//! `rt explain`: what `create` and `start` would do, in running order; nothing is touched.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;
use serde_json::{Value, json};

use super::creation::{driver, examine, host};
use super::print;
use crate::cli::Globals;
use crate::error::printable;
use crate::plan::explain::Line;
use crate::plan::filter::explain_filter;

/// Prints the plan of a bundle, one line for each operation: the step that does it, what it does, and in JSON also the
/// pointer of what asked for it.
///
/// # Errors
/// Whatever would keep the container from being planned; `rt check` lists all of it.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let bundle = path("bundle").unwrap_or(Path::new("."));
    let host = host(globals)?;
    let (found, faults) = examine(bundle, path("config"), &host, "ID", driver(globals, &host), |_| {});
    let (spec, plan) = match found {
        Some(found) => faults.into_result(found)?,
        None => return Err(faults.into()),
    };
    plan.warnings.iter().for_each(|warning| globals.log.warn(&warning.to_string()));
    if matches.get_flag("seccomp") {
        let filter = plan.seccomp.as_ref().and_then(|filter| explain_filter(&spec, filter, &host));
        return print(filter.context("config.json: /linux/seccomp is missing")?.as_bytes());
    }
    let lines = plan.explain(&host);
    let text = if matches.get_flag("json") { as_json(&lines) } else { as_lines(&lines) };
    print(text.as_bytes())
}

fn as_lines(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.step.len()).max().unwrap_or(0);
    lines.iter().map(|line| format!("{:width$}  {}\n", line.step, printable(&line.text))).collect()
}

fn as_json(lines: &[Line]) -> String {
    let list: Value =
        lines.iter().map(|line| json!({ "step": line.step, "text": line.text, "pointer": line.pointer })).collect();
    format!("{list:#}\n")
}
