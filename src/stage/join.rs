//! `rt exec`: another process in a container that runs.
//!
//! ```text
//! RUNTIME  ── clone3 (into the v2 cgroup, below the container's pid namespace) ──▶ JOIN ── execve
//!    └────── [MIDDLE: joins the user namespace first, for a runtime without privilege] ──▶ JOIN
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use nix::unistd::{chroot, fchdir, setsid};

use super::listener::{Fetched, Loader};
use super::privileges::{self, Program, hand_out_console, own_pipes, take_terminal};
use super::runtime::{clone, wait_for_end};
use super::settings::Settings;
use super::sync::{Channel, Message};
use super::{failure, init};
use crate::cgroup::{self, CgroupPaths, JoinFds};
use crate::confine::limits;
use crate::host::Host;
use crate::plan::namespaces::NamespacePlan;
use crate::plan::process::ProcessPlan;
use crate::plan::seccomp::SeccompPlan;
use crate::rootfs::{Console, ProcFs, Root};
use crate::state::{State, Status};
use crate::sys::process::{self, Side};

impl<'a> Join<'a> {
    /// The order of things in the new process.
    const STEPS: &'a [super::Step<Self>] = &[
        ("signals", Self::reset_signals),
        // Without privilege a process that is not dumpable may not write its own.
        ("oom score", Self::adjust_oom_score),
        // From the clone on, the container's processes see this one (CVE-2016-9962).
        ("hide", Self::hide),
        ("cgroup", Self::join_cgroup),
        ("session", Self::lead_session),
        // With the runtime's own privilege: inside a user namespace nobody may raise a limit.
        ("limits", Self::limit),
        ("join namespaces", Self::join_namespaces),
        ("console", Self::open_console),
        ("labels", Self::label),
        ("environment", Self::prepare_program),
        ("credentials", Self::become_user),
        ("executable", Self::find_executable),
        ("capabilities", Self::drop_capabilities),
        ("agent", Self::await_hand_over),
        ("exec", Self::execute),
    ];
}

