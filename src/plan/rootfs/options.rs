//! Every mount option that `rt` knows by name: what runc and crun know together.
//!
//! An option that is not here belongs to the filesystem and is passed on to it.

use std::ffi::CStr;

/// `MOUNT_ATTR_*` of mount_setattr(2) and fsmount(2).
pub mod attribute {
    /// Read-only.
    pub const RDONLY: u64 = 0x01;
    /// Set-user-id bits are ignored.
    pub const NOSUID: u64 = 0x02;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x04;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x08;
    /// All bits of the choice between relatime (0), noatime and strictatime.
    pub const ATIME: u64 = 0x70;
    /// Access times are never written.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always written.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are never written.
    pub const NODIRATIME: u64 = 0x80;
    /// Symlinks are not followed; Linux 5.14.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}
use attribute::{NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, STRICTATIME};

/// What a mount option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that the mount API could be told.
    Nothing,
    /// Sets attributes of the mount.
    Set(u64),
    /// Clears attributes of the mount.
    Clear(u64),
    /// Chooses how access times are kept: a value of [`attribute::ATIME`].
    Atime(u64),
    /// Takes that choice back, if it was made: relatime again.
    NotAtime(u64),
    /// A flag of the superblock; a bind mount shares its superblock and ignores it.
    Superblock(&'static CStr),
    /// As `Superblock`, for flags that most filesystems of today do not know any more, because they always do it:
    /// the filesystem may refuse it.
    SuperblockIfKnown(&'static CStr),
    /// The mount becomes shared, slave, private or unbindable.
    Propagation(PropagationKind),
    /// A bind mount.
    Bind,
    /// Changes what is mounted there already.
    Remount,
    /// What the image has at the destination is copied into the new tmpfs.
    TmpCopyUp,
    /// A source that is a symlink is made again as a symlink at the destination.
    CopySymlink,
    /// A source that is a symlink is mounted itself.
    SourceNofollow,
    /// A destination that is a symlink is mounted over itself.
    DestinationNofollow,
    /// The mount gets ids of its own.
    Idmap,
}

/// How mount events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropagationKind {
    /// To and from all peers.
    Shared,
    /// From the master only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it cannot be bound.
    Unbindable,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountOption {
    /// As written in config.json.
    pub name: &'static str,
    /// Whether the effect is for the whole tree below, not for the mount alone.
    pub recursive: bool,
    /// What it does.
    pub effect: Effect,
}

const fn one(name: &'static str, effect: Effect) -> MountOption {
    MountOption { name, recursive: false, effect }
}

const fn all(name: &'static str, effect: Effect) -> MountOption {
    MountOption { name, recursive: true, effect }
}

use Effect::{Atime, Bind, Clear, Idmap, NotAtime, Nothing, Propagation, Set, Superblock, SuperblockIfKnown};

/// The table, in alphabetical order: `rt features` prints the names.
///
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-mount-options>
pub const MOUNT_OPTIONS: &[MountOption] = &[
    one("acl", SuperblockIfKnown(c"acl")),
    one("async", Superblock(c"async")),
    one("atime", NotAtime(NOATIME)),
    one("bind", Bind),
    one("copy-symlink", Effect::CopySymlink),
    one("defaults", Nothing),
    one("dest-nofollow", Effect::DestinationNofollow),
    one("dev", Clear(NODEV)),
    one("diratime", Clear(NODIRATIME)),
    one("dirsync", Superblock(c"dirsync")),
    one("exec", Clear(NOEXEC)),
    one("idmap", Idmap),
    one("iversion", SuperblockIfKnown(c"iversion")),
    one("lazytime", Superblock(c"lazytime")),
    // How loud the kernel's own log is.
    one("loud", SuperblockIfKnown(c"loud")),
    one("mand", Superblock(c"mand")),
    one("noacl", SuperblockIfKnown(c"noacl")),
    one("noatime", Atime(NOATIME)),
    one("nodev", Set(NODEV)),
    one("nodiratime", Set(NODIRATIME)),
    one("noexec", Set(NOEXEC)),
    one("noiversion", SuperblockIfKnown(c"noiversion")),
    one("nolazytime", Superblock(c"nolazytime")),
    one("nomand", Superblock(c"nomand")),
    one("norelatime", NotAtime(0)),
    one("nostrictatime", NotAtime(STRICTATIME)),
    one("nosuid", Set(NOSUID)),
    one("nosymfollow", Set(NOSYMFOLLOW)),
    one("private", Propagation(PropagationKind::Private)),
    all("rasync", Superblock(c"async")),
    all("ratime", NotAtime(NOATIME)),
    all("rbind", Bind),
    all("rdev", Clear(NODEV)),
    all("rdiratime", Clear(NODIRATIME)),
    all("rdirsync", Superblock(c"dirsync")),
    one("relatime", Atime(0)),
    one("remount", Effect::Remount),
    all("rexec", Clear(NOEXEC)),
    all("ridmap", Idmap),
    all("rmand", Superblock(c"mand")),
    all("rnoatime", Atime(NOATIME)),
    all("rnodev", Set(NODEV)),
    all("rnodiratime", Set(NODIRATIME)),
    all("rnoexec", Set(NOEXEC)),
    all("rnomand", Superblock(c"nomand")),
    all("rnorelatime", NotAtime(0)),
    all("rnostrictatime", NotAtime(STRICTATIME)),
    all("rnosuid", Set(NOSUID)),
    all("rnosymfollow", Set(NOSYMFOLLOW)),
    one("ro", Set(RDONLY)),
    all("rprivate", Propagation(PropagationKind::Private)),
    all("rrelatime", Atime(0)),
    all("rro", Set(RDONLY)),
    all("rrw", Clear(RDONLY)),
    all("rshared", Propagation(PropagationKind::Shared)),
    all("rslave", Propagation(PropagationKind::Slave)),
    all("rstrictatime", Atime(STRICTATIME)),
    all("rsuid", Clear(NOSUID)),
    all("rsymfollow", Clear(NOSYMFOLLOW)),
    all("rsync", Superblock(c"sync")),
    all("runbindable", Propagation(PropagationKind::Unbindable)),
    one("rw", Clear(RDONLY)),
    one("shared", Propagation(PropagationKind::Shared)),
    one("silent", SuperblockIfKnown(c"silent")),
    one("slave", Propagation(PropagationKind::Slave)),
    one("src-nofollow", Effect::SourceNofollow),
    one("strictatime", Atime(STRICTATIME)),
    one("suid", Clear(NOSUID)),
    one("symfollow", Clear(NOSYMFOLLOW)),
    one("sync", Superblock(c"sync")),
    one("tmpcopyup", Effect::TmpCopyUp),
    one("unbindable", Propagation(PropagationKind::Unbindable)),
];

/// The row of `name`.
pub fn find(name: &str) -> Option<&'static MountOption> {
    MOUNT_OPTIONS.binary_search_by(|option| option.name.cmp(name)).ok().map(|index| &MOUNT_OPTIONS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_name_twice() {
        assert!(MOUNT_OPTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn every_option_of_the_specification_is_known() {
        let names = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev \
            nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime \
            rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime \
            rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow \
            runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";
        for name in names.split_whitespace() {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
