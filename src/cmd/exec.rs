//! `rt exec`: another process in a running container.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ArgMatches;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use oci_spec::runtime::{Process, User};

use super::creation::{inherited_fds, may_deny_setgroups};
use super::run::socket_pair;
use crate::cgroup::JoinFds;
use crate::cli::Globals;
use crate::error::Faults;
use crate::host::Host;
use crate::plan::filter::plan_filter;
use crate::plan::namespaces::plan_namespaces;
use crate::plan::process::{ProcessPlan, plan_process};
use crate::rdt;
use crate::rootfs::ProcFs;
use crate::spec::{self, Spec};
use crate::stage::foreground::Foreground;
use crate::stage::join::{Join, Joined};
use crate::stage::pid_file;
use crate::stage::runtime::wait_for_end;
use crate::stage::settings::Settings;
use crate::state::{Boot, ContainerId, InitHandle, StateRoot, Status};
use crate::sys::fd;
use crate::sys::process::pidfd_send_signal;

/// Runs a process in a container; in the foreground its exit status is ours.
///
/// # Errors
/// When the container does not run, or the process cannot be started.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let (preserve_fds, listen_fds) = inherited_fds(matches)?;
    let id = ContainerId::parse(matches.get_one::<String>("id").map_or("", String::as_str))?;
    let container = StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?.open(&id)?;
    let state = container.load()?;
    let boot = Boot::default();
    let ignore_paused = matches.get_flag("ignore-paused");
    let status = container.status(&state, &boot)?;
    match status {
        Status::Running | Status::Created => {}
        Status::Paused if ignore_paused => {}
        Status::Paused => bail!("cannot exec in a paused container (use --ignore-paused to override)"),
        Status::Stopped => bail!("cannot exec in a stopped container: container not running"),
        Status::Creating => bail!("cannot exec in container {:?}: it is still being created", id.as_str()),
    }
    let init = InitHandle::open(&state, &boot)?.context("cannot exec in a stopped container: container not running")?;

    let host = Host::read()?;
    let spec = Spec::from_text(state.bundle.clone(), container.config_text()?)?;
    let mut faults = Faults::default();
    let namespaces = plan_namespaces(&spec, &host, &mut faults);
    let mut process = plan(&spec, matches, &host, &mut faults)?;
    if listen_fds > 0 {
        process.pass_listen_fds(listen_fds);
    }
    let filter = plan_filter(&spec, &process, &host, &mut faults);
    let faults = {
        faults.clone().into_result(())?;
        faults
    };
    faults.warnings.iter().for_each(|warning| globals.log.warn(&warning.to_string()));

    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let settings = Settings {
        id: id.as_str().to_owned(),
        pid_file: path("pid-file"),
        console_socket: path("console-socket"),
        pidfd_socket: path("pidfd-socket"),
        preserve_fds: preserve_fds + listen_fds,
        new_keyring: state.new_keyring,
        may_deny_setgroups: may_deny_setgroups(&namespaces, &host),
        ..Settings::default()
    };
    let detach = matches.get_flag("detach");
    let mut join = Join::new(&process, filter.as_ref(), &namespaces, &host, &settings, init.as_fd(), (&state, status));
    let wanted: Vec<&str> = matches.get_many::<String>("cgroup").into_iter().flatten().map(String::as_str).collect();
    let cgroup = state.cgroup.below(&wanted).map_err(|reason| anyhow::anyhow!("--cgroup {reason}"))?;
    let open = if ignore_paused { JoinFds::open_even_if_paused } else { JoinFds::open };
    join.cgroup = Some(open(&cgroup)?);
    // Whoever names a cgroup means no other.
    join.cgroup_of = Some((&cgroup, wanted.is_empty().then_some(state.pid)));
    join.procfs = Some(ProcFs::open()?);
    if !namespaces.mount.is_own() {
        join.root = Some(open_root(state.pid)?);
    }
    let mut ours = None;
    if process.terminal {
        match &settings.console_socket {
            Some(socket) => join.console = Some(crate::console::connect(socket)?),
            None if detach => bail!("a detached process with a terminal needs --console-socket"),
            None => {
                let (one, other) = socket_pair()?;
                (ours, join.console) = (Some(one), Some(other));
            }
        }
    } else if settings.console_socket.is_some() {
        bail!("--console-socket is given, but the process wants no terminal");
    }

    let foreground = if detach { None } else { Some(Foreground::prepare()?) };
    if let Some(place) = &state.rdt {
        // Its children are where it is.
        rdt::join(place, std::process::id().cast_signed())?;
    }
    let Joined { pid, pidfd, warnings } = join.start()?;
    warnings.iter().for_each(|warning| globals.log.warn(warning));
    let master = match hand_over(&settings, pid, pidfd.as_fd(), ours) {
        Ok(master) => master,
        Err(error) => {
            // Whoever is told of an error must not find the program running.
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            wait_for_end(pidfd.as_fd())?;
            return Err(error);
        }
    };
    foreground.map_or(Ok(0), |foreground| foreground.stay(pidfd.as_fd(), master))
}

