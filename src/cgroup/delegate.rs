//! Giving the container's cgroup to the container's user, who may make cgroups below it then.

use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::unistd::{Uid, chown};

use super::file;

/// The kernel's list of files that may be given away.
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";
/// What the list holds at least; before Linux 4.15 there is none.
const FALLBACK: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

/// Changes the owner of the directory and of the files that move processes, not of those that hold limits.
///
/// # Errors
/// The kernel's; a file that does not exist is none.
pub fn give(directory: &Path, owner: u32) -> anyhow::Result<()> {
    give_listed(directory, owner, Path::new(DELEGATE))
}

fn give_listed(directory: &Path, owner: u32, list: &Path) -> anyhow::Result<()> {
    let list = file::read(list).unwrap_or_else(|_| FALLBACK.to_owned());
    // Its lines are names of files, not paths.
    let names = list.lines().filter(|name| !name.is_empty() && !name.contains('/'));
    let paths = names.map(|name| directory.join(name)).chain([directory.to_owned()]);
    for path in paths {
        match chown(&path, Some(Uid::from_raw(owner)), None) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno).with_context(|| format!("chown {owner} {}", path.display())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::testbed::{Testbed, skip};
    use super::*;

    #[test]
    fn gives_away_what_moves_processes_and_keeps_the_limits() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(directory) = testbed.paths().v2.clone() else { return skip("no cgroup v2") };
        give(&directory, 4711).unwrap();
        let owner = |name: &str| std::fs::metadata(directory.join(name)).unwrap().uid();
        for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            assert_eq!(owner(name), 4711, "{name}");
        }
        for name in ["cgroup.freeze", "cgroup.kill", "cgroup.max.depth"] {
            assert_eq!(owner(name), 0, "{name}");
        }
    }

    /// Plain files do: what is asked is which of them.
    #[test]
    fn without_the_kernels_list_it_falls_back_to_three_files() {
        if !nix::unistd::geteuid().is_root() {
            return skip("needs root");
        }
        let directory = tempfile::tempdir().unwrap();
        let (list, missing) = (directory.path().join("list"), directory.path().join("no-list"));
        let names = ["cgroup.procs", "cgroup.threads", "memory.reclaim", "memory.max"];
        names.iter().for_each(|name| std::fs::write(directory.path().join(name), "").unwrap());
        std::fs::write(&list, "memory.reclaim\n../memory.max\nnot.there\n").unwrap();
        for (list, owner, owners) in [(&missing, 4711, [4711, 4711, 0, 0]), (&list, 4712, [4711, 4711, 4712, 0])] {
            give_listed(directory.path(), owner, list).unwrap();
            assert_eq!(names.map(|name| std::fs::metadata(directory.path().join(name)).unwrap().uid()), owners);
            assert_eq!(std::fs::metadata(directory.path()).unwrap().uid(), owner);
        }
    }
}
