//! The entries of `mounts`, decided one by one, and then with a look at each other.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::{LinuxIdMapping, Mount};

use super::gather::{Gathered, flag, gather, text};
use super::idmap::{self, IdmapPlan};
use super::mount::{BindPlan, FilesystemPlan, MountKind, MountPlan, SuperblockOption};
use super::options::attribute;
use super::paths::clean_destination;
use crate::error::Faults;
use crate::host::Host;
use crate::host::cgroup::Layout;
use crate::plan::namespaces::NamespacePlan;

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

/// Decides every mount.
pub(super) fn plan_mounts(mounts: &[Mount], context: &Context<'_>, faults: &mut Faults) -> Vec<MountPlan> {
    let planned = mounts.iter().enumerate();
    let mut plans: Vec<_> = planned.filter_map(|(index, mount)| plan_mount(index, mount, context, faults)).collect();
    let is_parent = parents(&plans);
    for (plan, is_parent) in plans.iter_mut().zip(is_parent) {
        let is_tmpfs = matches!(&plan.kind, MountKind::Filesystem(fs) if !fs.needs_real_directory);
        let is_readonly = plan.attributes.set & attribute::RDONLY != 0;
        plan.readonly_last = is_tmpfs && is_readonly && is_parent;
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

/// Of each mount, whether something comes below it later. Sorted, because there may be too many to compare each with each.
fn parents(plans: &[MountPlan]) -> Vec<bool> {
    let mut sorted: Vec<(&Path, usize)> = plans.iter().map(|plan| plan.destination.as_path()).zip(0..).collect();
    sorted.sort_unstable();
    let is_parent = |(position, plan): (usize, &MountPlan)| {
        let first = sorted.partition_point(|(other, _)| *other <= plan.destination);
        let mut below = sorted[first..].iter().take_while(|(other, _)| other.starts_with(&plan.destination));
        // /dev: the device nodes come after all mounts
        plan.destination == Path::new("/dev") || below.any(|(_, other)| *other > position)
    };
    plans.iter().enumerate().map(is_parent).collect()
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
        if let Some(option) = gathered.data.iter().find(|option| !is_managers_own(option)) {
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
        plan_cgroup(index, type_name, &gathered, context, faults)
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

/// Whether an option is a word of podman's or buildah's for themselves: `z` and `Z` label the source, `U` gives it to the
/// container's user. They have done it, and leave the word where it stood.
fn is_managers_own(option: &SuperblockOption) -> bool {
    option.value.is_none() && matches!(option.key.to_bytes(), b"z" | b"Z" | b"U")
}

/// The options of cgroup2 are those of the one tree that the machine has: a container could not have others.
const CGROUP2_OPTIONS: &[&str] = &[
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

fn plan_cgroup(
    index: usize,
    type_name: &str,
    gathered: &Gathered,
    context: &Context<'_>,
    faults: &mut Faults,
) -> MountKind {
    let is_v2_alone = matches!(context.host.cgroup, Layout::Unified(_));
    let is_unknown = |option: &&SuperblockOption| !CGROUP2_OPTIONS.contains(&option.key.to_string_lossy().as_ref());
    if (is_v2_alone || type_name == "cgroup2")
        && let Some(option) = gathered.data.iter().find(is_unknown)
    {
        faults.error(format!("/mounts/{index}/options"), format!("cgroup2 has no option \"{option}\""));
    }
    // Its paths in /proc/PID/cgroup begin at the machine's root: what reads them looks for them here. On v1 they never
    // did; and a user namespace has no right to more than its own.
    let has_none_of_its_own = !context.namespaces.cgroup.is_own() && !context.namespaces.user.is_own();
    MountKind::Cgroup { v2_only: type_name == "cgroup2", whole: is_v2_alone && has_none_of_its_own }
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
        // One of its own says more.
        && !options.iter().any(SuperblockOption::is_label)
    {
        let option = super::plan_label(key, label);
        match option.value {
            Some(value) if is(c"mqueue") => label_by_xattr = Some(value),
            _ => options.push(option),
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
