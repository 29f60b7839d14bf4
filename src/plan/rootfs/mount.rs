//! One mount, decided: what is mounted, where, and with which attributes.

use std::ffi::CString;
use std::path::PathBuf;

use super::idmap::IdmapPlan;
use super::options::PropagationKind;

/// One mount, in the order of config.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// Index in `mounts`: errors point there.
    pub index: usize,
    /// Where, from the container's root: absolute, without `.` and `..`.
    pub destination: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of everything below it, too.
    pub recursive_attributes: Attributes,
    /// How mount events travel; kept as it comes when absent.
    pub propagation: Option<Propagation>,
    /// Ids of its own.
    pub idmap: Option<IdmapPlan>,
    /// Mount over the destination even if it is a symlink.
    pub destination_nofollow: bool,
    /// The read-only attribute comes after all other mounts, because some of them lie below this one.
    pub readonly_last: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A piece of the host's tree.
    Bind(BindPlan),
    /// A filesystem of its own.
    Filesystem(FilesystemPlan),
    /// The container's own cgroups; the type was `cgroup` or `cgroup2`.
    Cgroup {
        /// Only the v2 tree was asked for.
        v2_only: bool,
        /// The machine's whole tree of v2.
        whole: bool,
    },
    /// What is there already, changed.
    Remount {
        /// Flags of the superblock and data; empty means that only the mount's attributes change.
        superblock: Vec<SuperblockOption>,
    },
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindPlan {
    /// On the host, absolute.
    pub source: CString,
    /// With all that is mounted below.
    pub recursive: bool,
    /// A symlink as source is mounted itself.
    pub source_nofollow: bool,
    /// A symlink as source is made again at the destination.
    pub copy_symlink: bool,
}

/// A filesystem to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemPlan {
    /// As in /proc/filesystems.
    pub name: CString,
    /// The device, or what mountinfo shows in its place.
    pub source: Option<CString>,
    /// The filesystem's own options and the flags of the superblock.
    pub options: Vec<SuperblockOption>,
    /// proc and sysfs: never through a symlink (CVE-2019-19921, CVE-2025-54867).
    pub needs_real_directory: bool,
    /// A tmpfs starts with what the image has at the destination.
    pub copy_up: bool,
    /// A tmpfs without `mode=` gets the mode of the directory that it covers.
    pub keep_mode: bool,
    /// The host's own is bound, with all below it, where the kernel refuses a new one (EPERM).
    pub fallback: Option<CString>,
    /// The label goes to the extended attribute of the root: mqueue has no context option.
    pub label_by_xattr: Option<CString>,
}

/// `key` or `key=value` for fsconfig(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperblockOption {
    /// The name.
    pub key: CString,
    /// The value, if there is one.
    pub value: Option<CString>,
    /// The filesystem may not know it.
    pub if_known: bool,
}

impl SuperblockOption {
    /// Whether it is one of SELinux's four.
    pub fn is_label(&self) -> bool {
        LABEL_KEYS.iter().any(|key| key.as_bytes() == self.key.as_bytes())
    }
}

/// The options by which SELinux labels a file system.
pub const LABEL_KEYS: &[&str] = &["context", "fscontext", "defcontext", "rootcontext"];

/// `MOUNT_ATTR_*` to set, and to clear first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

/// How mount events travel, for one mount or for the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// Shared, slave, private or unbindable.
    pub kind: PropagationKind,
    /// For all that is mounted below, too.
    pub recursive: bool,
}
