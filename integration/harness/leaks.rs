//! What a container left behind: processes, mounts, cgroups, state files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Container;
use super::cgroups;
use super::container::MARK;
use super::mode;

/// What is left once dying processes, and systemd, had all the time that they may take.
pub fn settled(container: &Container) -> Vec<String> {
    let deadline = Instant::now() + super::runtime::patience();
    loop {
        let left = left_by(container);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn left_by(container: &Container) -> Vec<String> {
    let mut left: Vec<String> = Vec::new();
    left.extend(processes(&container.id).iter().map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("process {pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
    }));
    left.extend(mounts(container).into_iter().map(|mount| format!("mount {mount}")));
    left.extend(cgroup_directories(container).iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(state_files(&container.root()).iter().map(|path| format!("state {}", path.display())));
    left
}

/// Every process whose environment carries the mark of this container; zombies have none.
pub fn processes(id: &str) -> Vec<i32> {
    let mark = format!("{MARK}={id}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let marked = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.filter(marked).collect()
}

fn mounts(container: &Container) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (bundle, home) = (container.bundle.dir.path(), container.home.path());
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| Path::new(point).starts_with(bundle) || Path::new(point).starts_with(home))
        .map(str::to_owned)
        .collect()
}

fn cgroup_directories(container: &Container) -> Vec<PathBuf> {
    let mut found = cgroups::existing(&container.cgroup());
    if let Some(path) = container.bundle.config.pointer("/linux/cgroupsPath").and_then(|path| path.as_str()) {
        let parent = format!("{}/", mode().cgroup_parent());
        found.extend(cgroups::existing(path).into_iter().filter(|_| path.starts_with(&parent)));
    }
    for name in [format!("/rt/{}", container.id), format!("/{}", container.id)] {
        found.extend(cgroups::existing(&name));
    }
    for own in cgroups::own_directories() {
        let below = [own.join(&container.id), own.join("rt").join(&container.id), own.join("rt-test")];
        found.extend(below.into_iter().filter(|path| path.is_dir()));
    }
    found.sort();
    found.dedup();
    found
}

/// Every file below a state root except what a runtime keeps for all containers (locks and caches).
fn state_files(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    visible.map(|entry| entry.path()).collect()
}

/// Ends the marked processes and removes the cgroups, so that a failed test disturbs no other.
pub fn sweep(container: &Container) {
    for directory in cgroup_directories(container).iter().filter(|path| path.to_string_lossy().contains(&container.id))
    {
        std::fs::write(directory.join("freezer.state"), "THAWED").ok();
        std::fs::write(directory.join("cgroup.freeze"), "0").ok();
    }
    for pid in processes(&container.id) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
    }
    for directory in cgroup_directories(container).iter().filter(|path| path.to_string_lossy().contains(&container.id))
    {
        for _ in 0..50 {
            if std::fs::remove_dir(directory).is_ok() || !directory.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
