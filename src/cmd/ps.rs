//! `rt ps`: the processes of a container, by the pids of the host.

use std::process::Command;

use anyhow::{Context, bail};
use clap::ArgMatches;

use super::print;
use crate::cli::Globals;
use crate::state::{Boot, members};

/// Prints what ps(1) says of the container's processes, or their pids as JSON.
///
/// # Errors
/// When ps(1) cannot be run or shows no pids.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let container = super::container(globals, matches)?;
    let state = container.load()?;
    let mut pids = members::pids(&state, &Boot::default())?;
    pids.sort_unstable();
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        return print(format!("{}\n", serde_json::to_string(&pids)?).as_bytes());
    }

    let flags: Vec<&str> = match matches.get_many::<String>("ps") {
        Some(flags) => flags.map(String::as_str).collect(),
        None => vec!["-ef"],
    };
    let output = Command::new("ps").args(&flags).output().with_context(|| format!("ps {}", flags.join(" ")))?;
    if !output.status.success() {
        bail!("ps {}: {}", flags.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    print(lines_of(&String::from_utf8_lossy(&output.stdout), &pids)?.as_bytes())
}

/// The head of the table and the lines whose column `PID` is one of `pids`.
fn lines_of(table: &str, pids: &[i32]) -> anyhow::Result<String> {
    let head = table.lines().next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|name| name == "PID");
    let Some(column) = column else { bail!("ps shows no column PID: {head:?}") };
    let is_ours = |line: &str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = table.lines().skip(1).filter(|line| is_ours(line));
    Ok(std::iter::once(head).chain(lines).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_shown() {
        let table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   42     7 sleep 1\nroot    7    42 sh\n";
        assert_eq!(lines_of(table, &[42, 99]).unwrap(), "UID   PID  PPID CMD\nroot   42     7 sleep 1\n");
        assert_eq!(lines_of(table, &[]).unwrap(), "UID   PID  PPID CMD\n");
    }

    #[test]
    fn a_table_without_pids_is_an_error() {
        assert!(lines_of("CMD\nsh\n", &[1]).is_err());
        assert!(lines_of("", &[1]).is_err());
    }
}
