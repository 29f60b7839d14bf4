//! config.md, "Mounts".

mod binds;
mod cgroup;
mod filesystems;
mod idmap;
mod nested;
mod options;
mod propagation;
mod recursive;
mod running;
mod symlinks;

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};

use crate::harness::Container;

/// The mountinfo line of a mount point, as the program sees it.
fn line_of(container: &Container, point: &str) -> String {
    let table = container.run().ok().stdout;
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    line.unwrap_or_else(|| panic!("{point} is not mounted:\n{table}")).to_owned()
}

/// The options of a mountinfo line: those of the mount, then those of the file system.
fn options_of(line: &str) -> Vec<String> {
    let fields: Vec<&str> = line.split(' ').collect();
    [fields[5], fields[fields.len() - 1]].iter().flat_map(|list| list.split(',')).map(str::to_owned).collect()
}

/// A mount in the view of the tests, which is gone with the value.
struct Mounted(PathBuf);

impl Mounted {
    /// A fresh tmpfs.
    fn tmpfs(on: &Path) -> Self {
        mount(Some("of a test"), on, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        Self(on.to_owned())
    }

    /// A directory on itself, the only member of a new peer group.
    fn shared(on: &Path) -> Self {
        mount(Some(on), on, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let mounted = Self(on.to_owned());
        mount(None::<&str>, on, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(None::<&str>, on, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
    }
}
