//! What `create` and `run` have in common: from the command line to a container that is `created`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ArgMatches;

use crate::cli::{CgroupManager, Globals, Rootless};
use crate::error::{Faults, printable};
use crate::host::Host;
use crate::netdev;
use crate::plan::Plan;
use crate::plan::annotations::{PIDFD_RECEIVER, annotation};
use crate::plan::cgroup::{Driver, Manager};
use crate::plan::namespaces::Namespace;
use crate::plan::namespaces::NamespacePlan;
use crate::plan::notify::add_notify_socket;
use crate::rdt;
use crate::rootfs::Root;
use crate::spec::Spec;
use crate::stage::checkpoint::ImageSettings;
use crate::stage::notify::ServiceManager;
use crate::stage::restore::{RestoreSettings, restore};
use crate::stage::runtime::{self, Created, Restored, Runtime};
use crate::stage::settings::Settings;
use crate::state::{ContainerId, StateRoot};
use crate::sys::fd;

/// A container that is asked for; nothing has been done for it yet.
pub struct Request {
    /// Facts about the machine.
    pub host: Host,
    spec: Spec,
    /// What will be done.
    pub plan: Plan,
    settings: Settings,
    root: StateRoot,
    id: ContainerId,
}

impl Request {
    /// Reads the command line and config.json, and decides everything; with a service manager to tell about it, the
    /// container gets a notify socket.
    ///
    /// # Errors
    /// Whatever is wrong with them; nothing has been made then.
    pub fn load(globals: &Globals, matches: &ArgMatches, manager: Option<&ServiceManager>) -> anyhow::Result<Request> {
        // First, as long as every open descriptor is one that the caller gave.
        let (preserve_fds, listen_fds) = inherited_fds(matches)?;
        let id = ContainerId::parse(matches.get_one::<String>("id").map_or("", String::as_str))?;
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        let bundle = path("bundle").unwrap_or_else(|| PathBuf::from("."));
        let host = host(globals)?;
        let root = StateRoot::resolve(globals.root.as_deref(), globals.dialect.name())?;
        let notify = manager.is_some().then(|| root.notify_directory(&id));
        let adjust = |spec: &mut Spec| notify.iter().for_each(|directory| add_notify_socket(spec, directory));
        let driver = driver(globals, &host);
        let (found, faults) = examine(&bundle, path("config").as_deref(), &host, id.as_str(), driver, adjust);
        let (spec, mut plan) = match found {
            Some(found) => faults.into_result(found)?,
            None => return Err(faults.into()),
        };
        if let (Some(process), 1..) = (plan.process.as_mut(), listen_fds) {
            process.pass_listen_fds(listen_fds);
        }
        let settings = Settings {
            id: id.as_str().to_owned(),
            bundle: spec.bundle.clone(),
            pid_file: path("pid-file"),
            console_socket: path("console-socket"),
            pidfd_socket: path("pidfd-socket").or_else(|| annotation(&spec.oci, PIDFD_RECEIVER).map(PathBuf::from)),
            no_pivot: matches.get_flag("no-pivot"),
            new_keyring: !matches.get_flag("no-new-keyring"),
            preserve_fds: preserve_fds + listen_fds,
            has_notify_socket: notify.is_some(),
            may_deny_setgroups: may_deny_setgroups(&plan.namespaces, &host),
        };
        Ok(Request { host, spec, plan, settings, root, id })
    }

    /// Creates the container; without a gate it is started over the channel.
    ///
    /// # Errors
    /// The first step that fails, after everything was taken back.
    pub fn create(&self, globals: &Globals, console: Option<OwnedFd>, wants_gate: bool) -> anyhow::Result<Created> {
        for warning in &self.plan.warnings {
            globals.log.warn(&warning.to_string());
        }
        globals.log.debug(|| {
            let lines = self.plan.explain(&self.host);
            lines.iter().map(|line| format!("{}: {}", line.step, printable(&line.text))).collect()
        });
        let container = self.root.create(&self.id)?;
        let created =
            runtime::create(&self.spec, &self.plan, &self.host, &self.settings, container, console, wants_gate)?;
        created.warnings.iter().for_each(|warning| globals.log.warn(warning));
        Ok(created)
    }

    /// Restores the container from images.
    ///
    /// # Errors
    /// The first step that fails, after everything was taken back.
    pub fn restore(
        &self,
        globals: &Globals,
        console: Option<OwnedFd>,
        images: &ImageSettings,
        settings: &RestoreSettings,
    ) -> anyhow::Result<Restored> {
        for warning in &self.plan.warnings {
            globals.log.warn(&warning.to_string());
        }
        let container = self.root.create(&self.id)?;
        let runtime = Runtime::new(&self.spec, &self.plan, &self.host, &self.settings, container, console);
        restore(runtime, images, settings)
    }

    /// Whether the caller has said where the terminal goes.
    pub fn has_console_socket(&self) -> bool {
        self.settings.console_socket.is_some()
    }

    /// Whether the container wants a terminal.
    pub fn wants_terminal(&self) -> bool {
        self.plan.process.as_ref().is_some_and(|process| process.terminal)
    }
}

