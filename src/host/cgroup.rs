//! How cgroups are mounted on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};

use crate::sys::fd::read_small_file;

/// Where every distribution mounts cgroups.
const ROOT: &str = "/sys/fs/cgroup";

/// One cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers (`cpu`, `cpuacct`), or `name=systemd` for a named one.
    pub controllers: Vec<String>,
    /// Where its root is mounted.
    pub mount: PathBuf,
    /// The caller's own cgroup in it, from /proc/self/cgroup.
    pub own: PathBuf,
}

/// A cgroup2 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's own cgroup.
    pub own: PathBuf,
    /// The controllers that can be used in it; on a hybrid host those that no v1 hierarchy has taken.
    pub controllers: Vec<String>,
}

/// The cgroup mode of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// cgroup v2 alone.
    Unified(Unified),
    /// v1 hierarchies, with a cgroup2 mount beside them on a hybrid host.
    Legacy {
        /// The v1 hierarchies.
        hierarchies: Vec<Hierarchy>,
        /// The cgroup2 mount of a hybrid host.
        unified: Option<Unified>,
    },
    /// Nothing is mounted.
    None,
}

/// Which of the two interfaces a controller is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own.
    V1,
    /// The cgroup2 tree.
    V2,
}

impl Layout {
    /// Looks at the machine: one statfs and two small files on v2; one file and a statfs for each hierarchy on v1.
    ///
    /// Mount points are taken by convention and checked by the magic number of what is mounted there; mountinfo is
    /// parsed only where the convention does not hold.
    ///
    /// # Errors
    /// /proc/self/cgroup or mountinfo cannot be read.
    pub fn read() -> anyhow::Result<Layout> {
        let magic = magic_of(Path::new(ROOT));
        let memberships = memberships(&read_file("/proc/self/cgroup")?);
        if magic == Some(CGROUP2_SUPER_MAGIC) {
            return Ok(Layout::Unified(unified(PathBuf::from(ROOT), &memberships)));
        }
        let mut by_convention = Vec::new();
        for membership in memberships.iter().filter(|m| !m.controllers.is_empty()) {
            let mount = Path::new(ROOT).join(membership.conventional_name());
            if magic_of(&mount) != Some(CGROUP_SUPER_MAGIC) {
                return Ok(from_mountinfo(&read_mountinfo()?, &memberships));
            }
            by_convention.push(membership.at(mount));
        }
        let second = Path::new(ROOT).join("unified");
        let second = (magic_of(&second) == Some(CGROUP2_SUPER_MAGIC)).then(|| unified(second.clone(), &memberships));
        if by_convention.is_empty() && second.is_none() {
            return Ok(from_mountinfo(&read_mountinfo()?, &memberships));
        }
        Ok(Layout::Legacy { hierarchies: by_convention, unified: second })
    }

    /// The v1 hierarchies; none on v2.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        match self {
            Layout::Legacy { hierarchies, .. } => hierarchies,
            Layout::Unified(_) | Layout::None => &[],
        }
    }

    /// The cgroup2 tree, if there is one.
    pub fn unified(&self) -> Option<&Unified> {
        match self {
            Layout::Unified(unified) => Some(unified),
            Layout::Legacy { unified, .. } => unified.as_ref(),
            Layout::None => None,
        }
    }

    /// By which interface `controller` is reached: a v1 hierarchy wins, as the kernel gives a controller to one only.
    pub fn version_of(&self, controller: &str) -> Option<Version> {
        if self.hierarchies().iter().any(|h| h.controllers.iter().any(|c| c == controller)) {
            Some(Version::V1)
        } else if self.unified().is_some_and(|u| u.controllers.iter().any(|c| c == controller)) {
            Some(Version::V2)
        } else {
            None
        }
    }
}

/// The hierarchies that this process is in, mounted here or not: the controllers as /proc/self/cgroup writes them, none
/// for cgroup2, and the own cgroup.
///
/// # Errors
/// /proc/self/cgroup cannot be read.
pub fn own_cgroups() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let memberships = memberships(&read_file("/proc/self/cgroup")?);
    Ok(memberships.into_iter().map(|membership| (membership.controllers.join(","), membership.own)).collect())
}

/// One line of /proc/self/cgroup; no controllers means cgroup2.
#[derive(Debug, PartialEq, Eq)]
struct Membership {
    controllers: Vec<String>,
    own: PathBuf,
}

impl Membership {
    /// `cpu,cpuacct`, `systemd`: the directory below /sys/fs/cgroup by convention.
    fn conventional_name(&self) -> String {
        let joined = self.controllers.join(",");
        joined.strip_prefix("name=").map(str::to_owned).unwrap_or(joined)
    }

