//! Making the container's cgroups.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkdir;

use super::join::JoinFds;
use super::systemd::{Start, Systemd, start_of};
use super::{CgroupPaths, Unit, controllers, delegate, devices, file, freeze, unit};
use crate::host::cgroup::Layout;
use crate::plan::cgroup::{CgroupPlan, ResourcePlan};

/// How often a directory is made again when a parent vanishes meanwhile: another runtime may tidy up.
const TRIES: usize = 5;

/// The container's cgroups while it is made or changed.
#[derive(Debug, Default)]
pub struct Cgroup {
    pub(super) paths: CgroupPaths,
    /// Directories that were not there before, outermost first.
    made: Vec<PathBuf>,
    joins: JoinFds,
    /// The rules of v1 stand already: they were written before anyone could join.
    pub(super) device_lines_stand: bool,
    /// systemd, where it is to start a unit.
    systemd: Option<Systemd>,
    /// It has been given the limits with the unit.
    pub(super) unit_has_limits: bool,
}

impl Cgroup {
    /// Makes the directories, ready to be joined: on v1 with their cpusets filled and their device rules written, as
    /// init could not open /dev/null between "deny all" and the rules; on v2 with the controllers enabled.
    ///
    /// Directories that exist are used if no process is in them and they are not frozen: two containers in one cgroup
    /// would freeze and kill each other.
    ///
    /// # Errors
    /// What was made before a fault is removed again.
    pub fn create(plan: &CgroupPlan) -> anyhow::Result<Cgroup> {
        let mut cgroup = Cgroup::default();
        match cgroup.make(plan) {
            Ok(()) => Ok(cgroup),
            Err(error) => match cgroup.undo() {
                Ok(()) => Err(error),
                Err(cause) => Err(error.context(format!("(and its removal: {cause:#})"))),
            },
        }
    }

    /// The cgroups of a container that exists, for `rt update`.
    pub fn open_existing(paths: &CgroupPaths) -> Cgroup {
        Cgroup { paths: paths.clone(), ..Cgroup::default() }
    }

    /// Where the container's cgroups are: those of the plan, less the ones that a rootless caller could not make.
    pub fn paths(&self) -> &CgroupPaths {
        &self.paths
    }

