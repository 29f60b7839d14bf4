//! The container's mount tree, decided: its root, mounts, devices, links, masked and read-only paths.

mod devices;
mod explain;
mod gather;
mod idmap;
mod mount;
mod mounts;
mod options;
mod paths;
mod sysctl;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::PathBuf;

pub use devices::{DeviceKind, DevicePlan, DevicesPlan};
pub use idmap::IdmapSource;
use mount::LABEL_KEYS;
pub use mount::{Attributes, BindPlan, FilesystemPlan, MountKind, MountPlan, Propagation, SuperblockOption};
// `rt features` prints a constant text; a test of it compares it with the table.
#[cfg(test)]
pub use options::{Effect, MOUNT_OPTIONS};
pub use options::{PropagationKind, attribute};
pub use paths::clean_destination;
pub use sysctl::{Sysctl, plan_sysctl};

use crate::error::Faults;
use crate::host::Host;
use crate::plan::namespaces::NamespacePlan;
use crate::spec::Spec;

/// What init does to the mount tree, in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootfsPlan {
    /// The root's directory on the host, absolute.
    pub path: PathBuf,
    /// Whether the container has a mount namespace that is not the runtime's.
    pub own_mount_namespace: bool,
    /// What the whole tree becomes before anything is mounted; absent: it is left as it came.
    pub host_propagation: Option<Propagation>,
    /// In the order of config.json.
    pub mounts: Vec<MountPlan>,
    /// Device nodes and links.
    pub devices: DevicesPlan,
    /// What the container's root becomes at the end; absent: what `host_propagation` made of it.
    pub propagation: Option<Propagation>,
    /// Cannot be read by the container.
    pub masked_paths: Vec<PathBuf>,
    /// How what covers a directory is labelled.
    pub mask_label: Option<SuperblockOption>,
    /// Cannot be written by the container.
    pub readonly_paths: Vec<PathBuf>,
    /// The root's own mount becomes read-only.
    pub readonly: bool,
}

/// Decides everything about the container's mount tree.
pub fn plan_rootfs(spec: &Spec, host: &Host, namespaces: &NamespacePlan, faults: &mut Faults) -> RootfsPlan {
    let oci = &spec.oci;
    let linux = oci.linux().as_ref();
    let (path, readonly) = match oci.root() {
        Some(root) if !root.path().as_os_str().is_empty() => {
            (spec.bundle.join(root.path()), root.readonly().unwrap_or(false))
        }
        Some(_) => {
            faults.error("/root/path", "is empty");
            (PathBuf::new(), false)
        }
        None => {
            faults.error("/root", "is missing");
            (PathBuf::new(), false)
        }
    };
    let own_mount_namespace = namespaces.mount.is_own();
    let label = linux.and_then(|linux| linux.mount_label().as_deref()).filter(|label| !label.is_empty());
    let label_key = oci.annotations().as_ref().and_then(|list| list.get("run.oci.mount_context_type"));
    let label_key = plan_label_key(label_key.map(String::as_str), faults);
    let mask_label = label.map(|label| plan_label(label_key, label));
    let context =
        mounts::Context { bundle: &spec.bundle, host, namespaces, label: label.map(|label| (label_key, label)) };
    let mounts = mounts::plan_mounts(oci.mounts().as_deref().unwrap_or_default(), &context, faults);
    let asked = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let devices = devices::plan_devices(asked, &mounts, namespaces, host, faults);
    let propagation = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    let propagation = plan_propagation(propagation.unwrap_or(""), faults);
    let masked = linux.and_then(|linux| linux.masked_paths().as_deref()).unwrap_or_default();
    let readonly_list = linux.and_then(|linux| linux.readonly_paths().as_deref()).unwrap_or_default();
    if !own_mount_namespace {
        for (list, field) in [(masked, "maskedPaths"), (readonly_list, "readonlyPaths")] {
            if !list.is_empty() {
                let reason = "needs a mount namespace of the container's own: it would change the host";
                faults.error(format!("/linux/{field}"), reason);
            }
        }
    }
    RootfsPlan {
        path,
        own_mount_namespace,
        host_propagation: own_mount_namespace.then(|| host_propagation(propagation)).flatten(),
        mounts,
        devices,
        propagation: propagation.filter(|_| own_mount_namespace),
        masked_paths: plan_paths(masked, "maskedPaths", faults),
        mask_label,
        readonly_paths: plan_paths(readonly_list, "readonlyPaths", faults),
        readonly,
    }
}

fn plan_label(key: &str, label: &str) -> SuperblockOption {
    SuperblockOption { key: CString::new(key).unwrap_or_default(), value: CString::new(label).ok(), if_known: false }
}

/// crun's annotation: which of the four context options takes mountLabel.
fn plan_label_key(asked: Option<&str>, faults: &mut Faults) -> &'static str {
    let asked = asked.unwrap_or("context");
    LABEL_KEYS.iter().find(|key| **key == asked).copied().unwrap_or_else(|| {
        let reason = format!("\"{asked}\" is not one of {}", LABEL_KEYS.join(", "));
        faults.error("/annotations/run.oci.mount_context_type", reason);
        "context"
    })
}

/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#rootfs-mount-propagation>
fn plan_propagation(asked: &str, faults: &mut Faults) -> Option<Propagation> {
    let (recursive, name) = match asked {
        "" => return None,
        "rshared" | "rslave" | "rprivate" | "runbindable" => (true, &asked[1..]),
        _ => (false, asked),
    };
    let kind = match name {
        "shared" => PropagationKind::Shared,
        "slave" => PropagationKind::Slave,
        "private" => PropagationKind::Private,
        "unbindable" => PropagationKind::Unbindable,
        _ => {
            let reason = format!("\"{asked}\" is not one of shared, slave, private, unbindable");
            faults.error("/linux/rootfsPropagation", reason);
            return None;
        }
    };
    Some(Propagation { kind, recursive })
}

/// What becomes of the whole tree in the new mount namespace, before the container's root is taken from it.
///
/// Shared stays as it came: that is how a volume with `rshared` sends its mounts to the host. Unbindable would keep
/// us from binding the root itself, so it comes at the end.
fn host_propagation(asked: Option<Propagation>) -> Option<Propagation> {
    let kind = match asked.map(|asked| asked.kind) {
        Some(PropagationKind::Shared) => return None,
        Some(PropagationKind::Private | PropagationKind::Unbindable) => PropagationKind::Private,
        Some(PropagationKind::Slave) | None => PropagationKind::Slave,
    };
    Some(Propagation { kind, recursive: true })
}

fn plan_paths(list: &[String], field: &str, faults: &mut Faults) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::with_capacity(list.len());
    let mut seen = BTreeSet::new();
    for (index, path) in list.iter().enumerate() {
        match clean_destination(path.as_ref()).filter(|_| path.starts_with('/')) {
            Some(path) if seen.contains(path.as_os_str()) => {}
            Some(path) => {
                seen.insert(path.clone().into_os_string());
                paths.push(path);
            }
            None => faults.error(format!("/linux/{field}/{index}"), format!("\"{path}\" is not absolute")),
        }
    }
    paths
}

#[cfg(test)]
pub(crate) mod tests;
