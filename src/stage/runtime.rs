//! RUNTIME: the process of `rt create` and `rt run`, from the plan to a container that waits for its start.

mod clone;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::first_state::first_state;
use super::hooks::{self, Output};
use super::init::Init;
use super::listener::Fetched;
use super::namespaces::{self, JoinFd};
use super::settings::Settings;
use super::sync::{Channel, Message};
use super::undo::Made;
use super::{failure, gate, id_map};
use crate::cgroup::Cgroup;
use crate::confine::limits;
use crate::host::Host;
use crate::netdev::NetDevices;
use crate::plan::Plan;
use crate::rdt::{self, Rdt};
use crate::rootfs::{self, Prepared, ProcFs};
use crate::spec::Spec;
use crate::state::init::start_time;
use crate::state::{Boot, Container, State, Status};

pub use clone::{clone, clone_flags};

impl<'a> Runtime<'a> {
    /// The order of things. Each name is what traces and errors call the step.
    const STEPS: &'a [super::Step<Self>] = &[
        // Before the state names it: whoever cleans up after a crash removes it.
        ("resctrl", Self::look_at_resctrl),
        // Before the state names them: whoever cleans up after a crash kills what is in the container's cgroups.
        ("unused cgroup", Self::refuse_used_cgroup),
        // So that whatever comes later can be found and removed after a crash.
        ("state", Self::record_creation),
        ("console", Self::connect_console),
        ("cgroup", Self::make_cgroup),
        // With the runtime's privilege and in its namespaces: INIT may have neither.
        ("descriptors", Self::open_descriptors),
        ("clone", Self::clone_init),
        // A scope cannot be empty, so it is started with INIT in it; with the runtime's ids still, which systemd knows.
        ("scope", |runtime| runtime.pid().and_then(|pid| runtime.start_unit(pid))),
        ("id maps", Self::write_id_maps),
        // Its network namespace is there. INIT waits for it before pivot_root: hooks and sysctls are about them.
        ("network devices", Self::move_net_devices),
        // INIT is busy with its mounts meanwhile; it runs nothing of the user's before `Committed`.
        ("resources", Self::apply_resources),
        ("hooks", Self::await_ready),
        ("commit", Self::commit),
    ];
}

/// What RUNTIME works with.
pub struct Runtime<'a> {
    spec: &'a Spec,
    pub(super) plan: &'a Plan,
    pub(super) host: &'a Host,
    pub(super) settings: &'a Settings,
    /// The state directory, locked; the clone lets go of it.
    pub(super) container: Option<Container>,
    pub(super) state: State,
    /// `rt run` starts over the channel and needs no gate.
    wants_gate: bool,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) rdt: Option<Rdt>,
    prepared: Option<Prepared>,
    procfs: Option<ProcFs>,
    joins: Vec<JoinFd>,
    gate: Option<OwnedFd>,
    pub(super) console: Option<OwnedFd>,
    channel: Option<Channel>,
    pub(super) init: Option<(i32, OwnedFd)>,
    pub(super) net_devices: Option<NetDevices>,
    pub(super) hooks_have_begun: bool,
    /// For the hooks that INIT runs, where no path leads to the files any more.
    hook_output: Output,
    warnings: Vec<String>,
    pub(super) made: Vec<Made>,
}

/// A container that is `created`: its init waits.
pub struct Created {
    /// The state directory, still locked.
    pub container: Container,
    /// What state.json says.
    pub state: State,
    /// Pid and pidfd of INIT.
    pub init: (i32, OwnedFd),
    /// The channel to INIT.
    pub channel: Channel,
    /// What is worth telling.
    pub warnings: Vec<String>,
}

/// A container that runs again.
pub struct Restored {
    /// The state directory, still locked.
    pub container: Container,
    /// What state.json says.
    pub state: State,
    /// Its init.
    pub init: OwnedFd,
}

/// Creates a container; on any fault everything that was made is removed again.
///
/// `console` is a socket for the terminal's master, when the caller has one already.
///
/// Implements steps 1 to 5 of <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#lifecycle>.
///
/// # Errors
/// The first step that fails.
pub fn create<'a>(
    spec: &'a Spec,
    plan: &'a Plan,
    host: &'a Host,
    settings: &'a Settings,
    container: Container,
    console: Option<OwnedFd>,
    wants_gate: bool,
) -> anyhow::Result<Created> {
    let mut runtime = Runtime::new(spec, plan, host, settings, container, console);
    runtime.wants_gate = wants_gate;
    for (_name, step) in Runtime::STEPS {
        if let Err(error) = step(&mut runtime) {
            return Err(runtime.unwind(error));
        }
    }
    let (Some(container), Some(init), Some(channel)) =
        (runtime.container.take(), runtime.init.take(), runtime.channel.take())
    else {
        bail!("the steps ended without an init");
    };
    Ok(Created { container, state: runtime.state, init, channel, warnings: runtime.warnings })
}