/// Tells whoever wants to know about the process, and takes its terminal if it is ours.
fn hand_over(
    settings: &Settings,
    pid: i32,
    pidfd: BorrowedFd<'_>,
    terminal: Option<OwnedFd>,
) -> anyhow::Result<Option<OwnedFd>> {
    if let Some(path) = &settings.pid_file {
        pid_file::write(path, pid)?;
    }
    if let Some(path) = &settings.pidfd_socket {
        crate::console::send_pidfd(path, pidfd)?;
    }
    terminal.map(|socket| fd::receive(socket.as_fd())).transpose().context("receive the terminal")
}

/// The root of a process; its magic link leads out of every chroot.
fn open_root(pid: i32) -> anyhow::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), flags, Mode::empty()).with_context(|| format!("open {path}"))
}

/// The process of `--process`, or the container's own with other arguments.
fn plan(spec: &Spec, matches: &ArgMatches, host: &Host, faults: &mut Faults) -> anyhow::Result<ProcessPlan> {
    let from_file = matches.get_one::<PathBuf>("process");
    let mut process = match from_file {
        Some(file) => {
            let (mut process, found) = spec::load_process(file)?;
            faults.warnings.extend(found.warnings);
            if let Some(own) = spec.oci.process() {
                inherit(&mut process, own);
            }
            process
        }
        None => from_words(spec, matches)?,
    };
    adjust(&mut process, matches)?;
    let mut plan = plan_process(&process, host, "", faults);
    plan.add_containers(&spec.oci, faults);
    Ok(plan)
}

/// What a process of `--process` leaves out and the container's own has: labels never get lost, and the spec wants
/// the I/O priority, the scheduler and the CPUs of config.json for whatever does not say otherwise.
fn inherit(process: &mut Process, own: &Process) {
    if process.apparmor_profile().as_deref().unwrap_or("").is_empty() {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.selinux_label().as_deref().unwrap_or("").is_empty() {
        process.set_selinux_label(own.selinux_label().clone());
    }
    if process.io_priority().is_none() {
        process.set_io_priority(*own.io_priority());
    }
    if process.scheduler().is_none() {
        process.set_scheduler(own.scheduler().clone());
    }
    if process.exec_cpu_affinity().is_none() {
        process.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
}

/// The container's own process, with the words of the command line as its arguments.
fn from_words(spec: &Spec, matches: &ArgMatches) -> anyhow::Result<Process> {
    let words: Vec<String> = matches
        .get_many::<OsString>("command")
        .into_iter()
        .flatten()
        .map(|word| word.clone().into_string().map_err(|word| anyhow::anyhow!("{word:?} is not UTF-8")))
        .collect::<Result<_, _>>()?;
    if words.is_empty() {
        bail!("exec: a command or --process is needed");
    }
    let mut process = spec.oci.process().clone().context("the container has no /process: use --process")?;
    process.set_args(Some(words)).set_terminal(Some(false)).set_console_size(None);
    Ok(process)
}

/// What single flags change.
fn adjust(process: &mut Process, matches: &ArgMatches) -> anyhow::Result<()> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    if matches.get_flag("tty") {
        process.set_terminal(Some(true));
    }
    if let Some(cwd) = text("cwd") {
        process.set_cwd(cwd.into());
    }
    if let Some(more) = matches.get_many::<String>("env") {
        let env = process.env().clone().unwrap_or_default();
        process.set_env(Some(env.into_iter().chain(more.cloned()).collect()));
    }
    if let Some(user) = text("user") {
        let (uid, gid) = spec::user::parse(&user).map_err(anyhow::Error::msg)?;
        let mut changed: User = process.user().clone();
        changed.set_uid(uid);
        if let Some(gid) = gid {
            changed.set_gid(gid);
        }
        process.set_user(changed);
    }
    if let Some(gids) = matches.get_many::<u32>("additional-gids") {
        let mut changed: User = process.user().clone();
        changed.set_additional_gids(Some(gids.copied().collect()));
        process.set_user(changed);
    }
    if matches.get_flag("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = text("apparmor") {
        process.set_apparmor_profile(Some(profile));
    }
    if let Some(label) = text("process-label") {
        process.set_selinux_label(Some(label));
    }
    if let Some(names) = matches.get_many::<String>("cap") {
        add_capabilities(process, names.map(String::as_str))?;
    }
    Ok(())
}

/// Adds capabilities to all sets of the process, as `--cap` of runc and crun does.
fn add_capabilities<'n>(process: &mut Process, names: impl Iterator<Item = &'n str>) -> anyhow::Result<()> {
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let mut all = [
        sets.bounding().clone().unwrap_or_default(),
        sets.effective().clone().unwrap_or_default(),
        sets.inheritable().clone().unwrap_or_default(),
        sets.permitted().clone().unwrap_or_default(),
        sets.ambient().clone().unwrap_or_default(),
    ];
    for name in names {
        let capability = spec::capability::parse(name).with_context(|| format!("--cap {name}: no such capability"))?;
        // Not ambient and not inheritable: nobody has asked for what survives an exec (CVE-2022-29162).
        for place in [0, 1, 3] {
            all[place].insert(capability);
        }
    }
    let [bounding, effective, inheritable, permitted, ambient] = all.map(Some);
    sets.set_bounding(bounding).set_effective(effective).set_inheritable(inheritable);
    sets.set_permitted(permitted).set_ambient(ambient);
    process.set_capabilities(Some(sets));
    Ok(())
}