/// What JOIN works with.
pub struct Join<'a> {
    /// The process to run.
    pub process: &'a ProcessPlan,
    /// The container's system call filter.
    pub filter: Option<&'a SeccompPlan>,
    /// Which namespaces are the container's own.
    pub namespaces: &'a NamespacePlan,
    /// Facts about the machine.
    pub host: &'a Host,
    /// What the command line wants.
    pub settings: &'a Settings,
    /// The container's init.
    pub target: BorrowedFd<'a>,
    /// The container, and its status.
    container: (&'a State, Status),
    /// Descriptors to enter the container's cgroups.
    pub cgroup: Option<JoinFds>,
    /// Where those cgroups are, and the pid of the container's init, which may have moved below them, if the process
    /// may follow it there.
    pub cgroup_of: Option<(&'a CgroupPaths, Option<i32>)>,
    /// The host's procfs.
    pub procfs: Option<ProcFs>,
    /// Root of a container that has no mount namespace of its own.
    pub root: Option<OwnedFd>,
    /// Where the terminal's master goes.
    pub console: Option<OwnedFd>,
    /// The end of the socket that is JOIN's.
    channel: Option<Channel>,
    program: Option<Program>,
    joined: CloneFlags,
    /// It was cloned outside of the container's cgroup.
    is_outside: bool,
}

/// A process that was started in a container.
pub struct Joined {
    /// Its pid, as seen from here.
    pub pid: i32,
    /// A pidfd for it.
    pub pidfd: OwnedFd,
    /// What is worth telling.
    pub warnings: Vec<String>,
}

impl<'a> Join<'a> {
    /// Gathers what JOIN needs.
    pub fn new(
        process: &'a ProcessPlan,
        filter: Option<&'a SeccompPlan>,
        namespaces: &'a NamespacePlan,
        host: &'a Host,
        settings: &'a Settings,
        target: BorrowedFd<'a>,
        container: (&'a State, Status),
    ) -> Join<'a> {
        Join {
            process,
            filter,
            namespaces,
            host,
            settings,
            target,
            container,
            cgroup: None,
            cgroup_of: None,
            procfs: None,
            root: None,
            console: None,
            channel: None,
            program: None,
            joined: CloneFlags::empty(),
            is_outside: false,
        }
    }

    /// Starts the process, and waits until its program runs.
    ///
    /// # Errors
    /// The first step that fails; nothing of the process is left then.
    pub fn start(mut self) -> anyhow::Result<Joined> {
        // On v2 the clone is in the cgroup from its first instruction on, and has our CPUs.
        limits::apply_cpus(self.process.exec_cpus_initial.as_ref())?;
        let (ours, theirs) = Channel::pair()?;
        self.channel = Some(theirs);
        let (pid, pidfd) = if self.needs_middle() { self.start_middle()? } else { self.start_directly()? };
        self.channel = None;
        match self.await_program(&ours, pid, pidfd.as_fd()) {
            Ok(warnings) => Ok(Joined { pid, pidfd, warnings }),
            Err(error) => {
                // ESRCH: it has ended by itself.
                let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                wait_for_end(pidfd.as_fd())?;
                Err(error)
            }
        }
    }

    /// Waits until the program runs, and hands the seccomp listener out on the way; gives what is worth telling.
    fn await_program(&self, channel: &Channel, pid: i32, process: BorrowedFd<'_>) -> anyhow::Result<Vec<String>> {
        let mut listener = Fetched::default();
        let mut warnings = Vec::new();
        let mut is_executing = false;
        loop {
            match listener.receive(channel, process)? {
                Some(Message::Warning { text }) => warnings.push(text),
                Some(Message::Ready { .. }) => {
                    let agent = self.filter.and_then(|filter| filter.listener.as_ref());
                    let (state, status) = self.container;
                    listener.hand_over(agent, |metadata| state.for_agent(status, state.pid, pid, metadata))?;
                    channel.send(&Message::Committed)?;
                }
                Some(Message::Executing) => is_executing = true,
                Some(Message::CgroupPlease) => self.move_into_cgroup(pid, channel)?,
                // The socket closes when the program is executed.
                None if is_executing => return Ok(warnings),
                other => return Err(failure::from_answer(other, "exec")),
            }
        }
    }

    fn move_into_cgroup(&self, pid: i32, channel: &Channel) -> anyhow::Result<()> {
        if let Some((paths, _)) = self.cgroup_of {
            cgroup::attach(paths, pid)?;
        }
        channel.send(&Message::CgroupReady { paths: Vec::new() })
    }

    /// Whether the user namespace gives the power to enter the others.
    fn needs_middle(&self) -> bool {
        self.namespaces.user.is_own() && !self.host.is_privileged()
    }

    fn start_directly(&mut self) -> anyhow::Result<(i32, OwnedFd)> {
        if self.namespaces.pid.is_own() {
            // It takes hold of children only. This process has none but JOIN, and needs no way back.
            setns(self.target, CloneFlags::CLONE_NEWPID).context("join the container's pid namespace")?;
            self.joined |= CloneFlags::CLONE_NEWPID;
        }
        match self.clone_into_cgroup(CloneFlags::empty())? {
            Side::Parent { pid, pidfd } => Ok((pid, pidfd)),
            Side::Child => self.run(),
        }
    }

    /// clone3 into the container's cgroup, or into that of its init where a container with a manager of its own
    /// (systemd, dockerd) has turned the former into an inner node.
    fn clone_into_cgroup(&mut self, flags: CloneFlags) -> anyhow::Result<Side> {
        let first = clone(flags, self.cgroup.as_ref().and_then(JoinFds::v2_fd));
        let (Err(error), Some(cgroup), Some((paths, init))) = (&first, &mut self.cgroup, self.cgroup_of) else {
            return first;
        };
        match error.downcast_ref() {
            Some(Errno::EBUSY | Errno::EOPNOTSUPP) => {}
            // A user's login is outside of what is delegated to them: nobody but systemd moves a process from there.
            Some(Errno::EACCES | Errno::EPERM) if paths.unit.is_some() => {
                self.is_outside = true;
                return clone(flags, None);
            }
            _ => return first,
        }
        let Some(init) = init else { return first };
        cgroup.retry_where_init_is(paths, &self.host.cgroup, init)?;
        clone(flags, cgroup.v2_fd())
    }

    /// MIDDLE enters the user and the pid namespace, and leaves JOIN behind as the runtime's child.
    ///
    /// It has a socket of its own: JOIN may have something to say before MIDDLE has told its pid.
    fn start_middle(&mut self) -> anyhow::Result<(i32, OwnedFd)> {
        let (ours, of_middle) = Channel::pair()?;
        let Side::Parent { pidfd: middle, .. } = clone(CloneFlags::empty(), None)? else {
            drop(ours);
            self.run_middle(of_middle)
        };
        drop(of_middle);
        let answer = ours.receive()?;
        wait_for_end(middle.as_fd()).context("wait for the middle process")?;
        let Some(Message::Cloned { pid }) = answer else { return Err(failure::from_answer(answer, "clone")) };
        Ok((pid, process::pidfd_open(pid).context("pidfd_open of the new process")?))
    }

    fn run_middle(&mut self, channel: Channel) -> ! {
        let mut channel = Some(channel);
        if let Err(error) = self.clone_in_user_namespace(&mut channel)
            && let Some(channel) = &channel
        {
            let _ = channel.send(&failure::message("join namespaces", &error));
        }
        process::exit_now(0)
    }

    fn clone_in_user_namespace(&mut self, channel: &mut Option<Channel>) -> anyhow::Result<()> {
        process::reset_signals().context("reset signals")?;
        let flags = CloneFlags::CLONE_NEWUSER | self.namespaces.pid_flag();
        setns(self.target, flags).context("join the container's user namespace")?;
        self.joined |= flags;
        match self.clone_into_cgroup(CloneFlags::CLONE_PARENT)? {
            Side::Parent { pid, .. } => {
                channel.as_ref().map_or(Ok(()), |channel| channel.send(&Message::Cloned { pid }))
            }
            Side::Child => {
                // MIDDLE's alone, or its end would not be end of file.
                *channel = None;
                self.run()
            }
        }
    }

    fn run(&mut self) -> ! {
        for (name, step) in Join::STEPS {
            if let Err(error) = step(self) {
                let _ = self.channel().and_then(|channel| channel.send(&failure::message(name, &error)));
                break;
            }
        }
        process::exit_now(255)
    }

    fn reset_signals(&mut self) -> anyhow::Result<()> {
        process::reset_signals().context("reset signals")?;
        process::wipe_environment();
        process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
    }

    fn adjust_oom_score(&mut self) -> anyhow::Result<()> {
        let Some(procfs) = &self.procfs else { return Ok(()) };
        limits::apply_oom_score_adj(self.process, "self", |path, bytes| Ok(procfs.write(path, bytes)?))
    }

    fn hide(&mut self) -> anyhow::Result<()> {
        nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")
    }

    fn join_cgroup(&mut self) -> anyhow::Result<()> {
        if self.is_outside {
            let channel = self.channel()?;
            channel.send(&Message::CgroupPlease)?;
            match channel.receive()? {
                Some(Message::CgroupReady { .. }) => {}
                other => anyhow::bail!("the runtime sent {other:?} instead of CgroupReady"),
            }
        }
        self.cgroup.take().map_or(Ok(()), |cgroup| cgroup.join_self())?;
        limits::apply_cpus(self.process.exec_cpus_final.as_ref())
    }

    fn lead_session(&mut self) -> anyhow::Result<()> {
        setsid().map(drop).context("setsid")
    }

    fn limit(&mut self) -> anyhow::Result<()> {
        if self.settings.new_keyring {
            privileges::take_keyring(Some(self.process), self.procfs.as_ref(), &self.settings.id)?;
        }
        privileges::limit(self.process)
    }

    fn join_namespaces(&mut self) -> anyhow::Result<()> {
        let flags = self.namespaces.own_flags() - self.joined;
        // No flag at all would be an error of the call, but none of the container's.
        if !flags.is_empty() {
            setns(self.target, flags).with_context(|| format!("join the container's namespaces ({flags:?})"))?;
        }
        // Without a mount namespace of its own, the container was chrooted.
        if let Some(root) = self.root.take() {
            fchdir(&root).and_then(|()| chroot(".")).context("enter the container's root")?;
        }
        if self.namespaces.user.is_own() {
            // Until then it is nobody there: a terminal that it opens would belong to nobody.
            init::become_root_of_joined(self.namespaces)?;
        }
        Ok(())
    }

    fn open_console(&mut self) -> anyhow::Result<()> {
        if !self.process.terminal {
            return own_pipes(self.process);
        }
        let Console { master, slave } = Root::entered()?.open_console(self.process.uid, self.process.console_size)?;
        hand_out_console(self.console.take(), &master)?;
        take_terminal(slave.as_fd())
    }

    fn label(&mut self) -> anyhow::Result<()> {
        if let Some(procfs) = self.procfs.take() {
            privileges::label(self.process, &procfs)?;
        }
        privileges::close_others(self.settings.preserve_fds, &[self.channel()?.as_fd()])
    }

    fn prepare_program(&mut self) -> anyhow::Result<()> {
        self.program = Some(Program::prepare(self.process));
        Ok(())
    }

    fn become_user(&mut self) -> anyhow::Result<()> {
        privileges::become_user(self.process, self.settings)
    }

    fn find_executable(&mut self) -> anyhow::Result<()> {
        self.program.as_mut().context("no environment was made")?.find(self.process)
    }

    fn drop_capabilities(&mut self) -> anyhow::Result<()> {
        let program = self.program.as_ref().context("no program was found")?;
        for text in program.drop_capabilities(self.process, self.loader()?, self.settings.preserve_fds)? {
            self.channel()?.send(&Message::Warning { text })?;
        }
        Ok(())
    }

    /// The agent must have the listener before the program can ask it anything.
    fn await_hand_over(&mut self) -> anyhow::Result<()> {
        if !self.loader()?.has_listener() {
            return Ok(());
        }
        let channel = self.channel()?;
        // RUNTIME knows the pid; to ask for it may be forbidden.
        channel.send(&Message::Ready { pid: 0 })?;
        match channel.receive()? {
            Some(Message::Committed) => Ok(()),
            other => bail!("the runtime sent {other:?} out of turn"),
        }
    }

    fn execute(&mut self) -> anyhow::Result<()> {
        let program = self.program.as_ref().context("no program was found")?;
        self.channel()?.send(&Message::Executing)?;
        process::die_with_parent(None).context("prctl PR_SET_PDEATHSIG")?;
        Err(program.execute(self.process, self.loader()?, self.settings.preserve_fds))
    }

    fn loader(&self) -> anyhow::Result<Loader<'_>> {
        Ok(Loader { filter: self.filter, channel: self.channel()?, host: self.host })
    }

    fn channel(&self) -> anyhow::Result<&Channel> {
        self.channel.as_ref().context("there is no channel")
    }
}
