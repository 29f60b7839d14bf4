//! Against the kernel: each test has a mount namespace and a tmpfs of its own, and names nothing outside of it.
//! All the rest of the machine is read-only in that namespace: a fault in `rt` gives EROFS and not a lost file.
//!
//! They need root, and say nothing without it.
#![allow(clippy::disallowed_methods)] // threads: a mount namespace of its own for each test

mod attacks;
mod features;
mod unprivileged;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;
use serde_json::{Value, json};

use super::*;
use crate::cgroup::CgroupPaths;
use crate::host::cgroup::Layout;
use crate::plan::rootfs::attribute;
use crate::plan::rootfs::tests::{namespaces, plan_in};

/// Runs `test` in a thread with a mount namespace of its own, from which nothing travels to the host; its argument
/// is a bundle on a fresh tmpfs, with an empty `rootfs` and an empty `victim` beside it.
fn in_bundle(test: impl FnOnce(&Path) + Send + 'static) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    if !geteuid().is_root() {
        return;
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let bundle = std::env::temp_dir().join(format!("rt-rootfs-test-{}-{number}", std::process::id()));
    fs::create_dir(&bundle).expect("a new directory");
    let inside = bundle.clone();
    let result = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private");
        contain();
        mount(Some("bundle"), &inside, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
        fs::create_dir(inside.join("rootfs")).expect("rootfs");
        fs::create_dir(inside.join("victim")).expect("victim");
        test(&inside);
    })
    .join();
    // The tmpfs went with the namespace: what is left is one empty directory, and only that is removed.
    fs::remove_dir(&bundle).expect("nothing was left in it");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Makes the machine read-only for this namespace, except /proc, where ids of user namespaces are written.
fn contain() {
    let readonly = MountAttr { attr_set: attribute::RDONLY, ..MountAttr::default() };
    mount_setattr(HOST, c"/", AT_RECURSIVE, &readonly).expect("a read-only machine");
    let writable = MountAttr { attr_clr: attribute::RDONLY, ..MountAttr::default() };
    mount_setattr(HOST, c"/proc", 0, &writable).expect("a writable /proc");
    assert!(statvfs("/").expect("statvfs").flags().contains(FsFlags::ST_RDONLY), "not contained");
}

fn plan(bundle: &Path, document: Value) -> RootfsPlan {
    let (plan, faults) = plan_in(bundle, document);
    assert!(faults.errors.is_empty(), "{faults}");
    plan
}

fn mount_all(root: &mut Root, plan: &RootfsPlan) -> anyhow::Result<()> {
    let cgroup = CgroupPaths::default();
    let mut prepared = prepare(plan, &namespaces())?;
    root.apply_mounts(plan, &mut prepared, &MountContext { cgroup: &cgroup, layout: &Layout::None })
}

/// Opens the root and mounts everything; the rest is for the test.
fn build(plan: &RootfsPlan) -> anyhow::Result<Root> {
    let mut root = Root::open(plan)?;
    mount_all(&mut root, plan)?;
    Ok(root)
}

fn error_of<T>(result: anyhow::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => format!("{error:#}"),
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("a directory").next().is_none()
}

fn flags(path: impl AsRef<Path>) -> FsFlags {
    statvfs(path.as_ref()).expect("statvfs").flags()
}

/// The line of mountinfo for what is mounted on `path`, the topmost.
fn mountinfo(path: &Path) -> String {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
    let is_it = |line: &&str| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path);
    text.lines().rfind(is_it).unwrap_or_else(|| panic!("{} is no mount", path.display())).to_owned()
}
