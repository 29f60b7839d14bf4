//! Namespaces that are joined by path or made outside of clone3.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{fstat, stat};

use crate::plan::Plan;
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
    if flag == CloneFlags::CLONE_NEWNS && is_same(&file, &own_path(flag))? {
        bail!("{} is the runtime's own: the whole machine would get the container's root", place());
    }
    Ok(JoinFd { file: file.into(), flag, name, path: path.display().to_string() })
}

/// Refuses to change what a joined namespace of the runtime's own has: its names and kernel parameters are the machine's.
///
/// # Errors
/// `config.json: /hostname: …`
pub fn refuse_own(plan: &Plan, joins: &[JoinFd]) -> anyhow::Result<()> {
    let names = [(&plan.hostname, "/hostname"), (&plan.domainname, "/domainname")];
    let names = names.into_iter().filter(|(name, _)| name.is_some());
    let names = names.map(|(_, pointer)| (CloneFlags::CLONE_NEWUTS, pointer.to_owned()));
    let changes = names.chain(plan.sysctl.iter().map(|sysctl| (sysctl.namespace(), sysctl.pointer())));
    for (flag, pointer) in changes {
        let Some(join) = joins.iter().find(|join| join.flag == flag) else { continue };
        if is_same(&join.file, &own_path(flag))? {
            bail!(
                "config.json: {pointer}: {} is the runtime's own {} namespace: it would change the host",
                join.path,
                join.name
            );
        }
    }
    Ok(())
}

fn own_path(flag: CloneFlags) -> PathBuf {
    let name = match flag {
        CloneFlags::CLONE_NEWUTS => "uts",
        CloneFlags::CLONE_NEWIPC => "ipc",
        CloneFlags::CLONE_NEWNET => "net",
        CloneFlags::CLONE_NEWUSER => "user",
        _ => "mnt",
    };
    Path::new("/proc/self/ns").join(name)
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

fn is_same(file: &impl AsFd, path: &Path) -> anyhow::Result<bool> {
    let one = fstat(file).context("stat a namespace")?;
    let other = stat(path).with_context(|| format!("stat {}", path.display()))?;
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Makes a time namespace for the caller's children and sets its clocks: after clone3 it would be too late.
///
/// # Errors
/// `EPERM` without CAP_SYS_TIME over it, `ERANGE` for an offset that the kernel refuses.
pub fn make_time(offsets: &[(String, i64, u32)]) -> anyhow::Result<()> {
    unshare(CLONE_NEWTIME).map_err(|errno| explain(errno, CLONE_NEWTIME)).context("unshare the time namespace")?;
    let lines: String = offsets.iter().map(|(clock, secs, nanosecs)| format!("{clock} {secs} {nanosecs}\n")).collect();
    std::fs::write("/proc/self/timens_offsets", &lines)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        .with_context(|| format!("config.json: /linux/timeOffsets: write {:?} to timens_offsets", lines.trim_end()))
}

/// A kernel that was built without a type of namespace knows no such flag: says which it is.
pub fn explain(errno: Errno, flags: CloneFlags) -> anyhow::Error {
    explain_by(errno, flags, Path::new("/proc/self/ns"))
}

fn explain_by(errno: Errno, flags: CloneFlags, links: &Path) -> anyhow::Error {
    let error = anyhow::Error::from(errno);
    let asked = TYPES.iter().filter(|(flag, ..)| flags.contains(*flag));
    let missing = asked.filter(|(_, link, _)| !links.join(link).exists()).map(|(_, link, since)| (link, since)).next();
    match (errno, missing) {
        (Errno::EINVAL, Some((name, since))) => {
            error.context(format!("this kernel has no {name} namespaces: rt needs Linux {since}, built with them"))
        }
        (Errno::ENOSPC, _) => error.context("no more namespaces here: see /proc/sys/user/max_*_namespaces"),
        (Errno::EACCES, _) if flags.contains(CloneFlags::CLONE_NEWUSER) => {
            error.context("a security module forbids user namespaces to the caller")
        }
        (Errno::EPERM, _) if flags.contains(CloneFlags::CLONE_NEWUSER) && is_zero(Path::new(USERNS_CLONE)) => {
            error.context(format!("{USERNS_CLONE} is 0: only root may make user namespaces"))
        }
        _ => error,
    }
}

/// Debian's switch.
const USERNS_CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";

fn is_zero(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "0")
}

/// Flag, link below /proc/PID/ns, first kernel.
const TYPES: &[(CloneFlags, &str, &str)] = &[
    (CloneFlags::CLONE_NEWNS, "mnt", "2.4"),
    (CloneFlags::CLONE_NEWIPC, "ipc", "2.6.19"),
    (CloneFlags::CLONE_NEWUTS, "uts", "2.6.19"),
    (CloneFlags::CLONE_NEWPID, "pid", "2.6.24"),
    (CloneFlags::CLONE_NEWNET, "net", "2.6.29"),
    (CloneFlags::CLONE_NEWUSER, "user", "3.8"),
    (CloneFlags::CLONE_NEWCGROUP, "cgroup", "4.6"),
    (CLONE_NEWTIME, "time", "5.6"),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_the_kernel_has_not_is_named() {
        let links = tempfile::tempdir().unwrap();
        for (_, link, _) in TYPES.iter().filter(|(_, link, _)| *link != "time") {
            File::create(links.path().join(link)).unwrap();
        }
        let all = TYPES.iter().fold(CloneFlags::empty(), |all, (flag, ..)| all | *flag);
        let text = |errno, flags| format!("{:#}", explain_by(errno, flags, links.path()));
        let wanted =
            "this kernel has no time namespaces: rt needs Linux 5.6, built with them: EINVAL: Invalid argument";
        assert_eq!(text(Errno::EINVAL, all), wanted);
        assert_eq!(text(Errno::EINVAL, all - CLONE_NEWTIME), "EINVAL: Invalid argument");
        assert_eq!(text(Errno::EPERM, all - CloneFlags::CLONE_NEWUSER), "EPERM: Operation not permitted");
        let wanted = "a security module forbids user namespaces to the caller: EACCES: Permission denied";
        assert_eq!(text(Errno::EACCES, all), wanted);
    }
}
