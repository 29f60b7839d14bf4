//! A container out of files: what `create` does around it, and CRIU in the place of INIT.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::fchdir;

use super::checkpoint::{
    CONFIG_ANNOTATION, DESCRIPTORS, EXTERNAL_NAMESPACES, ImageSettings, config_file, make_directory, open_directory,
    resolve_in,
};
use super::hooks;
use super::namespaces::{self, JoinFd};
use super::privileges::hand_out_console;
use super::runtime::{Restored, Runtime};
use crate::criu::{self, CgroupMode, Event, LogFile, Options, Passed, Request, Session, explain};
use crate::host::cgroup::own_cgroups;
use crate::plan::checkpoint::{mounts_below, read_mountinfo};
use crate::plan::rootfs::{MountKind, MountPlan};
use crate::rootfs;
use crate::state::Status;
use crate::sys::process;

impl<'a> Restore<'a> {
    /// The order of things.
    const STEPS: &'a [super::Step<Self>] = &[
        ("unused cgroup", |restore| restore.runtime.refuse_used_cgroup()),
        ("state", |restore| restore.runtime.record_creation()),
        ("console", |restore| restore.runtime.connect_console()),
        ("cgroup", |restore| restore.runtime.make_cgroup()),
        ("cgroup of the unit", Self::make_cgroup_ahead),
        // CRIU brings the limits of then; those of config.json win.
        ("resources", |restore| match restore.runtime.plan.cgroup.scope {
            // Not before there is a process.
            Some(_) => Ok(()),
            None => restore.runtime.apply_limits(),
        }),
        ("mount points", Self::make_mount_points),
        ("criu", Self::run_criu),
    ];
}

/// The flags of restore alone.
#[derive(Debug, Clone, Default)]
pub struct RestoreSettings {
    /// `--tcp-close`
    pub tcp_close: bool,
    /// `--lsm-profile`
    pub lsm_profile: Option<String>,
    /// `--lsm-mount-context`
    pub lsm_mount_context: Option<String>,
}

/// What restore works with.
pub struct Restore<'a> {
    runtime: Runtime<'a>,
    images: &'a ImageSettings,
    settings: &'a RestoreSettings,
    /// With `Ignore` it is us who take the processes into their cgroup.
    cgroup_mode: CgroupMode,
}

/// Brings a container back; on any fault everything that was made is removed again.
///
/// # Errors
/// The first step that fails.
pub fn restore<'a>(
    runtime: Runtime<'a>,
    images: &'a ImageSettings,
    settings: &'a RestoreSettings,
) -> anyhow::Result<Restored> {
    let mut restore = Restore { runtime, images, settings, cgroup_mode: images.cgroup_mode };
    for (_name, step) in Restore::STEPS {
        if let Err(error) = step(&mut restore) {
            return Err(restore.runtime.unwind(error));
        }
    }
    restore.runtime.into_restored()
}

