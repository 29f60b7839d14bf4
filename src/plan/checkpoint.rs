//! What of a container comes from outside, and so is named to CRIU: its bind mounts, cgroups, covered files.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of /proc/PID/mountinfo, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// The mount's id.
    pub id: u32,
    /// `major:minor` of the superblock.
    pub device: String,
    /// What of it is mounted.
    pub root: PathBuf,
    /// Where, from the root of the process.
    pub point: PathBuf,
    /// The type of the filesystem.
    pub filesystem: String,
}

/// Reads mountinfo, see proc_pid_mountinfo(5).
pub fn read_mountinfo(text: &str) -> Vec<MountLine> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<MountLine> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let id = left.next()?.parse().ok()?;
    let mut left = left.skip(1);
    Some(MountLine {
        id,
        device: left.next()?.to_owned(),
        root: unescape(left.next()?),
        point: unescape(left.next()?),
        filesystem: right.split(' ').next()?.to_owned(),
    })
}

/// Blanks, newlines and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

/// The mount points of a container that CRIU cannot make by itself: bind mounts and what came with them, cgroups, and
/// whatever else shows a piece of a filesystem that is not the container's own.
///
/// `mounts` are the destinations of config.json as they are in the container, each with whether it is a bind mount.
pub fn external_mounts(lines: &[MountLine], mounts: &[(PathBuf, bool)]) -> Vec<PathBuf> {
    let is_bound = |point: &Path| {
        // The last one that covers it: a tmpfs within a bind mount is the container's own.
        mounts.iter().rfind(|(destination, _)| point.starts_with(destination)).is_some_and(|(_, is_bind)| *is_bind)
    };
    let is_own = |line: &MountLine| {
        line.root == Path::new("/")
            || lines.iter().any(|other| {
                let is_whole = other.root == Path::new("/") || other.point == Path::new("/");
                is_whole && other.device == line.device && line.root.starts_with(&other.root) && !is_bound(&other.point)
            })
    };
    let is_external = |line: &&MountLine| {
        line.point != Path::new("/")
            && (matches!(line.filesystem.as_str(), "cgroup" | "cgroup2") || is_bound(&line.point) || !is_own(line))
    };
    lines.iter().filter(is_external).map(|line| line.point.clone()).collect()
}

/// The host's mounts below `source`, as they come with a recursive bind mount of it to `destination`: where they will
/// be, and what they are.
pub fn mounts_below(lines: &[MountLine], source: &Path, destination: &Path) -> Vec<(PathBuf, PathBuf)> {
    let below = |line: &MountLine| {
        let rest = line.point.strip_prefix(source).ok().filter(|rest| !rest.as_os_str().is_empty())?;
        Some((destination.join(rest), line.point.clone()))
    };
    lines.iter().filter_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "\
100 50 254:0 /bundle/rootfs / rw,relatime - ext4 /dev/vda rw
101 100 0:40 / /proc rw,nosuid - proc proc rw
102 100 0:41 / /dev rw,nosuid - tmpfs tmpfs rw
103 102 0:42 / /dev/pts rw - devpts devpts rw
104 102 0:42 /0 /dev/console rw - devpts devpts rw
105 100 254:0 /srv/data /data rw - ext4 /dev/vda rw
106 105 0:50 / /data/below rw - tmpfs host rw
107 105 0:51 / /data/own rw - tmpfs own rw
108 100 0:60 / /sys/fs/cgroup rw - tmpfs cgroup rw
109 108 0:30 /rt/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
110 101 0:6 /null /proc/kcore ro - devtmpfs devtmpfs rw
111 101 0:40 /sys /proc/sys ro - proc proc rw
112 100 0:6 /with\\040blank /mnt/with\\040blank rw - devtmpfs devtmpfs rw
113 100 254:0 /bundle/rootfs/etc /etc ro - ext4 /dev/vda rw
";

    #[test]
    fn what_comes_from_outside_is_told_from_what_is_the_containers_own() {
        let mounts = [("/proc", false), ("/dev", false), ("/dev/pts", false), ("/data", true), ("/data/own", false)]
            .map(|(path, is_bind)| (PathBuf::from(path), is_bind));
        let found = external_mounts(&read_mountinfo(CONTAINER), &mounts);
        let expected = ["/data", "/data/below", "/sys/fs/cgroup/memory", "/proc/kcore", "/mnt/with blank"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_recursive_bind_brings_what_is_mounted_below_its_source() {
        let host = read_mountinfo(
            "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 0:5 / /srv/data/tmp rw - tmpfs t rw\n3 1 0:6 / /srv/database rw - tmpfs t rw\n",
        );
        let found = mounts_below(&host, Path::new("/srv/data"), Path::new("/data"));
        assert_eq!(found, [(PathBuf::from("/data/tmp"), PathBuf::from("/srv/data/tmp"))]);
    }

    #[test]
    fn broken_lines_are_passed_over() {
        assert!(read_mountinfo("\n1 2\n1 2 3 - \n").len() <= 1);
        assert_eq!(unescape("a\\040b\\134\\9"), PathBuf::from("a b\\\\9"));
    }
}
