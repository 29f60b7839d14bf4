//! A container's unit of systemd from its start on: found, divided, changed and stopped.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::patience::Patience;
use super::systemd::{OBJECT, PATIENCE, Systemd, away, escape_path};
use super::{CgroupPaths, Unit, file};
use crate::host::cgroup::Layout;
use crate::plan::cgroup::{Property, ScopePlan, Value};

/// How long systemd may take to undo what it was asked for, when that has failed already.
const UNDO_PATIENCE: Duration = Duration::from_secs(5);

/// Tells the unit of a container about its new limits.
///
/// # Errors
/// systemd's refusal, or it is not reached.
pub fn update(unit: &Unit, properties: &[Property]) -> anyhow::Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    let set = ask(unit, PATIENCE, |systemd| systemd.set_properties(&unit.name, properties));
    set.with_context(|| format!("systemd: set properties of {}", unit.name))
}

/// Takes a process into the container's cgroup: systemd may do what a user may not, whose own cgroup is outside of
/// those that are delegated, as that of a login is.
///
/// # Errors
/// systemd's refusal, or it is not reached.
pub fn attach(paths: &CgroupPaths, pid: i32) -> anyhow::Result<()> {
    let Some(unit) = &paths.unit else { bail!("the container has no unit of systemd") };
    let below = paths.v2.as_deref().and_then(|directory| directory.strip_prefix(&unit.directory).ok());
    let below = below.and_then(Path::to_str).filter(|path| !path.is_empty());
    let below = below.map_or_else(String::new, |path| format!("/{path}"));
    let attach = || -> anyhow::Result<()> { Ok(Systemd::open_of(unit, PATIENCE)?.attach(&unit.name, &below, pid)?) };
    attach().with_context(|| format!("systemd: take process {pid} into {}", unit.name))
}

/// Stops the unit of a container. One whose cgroup is gone, or was made anew since, is not ours any more: a unit ends
/// with its last process, and anybody may use its name then.
///
/// # Errors
/// systemd's refusal, or it is not reached.
pub fn stop(unit: &Unit) -> anyhow::Result<()> {
    match unit {
        _ if unit.is_only_asked() => stop_asked(unit),
        _ if unit.is_there() => stop_within(unit, PATIENCE),
        _ => Ok(()),
    }
}

/// Stops a unit that was asked for by a runtime that was killed then, if systemd has it, and it is ours.
///
/// # Errors
/// systemd's refusal, or it is not reached.
fn stop_asked(unit: &Unit) -> anyhow::Result<()> {
    let stop = || -> anyhow::Result<()> {
        let mut systemd = Systemd::open_of(unit, PATIENCE)?;
        let path = format!("{OBJECT}/unit/{}", escape_path(&unit.name));
        let description = systemd.property(&path, "org.freedesktop.systemd1.Unit", "Description");
        if !matches!(description, Ok(found) if found == unit.description && !found.is_empty()) {
            return Ok(());
        }
        // Of whoever is in it still, nobody is asked.
        let _ = systemd.call("KillUnit", vec![Value::text(unit.name.clone()), Value::text("all"), Value::I32(9)]);
        systemd.stop(&unit.name)
    };
    stop().with_context(|| format!("systemd: stop {}", unit.name))
}

/// The same after a start of which nobody knows how it ended.
///
/// # Errors
/// systemd's refusal, or it is not reached.
pub fn stop_unknown(unit: &Unit) -> anyhow::Result<()> {
    stop_within(unit, UNDO_PATIENCE)
}

fn stop_within(unit: &Unit, patience: Duration) -> anyhow::Result<()> {
    let stopped = ask(unit, patience, |systemd| systemd.stop(&unit.name));
    stopped.with_context(|| format!("systemd: stop {}", unit.name))
}

/// Asks for something that may be asked for twice: systemd hangs up on everybody when it executes itself anew.
fn ask(unit: &Unit, patience: Duration, question: impl Fn(&mut Systemd) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut again = Patience::new(away(patience));
    loop {
        let error = match Systemd::open_of(unit, patience) {
            Ok(mut systemd) => match question(&mut systemd) {
                Err(error) if systemd.has_hung_up(&error) => error,
                result => return result,
            },
            Err(error) => error,
        };
        if !again.pause() {
            return Err(error);
        }
    }
}

impl Unit {
    /// The unit of a plan, before it is asked for.
    pub fn asked(plan: &ScopePlan, user_bus: Option<String>, description: String) -> Unit {
        let description = if plan.has_description() { String::new() } else { description };
        Unit { name: plan.unit.clone(), user_bus, description, ..Unit::default() }
    }

    /// Whether it is not known yet what has become of it.
    pub fn is_only_asked(&self) -> bool {
        self.inode == 0
    }

    /// Whether its cgroup is still the one that was made for the container.
    pub fn is_there(&self) -> bool {
        inode_of(&self.directory).is_ok_and(|inode| inode == self.inode)
    }
}

/// What tells a cgroup from a later one of the same name.
pub fn inode_of(directory: &Path) -> std::io::Result<u64> {
    std::fs::metadata(directory).map(|metadata| metadata.ino())
}