impl Restore<'_> {
    fn make_cgroup_ahead(&mut self) -> anyhow::Result<()> {
        let runtime = &mut self.runtime;
        let cgroup = runtime.cgroup.as_mut().context("the cgroup is not made")?;
        cgroup.make_ahead(&runtime.plan.cgroup, &runtime.host.cgroup)?;
        runtime.state.cgroup = cgroup.paths().clone();
        Ok(())
    }

    /// On a fresh root file system the places of the mounts are missing, and CRIU makes none.
    fn make_mount_points(&mut self) -> anyhow::Result<()> {
        rootfs::make_mount_points(&self.runtime.plan.rootfs)
    }

    fn run_criu(&mut self) -> anyhow::Result<()> {
        let back = OwnMounts::enter(&self.runtime.plan.rootfs.path)?;
        let started = self.start_criu();
        back.leave()?;
        let (session, options) = started?;
        let outcome = session.ask(Request::Restore, &options, &mut |event| self.hear(event))?;
        outcome.map_err(|refused| {
            anyhow::anyhow!("{}", explain(&self.images.work, LogFile::Restore, refused.message.as_deref()))
        })
    }

    fn start_criu(&mut self) -> anyhow::Result<(Session, Options)> {
        let images = open_directory(&self.images.images).context("--image-path")?;
        let work = make_directory(&self.images.work).context("--work-path")?;
        let root = self.runtime.plan.rootfs.path.as_path();
        let mut options = self.images.options(images, work, LogFile::Restore, root);
        options.inherited = self.joined_namespaces()?;
        options.inherited.extend(self.inherited_streams()?);
        options.external_mounts = self.sources_of_mounts(&open_directory(root)?)?;
        let here = own_cgroups()?;
        options.cgroup_roots = self.cgroup_roots(&here);
        // CRIU restores all hierarchies or none: one that this machine has not, net_cls say, would end it.
        let were = criu::hierarchies(&self.images.images)?;
        if self.runtime.state.cgroup.is_empty() || were.iter().any(|name| here.iter().all(|(known, _)| known != name)) {
            self.cgroup_mode = CgroupMode::Ignore;
        }
        options.cgroup_mode = self.cgroup_mode;
        options.restore_as_sibling = true;
        options.tcp_close = self.settings.tcp_close;
        options.lsm_profile = self.settings.lsm_profile.clone();
        options.lsm_mount_context = self.settings.lsm_mount_context.clone();
        let config = self.runtime.state.annotations.get(CONFIG_ANNOTATION);
        options.config_file = config_file(config.map(String::as_str));
        Ok((Session::start(&options)?, options))
    }

    fn hear(&mut self, event: Event) -> anyhow::Result<()> {
        match event.name.as_str() {
            // As when the container was created: the namespaces are there, the root is not entered yet.
            "setup-namespaces" => {
                let runtime = &mut self.runtime;
                // It is alone still: the rest of the container comes to be where it is.
                if runtime.plan.cgroup.scope.is_some() {
                    runtime.start_unit(event.pid)?;
                    runtime.apply_limits()?;
                } else if let (CgroupMode::Ignore, Some(cgroup)) = (self.cgroup_mode, &runtime.cgroup) {
                    cgroup.take_in(event.pid)?;
                }
                runtime.hooks_have_begun = true;
                let state = runtime.state.for_hook(Status::Created, event.pid);
                let output = hooks::Output::open(&runtime.state.annotations)?;
                let hooks = &runtime.plan.hooks;
                hooks::run_all("prestart", hooks.prestart().as_deref().unwrap_or_default(), &state, &output)?;
                hooks::run_all("createRuntime", hooks.create_runtime().as_deref().unwrap_or_default(), &state, &output)
            }
            "orphan-pts-master" => {
                let master = event.fd.context("criu sent no terminal")?;
                hand_out_console(self.runtime.console.take(), &master)
            }
            // All is there, and stands still until we say so.
            "post-restore" => {
                let pidfd = process::pidfd_open(event.pid).context("pidfd_open of the restored init")?;
                self.runtime.take_over((event.pid, pidfd))
            }
            _ => Ok(()),
        }
    }

    /// Namespaces that were joined by path are joined again, by the names that they have in the images.
    fn joined_namespaces(&self) -> anyhow::Result<Vec<(String, Passed)>> {
        let joins = namespaces::open_joined(&self.runtime.plan.namespaces)?;
        let known = |file: JoinFd| {
            let name = EXTERNAL_NAMESPACES.iter().find(|known| known.0 == file.flag()).map(|known| known.2)?;
            Some((name.to_owned(), Passed::Own(file.into_fd())))
        };
        Ok(joins.into_iter().filter_map(known).collect())
    }

    /// Standard streams that led outside are ours now.
    fn inherited_streams(&self) -> anyhow::Result<Vec<(String, Passed)>> {
        let path = self.images.images.join(DESCRIPTORS);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        let names: Vec<String> = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let streams = names.into_iter().zip(0..=2).map(|(name, number)| (name, Passed::Stream(number)));
        Ok(streams.filter(|(name, _)| name.starts_with("pipe:") || name.starts_with("file[")).collect())
    }

    /// What is mounted from outside, and where it is now.
    fn sources_of_mounts(&self, root: &File) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        let plan = &self.runtime.plan.rootfs;
        let own = std::fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let own = read_mountinfo(&own);
        let resolved = |path: &Path| resolve_in(root, path).unwrap_or_else(|| path.to_owned());
        let mut sources = Vec::new();
        for mount in &plan.mounts {
            let destination = resolved(&mount.destination);
            match &mount.kind {
                MountKind::Bind(bind) => {
                    let source = PathBuf::from(std::ffi::OsStr::new(&*bind.source.to_string_lossy()));
                    let source = source.canonicalize().unwrap_or(source);
                    if bind.recursive {
                        sources.extend(mounts_below(&own, &source, &destination));
                    }
                    sources.push((destination, source));
                }
                MountKind::Cgroup { .. } => sources.extend(self.cgroup_sources(mount, &destination)),
                MountKind::Filesystem(_) | MountKind::Remount { .. } => {}
            }
        }
        for masked in &plan.masked_paths {
            sources.push((resolved(masked), "/dev/null".into()));
        }
        if plan.devices.bind {
            sources.extend(plan.devices.nodes.iter().map(|node| (node.path.clone(), node.path.clone())));
        }
        Ok(sources)
    }

    fn cgroup_sources(&self, mount: &MountPlan, destination: &Path) -> Vec<(PathBuf, PathBuf)> {
        let MountKind::Cgroup { v2_only, whole } = mount.kind else { return Vec::new() };
        rootfs::cgroup_sources((v2_only, whole), &self.runtime.host.cgroup, &self.runtime.state.cgroup)
            .into_iter()
            .map(|(name, source)| (name.map_or_else(|| destination.to_owned(), |name| destination.join(name)), source))
            .collect()
    }

    /// The container's cgroups, from the roots of their hierarchies. In a hierarchy where it has none, ours: CRIU would
    /// take the root for its own.
    fn cgroup_roots(&self, here: &[(String, PathBuf)]) -> Vec<(Option<String>, PathBuf)> {
        let layout = &self.runtime.host.cgroup;
        let paths = &self.runtime.state.cgroup;
        let below =
            |mount: &Path, directory: &Path| Path::new("/").join(directory.strip_prefix(mount).unwrap_or(directory));
        let root = |(controllers, own): &(String, PathBuf)| {
            let hierarchy = layout.hierarchies().iter().find(|known| known.controllers.join(",") == *controllers);
            let of_container = if controllers.is_empty() {
                layout.unified().zip(paths.v2.as_ref()).map(|(unified, directory)| below(&unified.mount, directory))
            } else {
                hierarchy.and_then(|hierarchy| {
                    let inside = paths.v1.iter().find(|(_, directory)| directory.starts_with(&hierarchy.mount));
                    inside.map(|(_, directory)| below(&hierarchy.mount, directory))
                })
            };
            let controllers = (!controllers.is_empty()).then(|| controllers.clone());
            (controllers, of_container.unwrap_or_else(|| own.clone()))
        };
        here.iter().map(root).collect()
    }
}

/// A mount namespace that goes with CRIU, in which the container's root is a mount, as CRIU demands.
///
/// It is entered and left again, so that hooks run where the runtime was called. Directories that CRIU works in are
/// opened inside.
struct OwnMounts {
    back: File,
    here: File,
}

impl OwnMounts {
    fn enter(root: &Path) -> anyhow::Result<OwnMounts> {
        let back = File::open("/proc/self/ns/mnt").context("open /proc/self/ns/mnt")?;
        let here = File::open(".").context("open the working directory")?;
        unshare(CloneFlags::CLONE_NEWNS).context("unshare the mount namespace for criu")?;
        let entered = OwnMounts { back, here };
        match rootfs::make_root_a_mount(root) {
            Ok(()) => Ok(entered),
            Err(error) => entered.leave().and(Err(error)),
        }
    }

    fn leave(self) -> anyhow::Result<()> {
        setns(&self.back, CloneFlags::CLONE_NEWNS).context("go back to the runtime's own mount namespace")?;
        fchdir(&self.here).context("go back to the working directory")
    }
}
