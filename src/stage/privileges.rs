//! What INIT and JOIN do alike at the end: limits, labels, credentials, and finding the program.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::Uid;

use super::listener::Loader;
use super::settings::Settings;
use crate::confine::credentials::{
    Groups, apply_session_keyring, drop_bounding, regain_effective, restrict_effective, set_capabilities, set_ids,
    set_no_new_privileges, set_umask,
};
use crate::confine::labels::{apply_key_label, apply_labels};
use crate::confine::{cwd, executable, home, limits};
use crate::plan::process::ProcessPlan;
use crate::rootfs::ProcFs;
use crate::sys::credentials::CapabilitySets;
use crate::sys::{fd, process as kernel};

/// The labels that its program will have.
pub fn label(process: &ProcessPlan, procfs: &ProcFs) -> anyhow::Result<()> {
    apply_labels(process, |path| Ok(procfs.read(path)?), |path, bytes| Ok(procfs.write(path, bytes)?))
}

/// A session keyring of its own, with the label of its program.
pub fn take_keyring(process: Option<&ProcessPlan>, procfs: Option<&ProcFs>, id: &str) -> anyhow::Result<()> {
    if let (Some(process), Some(procfs)) = (process, procfs) {
        apply_key_label(process, |path| Ok(procfs.read(path)?), |path, bytes| Ok(procfs.write(path, bytes)?))?;
    }
    apply_session_keyring(id)
}

/// Limits that the process takes for itself.
pub fn limit(process: &ProcessPlan) -> anyhow::Result<()> {
    limits::apply_personality(process.personality)?;
    limits::apply_memory_policy(process.memory_policy.as_ref())?;
    limits::apply_scheduler(process)?;
    limits::apply_io_priority(process)?;
    limits::apply_rlimits(process)
}

/// Closes everything but the standard streams, what the caller wants preserved, and `keep`.
///
/// Before the working directory and the program are looked up: a directory of the host that somebody has left open
/// would be a way out, as /proc/self/fd/N (CVE-2024-21626).
pub fn close_others(preserve_fds: u32, keep: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    kernel::close_from_except(3 + preserve_fds, keep).context("close_range")
}

/// The working directory, the bounding set and the ids. The permitted capabilities stay for
/// [`Program::drop_capabilities`].
///
/// The directory comes first, with the power to look everywhere; where not even that helps (a network file system
/// that trusts no root), the container's user may have more luck.
pub fn become_user(process: &ProcessPlan, settings: &Settings) -> anyhow::Result<()> {
    let is_there = cwd::try_enter_cwd(process)?;
    drop_bounding(process)?;
    let groups = match (process.keep_groups, settings.may_deny_setgroups) {
        (true, _) => Groups::Keep,
        (false, true) => Groups::SetUnlessDenied,
        (false, false) => Groups::Set,
    };
    set_ids(process, groups)?;
    if !is_there {
        cwd::enter_cwd(process)?;
    }
    set_umask(process);
    stay_hidden()
}

/// A change of credentials has made us dumpable again, as far as /proc/sys/fs/suid_dumpable goes, and free of our
/// parent's fate.
fn stay_hidden() -> anyhow::Result<()> {
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    kernel::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
}

fn close_on_exec(preserve_fds: u32) -> anyhow::Result<()> {
    kernel::close_on_exec_from(3 + preserve_fds).context("close_range")
}

/// The container's program with all that execve needs.
pub struct Program {
    env: Vec<CString>,
    path: CString,
    /// What rt itself has until [`Program::drop_capabilities`].
    capabilities: CapabilitySets,
}

impl Program {
    /// Completes the environment, before a filter could forbid to look its user's home up.
    pub fn prepare(process: &ProcessPlan) -> Program {
        let mut env = process.env.clone();
        home::add_home(process, &mut env);
        Program { env, path: CString::default(), capabilities: CapabilitySets::default() }
    }

    /// Finds the program, as the container's user with its capabilities: what it may not execute is refused now.
    /// Before the filter is there: a profile may be older than faccessat2(2).
    ///
    /// # Errors
    /// In the phrases that managers look for.
    pub fn find(&mut self, process: &ProcessPlan) -> anyhow::Result<()> {
        self.capabilities = restrict_effective(process)?;
        let Some(args0) = process.args.first() else { bail!("process/args must not be empty") };
        self.path = executable::find(args0, process.variable("PATH"))?;
        Ok(())
    }

    /// The program's capabilities, after [`Program::find`], and the filter that takes privilege to load; gives what could
    /// not be granted. The process stays as hidden as it is: its permitted capabilities only become fewer.
    pub fn drop_capabilities(
        &self,
        process: &ProcessPlan,
        filter: Loader<'_>,
        preserve_fds: u32,
    ) -> anyhow::Result<Vec<String>> {
        if filter.filter.is_some() && !process.no_new_privileges {
            // Not later: a profile may be older than close_range(2). What is opened from here on closes by itself.
            close_on_exec(preserve_fds)?;
            // Without noNewPrivileges it takes CAP_SYS_ADMIN, which goes next.
            regain_effective(self.capabilities)?;
            filter.load()?;
        }
        let refused = set_capabilities(process, self.capabilities)?;
        set_no_new_privileges(process)?;
        if filter.has_listener() && process.no_new_privileges {
            close_on_exec(preserve_fds)?;
            filter.load()?;
        }
        Ok(refused)
    }

    /// Becomes the program; comes back with an error only.
    pub fn execute(&self, process: &ProcessPlan, filter: Loader<'_>, preserve_fds: u32) -> anyhow::Error {
        let is_filtered = filter.has_listener() || filter.filter.is_some() && !process.no_new_privileges;
        if !is_filtered && let Err(error) = close_on_exec(preserve_fds).and_then(|()| filter.load()) {
            return error;
        }
        executable::exec_error(&self.path, kernel::exec(&self.path, &process.args, &self.env))
    }
}

/// Sends the terminal's master to the console socket, as runc does: the message's text is its name.
pub fn hand_out_console(socket: Option<OwnedFd>, master: &OwnedFd) -> anyhow::Result<()> {
    let socket = socket.context("a terminal needs somewhere to send it to: --console-socket")?;
    fd::send(socket.as_fd(), b"/dev/ptmx", &[master.as_raw_fd()]).context("send the terminal to the console socket")
}

/// Makes the terminal the controlling one and all standard streams.
pub fn take_terminal(slave: BorrowedFd<'_>) -> anyhow::Result<()> {
    kernel::set_controlling_terminal(slave).context("make the terminal the controlling one")?;
    fd::make_standard_streams(slave).context("make the terminal stdin, stdout and stderr")
}

/// Lets the container's user reopen /dev/stdin, stdout and stderr where they are pipes.
///
/// Nothing but pipes: a file or device may be somebody else's (CVE-2026-88265).
pub fn own_pipes(process: &ProcessPlan) -> anyhow::Result<()> {
    if process.uid == 0 {
        return Ok(());
    }
    for stream in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let Ok(status) = fstat(stream) else { continue };
        if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFIFO {
            continue;
        }
        match nix::unistd::fchown(stream, Some(Uid::from_raw(process.uid)), None) {
            // Without privilege, or with an id that is not mapped, the pipe stays as it is.
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
            Err(errno) => return Err(errno).context("fchown of a standard stream"),
        }
    }
    Ok(())
}
