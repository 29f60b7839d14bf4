//! The device nodes and links below /dev.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::mount::{MountKind, MountPlan};
use super::paths::clean_destination;
use crate::error::Faults;
use crate::host::Host;
use crate::plan::namespaces::NamespacePlan;

/// Everything that is made below /dev, and devices elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicesPlan {
    /// In this order.
    pub nodes: Vec<DevicePlan>,
    /// Name below /dev, and where it points.
    pub links: &'static [(&'static str, &'static str)],
    /// The host's nodes are bound, because mknod would be refused.
    pub bind: bool,
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    /// From the container's root: absolute, without `.` and `..`.
    pub path: PathBuf,
    /// Its sort.
    pub kind: DeviceKind,
    /// Major number; 0 for a fifo.
    pub major: u32,
    /// Minor number; 0 for a fifo.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container, when it was given.
    pub uid: Option<u32>,
    /// Group in the container, when it was given.
    pub gid: Option<u32>,
    /// Which one of /linux/devices it is; none is a node that every container has.
    pub index: Option<usize>,
}

/// The sort of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// `c` and `u`
    Character,
    /// `b`
    Block,
    /// `p`
    Fifo,
}

/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#default-devices>
const DEFAULT_NODES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime-linux.md#dev-symbolic-links>
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

const CAP_MKNOD: u32 = 27;

/// Decides the nodes. Below a /dev that is bound from elsewhere nothing is made: it would be made there.
pub(super) fn plan_devices(
    devices: &[LinuxDevice],
    mounts: &[MountPlan],
    namespaces: &NamespacePlan,
    host: &Host,
    faults: &mut Faults,
) -> DevicesPlan {
    let dev = Path::new("/dev");
    let dev_is_bound = mounts.iter().any(|mount| mount.destination == dev && matches!(mount.kind, MountKind::Bind(_)));
    let asked: Vec<_> =
        devices.iter().enumerate().filter_map(|(index, device)| plan_device(index, device, faults)).collect();
    let defaults = DEFAULT_NODES.iter().map(|(path, major, minor)| DevicePlan {
        path: PathBuf::from(path),
        kind: DeviceKind::Character,
        major: *major,
        minor: *minor,
        mode: 0o666,
        uid: None,
        gid: None,
        index: None,
    });
    let mut nodes: Vec<_> =
        defaults.filter(|node| asked.iter().all(|device: &DevicePlan| device.path != node.path)).collect();
    nodes.extend(asked);
    if dev_is_bound {
        nodes.retain(|node| !node.path.starts_with(dev));
    }
    DevicesPlan {
        nodes,
        links: if dev_is_bound { &[] } else { LINKS },
        bind: namespaces.user.is_own() || host.in_user_namespace || host.capabilities & 1 << CAP_MKNOD == 0,
    }
}

fn plan_device(index: usize, device: &LinuxDevice, faults: &mut Faults) -> Option<DevicePlan> {
    let pointer = |field: &str| format!("/linux/devices/{index}/{field}");
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            faults.error(pointer("type"), "\"a\" is for resources.devices; a node is c, b, u or p");
            return None;
        }
    };
    let Some(path) = clean_destination(device.path()).filter(|path| path != Path::new("/")) else {
        faults.error(pointer("path"), "is not the path of a file");
        return None;
    };
    if !device.path().is_absolute() {
        faults.error(pointer("path"), format!("\"{}\" is not absolute", device.path().display()));
        return None;
    }
    let mut number = |field: &str, value: i64, bits: u32| {
        let number = u32::try_from(value).ok().filter(|number| number >> bits == 0);
        if number.is_none() {
            faults.error(pointer(field), format!("{value} is out of range"));
        }
        number
    };
    let (major, minor) = match kind {
        DeviceKind::Fifo => (0, 0),
        // dev_t of the kernel: 12 and 20 bits
        _ => (number("major", device.major(), 12)?, number("minor", device.minor(), 20)?),
    };
    let mode = device.file_mode().unwrap_or(0o666);
    // Docker leaves the bits of the type in it.
    let (uid, gid) = (device.uid(), device.gid());
    Some(DevicePlan { path, kind, major, minor, mode: mode & 0o7777, uid, gid, index: Some(index) })
}
