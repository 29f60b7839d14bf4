//! `rt list`: every container below the root.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ArgMatches;

use super::print;
use crate::cli::Globals;
use crate::log;
use crate::state::{Boot, ContainerId, Missing, Report, State, StateRoot, Status, owner};

/// Prints ids, a table, or JSON. What cannot be read is warned about and left out.
///
/// # Errors
/// When the root cannot be read.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let root = StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?;
    let quiet = matches.get_flag("quiet");
    let boot = Boot::default();
    let mut found = Vec::new();
    for id in root.ids()? {
        match look(&root, &id, &boot) {
            Ok(seen) => found.push(seen),
            // It was removed, or is not quite there, while we looked.
            Err(error) if error.is::<Missing>() => {}
            Err(error) => globals.log.warn(&log::one_line(&error)),
        }
    }
    let mut names = BTreeMap::new();
    let reports: Vec<Report<'_>> = found
        .iter()
        .map(|(state, status)| {
            let name = names.entry(state.owner).or_insert_with(|| owner::name(state.owner));
            state.report(*status, name.clone())
        })
        .collect();

    if quiet {
        return print(reports.iter().map(|report| format!("{}\n", report.id)).collect::<String>().as_bytes());
    }
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        let mut text = serde_json::to_vec(&reports)?;
        text.push(b'\n');
        return print(&text);
    }
    print(table(&reports).as_bytes())
}

fn look(root: &StateRoot, id: &ContainerId, boot: &Boot) -> anyhow::Result<(State, Status)> {
    let container = root.open(id)?;
    let state = container.load()?;
    let status = container.status(&state, boot)?;
    Ok((state, status))
}

/// Columns and their order are runc's.
fn table(reports: &[Report<'_>]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head)
        .chain(reports.iter().map(|report| {
            [
                report.id.to_owned(),
                report.pid.to_string(),
                report.status.word().to_owned(),
                report.bundle.display().to_string(),
                report.created.to_owned(),
                report.owner.clone(),
            ]
        }))
        .collect();
    let widths: [usize; 6] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let short = State { id: "a".into(), bundle: "/b".into(), pid: 7, created: "C".into(), ..State::default() };
        let long = State { id: "long-id".into(), bundle: "/bundle".into(), ..short.clone() };
        let reports = [short.report(Status::Running, "root".into()), long.report(Status::Stopped, "root".into())];
        assert_eq!(
            table(&reports),
            "ID        PID   STATUS    BUNDLE    CREATED   OWNER\n\
             a         7     running   /b        C         root\n\
             long-id   0     stopped   /bundle   C         root\n"
        );
    }
}
