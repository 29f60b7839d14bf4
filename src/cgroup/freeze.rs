//! Pausing and resuming all processes of a container.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::errno::Errno;

use super::patience::Patience;
use super::{CgroupPaths, file};

/// How long the kernel may take to stop every process; one in an uninterruptible sleep can hold it up.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the container is frozen: by v1's freezer on v1 and hybrid hosts, else by cgroup2's own.
enum Freezer<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

fn freezer_of(paths: &CgroupPaths) -> Option<Freezer<'_>> {
    match paths.v1_directory("freezer") {
        Some(directory) => Some(Freezer::V1(directory)),
        None => paths.v2.as_deref().map(Freezer::V2),
    }
}

/// Stops every process of the container, and returns when they stand still.
///
/// # Errors
/// They do not within five seconds (they are thawed again), or there is no cgroup to freeze.
pub fn freeze(paths: &CgroupPaths) -> anyhow::Result<()> {
    freeze_within(paths, LIMIT)
}

pub(super) fn freeze_within(paths: &CgroupPaths, limit: Duration) -> anyhow::Result<()> {
    let (directory, frozen) = match freezer_of(paths) {
        Some(Freezer::V1(directory)) => (directory, freeze_v1(directory, limit)),
        Some(Freezer::V2(directory)) => (directory, freeze_v2(directory, limit)),
        None => bail!("the container has no cgroup of its own to be frozen"),
    };
    let object = || format!("freeze {}", directory.display());
    match frozen {
        Ok(true) => Ok(()),
        Ok(false) => {
            thaw(paths)?;
            bail!("{}: some process did not stop within {} s", object(), limit.as_secs_f32())
        }
        Err(errno) => Err(errno).with_context(object),
    }
}

fn freeze_v1(directory: &Path, limit: Duration) -> Result<bool, Errno> {
    let state = directory.join("freezer.state");
    let mut patience = Patience::new(limit);
    loop {
        // Written again each time: a process that was just forked or moved in may have missed the first one.
        file::write(&state, "FROZEN")?;
        if file::read_value(&state)?.trim() == "FROZEN" {
            return Ok(true);
        }
        if !patience.pause() {
            return Ok(false);
        }
    }
}

fn freeze_v2(directory: &Path, limit: Duration) -> Result<bool, Errno> {
    file::write(&directory.join("cgroup.freeze"), "1")?;
    Patience::new(limit).wait_for_event(directory, "frozen", "1")
}

/// Lets the container's processes go on.
///
/// # Errors
/// The kernel's; there is nothing to wait for.
pub fn thaw(paths: &CgroupPaths) -> anyhow::Result<()> {
    let (path, value) = match freezer_of(paths) {
        Some(Freezer::V1(directory)) => (directory.join("freezer.state"), "THAWED"),
        Some(Freezer::V2(directory)) => (directory.join("cgroup.freeze"), "0"),
        None => bail!("the container has no cgroup of its own to be thawed"),
    };
    file::write(&path, value).with_context(|| format!("write {value} to {}", path.display()))
}

/// Lets what was killed go on to its end: in v1's freezer even a killed process stays, also in a cgroup below the
/// container's that was frozen by itself (a paused container in the container). On v2 nobody survives in a frozen one.
///
/// # Errors
/// The kernel's first; it goes on after a fault. A cgroup that is gone is none.
pub fn thaw_killed(paths: &CgroupPaths) -> anyhow::Result<()> {
    paths.v1_directory("freezer").map_or(Ok(()), thaw_tree)
}

fn thaw_tree(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("freezer.state");
    let thawed = match file::write(&path, "THAWED") {
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("write THAWED to {}", path.display())),
    };
    super::kill::children(directory)?.iter().map(|child| thaw_tree(child)).fold(thawed, Result::and)
}

/// Refuses cgroups in which a new process would stand still before its first step: frozen themselves, or below a
/// frozen one.
///
/// # Errors
/// Which cgroup.
pub fn refuse_frozen(paths: &CgroupPaths) -> anyhow::Result<()> {
    if let Some(directory) = &paths.v2
        && read_unless_gone(&directory.join("cgroup.freeze"))?.is_some_and(|state| state.trim() != "0")
    {
        return Err(refusal(directory));
    }
    refuse_frozen_above(paths)
}

/// The same for a cgroup that was just made: it can be frozen by one above it only. On v2 it has no `cgroup.freeze` of
/// its own then, but is frozen already.
///
/// # Errors
/// Which cgroup.
pub fn refuse_frozen_above(paths: &CgroupPaths) -> anyhow::Result<()> {
    if let Some(directory) = paths.v1_directory("freezer")
        && read_unless_gone(&directory.join("freezer.state"))?.is_some_and(|state| state.trim() != "THAWED")
    {
        return Err(refusal(directory));
    }
    if let Some(directory) = &paths.v2
        && read_unless_gone(&directory.join("cgroup.events"))?
            .is_some_and(|events| file::value_of(&events, "frozen") == Some("1"))
    {
        return Err(refusal(directory));
    }
    Ok(())
}

fn refusal(directory: &Path) -> anyhow::Error {
    anyhow!("cgroup {}: is frozen, or one above it is", directory.display())
}

/// Whether the container is paused, or is about to be. One small file is read; a removed cgroup is not frozen.
///
/// # Errors
/// The kernel's.
pub fn is_frozen(paths: &CgroupPaths) -> anyhow::Result<bool> {
    let (path, thawed) = match freezer_of(paths) {
        Some(Freezer::V1(directory)) => (directory.join("freezer.state"), "THAWED"),
        Some(Freezer::V2(directory)) => (directory.join("cgroup.freeze"), "0"),
        None => return Ok(false),
    };
    Ok(read_unless_gone(&path)?.is_some_and(|state| state.trim() != thawed))
}

fn read_unless_gone(path: &Path) -> anyhow::Result<Option<String>> {
    match file::read_value(path) {
        Ok(text) => Ok(Some(text)),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testbed::Testbed;
    use super::*;

    #[test]
    fn a_frozen_container_stands_still_until_it_is_thawed() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let pid = testbed.spawn("while :; do :; done");
        let paths = testbed.paths().clone();
        assert!(!is_frozen(&paths).unwrap());
        freeze(&paths).unwrap();
        assert!(is_frozen(&paths).unwrap());
        let cpu_time = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let before = cpu_time();
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(before, cpu_time());
        freeze(&paths).unwrap();
        thaw(&paths).unwrap();
        assert!(!is_frozen(&paths).unwrap());
        super::super::kill_all(&paths, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(testbed.wait(pid), 128 + 15);
    }

    #[test]
    fn without_a_cgroup_nothing_is_frozen() {
        let none = CgroupPaths::default();
        assert!(!is_frozen(&none).unwrap());
        assert!(freeze(&none).is_err() && thaw(&none).is_err());
        let gone = CgroupPaths { v1: vec![("freezer".into(), "/nonexistent".into())], ..CgroupPaths::default() };
        assert!(!is_frozen(&gone).unwrap());
    }
}
