//! One entry of `mounts`, decided: what is mounted, with which attributes, and how.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, Mount};

use super::idmap::{self, IdmapPlan};
use super::options::{self, Effect, PropagationKind, attribute};
use super::paths::clean_destination;
use crate::error::Faults;
use crate::host::Host;
use crate::plan::namespaces::NamespacePlan;

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

/// `MOUNT_ATTR_*` to set, and to clear first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

impl Attributes {
    /// Adds one option's effect; the last one wins.
    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(bits) => {
                self.set |= bits;
                self.clear &= !bits;
            }
            Effect::Clear(bits) => {
                self.set &= !bits;
                self.clear |= bits;
            }
            Effect::Atime(value) => {
                self.set = self.set & !attribute::ATIME | value;
                self.clear |= attribute::ATIME;
            }
            Effect::NotAtime(value) => {
                let is_chosen = self.clear & attribute::ATIME != 0;
                if !is_chosen || self.set & attribute::ATIME == value {
                    self.apply(Effect::Atime(0));
                }
            }
            _ => {}
        }
    }
}

/// How mount events travel, for one mount or for the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// Shared, slave, private or unbindable.
    pub kind: PropagationKind,
    /// For all that is mounted below, too.
    pub recursive: bool,
}

/// What the plan of every mount needs to know.
pub(super) struct Context<'a> {
    /// Bind sources are relative to it.
    pub bundle: &'a Path,
    /// The machine.
    pub host: &'a Host,
    /// The container's.
    pub namespaces: &'a NamespacePlan,
    /// `context="LABEL"` and its key.
    pub label: Option<(&'a str, &'a str)>,
}

/// Everything that the options of one mount add up to.
#[derive(Default)]
struct Gathered {
    attributes: Attributes,
    recursive_attributes: Attributes,
    propagation: Option<Propagation>,
    superblock: Vec<SuperblockOption>,
    data: Vec<SuperblockOption>,
    bind: Option<bool>,
    idmap: Option<bool>,
    idmap_text: Option<String>,
    remount: bool,
    copy_up: bool,
    copy_symlink: bool,
    source_nofollow: bool,
    destination_nofollow: bool,
}

/// Decides every mount.
pub(super) fn plan_mounts(mounts: &[Mount], context: &Context<'_>, faults: &mut Faults) -> Vec<MountPlan> {
    let planned = mounts.iter().enumerate();
    let mut plans: Vec<_> = planned.filter_map(|(index, mount)| plan_mount(index, mount, context, faults)).collect();
    let destinations: Vec<PathBuf> = plans.iter().map(|plan| plan.destination.clone()).collect();
    let mut is_parent = HashMap::new();
    for (position, plan) in plans.iter().enumerate() {
        let below = |other: &PathBuf| other != &plan.destination && other.starts_with(&plan.destination);
        // /dev: the device nodes come after all mounts
        let is_dev = plan.destination == Path::new("/dev");
        is_parent.insert(position, is_dev || destinations[position + 1..].iter().any(below));
    }
    for (position, plan) in plans.iter_mut().enumerate() {
        let is_tmpfs = matches!(&plan.kind, MountKind::Filesystem(fs) if !fs.needs_real_directory);
        let is_readonly = plan.attributes.set & attribute::RDONLY != 0;
        plan.readonly_last = is_tmpfs && is_readonly && is_parent[&position];
        if let MountKind::Filesystem(fs) = &mut plan.kind
            && is_readonly
            && !plan.readonly_last
            && !fs.copy_up
            && !is_pseudo(&fs.name)
        {
            fs.options.push(flag(c"ro", false));
        }
    }
    plans
}

/// Kernel filesystems where the superblock may be shared with others, or a read-only mount is all that counts.
fn is_pseudo(name: &CStr) -> bool {
    [c"proc", c"sysfs", c"tmpfs", c"devpts", c"mqueue"].contains(&name)
}

