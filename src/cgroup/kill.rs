//! The processes in a container's cgroups, and the signals sent to all of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::patience::Patience;
use super::{CgroupPaths, file, freeze};

/// How long v1's processes may take to stand still before they are killed anyway.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);
/// How long processes that fork may be chased where they cannot be frozen.
const CHASE_LIMIT: Duration = Duration::from_secs(2);

/// Every process in the container's cgroup and in those below it, as the caller's pid namespace counts.
///
/// # Errors
/// The kernel's; a cgroup that was removed has no processes.
pub fn pids(paths: &CgroupPaths) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    // Every hierarchy holds all of them; the freezer's first on v1, because it is never left.
    let directory =
        paths.v2.as_deref().or_else(|| paths.v1_directory("freezer")).or_else(|| paths.directories().next());
    if let Some(directory) = directory {
        collect(directory, &mut found)?;
    }
    Ok(found)
}

/// Whether a process is in the cgroup or below it.
pub(super) fn is_used(directory: &Path) -> bool {
    let mut pids = Vec::new();
    collect(directory, &mut pids).is_err() || !pids.is_empty()
}

fn collect(directory: &Path, found: &mut Vec<i32>) -> anyhow::Result<()> {
    let path = directory.join("cgroup.procs");
    match file::read(&path) {
        Ok(text) => found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)),
        // A threaded cgroup: its processes are listed above.
        Err(Errno::EOPNOTSUPP) => {}
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
        Err(errno) => return Err(errno).with_context(|| format!("read {}", path.display())),
    }
    children(directory)?.iter().try_for_each(|child| collect(child, found))
}

/// The cgroups directly below one; none when it is gone.
pub(super) fn children(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                children.push(entry.path());
            }
        }
        Ok(children)
    };
    match read().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
        Ok(children) => Ok(children),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        Err(errno) => Err(errno).with_context(|| format!("list {}", directory.display())),
    }
}

/// Sends a signal to every process of the container.
///
/// SIGKILL misses none: cgroup.kill does it at once; on v1 the container is frozen before and thawed after, so that
/// nothing forks away (and a paused container dies as well). It returns when the signals are sent, not when the
/// processes are gone: [`super::remove`] waits for that.
///
/// # Errors
/// The kernel's. A process that is gone already is no error.
pub fn kill_all(paths: &CgroupPaths, signal: Signal) -> anyhow::Result<()> {
    if paths.unit.as_ref().is_some_and(|unit| !unit.is_there()) {
        // A unit ends with its last process, and another may have its name by now.
        return Ok(());
    }
    if signal != Signal::SIGKILL {
        return signal_each(paths, signal).map(drop);
    }
    let by_kernel = match &paths.v2 {
        Some(directory) => kill_v2(directory)?,
        None => false,
    };
    if by_kernel {
        if !paths.v1.is_empty() {
            // A process with write access to cgroup2 can leave that tree alone, and stay in those of v1.
            signal_each(&CgroupPaths { v1: paths.v1.clone(), ..CgroupPaths::default() }, signal)?;
        }
        return freeze::thaw_killed(paths);
    }
    // Of one hierarchy's processes none can escape while they are frozen.
    let frozen = freeze::freeze_within(paths, FREEZE_LIMIT).is_ok();
    let mut left = signal_each(paths, signal);
    if frozen {
        freeze::thaw(paths)?;
    }
    freeze::thaw_killed(paths)?;
    let mut patience = Patience::new(CHASE_LIMIT);
    while !frozen && *left.as_ref().unwrap_or(&0) > 0 && patience.pause() {
        left = signal_each(paths, signal);
    }
    left.map(drop)
}

/// Kills by cgroup.kill; false before Linux 5.14, which has no such file.
fn kill_v2(directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join("cgroup.kill");
    match file::write(&path, "1") {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) if directory.exists() => Ok(false),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(true),
        // A threaded cgroup cannot be killed as one.
        Err(Errno::EOPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno).with_context(|| format!("write 1 to {}", path.display())),
    }
}

