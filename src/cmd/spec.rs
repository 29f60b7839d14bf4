//! `rt spec`: a config.json to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;

use super::print;
use crate::cli::Globals;
use crate::spec;

/// Writes config.json, unless there is one.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn run(_globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let mut text = spec::template(matches.get_flag("rootless"));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let file = match path("config") {
        Some(file) if file == Path::new("-") => return print(text.as_bytes()),
        Some(file) => file.to_owned(),
        None => path("bundle").unwrap_or(Path::new(".")).join("config.json"),
    };
    let step = || format!("write {}", file.display());
    let mut created = OpenOptions::new().write(true).create_new(true).open(&file).with_context(step)?;
    created.write_all(text.as_bytes()).with_context(step)?;
    Ok(0)
}