/// Reads a bundle and decides everything, with all that is wrong: what the configuration says, what it would mean on
/// this machine, and whether there is a root. `adjust` adds what the caller's environment asks for.
pub fn examine(
    bundle: &Path,
    config: Option<&Path>,
    host: &Host,
    id: &str,
    driver: Driver,
    adjust: impl FnOnce(&mut Spec),
) -> (Option<(Spec, Plan)>, Faults) {
    let (spec, mut faults) = Spec::examine(bundle, config);
    let Some(mut spec) = spec else { return (None, faults) };
    adjust(&mut spec);
    let (plan, mut found) = Plan::examine(&spec, host, id, driver);
    // In a mount namespace that is joined the root may be there all the same.
    if !matches!(plan.namespaces.mount, Namespace::Join(_))
        && let Err(errno) = Root::look_at(&plan.rootfs)
    {
        let cause = crate::log::describe_errno(errno);
        found.error("/root/path", format!("{}: {cause}", plan.rootfs.path.display()));
    }
    if let Some(Err(faults)) = plan.rdt.as_ref().map(rdt::look_at) {
        found.absorb(faults);
    }
    for device in &plan.net_devices {
        if let Err(errno) = netdev::look_at(device) {
            found.error(device.pointer(), format!("{}: {}", device.host_name, crate::log::describe_errno(errno)));
        }
    }
    faults.absorb(found);
    (Some((spec, plan)), faults)
}

/// The machine, and who the caller is: `--rootless` knows better.
///
/// # Errors
/// Those of `Host::read`.
pub fn host(globals: &Globals) -> anyhow::Result<Host> {
    let mut host = Host::read()?;
    match globals.rootless {
        Rootless::Auto => {}
        Rootless::Yes => host.rootless = true,
        Rootless::No => host.rootless = false,
    }
    Ok(host)
}

/// Which cgroup driver the flags ask for.
///
/// In a user namespace root is either the first user of a whole system of its own, whose systemd belongs to it, or
/// a user of the machine in disguise, as podman has it: that one has a systemd of their own.
pub fn driver(globals: &Globals, host: &Host) -> Driver {
    use std::os::unix::fs::MetadataExt;
    match globals.cgroup_manager {
        CgroupManager::Cgroupfs => Driver::Cgroupfs,
        CgroupManager::Disabled => Driver::Disabled,
        CgroupManager::Systemd => {
            let owns_system = || std::fs::metadata("/run/systemd").is_ok_and(|directory| directory.uid() == 0);
            let is_root = host.euid == 0 && (!host.in_user_namespace || owns_system());
            Driver::Systemd(if is_root { Manager::System } else { Manager::User })
        }
    }
}

/// How many descriptors the container keeps: those of `--preserve-fds`, and those of socket activation.
///
/// podman's `--preserve-fd 9` asks for 3 to 9, of which 3 to 8 need not be open: they stay closed in the container, too.
/// Nothing of our own may take their numbers meanwhile.
///
/// # Errors
/// When one of socket activation is not open, and for more than this process may have.
pub fn inherited_fds(matches: &ArgMatches) -> anyhow::Result<(u32, u32)> {
    let preserve_fds = matches.get_one::<u32>("preserve-fds").copied().unwrap_or(0);
    // As sd_listen_fds(3): they are for us only if LISTEN_PID says so.
    let is_for_us = std::env::var("LISTEN_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let listen_fds = match std::env::var("LISTEN_FDS") {
        Ok(_) if !is_for_us => 0,
        Ok(text) => text.parse().with_context(|| format!("LISTEN_FDS={text:?} in the environment is not a number"))?,
        Err(_) => 0,
    };
    let Some(end) = 3_u32.checked_add(listen_fds).and_then(|end| end.checked_add(preserve_fds)) else {
        bail!("--preserve-fds {preserve_fds} is too large");
    };
    let (Ok(first), Ok(end)) = (i32::try_from(3 + listen_fds), i32::try_from(end)) else {
        bail!("--preserve-fds {preserve_fds} is too large");
    };
    if let Some(missing) = (3..first).find(|number| !fd::is_open(*number)) {
        bail!("LISTEN_FDS={listen_fds}: descriptor {missing} is not open");
    }
    fd::reserve(first..end).with_context(|| format!("--preserve-fds {preserve_fds}: reserve what is not open"))?;
    Ok((preserve_fds, listen_fds))
}

/// Whether EPERM from setgroups(2) can mean that a user namespace denies it: inside one, for which its maker had no
/// other way to map a gid. Everywhere else it would be a missing capability.
pub fn may_deny_setgroups(namespaces: &NamespacePlan, host: &Host) -> bool {
    namespaces.user.is_own() || host.in_user_namespace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::namespaces::Namespace;

    #[test]
    fn only_a_user_namespace_may_deny_setgroups() {
        let host = |in_user_namespace| Host {
            kernel: (6, 18),
            euid: 0,
            egid: 0,
            capabilities: 0,
            in_user_namespace,
            rootless: in_user_namespace,
            cgroup: crate::host::cgroup::Layout::None,
            seccomp_receiver: None,
        };
        let mut namespaces = NamespacePlan::inherited();
        assert!(!may_deny_setgroups(&namespaces, &host(false)));
        assert!(may_deny_setgroups(&namespaces, &host(true)));
        // Also one that is joined, by create and by exec: it was made by somebody without privilege, maybe.
        for user in [Namespace::New, Namespace::Join("/proc/1/ns/user".into())] {
            namespaces.user = user;
            assert!(may_deny_setgroups(&namespaces, &host(false)));
        }
    }
}
