//! Removing a container's cgroups.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::patience::Patience;
use super::{CgroupPaths, file, kill, unit};

/// How long dying processes may take to leave.
const LIMIT: Duration = Duration::from_secs(5);

/// Removes the container's directories with all that are below them, and waits for dying processes to leave.
///
/// cgroup2 goes first: it tells when it becomes empty, and then the others are too.
///
/// # Errors
/// All causes: it goes on after a fault. A directory that is gone already is none.
pub fn remove(paths: &CgroupPaths) -> anyhow::Result<()> {
    remove_except(paths, &[])
}

/// As `remove`, but of the directories in `kept` only what is below them goes: "resources [...] not created by this
/// container, MUST NOT be deleted".
///
/// # Errors
/// As those of `remove`.
pub fn remove_except(paths: &CgroupPaths, kept: &[PathBuf]) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let mut is_gone = false;
    if let Some(unit) = &paths.unit {
        is_gone = !unit.is_there();
        if !unit.is_only_asked() && is_gone && paths.v1.is_empty() {
            // It has ended with its last process; a cgroup of this name would be somebody else's.
            return Ok(());
        }
        faults.extend(unit::stop(unit).err());
    }
    let mut patience = Patience::new(LIMIT);
    // What a unit leaves: it has a cgroup below it sometimes, or systemd did not answer.
    let of_unit = paths.unit.iter().filter(|unit| unit.is_there()).map(|unit| unit.directory.as_path());
    for directory in paths.directories().chain(of_unit) {
        // On v1 it leaves the directories that systemd has not made; with processes they are somebody else's.
        if is_gone && kill::is_used(directory) {
            continue;
        }
        let removed = if kept.iter().any(|kept| kept == directory) {
            kill::children(directory)
                .and_then(|children| children.iter().try_for_each(|child| remove_tree(child, &mut patience)))
        } else {
            remove_tree(directory, &mut patience)
        };
        faults.extend(removed.err());
    }
    match faults.len() {
        0 => Ok(()),
        1 => Err(faults.remove(0)),
        _ => {
            let all: Vec<_> = faults.iter().map(|fault| format!("{fault:#}")).collect();
            bail!("{}", all.join("; "))
        }
    }
}

/// Removes one directory that has nothing below it.
pub(super) fn remove_directory(directory: &Path) -> Result<(), Errno> {
    match std::fs::remove_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::ENOENT => Ok(()),
            errno => Err(errno),
        },
    }
}

fn remove_tree(directory: &Path, patience: &mut Patience) -> anyhow::Result<()> {
    let object = || format!("rmdir {}", directory.display());
    loop {
        match remove_directory(directory) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) => {}
            Err(errno) => return Err(errno).with_context(object),
        }
        let children = kill::children(directory)?;
        for child in &children {
            remove_tree(child, patience)?;
        }
        if children.is_empty() && !wait_until_empty(directory, patience).with_context(object)? {
            let procs = file::read(&directory.join("cgroup.procs")).unwrap_or_default();
            let pids: Vec<_> = procs.split_whitespace().collect();
            return Err(Errno::EBUSY).with_context(|| format!("{} (processes: {})", object(), pids.join(" ")));
        }
    }
}

/// Waits for the last process to leave; false when there was no time left.
fn wait_until_empty(directory: &Path, patience: &mut Patience) -> Result<bool, Errno> {
    match patience.wait_for_event(directory, "populated", "0") {
        // Empty, yet busy a moment ago: a pause, in case the kernel has not let go yet.
        Ok(true) => Ok(patience.pause()),
        Ok(false) => Ok(false),
        // v1 has no cgroup.events.
        Err(Errno::ENOENT) => Ok(patience.pause()),
        Err(Errno::ENODEV) => Ok(true),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testbed::Testbed;
    use super::*;

    #[test]
    fn names_the_processes_that_keep_a_cgroup() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let pid = testbed.spawn("exec sleep 100");
        let directory = testbed.paths().directories().next().unwrap().to_owned();
        let error = remove_tree(&directory, &mut Patience::new(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.to_string(), format!("rmdir {} (processes: {pid})", directory.display()));
        assert_eq!(error.root_cause().downcast_ref::<Errno>(), Some(&Errno::EBUSY));
    }

    #[test]
    fn waits_for_a_process_that_is_about_to_go() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let pid = testbed.spawn("exec sleep 0.1");
        let paths = testbed.paths().clone();
        remove(&paths).unwrap();
        assert_eq!(testbed.wait(pid), 0);
    }
}