/// Where systemd has put a process: the directory in the hierarchy by which it keeps its units.
///
/// # Errors
/// The process is gone, or elsewhere.
pub fn locate(pid: i32, unit: &str, layout: &Layout) -> anyhow::Result<PathBuf> {
    let path = format!("/proc/{pid}/cgroup");
    let text = file::read(Path::new(&path)).with_context(|| format!("read {path}"))?;
    let (mount, inside) = match layout {
        Layout::Unified(unified) => (Some(&unified.mount), text.lines().find_map(|line| line.strip_prefix("0::/"))),
        Layout::Legacy { hierarchies, .. } => {
            let named = hierarchies.iter().find(|h| h.controllers.iter().any(|name| name == "name=systemd"));
            (named.map(|h| &h.mount), text.lines().find_map(|line| line.split_once(":name=systemd:/").map(|(_, p)| p)))
        }
        Layout::None => (None, None),
    };
    let (Some(mount), Some(inside)) = (mount, inside) else {
        bail!("systemd's cgroup hierarchy is not mounted here");
    };
    // That of a zombie, which was the unit's only process.
    if inside.ends_with(" (deleted)") {
        bail!("{unit}: the container's init ended without a word (killed, perhaps for lack of memory)");
    }
    if !inside.ends_with(unit) || inside.split('/').any(|name| name == "..") {
        bail!("systemd has started {unit}, but process {pid} is in the cgroup /{inside}");
    }
    Ok(mount.join(inside))
}

/// Moves a process into a cgroup unless it is there.
///
/// # Errors
/// The kernel's.
pub fn take_in(directory: &Path, pid: i32) -> anyhow::Result<()> {
    let path = directory.join("cgroup.procs");
    let pids = file::read(&path).with_context(|| format!("read {}", path.display()))?;
    if pids.lines().any(|line| line == pid.to_string()) { Ok(()) } else { move_process(directory, pid) }
}

/// Moves a process by its pid. It costs a grace period of RCU, so it is for those only whom nothing else can move.
///
/// # Errors
/// The kernel's.
pub fn move_process(directory: &Path, pid: i32) -> anyhow::Result<()> {
    let path = directory.join("cgroup.procs");
    file::write(&path, &pid.to_string()).with_context(|| format!("write {pid} to {}", path.display()))
}

/// Makes a cgroup below that of the unit, with all its controllers, and moves the process there.
///
/// # Errors
/// The kernel's.
pub fn make_subgroup(directory: &Path, name: &str, pid: i32) -> anyhow::Result<PathBuf> {
    let below = directory.join(name);
    match nix::unistd::mkdir(&below, nix::sys::stat::Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno).with_context(|| format!("mkdir {}", below.display())),
    }
    move_process(&below, pid)?;
    let controllers = file::read_value(&directory.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let path = directory.join("cgroup.subtree_control");
        file::write(&path, &format!("+{controller}"))
            .with_context(|| format!("write +{controller} to {}", path.display()))?;
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cgroup_of_the_same_name_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let inode = inode_of(directory.path()).unwrap();
        let unit = |inode, directory: &Path| Unit { directory: directory.into(), inode, ..Unit::default() };
        assert!(unit(inode, directory.path()).is_there());
        assert!(!unit(inode + 1, directory.path()).is_there());
        assert!(!unit(inode, Path::new("/nonexistent")).is_there());
        // Nobody is asked about it.
        stop(&unit(inode + 1, directory.path())).unwrap();
    }

    #[test]
    fn a_systemd_that_executes_itself_anew_is_asked_again() {
        use std::sync::atomic::{AtomicU32, Ordering};

        use crate::dbus::Address;
        use crate::dbus::fake::{Fake, Script};

        let calls = AtomicU32::new(0);
        let fake = Fake::start(move |member| match member {
            "Hello" | "AddMatch" => vec![Script::Return(&[])],
            _ => match calls.fetch_add(1, Ordering::Relaxed) {
                0 => vec![Script::HangUp],
                // It was asked over a bus.
                1 => vec![Script::Error("org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected")],
                2 => vec![Script::Return(&["/job/1"]), Script::HangUp],
                _ => vec![Script::Error("org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.")],
            },
        });
        let Address::Abstract(name) = fake.address() else { panic!("no name") };
        let user_bus = Some(format!("unix:abstract={}", String::from_utf8(name).unwrap()));
        stop_within(&Unit { name: "x.scope".into(), user_bus, ..Unit::default() }, PATIENCE).unwrap();
    }

    #[test]
    fn a_unit_that_was_asked_for_is_stopped_only_if_it_is_ours() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        use crate::dbus::Address;
        use crate::dbus::fake::{Fake, Script};

        for (ours, expected) in [("container c1 of now", true), ("container c1 of then", false), ("", false)] {
            let stopped = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&stopped);
            let fake = Fake::start(move |member| match member {
                "Get" => vec![Script::Return(&["container c1 of now"])],
                "StopUnit" => {
                    seen.store(true, Ordering::Relaxed);
                    vec![Script::Return(&["/job/1"]), Script::Signal("JobRemoved", &["/job/1", "rt-c1.scope", "done"])]
                }
                _ => vec![Script::Return(&[])],
            });
            let Address::Abstract(name) = fake.address() else { panic!("no name") };
            let user_bus = Some(format!("unix:abstract={}", String::from_utf8(name).unwrap()));
            let unit = Unit { name: "rt-c1.scope".into(), user_bus, description: ours.into(), ..Unit::default() };
            assert!(unit.is_only_asked());
            stop(&unit).unwrap();
            assert_eq!(stopped.load(Ordering::Relaxed), expected, "{ours:?}");
        }
    }
}