fn plan_mount(index: usize, mount: &Mount, context: &Context<'_>, faults: &mut Faults) -> Option<MountPlan> {
    let pointer = |field: &str| format!("/mounts/{index}{field}");
    let Some(destination) = clean_destination(mount.destination()) else {
        faults.error(pointer("/destination"), "is empty or has a NUL byte");
        return None;
    };
    let mut gathered = gather(index, mount.options().as_deref().unwrap_or_default(), faults)?;
    let type_name = mount.typ().as_deref().unwrap_or("");
    if type_name == "bind" && gathered.bind.is_none() {
        gathered.bind = Some(false);
    }
    if gathered.attributes.set & attribute::NOSYMFOLLOW != 0 && context.host.kernel < (5, 14) {
        faults.error(pointer("/options"), "nosymfollow needs Linux 5.14");
    }
    let idmap = plan_idmap(index, mount, &gathered, context, faults);
    let kind = if gathered.remount {
        let mut superblock = gathered.superblock;
        if gathered.bind.is_none() {
            if gathered.attributes.set & attribute::RDONLY != 0 {
                superblock.push(flag(c"ro", false));
            }
            superblock.append(&mut gathered.data);
        } else {
            superblock.clear();
        }
        MountKind::Remount { superblock }
    } else if let Some(recursive) = gathered.bind {
        let Some(source) = mount.source() else {
            faults.error(pointer("/source"), "a bind mount needs a source");
            return None;
        };
        if source.as_os_str().is_empty() {
            faults.error(pointer("/source"), "a bind mount needs a source, this one is empty");
            return None;
        }
        if let Some(option) = gathered.data.first() {
            let name = option.key.to_string_lossy();
            faults.warn(pointer("/options"), format!("\"{name}\" has no meaning for a bind mount"));
        }
        let source = text(context.bundle.join(source).as_os_str().as_bytes(), &pointer("/source"), faults)?;
        MountKind::Bind(BindPlan {
            source,
            recursive,
            source_nofollow: gathered.source_nofollow,
            copy_symlink: gathered.copy_symlink,
        })
    } else if type_name == "cgroup" || type_name == "cgroup2" {
        MountKind::Cgroup { v2_only: type_name == "cgroup2" }
    } else if type_name.is_empty() || type_name == "none" {
        faults.error(pointer("/type"), "is needed, because the options have neither bind nor rbind");
        return None;
    } else {
        let name = text(type_name.as_bytes(), &pointer("/type"), faults)?;
        let source = match mount.source() {
            Some(source) => Some(text(source.as_os_str().as_bytes(), &pointer("/source"), faults)?),
            None => None,
        };
        MountKind::Filesystem(plan_filesystem(name, source, &mut gathered, context))
    };
    let is_tmpfs = matches!(&kind, MountKind::Filesystem(fs) if fs.name.as_c_str() == c"tmpfs");
    if gathered.copy_up && !is_tmpfs {
        faults.error(pointer("/options"), "tmpcopyup is for a tmpfs only");
    }
    Some(MountPlan {
        index,
        destination,
        kind,
        attributes: gathered.attributes,
        recursive_attributes: gathered.recursive_attributes,
        propagation: gathered.propagation,
        idmap,
        destination_nofollow: gathered.destination_nofollow,
        readonly_last: false,
    })
}

