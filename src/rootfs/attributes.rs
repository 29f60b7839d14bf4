//! Attributes and propagation of a mount that nobody sees yet.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::plan::rootfs::{Attributes, MountPlan, Propagation, PropagationKind, attribute};
use crate::sys::mount::{AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_IDMAP, MountAttr, mount_setattr};

/// The value for mount_setattr(2).
pub fn propagation_flag(kind: PropagationKind) -> u64 {
    match kind {
        PropagationKind::Shared => libc::MS_SHARED,
        PropagationKind::Slave => libc::MS_SLAVE,
        PropagationKind::Private => libc::MS_PRIVATE,
        PropagationKind::Unbindable => libc::MS_UNBINDABLE,
    }
}

/// Sets how events travel for the mount behind `mount`.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_propagation(mount: BorrowedFd<'_>, propagation: Propagation) -> nix::Result<()> {
    let attr = MountAttr { propagation: propagation_flag(propagation.kind), ..MountAttr::default() };
    set(mount, propagation.recursive, attr)
}

/// Sets and clears attributes of the mount behind `mount`.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> nix::Result<()> {
    set(mount, false, MountAttr { attr_set: attributes.set, attr_clr: attributes.clear, ..MountAttr::default() })
}

/// Makes the mount, or the tree, read-only; whatever else is set or locked stays so.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_readonly(mount: BorrowedFd<'_>, recursive: bool) -> nix::Result<()> {
    set(mount, recursive, MountAttr { attr_set: attribute::RDONLY, ..MountAttr::default() })
}

/// Applies all that `plan` wants to a piece of the host's tree, with as few calls as it takes.
///
/// `tree_propagation` is for a tree that still has the host's, where the plan wants nothing.
///
/// # Errors
/// As mount_setattr(2).
pub fn apply(
    tree: BorrowedFd<'_>,
    plan: &MountPlan,
    is_tree: bool,
    userns: Option<BorrowedFd<'_>>,
    tree_propagation: Option<Propagation>,
) -> nix::Result<()> {
    let mut calls = [MountAttr::default(); 2]; // of the tree, of the mount
    let slot = |recursive: bool| usize::from(!(recursive && is_tree));
    let recursive = plan.recursive_attributes;
    let call = &mut calls[slot(true)];
    call.attr_set = recursive.set;
    call.attr_clr = recursive.clear;
    let call = &mut calls[1];
    let own = plan.attributes;
    // The mount's own options stand over those of the tree, if both are in one call.
    call.attr_set = call.attr_set & !own.clear | own.set;
    call.attr_clr |= own.clear;
    if let Some(propagation) = plan.propagation.or(tree_propagation) {
        calls[slot(propagation.recursive)].propagation = propagation_flag(propagation.kind);
    }
    if let (Some(idmap), Some(userns)) = (&plan.idmap, userns) {
        let call = &mut calls[slot(idmap.recursive)];
        call.attr_set |= MOUNT_ATTR_IDMAP;
        call.userns_fd = userns.as_raw_fd() as u64;
    }
    set_keeping_locked(tree, true, calls[0])?;
    set_keeping_locked(tree, false, calls[1])
}

/// A more privileged user namespace may have locked attributes. `rw`, `dev` and the like then mean
/// "not more than there is", as with mount(8); `rrw` and its kin are orders.
fn set_keeping_locked(mount: BorrowedFd<'_>, recursive: bool, mut attr: MountAttr) -> nix::Result<()> {
    match set(mount, recursive, attr) {
        Err(Errno::EPERM) if !recursive && attr.attr_clr != 0 => {
            // To clear access times alone means relatime; to set one is an order.
            attr.attr_clr = if attr.attr_set & attribute::ATIME == 0 { 0 } else { attribute::ATIME };
            set(mount, recursive, attr)
        }
        result => result,
    }
}

fn set(mount: BorrowedFd<'_>, recursive: bool, attr: MountAttr) -> nix::Result<()> {
    let nothing = attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0;
    if nothing {
        return Ok(());
    }
    mount_setattr(mount, c"", AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 }, &attr)
}