    /// The cgroup2 directory for CLONE_INTO_CGROUP, also on a hybrid host.
    pub fn v2_fd(&self) -> Option<BorrowedFd<'_>> {
        self.joins.v2_fd()
    }

    /// Takes the calling process, which has one thread, into the v1 cgroups. Called by init.
    ///
    /// # Errors
    /// See [`JoinFds::join_self`].
    pub fn join_self(&self) -> anyhow::Result<()> {
        self.joins.join_self()
    }

    /// Names the unit that will be asked for, for the state: the runtime could be killed while systemd is at work.
    pub fn ask_for_unit(&mut self, plan: &CgroupPlan, description: String) {
        if let (Some(scope), Some(systemd)) = (&plan.scope, &self.systemd) {
            let unit = Some(Unit::asked(scope, systemd.user_bus.clone(), description));
            self.paths = CgroupPaths { unit, ..plan.paths.clone() };
        }
    }

    /// Has systemd start the unit of the container with its init in it; on v2 only now there is a cgroup.
    ///
    /// # Errors
    /// What systemd says, or that it says nothing; and what could not be made in the unit's cgroup.
    pub fn start_unit(&mut self, plan: &CgroupPlan, pid: i32, layout: &Layout) -> anyhow::Result<()> {
        let (Some(scope), Some(mut systemd), Some(mut unit)) =
            (&plan.scope, self.systemd.take(), self.paths.unit.take())
        else {
            return Ok(());
        };
        match systemd.start(scope, &unit.description, pid) {
            Start::Done => {}
            Start::Refused(error) => return Err(error),
            Start::Unknown(error) => {
                // Without a directory: it is stopped whatever it has come to.
                self.paths.unit = Some(unit);
                return Err(error);
            }
        }
        self.paths.unit = Some(unit.clone());
        self.unit_has_limits = true;
        if scope.is_slice() {
            let inside = systemd.slice_directory(&unit.name)?;
            let tree = layout.unified().context("a container in a slice needs cgroup v2")?;
            unit::move_process(&tree.mount.join(inside), pid)?;
        }
        unit.directory = unit::locate(pid, &unit.name, layout)?;
        unit.inode = unit::inode_of(&unit.directory).with_context(|| format!("stat {}", unit.directory.display()))?;
        let mut directory = unit.directory.clone();
        self.paths.unit = Some(unit);
        if !matches!(layout, Layout::Unified(_)) {
            self.make_beside_unit(plan, pid)?;
            return freeze::refuse_frozen(&self.paths);
        }
        self.paths.v2 = Some(directory.clone());
        if let Some(unified) = &plan.unified {
            controllers::enable(&directory, unified, &plan.resources)?;
        }
        if let Some(name) = &scope.subgroup {
            directory = unit::make_subgroup(&directory, name, pid)?;
            self.paths.v2 = Some(directory.clone());
        }
        if let Some(name) = &scope.delegated {
            let below = directory.join(name);
            mkdir(&below, Mode::from_bits_truncate(0o755)).with_context(|| format!("mkdir {}", below.display()))?;
            plan.owner.map_or(Ok(()), |owner| delegate::give(&below, owner))?;
        }
        plan.owner.map_or(Ok(()), |owner| delegate::give(&directory, owner))?;
        // Its slice may be: init would never come to its next step.
        freeze::refuse_frozen(&self.paths)
    }

    /// In each hierarchy beside v2 the unit's directory, with init in it. systemd makes those of the controllers that it
    /// knows, and before it has the unit it would remove them again as empty ones; the rest is left to us.
    fn make_beside_unit(&mut self, plan: &CgroupPlan, pid: i32) -> anyhow::Result<()> {
        let all = std::mem::take(&mut self.paths);
        self.paths.unit = all.unit;
        for (controllers, directory) in all.v1 {
            let mut tries = TRIES;
            let made = loop {
                match self.make_beside(plan, &controllers, &directory, pid) {
                    // It was empty for a moment, and systemd removes what is empty where no unit needs a controller.
                    Err(error) if is_gone(&error) && tries > 0 => tries -= 1,
                    result => break result?,
                }
            };
            if made {
                self.paths.v1.push((controllers, directory));
            }
        }
        let (Some(directory), Some(unified)) = (all.v2, &plan.unified) else { return Ok(()) };
        match self.make_directory(&directory, false) {
            Err(errno) if plan.optional && is_denied(errno) => return Ok(()),
            result => result.with_context(|| mkdir_step(&directory, plan))?,
        };
        controllers::enable(&directory, unified, &plan.resources)?;
        unit::take_in(&directory, pid)?;
        self.paths.v2 = Some(directory);
        Ok(())
    }

    /// One directory of v1, with init in it; whether it was made.
    fn make_beside(
        &mut self,
        plan: &CgroupPlan,
        controllers: &str,
        directory: &Path,
        pid: i32,
    ) -> anyhow::Result<bool> {
        let has = |name: &str| controllers.split(',').any(|c| c == name);
        match self.make_directory(directory, has("cpuset")) {
            Err(errno) if plan.optional && is_denied(errno) => return Ok(false),
            result => result.with_context(|| mkdir_step(directory, plan))?,
        };
        if has("cpuset") {
            inherit_cpuset(directory)?;
        }
        if has("devices")
            && let Some(plan) = &plan.resources.devices
        {
            self.device_lines_stand = devices::apply_lines(directory, plan)?;
        }
        unit::take_in(directory, pid)?;
        Ok(true)
    }

    /// Makes the directories of a unit before it is there, for CRIU: it takes init into them itself, after the unit has
    /// started, and only then makes the cgroup namespace.
    ///
    /// # Errors
    /// The kernel's, or somebody is in them.
    pub fn make_ahead(&mut self, plan: &CgroupPlan, layout: &Layout) -> anyhow::Result<()> {
        let Some(scope) = &plan.scope else { return Ok(()) };
        let mut paths = plan.paths.clone();
        if let Layout::Unified(unified) = layout {
            let directory = unified.mount.join(scope.directory());
            paths.v2 = Some(scope.subgroup.iter().fold(directory, |directory, name| directory.join(name)));
        }
        for directory in paths.directories() {
            let is_cpuset = paths.v1_directory("cpuset") == Some(directory);
            let new = self.make_directory(directory, is_cpuset);
            if !new.with_context(|| format!("mkdir {}", directory.display()))? {
                check_unused(directory)?;
            }
            if is_cpuset {
                inherit_cpuset(directory)?;
            }
        }
        self.paths = paths;
        Ok(())
    }

    /// Lets go of systemd: a clone has no business with it.
    pub fn forget_systemd(&mut self) {
        self.systemd = None;
    }

    /// Closes what `v2_fd` and `join_self` need.
    pub fn close_join_fds(&mut self) {
        self.joins = JoinFds::default();
    }

    /// Takes a process in that somebody else has made, and that is single-threaded and stands still.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_in(&self, pid: i32) -> anyhow::Result<()> {
        self.paths.directories().try_for_each(|directory| unit::move_process(directory, pid))
    }

    /// Writes the limits. They stand when it returns; the container may have processes already.
    ///
    /// # Errors
    /// The file, the value, who asked for it, and the kernel's words.
    pub fn apply_resources(&self, resources: &ResourcePlan) -> anyhow::Result<()> {
        super::apply::apply(self, resources)
    }

    /// Kills what is in the container's cgroups and removes the directories that `create` made.
    ///
    /// # Errors
    /// What stays in spite of that.
    pub fn undo(&mut self) -> anyhow::Result<()> {
        self.close_join_fds();
        self.systemd = None;
        let made = std::mem::take(&mut self.made);
        let mut own = self.paths.clone();
        let stopped = match own.unit.take() {
            Some(unit) if unit.is_only_asked() => unit::stop_unknown(&unit),
            Some(unit) => unit::stop(&unit),
            None => Ok(()),
        };
        own.v1.retain(|(_, directory)| made.contains(directory));
        own.v2 = own.v2.filter(|directory| made.contains(directory));
        let removed = if own.is_empty() {
            Ok(())
        } else {
            super::kill_all(&own, Signal::SIGKILL).and_then(|()| super::remove(&own))
        };
        for directory in made.iter().rev() {
            // Another container may have moved below a parent that we made: then it stays.
            let _ = super::remove::remove_directory(directory);
        }
        stopped.and(removed)
    }

    fn make(&mut self, plan: &CgroupPlan) -> anyhow::Result<()> {
        if let Some(scope) = &plan.scope {
            // Before there is anything to undo: whether systemd can be reached is known soon.
            self.systemd = Some(Systemd::open(scope.manager).with_context(|| start_of(scope))?);
            return Ok(());
        }
        for (controllers, directory) in &plan.paths.v1 {
            let has = |name: &str| controllers.split(',').any(|c| c == name);
            let new = match self.make_directory(directory, has("cpuset")) {
                Err(errno) if plan.optional && is_denied(errno) => continue,
                result => result.with_context(|| mkdir_step(directory, plan))?,
            };
            self.paths.v1.push((controllers.clone(), directory.clone()));
            if !new {
                check_unused(directory)?;
            }
            if has("cpuset") {
                inherit_cpuset(directory)?;
            }
            if has("devices")
                && let Some(plan) = &plan.resources.devices
            {
                self.device_lines_stand = devices::apply_lines(directory, plan)?;
            }
            self.joins.open_v1(controllers, directory)?;
        }
        if let (Some(directory), Some(unified)) = (&plan.paths.v2, &plan.unified) {
            let new = match self.make_directory(directory, false) {
                Err(errno) if plan.optional && is_denied(errno) => return Ok(()),
                result => result.with_context(|| mkdir_step(directory, plan))?,
            };
            // Below a threaded cgroup no process can be started.
            if plan.optional && !controllers::takes_processes(directory) {
                self.made.retain(|made| made != directory);
                return super::remove::remove_directory(directory)
                    .with_context(|| format!("rmdir {}", directory.display()));
            }
            anyhow::ensure!(
                controllers::takes_processes(directory),
                "cgroup {}: no process can be started there, as a cgroup above it is threaded",
                directory.display()
            );
            self.paths.v2 = Some(directory.clone());
            if !new {
                check_unused(directory)?;
            }
            controllers::enable(directory, unified, &plan.resources)?;
            if let Some(owner) = plan.owner {
                delegate::give(directory, owner)?;
            }
            self.joins.open_v2(directory)?;
        }
        // Init would never come to its first step.
        let is_new = self.paths.directories().all(|directory| self.made.iter().any(|made| made == directory));
        if is_new { freeze::refuse_frozen_above(&self.paths) } else { freeze::refuse_frozen(&self.paths) }
    }

    /// Makes a directory with its parents; whether it is new.
    fn make_directory(&mut self, directory: &Path, is_cpuset: bool) -> Result<bool, Errno> {
        for _ in 0..TRIES {
            match mkdir(directory, Mode::from_bits_truncate(0o755)) {
                Ok(()) => {
                    self.made.push(directory.to_owned());
                    return Ok(true);
                }
                Err(Errno::EEXIST) => return Ok(false),
                Err(Errno::ENOENT) => {
                    let parent = directory.parent().ok_or(Errno::ENOENT)?;
                    if self.make_directory(parent, is_cpuset)? && is_cpuset {
                        // Children then get their cpus and mems from mkdir itself, for nothing.
                        file::write(&parent.join("cgroup.clone_children"), "1")?;
                        fill_cpuset(parent)?;
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::ENOENT)
    }
}

/// For a caller without privilege: what it was needed for.
fn mkdir_step(directory: &Path, plan: &CgroupPlan) -> String {
    let why = match (plan.rootless, plan.resources.writes.is_empty()) {
        (false, _) => "",
        (true, false) => " (the limits of /linux/resources need a cgroup that was delegated to the caller)",
        (true, true) => " (/linux/cgroupsPath needs a cgroup that was delegated to the caller)",
    };
    format!("mkdir {}{why}", directory.display())
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.root_cause().downcast_ref(), Some(Errno::ENOENT | Errno::ENODEV))
}

fn is_denied(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ENOENT)
}