fn plan_idmap(
    index: usize,
    mount: &Mount,
    gathered: &Gathered,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<IdmapPlan> {
    let pointer = format!("/mounts/{index}");
    let list = |mappings: &Option<Vec<LinuxIdMapping>>| mappings.clone().unwrap_or_default();
    let (uids, gids) = (list(mount.uid_mappings()), list(mount.gid_mappings()));
    // Mappings alone ask for the same: the spec wants the option beside them only for the sake of old runtimes.
    if gathered.idmap.is_none() && uids.is_empty() && gids.is_empty() {
        return None;
    }
    if gathered.bind.is_none() || gathered.remount {
        faults.error(format!("{pointer}/options"), "only a bind mount can have ids of its own (idmap)");
        return None;
    }
    let source =
        idmap::plan_source(&uids, &gids, gathered.idmap_text.as_deref(), context.namespaces, &pointer, faults)?;
    Some(IdmapPlan { source, recursive: gathered.idmap.unwrap_or(false) })
}

fn plan_filesystem(
    name: CString,
    source: Option<CString>,
    gathered: &mut Gathered,
    context: &Context<'_>,
) -> FilesystemPlan {
    let mut options = std::mem::take(&mut gathered.superblock);
    options.append(&mut gathered.data);
    let namespaces = context.namespaces;
    let is = |wanted: &CStr| name.as_c_str() == wanted;
    // Who may mount these is decided by the owner of the namespace that they show.
    let fallback = match name.to_bytes() {
        b"sysfs" if !namespaces.network.is_new() => Some(c"/sys"),
        b"proc" if !namespaces.pid.is_own() => Some(c"/proc"),
        b"mqueue" if !namespaces.ipc.is_new() => Some(c"/dev/mqueue"),
        _ => None,
    };
    let mut label_by_xattr = None;
    if let Some((key, label)) = context.label
        && !is(c"proc")
        && !is(c"sysfs")
    {
        let value = CString::new(label).ok();
        match value {
            Some(value) if is(c"mqueue") => label_by_xattr = Some(value),
            value => {
                options.push(SuperblockOption { key: CString::new(key).unwrap_or_default(), value, if_known: false })
            }
        }
    }
    // Every devpts mount is a new instance since Linux 4.7.
    if is(c"devpts") {
        options.retain(|option| option.key.as_c_str() != c"newinstance");
    }
    let has_mode = options.iter().any(|option| option.key.as_c_str() == c"mode");
    FilesystemPlan {
        needs_real_directory: is(c"proc") || is(c"sysfs"),
        copy_up: gathered.copy_up,
        keep_mode: is(c"tmpfs") && !has_mode,
        fallback: fallback.map(CStr::to_owned),
        name,
        source,
        options,
        label_by_xattr,
    }
}

/// Adds up the options of one mount.
fn gather(index: usize, names: &[String], faults: &mut Faults) -> Option<Gathered> {
    let mut sum = Gathered::default();
    for (position, name) in names.iter().enumerate() {
        let pointer = || format!("/mounts/{index}/options/{position}");
        let Some(option) = options::find(name) else {
            if let Some(mapping) = name.strip_prefix("idmap=").or_else(|| name.strip_prefix("ridmap=")) {
                sum.idmap = Some(name.starts_with('r'));
                sum.idmap_text = Some(mapping.to_owned());
            } else if !name.is_empty() {
                add_data(&mut sum.data, name, &pointer(), faults)?;
            }
            continue;
        };
        let attributes = if option.recursive { &mut sum.recursive_attributes } else { &mut sum.attributes };
        attributes.apply(option.effect);
        match option.effect {
            Effect::Superblock(key) => sum.superblock.push(flag(key, false)),
            Effect::SuperblockIfKnown(key) => sum.superblock.push(flag(key, true)),
            Effect::Propagation(kind) => sum.propagation = Some(Propagation { kind, recursive: option.recursive }),
            Effect::Bind => sum.bind = Some(sum.bind.unwrap_or(false) || option.recursive),
            Effect::Idmap => sum.idmap = Some(sum.idmap.unwrap_or(false) || option.recursive),
            Effect::Remount => sum.remount = true,
            Effect::TmpCopyUp => sum.copy_up = true,
            Effect::CopySymlink => sum.copy_symlink = true,
            Effect::SourceNofollow => sum.source_nofollow = true,
            Effect::DestinationNofollow => sum.destination_nofollow = true,
            Effect::Nothing | Effect::Set(_) | Effect::Clear(_) | Effect::Atime(_) | Effect::NotAtime(_) => {}
        }
    }
    Some(sum)
}

fn flag(key: &CStr, if_known: bool) -> SuperblockOption {
    SuperblockOption { key: key.to_owned(), value: None, if_known }
}

/// Takes `key=value` or `key`; several may stand in one string, as in fstab.
fn add_data(data: &mut Vec<SuperblockOption>, option: &str, pointer: &str, faults: &mut Faults) -> Option<()> {
    for part in split_outside_quotes(option) {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        let value = match value {
            // The kernel's own option parser takes the quotes off security contexts; fsconfig does not.
            Some(value) => Some(text(unquote(value).as_bytes(), pointer, faults)?),
            None => None,
        };
        data.push(SuperblockOption { key: text(key.as_bytes(), pointer, faults)?, value, if_known: false });
    }
    Some(())
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

fn split_outside_quotes(option: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    option
        .split(move |letter| {
            quoted ^= letter == '"';
            letter == ',' && !quoted
        })
        .filter(|part| !part.is_empty())
}

fn text(bytes: &[u8], pointer: &str, faults: &mut Faults) -> Option<CString> {
    let text = CString::new(bytes).ok();
    if text.is_none() {
        faults.error(pointer, "has a NUL byte");
    }
    text
}
