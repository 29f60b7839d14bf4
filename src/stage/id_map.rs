//! uid_map and gid_map of a new user namespace, written by RUNTIME.

use std::fmt::Write;
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};
use nix::errno::Errno;

use crate::host::Host;
use crate::plan::namespaces::{IdMapping, NamespacePlan};

/// Writes the maps of the process `pid`, whose user namespace is new.
///
/// A privileged runtime writes them itself. Any other may map its own id only, after giving up setgroups(2); for more
/// it asks newuidmap(1) and newgidmap(1), which know /etc/subuid and /etc/subgid.
///
/// # Errors
/// What the kernel or the two programs refuse.
pub fn write(pid: i32, plan: &NamespacePlan, host: &Host) -> anyhow::Result<()> {
    let write_uid_map =
        || write_map(pid, "uid_map", &plan.uid_mappings).map_err(|error| explain(error, &plan.uid_mappings, host));
    if is_privileged(host) {
        write_uid_map()?;
        return write_map(pid, "gid_map", &plan.gid_mappings);
    }
    if is_only(&plan.uid_mappings, host.euid) {
        write_uid_map()?;
    } else {
        run_mapper("newuidmap", pid, &plan.uid_mappings)?;
    }
    if is_only(&plan.gid_mappings, host.egid) {
        write_file(pid, "setgroups", "deny")?;
        write_map(pid, "gid_map", &plan.gid_mappings)
    } else {
        run_mapper("newgidmap", pid, &plan.gid_mappings)
    }
}

/// Inside another container: what is missing to map its root again.
fn explain(error: anyhow::Error, mappings: &[IdMapping], host: &Host) -> anyhow::Error {
    const CAP_SETFCAP: u32 = 31;
    let maps_root = mappings.iter().any(|mapping| mapping.host_id == 0);
    if maps_root && !host.has_capability(CAP_SETFCAP) && error.root_cause().downcast_ref() == Some(&Errno::EPERM) {
        return error.context("to map the caller's root takes CAP_SETFCAP since Linux 5.12");
    }
    error
}

/// Whether the runtime may write any map.
fn is_privileged(host: &Host) -> bool {
    const CAP_SETGID: u32 = 6;
    const CAP_SETUID: u32 = 7;
    host.has_capability(CAP_SETUID) && host.has_capability(CAP_SETGID)
}

/// Whether the map is the one that the kernel lets an unprivileged user write.
fn is_only(mappings: &[IdMapping], own_id: u32) -> bool {
    matches!(mappings, [IdMapping { host_id, size: 1, .. }] if *host_id == own_id)
}

fn write_map(pid: i32, file: &str, mappings: &[IdMapping]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for IdMapping { container_id, host_id, size } in mappings {
        let _ = writeln!(lines, "{container_id} {host_id} {size}");
    }
    write_file(pid, file, &lines)
}

/// One write(2): the kernel takes a map once and whole.
fn write_file(pid: i32, file: &str, content: &str) -> anyhow::Result<()> {
    std::fs::write(format!("/proc/{pid}/{file}"), content)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
        .with_context(|| format!("write {} to {file} of the new user namespace", described(content)))
}

/// What can be shown in one line of an error.
fn described(content: &str) -> String {
    const SMALLEST_PAGE: usize = 4096;
    match content.lines().count() {
        0..=4 => format!("{:?}", content.trim_end().replace('\n', ", ")),
        count if content.len() < SMALLEST_PAGE => format!("{count} lines"),
        count => format!("{count} lines of {} bytes, of which the kernel takes less than a page,", content.len()),
    }
}

fn run_mapper(program: &str, pid: i32, mappings: &[IdMapping]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for IdMapping { container_id, host_id, size } in mappings {
        command.args([container_id, host_id, size].map(u32::to_string));
    }
    let output = command.output().with_context(|| format!("run {program} (Debian package uidmap)"))?;
    if !output.status.success() {
        bail!("{}", refusal(program, &String::from_utf8_lossy(&output.stderr), output.status));
    }
    Ok(())
}

/// Its words, in one line that begins with its name, and where the ids come from.
fn refusal(program: &str, said: &str, status: ExitStatus) -> String {
    let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let said = said.strip_prefix(&format!("{program}: ")).unwrap_or(&said);
    let file = if program == "newuidmap" { "/etc/subuid" } else { "/etc/subgid" };
    let hint = if said.contains("not allowed") {
        format!(": {file} says which ids a user has")
    } else if said.contains("Operation not permitted") {
        ": it has to be setuid root or to have file capabilities, and these to count (nosuid, no_new_privs)".to_owned()
    } else {
        String::new()
    };
    format!("{program}: {said} ({status}){hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unprivileged_user_may_map_only_itself() {
        let map = |host_id, size| IdMapping { container_id: 0, host_id, size };
        assert!(is_only(&[map(1000, 1)], 1000));
        assert!(!is_only(&[map(1000, 2)], 1000));
        assert!(!is_only(&[map(1001, 1)], 1000));
        assert!(!is_only(&[map(1000, 1), map(1001, 1)], 1000));
        assert!(!is_only(&[], 1000));
    }

    #[test]
    fn what_newuidmap_says_becomes_one_line() {
        let status = ExitStatus::default();
        assert_eq!(
            refusal("newuidmap", "newuidmap: uid range [0-1) -> [0-1) not allowed\n", status),
            "newuidmap: uid range [0-1) -> [0-1) not allowed (exit status: 0): /etc/subuid says which ids a user has"
        );
        let said = refusal("newgidmap", "newgidmap: write to gid_map failed: Operation not permitted\n", status);
        assert!(
            said.ends_with(
                "(exit status: 0): it has to be setuid root or to have file capabilities, and these to \
            count (nosuid, no_new_privs)"
            ),
            "{said}"
        );
        let said = refusal("newgidmap", "one\n\n  two\n", status);
        assert_eq!(said, "newgidmap: one; two (exit status: 0)");
    }

    #[test]
    fn many_lines_are_counted_and_not_shown() {
        assert_eq!(described("0 1000 1\n1 2000 5\n"), "\"0 1000 1, 1 2000 5\"");
        assert_eq!(described(&"0 1000 1\n".repeat(5)), "5 lines");
        let long = described(&"10 100000 100\n".repeat(300));
        assert_eq!(long, "300 lines of 4200 bytes, of which the kernel takes less than a page,");
    }
}