    fn at(&self, mount: PathBuf) -> Hierarchy {
        Hierarchy { controllers: self.controllers.clone(), mount, own: self.own.clone() }
    }
}

fn memberships(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
            Some(Membership { controllers, own: PathBuf::from(parts.next()?) })
        })
        .collect()
}

fn unified(mount: PathBuf, memberships: &[Membership]) -> Unified {
    let own =
        memberships.iter().find(|m| m.controllers.is_empty()).map_or_else(|| PathBuf::from("/"), |m| m.own.clone());
    let controllers = read_file(mount.join("cgroup.controllers"))
        .map(|text| text.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    Unified { mount, own, controllers }
}

fn from_mountinfo(text: &str, memberships: &[Membership]) -> Layout {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    let mut second = None;
    for line in text.lines() {
        let Some((mount, kind, options)) = mount_of(line) else { continue };
        match kind {
            "cgroup2" if second.is_none() => second = Some(unified(mount, memberships)),
            "cgroup" => {
                let has = |c: &String| options.split(',').any(|o| o == c);
                let found = memberships.iter().find(|m| !m.controllers.is_empty() && m.controllers.iter().all(has));
                if let Some(membership) = found
                    && hierarchies.iter().all(|h| h.controllers != membership.controllers)
                {
                    hierarchies.push(membership.at(mount));
                }
            }
            _ => {}
        }
    }
    match (hierarchies.is_empty(), second) {
        (true, Some(unified)) => Layout::Unified(unified),
        (true, None) => Layout::None,
        (false, unified) => Layout::Legacy { hierarchies, unified },
    }
}

/// Mount point, file system type and super block options of a line of mountinfo.
fn mount_of(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (front, back) = line.split_once(" - ")?;
    let mount = front.split(' ').nth(4)?;
    let mut back = back.splitn(3, ' ');
    let kind = back.next()?;
    let options = back.nth(1)?;
    Some((PathBuf::from(mount.replace("\\040", " ")), kind, options))
}

fn magic_of(path: &Path) -> Option<FsType> {
    statfs(path).ok().map(|stat| stat.filesystem_type())
}

/// Reads a file of the kernel's that comes in one piece.
pub(super) fn read_file(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = path.as_ref();
    let text = read_small_file(path).with_context(|| format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn read_mountinfo() -> anyhow::Result<String> {
    std::fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "3:cpu,cpuacct:/\n2:memory:/a/b:c\n1:name=systemd:/user.slice\n0::/user.slice\n";

    #[test]
    fn reads_the_lines_of_proc_self_cgroup() {
        let lines = memberships(HYBRID);
        assert_eq!(lines[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(lines[0].conventional_name(), "cpu,cpuacct");
        assert_eq!(lines[1].own, Path::new("/a/b:c"));
        assert_eq!(lines[2].conventional_name(), "systemd");
        assert!(lines[3].controllers.is_empty());
    }

    #[test]
    fn finds_unconventional_mounts_by_mountinfo() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    32 31 0:29 / /cg/cpu\\040set rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
                    33 31 0:30 / /cg/memory rw - cgroup cgroup rw,memory\n\
                    34 31 0:31 / /again rw - cgroup cgroup rw,memory\n";
        let Layout::Legacy { hierarchies, unified: None } = from_mountinfo(text, &memberships(HYBRID)) else {
            panic!("not legacy")
        };
        assert_eq!(hierarchies.len(), 2);
        assert_eq!(hierarchies[0].mount, Path::new("/cg/cpu set"));
        assert_eq!(hierarchies[1].mount, Path::new("/cg/memory"));
        assert_eq!(from_mountinfo("", &[]), Layout::None);
    }

    #[test]
    fn a_controller_belongs_to_v1_or_to_v2() {
        let own = PathBuf::from("/");
        let layout = Layout::Legacy {
            hierarchies: vec![Hierarchy { controllers: vec!["cpu".into()], mount: "/c".into(), own: own.clone() }],
            unified: Some(Unified { mount: "/u".into(), own, controllers: vec!["hugetlb".into()] }),
        };
        assert_eq!(layout.version_of("cpu"), Some(Version::V1));
        assert_eq!(layout.version_of("hugetlb"), Some(Version::V2));
        assert_eq!(layout.version_of("rdma"), None);
    }

    #[test]
    fn reads_this_machine() {
        let layout = Layout::read().unwrap();
        assert_eq!(layout.hierarchies().is_empty(), !matches!(layout, Layout::Legacy { .. }));
        for hierarchy in layout.hierarchies() {
            assert!(hierarchy.mount.join("cgroup.procs").exists(), "{hierarchy:?}");
        }
    }
}