/// Signals each process once; how many there were.
fn signal_each(paths: &CgroupPaths, signal: Signal) -> anyhow::Result<usize> {
    let own = Pid::this().as_raw();
    let pids = pids(paths)?;
    for pid in pids.iter().copied().filter(|pid| *pid != own) {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).with_context(|| format!("kill {pid} with {signal}")),
        }
    }
    Ok(pids.len())
}

#[cfg(test)]
mod tests {
    use super::super::testbed::Testbed;
    use super::super::{freeze, remove};
    use super::*;

    /// A script that moves a child into a cgroup below, in all hierarchies.
    fn nested(paths: &CgroupPaths) -> String {
        let directories: Vec<_> = paths.directories().map(|d| d.display().to_string()).collect();
        let all = directories.join(" ");
        format!(
            "for d in {all}; do mkdir -p $d/a/b; \
             [ -f $d/a/cpuset.cpus ] && for c in $d/a $d/a/b; do cat $c/../cpuset.cpus > $c/cpuset.cpus; \
             cat $c/../cpuset.mems > $c/cpuset.mems; done; done; \
             (for d in {all}; do echo 0 > $d/a/b/cgroup.procs; done; exec sleep 100) & wait"
        )
    }

    fn wait_for(count: usize, paths: &CgroupPaths) {
        let mut patience = Patience::new(Duration::from_secs(5));
        while pids(paths).unwrap().len() != count {
            assert!(patience.pause(), "{:?}", pids(paths));
        }
    }

    #[test]
    fn kills_and_removes_what_is_nested() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let paths = testbed.paths().clone();
        let script = nested(&paths);
        let pid = testbed.spawn(&script);
        // The shell and sleep.
        wait_for(2, &paths);
        kill_all(&paths, Signal::SIGKILL).unwrap();
        assert_eq!(testbed.wait(pid), 128 + 9);
        remove(&paths).unwrap();
        assert!(paths.directories().all(|d| !d.exists()));
        assert_eq!(pids(&paths).unwrap(), Vec::<i32>::new());
        remove(&paths).unwrap();
    }

    #[test]
    fn kills_a_paused_container_and_those_that_fork_all_the_time() {
        for frozen in [false, true] {
            let Some(mut testbed) = Testbed::new(r#"{"pids":{"limit":40}}"#) else { return };
            let paths = testbed.paths().clone();
            let pid = testbed.spawn("trap '' TERM; while :; do (sleep 1 &) ; done 2>/dev/null");
            wait_for_some(&paths);
            if frozen {
                freeze(&paths).unwrap();
            }
            kill_all(&paths, Signal::SIGKILL).unwrap();
            assert_eq!(testbed.wait(pid), 128 + 9);
            remove(&paths).unwrap();
        }
    }

    fn wait_for_some(paths: &CgroupPaths) {
        let mut patience = Patience::new(Duration::from_secs(5));
        while pids(paths).unwrap().len() < 5 {
            assert!(patience.pause());
        }
    }

    #[test]
    fn v1_alone_kills_all_by_its_freezer() {
        let Some(mut testbed) = Testbed::new(r#"{"pids":{"limit":40}}"#) else { return };
        let without_v2 = CgroupPaths { v2: None, ..testbed.paths().clone() };
        if without_v2.is_empty() {
            return super::super::testbed::skip("no v1 hierarchies");
        }
        let pid = testbed.spawn("while :; do (sleep 1 &) ; done 2>/dev/null");
        wait_for_some(&without_v2);
        kill_all(&without_v2, Signal::SIGKILL).unwrap();
        assert_eq!(testbed.wait(pid), 128 + 9);
        remove(&without_v2).unwrap();
    }

    #[test]
    fn a_signal_reaches_every_process() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let paths = testbed.paths().clone();
        let first = testbed.spawn("exec sleep 100");
        let second = testbed.spawn("exec sleep 100");
        wait_for(2, &paths);
        kill_all(&paths, Signal::SIGTERM).unwrap();
        assert_eq!((testbed.wait(first), testbed.wait(second)), (128 + 15, 128 + 15));
    }
}