/// Refuses cgroups that somebody is in: two containers in one would freeze and kill each other. Gives those that are
/// there and unused: they are not ours to remove.
///
/// # Errors
/// Which cgroup, and who.
pub fn refuse_used(plan: &CgroupPlan) -> anyhow::Result<Vec<PathBuf>> {
    let mut unused = Vec::new();
    for directory in plan.paths.directories() {
        match check_unused(directory) {
            Ok(()) => unused.push(directory.to_owned()),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(unused)
}

fn check_unused(directory: &Path) -> anyhow::Result<()> {
    let procs = file::read(&directory.join("cgroup.procs"))
        .with_context(|| format!("read {}/cgroup.procs", directory.display()))?;
    match procs.lines().count() {
        0 => Ok(()),
        1 => bail!("cgroup {}: is not empty: process {} is in it", directory.display(), procs.trim()),
        count => bail!("cgroup {}: is not empty: {count} processes are in it", directory.display()),
    }
}

fn inherit_cpuset(directory: &Path) -> anyhow::Result<()> {
    fill_cpuset(directory).with_context(|| format!("give cpus and mems to cpuset {}", directory.display()))
}

/// A v1 cpuset begins without cpus and mems, and nobody can join it then: it takes those of its parent.
fn fill_cpuset(directory: &Path) -> Result<(), Errno> {
    if !file::read_value(&directory.join("cpuset.cpus"))?.trim().is_empty()
        && !file::read_value(&directory.join("cpuset.mems"))?.trim().is_empty()
    {
        return Ok(());
    }
    let parent = directory.parent().ok_or(Errno::ENOENT)?;
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if !file::read_value(&directory.join(name))?.trim().is_empty() {
            continue;
        }
        let mut inherited = file::read_value(&parent.join(name))?;
        if inherited.trim().is_empty() {
            fill_cpuset(parent)?;
            inherited = file::read_value(&parent.join(name))?;
        }
        file::write(&directory.join(name), inherited.trim())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{self, Testbed, skip};
    use super::*;

    #[test]
    fn makes_a_directory_in_each_hierarchy_and_undoes_it() {
        let Some(layout) = testbed::layout() else { return };
        let path = format!("{}/deeper/still", testbed::unique_path());
        let plan = testbed::plan(&layout, &path, "{}");
        let mut cgroup = Cgroup::create(&plan).unwrap();
        assert_eq!(cgroup.paths(), &plan.paths);
        assert_eq!(plan.paths.v1.len(), layout.hierarchies().len());
        for directory in plan.paths.directories() {
            assert!(directory.is_dir(), "{directory:?}");
        }
        cgroup.undo().unwrap();
        for directory in plan.paths.directories() {
            assert!(!directory.parent().unwrap().parent().unwrap().exists(), "{directory:?}");
        }
    }

    #[test]
    fn a_process_is_in_each_hierarchy_after_it_joined() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let pid = testbed.spawn("exec sleep 100");
        for directory in testbed.paths().directories() {
            let procs = file::read(&directory.join("cgroup.procs")).unwrap();
            assert_eq!(procs.trim(), pid.to_string(), "{directory:?}");
        }
    }

    #[test]
    fn a_cgroup_with_processes_is_refused_and_left_alone() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let pid = testbed.spawn("exec sleep 100");
        let error = Cgroup::create(&testbed.plan).unwrap_err().to_string();
        assert!(error.ends_with(&format!("is not empty: process {pid} is in it")), "{error}");
        assert!(testbed.paths().directories().all(Path::exists));
    }

    #[test]
    fn an_empty_cgroup_that_was_there_is_used_and_survives_undo() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let mut again = Cgroup::create(&testbed.plan).unwrap();
        again.undo().unwrap();
        assert!(testbed.paths().directories().all(Path::exists));
    }

    #[test]
    fn a_frozen_cgroup_is_refused() {
        let Some(testbed) = Testbed::new("{}") else { return };
        freeze::freeze(testbed.paths()).unwrap();
        let error = Cgroup::create(&testbed.plan).unwrap_err().to_string();
        assert!(error.ends_with("is frozen, or one above it is"), "{error}");
        freeze::thaw(testbed.paths()).unwrap();
    }

    #[test]
    fn a_cpuset_has_cpus_before_anyone_joins() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(directory) = testbed.paths().v1_directory("cpuset") else { return skip("no v1 cpuset") };
        for name in ["cpuset.cpus", "cpuset.mems"] {
            // Also where the parent was made by someone who does not pass them on.
            file::write(&directory.join("cgroup.clone_children"), "0").unwrap();
            let child = directory.join("child");
            std::fs::create_dir(&child).unwrap();
            assert_eq!(file::read(&child.join(name)).unwrap().trim(), "");
            fill_cpuset(&child).unwrap();
            assert_eq!(file::read(&child.join(name)), file::read(&directory.join(name)));
            std::fs::remove_dir(&child).unwrap();
        }
    }
}
