//! The cgroup hierarchies of this machine: v1, v2 or both.

use std::path::PathBuf;

use super::{Mode, mode};

/// One mounted hierarchy. `controllers` holds `""` for cgroup2.
pub struct Hierarchy {
    pub path: PathBuf,
    pub controllers: Vec<String>,
    pub v2: bool,
}

/// All hierarchies, in the order of the mount table.
pub fn hierarchies() -> Vec<Hierarchy> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter_map(hierarchy).collect()
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let path = PathBuf::from(left.split(' ').nth(4)?);
    let mut right = right.split(' ');
    match right.next()? {
        "cgroup2" => {
            let list = std::fs::read_to_string(path.join("cgroup.controllers")).ok()?;
            Some(Hierarchy { path, controllers: list.split_whitespace().map(str::to_owned).collect(), v2: true })
        }
        "cgroup" => {
            let options =
                right.nth(1)?.split(',').filter(|option| !["rw", "ro", "xattr", "clone_children"].contains(option));
            let controllers = options.map(str::to_owned).collect();
            Some(Hierarchy { path, controllers, v2: false })
        }
        _ => None,
    }
}

/// Is this controller on cgroup v1 here?
pub fn is_v1(controller: &str) -> bool {
    hierarchies().iter().any(|hierarchy| !hierarchy.v2 && hierarchy.controllers.iter().any(|name| name == controller))
}

/// Whether the runtime under test can limit with this controller: without privilege, only where it was delegated.
pub fn has(controller: &str) -> bool {
    let parent = mode().cgroup_parent();
    match mode() {
        Mode::Root | Mode::Systemd => directory(controller, "/").is_some(),
        Mode::Rootless => hierarchies().iter().any(|hierarchy| {
            let delegated = hierarchy
                .path
                .join(parent.trim_start_matches('/'))
                .parent()
                .map(|path| path.join("cgroup.controllers"));
            let list = delegated.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            has_cgroup() && hierarchy.v2 && list.split_whitespace().any(|name| name == controller)
        }),
    }
}

/// Whether containers have cgroups of their own: without privilege, only when one was delegated.
pub fn has_cgroup() -> bool {
    mode().cgroups_path("any").is_some()
}

/// Where `cgroup` is in the hierarchy of `controller`; `None` when no hierarchy has it.
pub fn directory(controller: &str, cgroup: &str) -> Option<PathBuf> {
    let hierarchies = hierarchies();
    let found = hierarchies.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))?;
    Some(found.path.join(cgroup.trim_start_matches('/')))
}

/// All directories of this name that exist, in any hierarchy.
pub fn existing(cgroup: &str) -> Vec<PathBuf> {
    let paths = hierarchies().into_iter().map(|hierarchy| hierarchy.path.join(cgroup.trim_start_matches('/')));
    paths.filter(|path| path.is_dir()).collect()
}

/// The cgroup directories of the test's own process that are not the root of their hierarchy.
pub fn own_directories() -> Vec<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let pairs = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let below_root = pairs.filter(|(_, path)| *path != "/" && !path.contains(".."));
    below_root.filter_map(|(controllers, path)| directory(controllers.split(',').next()?, path)).collect()
}
