//! Namespaces that are joined by path or made outside of clone3.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use crate::plan::namespaces::{CLONE_NEWTIME, NamespacePlan};
use crate::sys::namespace;

/// A namespace that is about to be joined.
#[derive(Debug)]
pub struct JoinFd {
    file: OwnedFd,
    flag: CloneFlags,
    name: &'static str,
    path: String,
}

impl JoinFd {
    /// Whether it is the user namespace.
    pub fn is_user(&self) -> bool {
        self.flag == CloneFlags::CLONE_NEWUSER
    }

    /// Whether it is the pid namespace, which takes hold of children only.
    pub fn is_pid(&self) -> bool {
        self.flag == CloneFlags::CLONE_NEWPID
    }

    /// Whether it is the network namespace.
    pub fn is_network(&self) -> bool {
        self.flag == CloneFlags::CLONE_NEWNET
    }

    /// Its kind.
    pub fn flag(&self) -> CloneFlags {
        self.flag
    }

    /// For others to enter it.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }

    /// Enters it.
    ///
    /// # Errors
    /// `EPERM` without privilege over it.
    pub fn join(&self) -> anyhow::Result<()> {
        setns(&self.file, self.flag).with_context(|| format!("join the {} namespace {}", self.name, self.path))
    }
}

/// Opens every namespace that config.json names by path, in joining order, and checks that each is of its type.
///
/// # Errors
/// `/linux/namespaces: /proc/42/ns/net is not a mount namespace`, or what open(2) says.
pub fn open_joined(plan: &NamespacePlan) -> anyhow::Result<Vec<JoinFd>> {
    plan.joined().map(|(path, flag, name)| open(path, flag, name)).collect()
}

fn open(path: &Path, flag: CloneFlags, name: &'static str) -> anyhow::Result<JoinFd> {
    let place = || format!("config.json: /linux/namespaces ({name}): {}", path.display());
    let file = File::open(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        .with_context(place)?;
    match namespace::type_of(file.as_fd()) {
        Ok(found) if found == flag.bits() => {}
        Ok(_) | Err(Errno::ENOTTY) => bail!("{} is not a {name} namespace", place()),
        Err(errno) => return Err(errno).with_context(place),
    }
    if flag == CloneFlags::CLONE_NEWNS && is_same(&file, Path::new("/proc/self/ns/mnt"))? {
        bail!("{} is the runtime's own: the whole machine would get the container's root", place());
    }
    Ok(JoinFd { file: file.into(), flag, name, path: path.display().to_string() })
}

/// The network namespace of the container, whose init is `pid`: the joined one, or init's own.
///
/// # Errors
/// When init has ended, or has made itself inaccessible to a runtime without privilege.
pub fn open_network(joins: &[JoinFd], pid: i32) -> anyhow::Result<OwnedFd> {
    if let Some(join) = joins.iter().find(|join| join.is_network()) {
        return join.file.try_clone().context("duplicate a descriptor");
    }
    let path = format!("/proc/{pid}/ns/net");
    Ok(File::open(&path).with_context(|| format!("open {path}"))?.into())
}

fn is_same(file: &File, path: &Path) -> anyhow::Result<bool> {
    let (one, other) = (file.metadata()?, path.metadata().with_context(|| format!("stat {}", path.display()))?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Makes a time namespace for the caller's children and sets its clocks: after clone3 it would be too late.
///
/// # Errors
/// `EPERM` without CAP_SYS_TIME over it, `ERANGE` for an offset that the kernel refuses.
pub fn make_time(offsets: &[(String, i64, u32)]) -> anyhow::Result<()> {
    unshare(CLONE_NEWTIME).context("unshare the time namespace")?;
    let lines: String = offsets.iter().map(|(clock, secs, nanosecs)| format!("{clock} {secs} {nanosecs}\n")).collect();
    std::fs::write("/proc/self/timens_offsets", &lines)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        .with_context(|| format!("config.json: /linux/timeOffsets: write {:?} to timens_offsets", lines.trim_end()))
}

/// One of the caller's own namespaces for children, to come back to after clone.
#[derive(Debug)]
pub struct Return(OwnedFd, CloneFlags);

impl Return {
    /// Remembers the pid namespace.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn to_pid() -> anyhow::Result<Return> {
        Return::to("/proc/self/ns/pid", CloneFlags::CLONE_NEWPID)
    }

    /// Remembers the time namespace.
    ///
    /// # Errors
    /// When /proc is not there, or the kernel has no time namespaces.
    pub fn to_time() -> anyhow::Result<Return> {
        Return::to("/proc/self/ns/time", CLONE_NEWTIME)
    }

    fn to(path: &str, flag: CloneFlags) -> anyhow::Result<Return> {
        Ok(Return(File::open(path).with_context(|| format!("open {path}"))?.into(), flag))
    }

    /// Goes back: the runtime's hooks run where the runtime was called.
    ///
    /// # Errors
    /// None in practice: it is our own.
    pub fn go(&self) -> anyhow::Result<()> {
        setns(&self.0, self.1).context("go back to the runtime's own namespaces")
    }
}
