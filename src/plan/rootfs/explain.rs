//! The plan in words, one line for each operation: `rt explain` prints them, and errors begin with them.

use std::fmt;

use super::devices::{DeviceKind, DevicePlan};
use super::mount::{Attributes, MountKind, MountPlan, Propagation, SuperblockOption};
use super::options::{Effect, MOUNT_OPTIONS, PropagationKind, attribute};

impl fmt::Display for MountPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        match &self.kind {
            MountKind::Bind(bind) => {
                let verb = if bind.copy_symlink { "bind (or copy the symlink)" } else { "bind" };
                write!(f, "{verb} {}", bind.source.to_string_lossy())?;
                options.extend(bind.recursive.then(|| "rbind".to_owned()));
                options.extend(bind.source_nofollow.then(|| "src-nofollow".to_owned()));
            }
            MountKind::Filesystem(filesystem) => {
                write!(f, "mount \"{}\"", filesystem.name.to_string_lossy())?;
                options.extend(filesystem.options.iter().map(SuperblockOption::to_string));
                options.extend(filesystem.copy_up.then(|| "tmpcopyup".to_owned()));
            }
            MountKind::Cgroup { v2_only: false, .. } => f.write_str("mount \"cgroup\"")?,
            MountKind::Cgroup { v2_only: true, .. } => f.write_str("mount \"cgroup2\"")?,
            MountKind::Remount { superblock } => {
                f.write_str("remount")?;
                options.extend(superblock.iter().map(SuperblockOption::to_string));
            }
        }
        let target = self.destination.display();
        if let MountKind::Remount { .. } = self.kind {
            write!(f, " {target}")?
        } else {
            write!(f, " on {target}")?
        }
        names(self.attributes, false, &mut options);
        names(self.recursive_attributes, true, &mut options);
        options.extend(self.propagation.map(|propagation| propagation.to_string()));
        if let Some(idmap) = &self.idmap {
            options.push(if idmap.recursive { "ridmap" } else { "idmap" }.to_owned());
        }
        options.extend(self.destination_nofollow.then(|| "dest-nofollow".to_owned()));
        if options.is_empty() { Ok(()) } else { write!(f, " ({})", options.join(",")) }
    }
}

/// The names of attributes that are set, as in the table.
fn names(attributes: Attributes, recursive: bool, list: &mut Vec<String>) {
    for option in MOUNT_OPTIONS.iter().filter(|option| option.recursive == recursive) {
        let is_on = match option.effect {
            Effect::Set(bits) => attributes.set & bits == bits,
            Effect::Atime(value) => {
                attributes.clear & attribute::ATIME != 0 && attributes.set & attribute::ATIME == value
            }
            Effect::Clear(bits) => attributes.clear & bits == bits,
            _ => false,
        };
        if is_on {
            list.push(option.name.to_owned());
        }
    }
}

impl MountPlan {
    /// The operation and what asked for it, for errors.
    pub fn place(&self) -> String {
        format!("{self} (/mounts/{})", self.index)
    }
}

impl DevicePlan {
    /// The operation and what asked for it, for errors.
    pub fn place(&self) -> String {
        match self.index {
            Some(index) => format!("{self} (/linux/devices/{index})"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for SuperblockOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.to_string_lossy())?;
        match &self.value {
            Some(value) => write!(f, "={}", value.to_string_lossy()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PropagationKind::Shared => "shared",
            PropagationKind::Slave => "slave",
            PropagationKind::Private => "private",
            PropagationKind::Unbindable => "unbindable",
        };
        write!(f, "{}{kind}", if self.recursive { "r" } else { "" })
    }
}

impl fmt::Display for DevicePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DevicePlan { path, major, minor, mode, .. } = self;
        match self.kind {
            DeviceKind::Character => write!(f, "device {} c {major}:{minor} {mode:04o}", path.display())?,
            DeviceKind::Block => write!(f, "device {} b {major}:{minor} {mode:04o}", path.display())?,
            DeviceKind::Fifo => write!(f, "fifo {} {mode:04o}", path.display())?,
        }
        match (self.uid, self.gid) {
            (None, None) => Ok(()),
            (uid, gid) => write!(f, " owner {}:{}", uid.unwrap_or(0), gid.unwrap_or(0)),
        }
    }
}
