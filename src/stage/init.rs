//! INIT: pid 1 of the container, from clone to execve.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, sethostname, setsid};

use super::listener::Loader;
use super::namespaces::JoinFd;
use super::privileges::{self, Program, hand_out_console, own_pipes, take_terminal};
use super::settings::Settings;
use super::sync::{Channel, Message};
use super::{failure, gate, hooks};
use crate::cgroup::{Cgroup, CgroupPaths};
use crate::host::Host;
use crate::plan::Plan;
use crate::rootfs::{Console, MountContext, Prepared, ProcFs, Root, apply_sysctl};
use crate::sys::{net, process};

/// The step whose failure destroys the container.
pub const START_HOOKS: &str = "startContainer hooks";

impl<'a> Init<'a> {
    /// The order of things in the new process. Each name is what traces and errors call the step.
    const STEPS: &'a [super::Step<Self>] = &[
        ("signals", Self::reset_signals),
        ("cgroup", Self::join_cgroup),
        // A session of its own before anything can open a terminal.
        ("session", Self::lead_session),
        ("id maps", Self::await_id_maps),
        ("join namespaces", Self::join_namespaces),
        // Only now: on v1 the namespace's root is where the process is when it unshares.
        ("cgroup namespace", Self::unshare_cgroup),
        ("loopback", Self::set_loopback_up),
        ("host name", Self::set_names),
        // Before any mount: from here on nothing that we mount reaches the host.
        ("root", Self::open_root),
        ("mounts", Self::mount),
        ("devices", Self::make_devices),
        // Needs the container's own devpts.
        ("console", Self::open_console),
        // The spec wants createRuntime hooks after the namespaces and before pivot_root.
        ("hooks", Self::run_create_hooks),
        ("pivot", Self::pivot),
        // While /proc/sys may still be written: readonlyPaths usually cover it.
        ("sysctl", Self::write_sysctl),
        ("paths", Self::hide_paths),
        ("limits", Self::limit),
        ("labels", Self::label),
        ("environment", Self::prepare_program),
        ("credentials", Self::become_user),
        // As the container's user: what it may not execute is refused now, not at start.
        ("executable", Self::find_executable),
        ("capabilities", Self::drop_capabilities),
        ("ready", Self::report_ready),
        ("start", Self::await_start),
        (START_HOOKS, Self::run_start_hooks),
        ("exec", Self::execute),
    ];
}

/// What INIT works with: all of it was prepared before clone.
pub struct Init<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// Facts about the machine.
    pub host: &'a Host,
    /// What the command line wants.
    pub settings: &'a Settings,
    /// To RUNTIME; after the gate, to whoever started the container.
    pub channel: Channel,
    /// Namespaces to join, except those that were joined before clone.
    pub joins: Vec<JoinFd>,
    /// The container's cgroup, to enter it.
    pub cgroup: Option<Cgroup>,
    /// Where the container's cgroups are, for cgroup mounts.
    pub cgroup_paths: CgroupPaths,
    /// Descriptors that were opened with the runtime's privilege.
    pub prepared: Option<Prepared>,
    /// The host's procfs.
    pub procfs: Option<ProcFs>,
    /// The start gate; none with `rt run`.
    pub gate: Option<OwnedFd>,
    /// Where the terminal's master goes.
    pub console: Option<OwnedFd>,
    /// Whether RUNTIME writes id maps for this very process.
    pub awaits_id_maps: bool,
    /// The root, from the step that opens it to the one that lets it go.
    pub root: Option<Root>,
    /// The state that the last message brought, for hooks.
    pub state: Vec<u8>,
    /// The program, from the step that completes its environment on.
    pub program: Option<Program>,
    /// Where the output of its hooks goes.
    pub hook_output: hooks::Output,
    /// Our pid in the container, asked for before a filter could deny it.
    pub pid: i32,
}

/// Runs all steps; the last one becomes the user's program.
pub fn main(init: &mut Init<'_>) -> ! {
    for (name, step) in Init::STEPS {
        if let Err(error) = step(init) {
            // Whoever should hear it may be gone: then there is nobody left to tell.
            let _ = init.channel.send(&failure::message(name, &error));
            break;
        }
    }
    process::exit_now(1)
}