impl<'a> Runtime<'a> {
    /// Before anything but the state directory is made.
    pub fn new(
        spec: &'a Spec,
        plan: &'a Plan,
        host: &'a Host,
        settings: &'a Settings,
        container: Container,
        console: Option<OwnedFd>,
    ) -> Runtime<'a> {
        Runtime {
            spec,
            plan,
            host,
            settings,
            container: Some(container),
            state: first_state(spec, plan, host, settings),
            wants_gate: false,
            cgroup: None,
            rdt: None,
            prepared: None,
            procfs: None,
            joins: Vec::new(),
            gate: None,
            console,
            channel: None,
            init: None,
            net_devices: None,
            hooks_have_begun: false,
            hook_output: Output::default(),
            warnings: Vec::new(),
            made: vec![Made::StateDirectory],
        }
    }
}

impl Runtime<'_> {
    fn look_at_resctrl(&mut self) -> anyhow::Result<()> {
        self.state.rdt = self.plan.rdt.as_ref().map(rdt::look_at).transpose()?;
        Ok(())
    }

    pub(super) fn refuse_used_cgroup(&mut self) -> anyhow::Result<()> {
        crate::cgroup::refuse_used(&self.plan.cgroup).map(|unused| self.state.kept_cgroups = unused)
    }

    pub(super) fn record_creation(&mut self) -> anyhow::Result<()> {
        let container = self.container()?;
        container.save_config(&self.spec.text)?;
        if self.settings.has_notify_socket {
            container.make_notify_directory()?;
        }
        container.save(&self.state)
    }

    pub(super) fn connect_console(&mut self) -> anyhow::Result<()> {
        let wants_terminal = self.plan.process.as_ref().is_some_and(|process| process.terminal);
        if let Some(path) = &self.settings.console_socket {
            if !wants_terminal {
                bail!("--console-socket is given, but config.json: /process/terminal is not true");
            }
            self.console = Some(crate::console::connect(path)?);
        } else if wants_terminal && self.console.is_none() {
            bail!("config.json: /process/terminal is true: a detached container needs --console-socket");
        }
        Ok(())
    }

    pub(super) fn make_cgroup(&mut self) -> anyhow::Result<()> {
        // Before it is made: whatever stops us in between is in the undo log already.
        self.made.push(Made::Cgroup);
        let cgroup = Cgroup::create(&self.plan.cgroup)?;
        self.state.cgroup = cgroup.paths().clone();
        self.cgroup = Some(cgroup);
        if let (Some(plan), Some(place)) = (&self.plan.rdt, &self.state.rdt) {
            self.made.push(Made::Rdt);
            self.rdt.insert(Rdt::at(place.clone())).make(plan)?;
        }
        Ok(())
    }

    fn open_descriptors(&mut self) -> anyhow::Result<()> {
        if let (Some(process), true) = (&self.plan.process, self.plan.namespaces.user.is_own()) {
            // Inside, nobody may raise them: INIT inherits ours.
            limits::raise_hard_limits(process)?;
        }
        self.joins = namespaces::open_joined(&self.plan.namespaces)?;
        namespaces::refuse_own(self.plan, &self.joins)?;
        self.prepared = Some(rootfs::prepare(&self.plan.rootfs, &self.plan.namespaces)?);
        self.procfs = Some(ProcFs::open()?);
        if self.plan.has_hooks_in_the_container() {
            self.hook_output = Output::open(&self.state.annotations)?;
        }
        if self.wants_gate {
            self.gate = Some(gate::create(self.container()?.directory())?);
        }
        Ok(())
    }

    fn clone_init(&mut self) -> anyhow::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        self.channel = Some(ours);
        if !self.plan.namespaces.mount.is_own() {
            self.made.push(Made::Mounts);
        }
        self.made.push(Made::Init);
        self.init = Some(if self.plan.namespaces.needs_setup() {
            self.clone_setup(theirs)?
        } else {
            self.clone_directly(theirs)?
        });
        (self.gate, self.console) = (None, None);
        Ok(())
    }

    /// Everything that INIT needs, handed over in the child, and nothing else.
    fn take_init(&mut self, channel: Channel) -> Init<'_> {
        // The lock is the runtime's, and no directory of the host is INIT's business.
        self.container = None;
        // With our copy of the runtime's end open, its death would never be end of file.
        self.channel = None;
        if let Some(cgroup) = &mut self.cgroup {
            cgroup.forget_systemd();
        }
        Init {
            plan: self.plan,
            host: self.host,
            settings: self.settings,
            channel,
            joins: std::mem::take(&mut self.joins),
            cgroup: self.cgroup.take(),
            cgroup_paths: std::mem::take(&mut self.state.cgroup),
            prepared: self.prepared.take(),
            procfs: self.procfs.take(),
            gate: self.gate.take(),
            console: self.console.take(),
            awaits_id_maps: self.plan.namespaces.user.is_new(),
            root: None,
            state: Vec::new(),
            program: None,
            hook_output: std::mem::take(&mut self.hook_output),
            pid: 0,
        }
    }

    fn write_id_maps(&mut self) -> anyhow::Result<()> {
        let namespaces = &self.plan.namespaces;
        let has_done_it = namespaces.needs_setup() && !namespaces.time_offsets.is_empty();
        if !namespaces.user.is_new() || has_done_it {
            return Ok(());
        }
        let pid = self.pid()?;
        let result = id_map::write(pid, namespaces, self.host);
        // Before INIT is not dumpable: whoever is not root could not write its file then.
        let result = result.and_then(|()| self.adjust_oom_score(pid));
        // An init that has already failed says more than the file that is gone with it.
        result.and_then(|()| self.channel()?.send(&Message::IdMapDone)).map_err(|error| self.hear_out(error))
    }

    fn move_net_devices(&mut self) -> anyhow::Result<()> {
        if self.plan.net_devices.is_empty() {
            return Ok(());
        }
        let inside = namespaces::open_network(&self.joins, self.pid()?).map_err(|error| self.hear_out(error))?;
        self.made.push(Made::NetDevices);
        let devices = self.net_devices.insert(NetDevices::open(inside)?);
        self.plan.net_devices.iter().try_for_each(|device| devices.take(device))
    }

    fn apply_resources(&mut self) -> anyhow::Result<()> {
        self.report_unit()?;
        self.apply_limits()?;
        let pid = self.pid()?;
        self.rdt.as_ref().map_or(Ok(()), |rdt| rdt.join(pid))?;
        // Under a user namespace it was adjusted, and inherited, before.
        if self.plan.namespaces.user.is_own() { Ok(()) } else { self.adjust_oom_score(pid) }
    }

    /// By RUNTIME, because inside a user namespace nobody may lower it.
    pub(super) fn adjust_oom_score(&self, pid: i32) -> anyhow::Result<()> {
        let (Some(process), Some(procfs)) = (&self.plan.process, &self.procfs) else { return Ok(()) };
        limits::apply_oom_score_adj(process, &pid.to_string(), |path, bytes| Ok(procfs.write(path, bytes)?))
    }

    /// Writes the limits of the cgroup.
    pub(super) fn apply_limits(&self) -> anyhow::Result<()> {
        let limits = &self.plan.cgroup.resources;
        let applied = self.cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.apply_resources(limits));
        // systemd takes the cgroup of an init that has ended away.
        applied.map_err(|error| self.hear_out(error))
    }

    /// Runs the runtime's hooks when INIT says so, and waits until it is ready; then its seccomp agent takes over.
    fn await_ready(&mut self) -> anyhow::Result<()> {
        let mut listener = Fetched::default();
        loop {
            match listener.receive(self.channel()?, self.pidfd()?)? {
                Some(Message::HooksPlease { pid }) => self.run_hooks(pid)?,
                Some(Message::Warning { text }) => self.warnings.push(text),
                Some(Message::Ready { pid }) => {
                    self.state.pid_inside = pid;
                    let agent = self.plan.seccomp.as_ref().and_then(|filter| filter.listener.as_ref());
                    let (state, init) = (&self.state, self.pid()?);
                    let document = |metadata: Option<&str>| state.for_agent(Status::Creating, init, init, metadata);
                    return listener.hand_over(agent, document);
                }
                other => return Err(failure::from_answer(other, "create")),
            }
        }
    }

    /// The prestart and createRuntime hooks, in the runtime's namespaces.
    fn run_hooks(&mut self, pid_inside: i32) -> anyhow::Result<()> {
        self.hooks_have_begun = self.plan.has_create_hooks();
        let state = self.hook_state(Status::Created);
        let output = Output::open(&self.state.annotations)?;
        let hooks = &self.plan.hooks;
        hooks::run_all("prestart", hooks.prestart().as_deref().unwrap_or_default(), &state, &output)?;
        hooks::run_all("createRuntime", hooks.create_runtime().as_deref().unwrap_or_default(), &state, &output)?;
        // "For hooks executed in the container namespace, it is the pid as seen by the container."
        let wants_state = hooks.create_container().as_ref().is_some_and(|hooks| !hooks.is_empty());
        let state = if wants_state { self.state.for_hook(Status::Created, pid_inside) } else { Vec::new() };
        self.channel()?.send(&Message::HooksDone { state }).map_err(|error| self.hear_out(error))
    }

    /// Writes the state and the pid file, then lets INIT live on its own.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.record_init()?;
        let channel = self.channel()?;
        channel.send(&Message::Committed).map_err(|error| self.hear_out(error))?;
        match channel.receive()? {
            Some(Message::Detached) => Ok(()),
            other => Err(failure::from_answer(other, "commit")),
        }
    }

    /// Tells everybody who init is: state.json, the pid file, the pidfd's socket.
    fn record_init(&mut self) -> anyhow::Result<()> {
        self.state.pid = self.pid()?;
        self.state.start_time = start_time(self.state.pid).map_err(|error| self.hear_out(error))?;
        self.state.boot_id = Boot::default().id()?.to_owned();
        self.container()?.save(&self.state)?;
        if let Some(path) = &self.settings.pid_file {
            super::pid_file::write(path, self.state.pid)?;
            self.made.push(Made::PidFile);
        }
        if let (Some(path), Some((_, pidfd))) = (&self.settings.pidfd_socket, &self.init) {
            crate::console::send_pidfd(path, pidfd.as_fd())?;
        }
        Ok(())
    }

    /// Takes an init over that somebody else has made, as our child: CRIU.
    pub(super) fn take_over(&mut self, init: (i32, OwnedFd)) -> anyhow::Result<()> {
        self.made.push(Made::Init);
        self.init = Some(init);
        self.record_init()
    }

    /// What the steps of a restore have made.
    pub(super) fn into_restored(mut self) -> anyhow::Result<Restored> {
        let (Some(container), Some((_, init))) = (self.container.take(), self.init.take()) else {
            bail!("criu has restored no init");
        };
        Ok(Restored { container, state: self.state, init })
    }

    /// Prefers INIT's own last words to an error that its end has caused.
    pub(super) fn hear_out(&self, error: anyhow::Error) -> anyhow::Error {
        // Without waiting: an INIT that lives waits for us.
        while let Some(message) = self.channel().ok().and_then(Channel::receive_now) {
            if matches!(message, Message::Failed { .. }) {
                return failure::from_answer(Some(message), "clone");
            }
        }
        // What is missing may be missing because of INIT's end: of a unit, systemd removes the cgroup with it.
        let has_ended = self.init.as_ref().is_some_and(|(_, pidfd)| has_ended(pidfd.as_fd()));
        match failure::errno_of(&error) {
            libc::EPIPE | libc::ECONNRESET | libc::ESRCH => failure::from_answer(None, "create"),
            _ if has_ended => error.context(failure::from_answer(None, "create")),
            _ => error,
        }
    }

    pub(super) fn hook_state(&self, status: Status) -> Vec<u8> {
        self.state.for_hook(status, self.init.as_ref().map_or(0, |(pid, _)| *pid))
    }

    pub(super) fn container(&self) -> anyhow::Result<&Container> {
        self.container.as_ref().context("the state directory is not open")
    }

    pub(super) fn channel(&self) -> anyhow::Result<&Channel> {
        self.channel.as_ref().context("there is no channel to the container's init yet")
    }

    fn pid(&self) -> anyhow::Result<i32> {
        self.init.as_ref().map(|(pid, _)| *pid).context("there is no init yet")
    }

    fn pidfd(&self) -> anyhow::Result<BorrowedFd<'_>> {
        self.init.as_ref().map(|(_, pidfd)| pidfd.as_fd()).context("there is no init yet")
    }
}

/// Whether a process has ended, reaped or not.
fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1)
}

/// Waits until a child has ended, and takes its status away.
pub fn wait_for_end(pidfd: BorrowedFd<'_>) -> anyhow::Result<i32> {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    loop {
        match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waitid"),
        }
    }
}
