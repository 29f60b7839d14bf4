//! `rt mounts`: a process of ours in a running container, to add mounts to its tree and to take them away.
//!
//! It is cloned for that, joins the container's namespaces, and ends. What it brings from the host, clones of the
//! sources of bind mounts, was opened before.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use super::runtime::{clone, wait_for_end};
use super::sync::Channel;
use super::{failure, init};
use crate::plan::namespaces::NamespacePlan;
use crate::plan::rootfs::RootfsPlan;
use crate::rootfs::{MountContext, Prepared, ProcFs, Root};
use crate::sys::process::{self, Side};

/// What is done to the mount tree.
pub enum Change<'a> {
    /// All mounts of the plan, or none.
    Add(&'a RootfsPlan, Prepared, MountContext<'a>),
    /// What is mounted on these, the last one first.
    Remove(&'a [PathBuf]),
}

/// Changes the mount tree of the container whose init is `target`.
///
/// # Errors
/// The mount, the step, and the kernel's reason. Of mounts that are added nothing stays then.
pub fn change(target: BorrowedFd<'_>, namespaces: &NamespacePlan, mut change: Change<'_>) -> anyhow::Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let procfs = ProcFs::open()?;
    if namespaces.pid.is_own() {
        // It takes hold of children only. A proc that is mounted shows the pid namespace of who mounts it.
        setns(target, CloneFlags::CLONE_NEWPID).context("join the container's pid namespace")?;
    }
    let Side::Parent { pidfd, .. } = clone(CloneFlags::empty(), None)? else {
        drop(ours);
        let result = enter(target, namespaces).and_then(|()| change.apply(&procfs));
        let code = i32::from(result.is_err());
        if let Err(error) = result {
            // The runtime waits for it.
            let _ = theirs.send(&failure::message("mounts", &error));
        }
        process::exit_now(code)
    };
    drop(theirs);
    let answer = ours.receive()?;
    match (answer, wait_for_end(pidfd.as_fd())?) {
        (None, 0) => Ok(()),
        (None, code) => Err(anyhow!("the process in the container ended without a word (exit status {code})")),
        (answer, _) => Err(failure::from_answer(answer, "mounts")),
    }
}

/// Joins the container, as `rt exec` does.
fn enter(target: BorrowedFd<'_>, namespaces: &NamespacePlan) -> anyhow::Result<()> {
    process::reset_signals().context("reset signals")?;
    process::wipe_environment();
    process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")?;
    // From the clone on, the container's processes see this one (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    let flags = namespaces.own_flags() - CloneFlags::CLONE_NEWPID;
    setns(target, flags).with_context(|| format!("join the container's namespaces ({flags:?})"))?;
    if namespaces.user.is_own() {
        // A filesystem that nobody makes belongs to nobody.
        init::become_root_of_joined(namespaces)?;
    }
    // Modes are those of the options.
    umask(Mode::empty());
    Ok(())
}

impl Change<'_> {
    fn apply(&mut self, procfs: &ProcFs) -> anyhow::Result<()> {
        let mut root = Root::entered()?;
        match self {
            Change::Add(plan, prepared, context) => root.add_mounts(plan, prepared, context, procfs),
            Change::Remove(destinations) => {
                destinations.iter().rev().try_for_each(|path| root.remove_mount(path, procfs))
            }
        }
    }
}