impl Init<'_> {
    fn reset_signals(&mut self) -> anyhow::Result<()> {
        process::reset_signals().context("reset signals")?;
        // Whoever kills a container that waits for its start means it.
        process::end_by_signals().context("signal")?;
        self.pid = std::process::id().cast_signed();
        // With whatever secrets the caller has.
        process::wipe_environment();
        // Whatever happens to RUNTIME before the state is on disk, INIT does not outlive it.
        process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
    }

    fn join_cgroup(&mut self) -> anyhow::Result<()> {
        self.cgroup.as_ref().map_or(Ok(()), Cgroup::join_self)
    }

    fn lead_session(&mut self) -> anyhow::Result<()> {
        setsid().map(drop).context("setsid")
    }

    fn await_id_maps(&mut self) -> anyhow::Result<()> {
        if self.awaits_id_maps {
            self.expect(&Message::IdMapDone)?;
        }
        if self.plan.namespaces.user.is_own() {
            become_root(&self.plan.namespaces)?;
            // Changing credentials has disarmed it.
            process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")?;
        }
        // Not earlier: an unprivileged runtime could not have written the maps of a process that is not dumpable.
        nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")
    }

    fn join_namespaces(&mut self) -> anyhow::Result<()> {
        std::mem::take(&mut self.joins).iter().try_for_each(JoinFd::join)
    }

    fn unshare_cgroup(&mut self) -> anyhow::Result<()> {
        if let Some(cgroup) = self.cgroup.take() {
            drop(cgroup);
        }
        let scope = self.plan.cgroup.scope.as_ref();
        if scope.is_some() {
            match self.channel.receive()? {
                Some(Message::CgroupReady { paths }) => self.cgroup_paths = CgroupPaths::from_bytes(&paths),
                other => bail!(unexpected(other.as_ref())),
            }
        }
        if self.plan.unshares_cgroup_in_init(self.host) {
            unshare(CloneFlags::CLONE_NEWCGROUP).context("unshare the cgroup namespace")?;
        }
        match scope.and_then(|scope| scope.delegated.as_ref()) {
            // After the namespace, of which the cgroup that has the limits is the root.
            Some(name) => crate::cgroup::enter_below(&self.cgroup_paths, name),
            None => Ok(()),
        }
    }

    fn set_loopback_up(&mut self) -> anyhow::Result<()> {
        if self.plan.namespaces.network.is_new() {
            net::loopback_up().context("set the loopback device up, which takes CAP_NET_ADMIN")?;
        }
        Ok(())
    }

    fn set_names(&mut self) -> anyhow::Result<()> {
        if let Some(name) = &self.plan.hostname {
            sethostname(name).with_context(|| format!("sethostname {name:?}"))?;
        }
        if let Some(name) = &self.plan.domainname {
            process::set_domain_name(name).with_context(|| format!("setdomainname {name:?}"))?;
        }
        Ok(())
    }

    fn open_root(&mut self) -> anyhow::Result<()> {
        self.root = Some(Root::open(&self.plan.rootfs)?);
        Ok(())
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        let context = MountContext { cgroup: &self.cgroup_paths.clone(), layout: &self.host.cgroup };
        let mut prepared = self.prepared.take().unwrap_or_default();
        let plan = &self.plan.rootfs;
        self.root()?.apply_mounts(plan, &mut prepared, &context)
    }

    fn make_devices(&mut self) -> anyhow::Result<()> {
        let plan = &self.plan.rootfs;
        self.root()?.apply_devices(plan)
    }

    /// Opens the terminal, hands its master out and makes it ours.
    fn open_console(&mut self) -> anyhow::Result<()> {
        let Some(process) = self.plan.process.as_ref() else { return Ok(()) };
        if !process.terminal {
            return own_pipes(process);
        }
        let root = self.root()?;
        let Console { master, slave } = root.open_console(process.uid, process.console_size)?;
        root.bind_console(slave.as_fd())?;
        hand_out_console(self.console.take(), &master)?;
        take_terminal(slave.as_fd())
    }

    fn run_create_hooks(&mut self) -> anyhow::Result<()> {
        if !self.plan.waits_before_pivot() {
            return Ok(());
        }
        self.channel.send(&Message::HooksPlease { pid: self.pid })?;
        match self.channel.receive()? {
            Some(Message::HooksDone { state }) => self.state = state,
            other => bail!(unexpected(other.as_ref())),
        }
        let hooks = self.plan.hooks.create_container().as_deref().unwrap_or_default();
        // They are programs of the host: not with the umask of our own work, nor in a directory of the image.
        umask(Mode::from_bits_truncate(0o022));
        if chdir(&self.settings.bundle).is_err() {
            chdir("/").context("chdir /")?;
        }
        hooks::run_all("createContainer", hooks, &self.state, &self.hook_output)?;
        umask(Mode::empty());
        Ok(())
    }

    fn pivot(&mut self) -> anyhow::Result<()> {
        let no_pivot = self.settings.no_pivot;
        self.root()?.pivot(no_pivot)
    }

    fn write_sysctl(&mut self) -> anyhow::Result<()> {
        match &self.procfs {
            Some(procfs) => apply_sysctl(procfs, &self.plan.sysctl),
            None => Ok(()),
        }
    }

    /// The last things about the mount tree; the descriptors into it go with them.
    fn hide_paths(&mut self) -> anyhow::Result<()> {
        let Plan { rootfs: plan, process, .. } = self.plan;
        let root = self.root()?;
        root.apply_readonly_paths(plan)?;
        root.apply_masked_paths(plan)?;
        // As the container's root still, and before there is nothing more to write.
        if let Some(process) = process {
            root.make_cwd(&process.cwd)?;
        }
        root.apply_readonly_root(plan)?;
        root.apply_propagation(plan)?;
        self.root = None;
        Ok(())
    }

    fn limit(&mut self) -> anyhow::Result<()> {
        if self.settings.new_keyring {
            privileges::take_keyring(self.plan.process.as_ref(), self.procfs.as_ref(), &self.settings.id)?;
        }
        self.plan.process.as_ref().map_or(Ok(()), privileges::limit)
    }

    fn label(&mut self) -> anyhow::Result<()> {
        if let (Some(process), Some(procfs)) = (self.plan.process.as_ref(), &self.procfs) {
            privileges::label(process, procfs)?;
        }
        // That was the last that needs the host's procfs.
        self.procfs = None;
        let gate = self.gate.as_ref().map(AsFd::as_fd);
        let keep: Vec<_> = gate.into_iter().chain([self.channel.as_fd()]).chain(self.hook_output.fds()).collect();
        privileges::close_others(self.settings.preserve_fds, &keep)
    }

    fn prepare_program(&mut self) -> anyhow::Result<()> {
        self.program = self.plan.process.as_ref().map(Program::prepare);
        Ok(())
    }

    fn become_user(&mut self) -> anyhow::Result<()> {
        self.plan.process.as_ref().map_or(Ok(()), |process| privileges::become_user(process, self.settings))
    }

    fn find_executable(&mut self) -> anyhow::Result<()> {
        match (&mut self.program, &self.plan.process) {
            (Some(program), Some(process)) => program.find(process),
            _ => Ok(()),
        }
    }

    fn drop_capabilities(&mut self) -> anyhow::Result<()> {
        let (Some(process), Some(program)) = (&self.plan.process, &self.program) else { return Ok(()) };
        for text in program.drop_capabilities(process, self.filter(), self.settings.preserve_fds)? {
            self.channel.send(&Message::Warning { text })?;
        }
        Ok(())
    }

    fn report_ready(&mut self) -> anyhow::Result<()> {
        self.channel.send(&Message::Ready { pid: self.pid })?;
        self.expect(&Message::Committed)?;
        process::die_with_parent(None).context("prctl PR_SET_PDEATHSIG")?;
        self.channel.send(&Message::Detached)
    }

    /// Waits for `rt start` at the gate, or for `rt run` on the channel.
    fn await_start(&mut self) -> anyhow::Result<()> {
        if let Some(gate) = self.gate.take() {
            self.channel = gate::wait(gate.as_fd())?;
        }
        match self.channel.receive()? {
            Some(Message::Start { state }) => self.state = state,
            other => bail!(unexpected(other.as_ref())),
        }
        Ok(())
    }

    fn run_start_hooks(&mut self) -> anyhow::Result<()> {
        let hooks = self.plan.hooks.start_container().as_deref().unwrap_or_default();
        hooks::run_all("startContainer", hooks, &self.state, &self.hook_output)
    }

    fn execute(&mut self) -> anyhow::Result<()> {
        let (Some(process), Some(program)) = (self.plan.process.as_ref(), self.program.as_ref()) else {
            bail!("config.json has no /process: there is nothing to start");
        };
        self.channel.send(&Message::Executing)?;
        Err(program.execute(process, self.filter(), self.settings.preserve_fds))
    }

    fn filter(&self) -> Loader<'_> {
        Loader { filter: self.plan.seccomp.as_ref(), channel: &self.channel, host: self.host }
    }

    fn root(&mut self) -> anyhow::Result<&mut Root> {
        self.root.as_mut().context("the root is not open")
    }

    fn expect(&self, wanted: &Message) -> anyhow::Result<()> {
        match self.channel.receive()? {
            Some(found) if found == *wanted => Ok(()),
            other => bail!(unexpected(other.as_ref())),
        }
    }
}

/// Becomes root of the new user namespace, or its first user: until then the process is nobody there.
pub fn become_root(plan: &crate::plan::namespaces::NamespacePlan) -> anyhow::Result<()> {
    let uid = Uid::from_raw(crate::plan::namespaces::first_id(&plan.uid_mappings));
    let gid = Gid::from_raw(crate::plan::namespaces::first_id(&plan.gid_mappings));
    nix::unistd::setresgid(gid, gid, gid).with_context(|| format!("setresgid {gid} in the user namespace"))?;
    nix::unistd::setresuid(uid, uid, uid).with_context(|| format!("setresuid {uid} in the user namespace"))
}

/// The same in a user namespace that was joined, where the new credentials lose what hides the process, and its parent's
/// fate.
pub fn become_root_of_joined(plan: &crate::plan::namespaces::NamespacePlan) -> anyhow::Result<()> {
    match become_root(plan) {
        // A namespace that was joined by path may have no root.
        Err(error) if error.root_cause().downcast_ref() == Some(&Errno::EINVAL) => {}
        result => result?,
    }
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
}

fn unexpected(message: Option<&Message>) -> String {
    match message {
        None => "the runtime is gone".to_owned(),
        Some(message) => format!("the runtime sent {message:?} out of turn"),
    }
}
