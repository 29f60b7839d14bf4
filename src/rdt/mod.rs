//! Intel RDT and its like on other machines: the container's group in the resctrl file system.
//!
//! <https://docs.kernel.org/filesystems/resctrl.html>

mod schema;
mod stats;

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::statfs::statfs;

use crate::error::Faults;
pub use stats::RdtStats;

use crate::plan::rdt::{Class, RdtPlace, RdtPlan, SchemaLine};

/// Where every distribution mounts it.
const USUAL: &str = "/sys/fs/resctrl";

/// Looks whether resctrl is mounted and has what is asked for; gives the place of a container that is not made yet.
///
/// # Errors
/// With the JSON pointer: no resctrl, no such class, another schema in it, a group that is there already.
pub fn look_at(plan: &RdtPlan) -> Result<RdtPlace, Faults> {
    match find() {
        Some(root) => look_below(&root, plan),
        None => Err(fault("/linux/intelRdt", "no resctrl file system is mounted")),
    }
}

/// Where resctrl is mounted.
fn find() -> Option<PathBuf> {
    // RDTGROUP_SUPER_MAGIC of linux/magic.h
    const MAGIC: u64 = 0x0765_5821;
    if statfs(USUAL).is_ok_and(|stat| stat.filesystem_type().0 as u64 == MAGIC) {
        return Some(PathBuf::from(USUAL));
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(mount_point)
}

/// The mount point of a line of mountinfo that is about resctrl.
fn mount_point(line: &str) -> Option<PathBuf> {
    let (front, back) = line.split_once(" - ")?;
    let is_whole = front.split(' ').nth(3) == Some("/");
    let point = front.split(' ').nth(4)?;
    (is_whole && back.starts_with("resctrl ")).then(|| PathBuf::from(point.replace("\\040", " ")))
}

fn fault(pointer: &str, reason: impl Into<String>) -> Faults {
    let mut faults = Faults::default();
    faults.error(pointer, reason);
    faults
}

fn look_below(root: &Path, plan: &RdtPlan) -> Result<RdtPlace, Faults> {
    const CLASS: &str = "/linux/intelRdt/closID";
    let (directory, is_own) = match &plan.class {
        Class::Own(id) => (root.join(id), true),
        Class::Default => (root.to_owned(), false),
        Class::Named(name) => (root.join(name), false),
    };
    let is_there = directory.is_dir();
    if is_own && is_there {
        // Whoever made it may have others in it.
        return Err(fault("/linux/intelRdt", format!("{} exists already", directory.display())));
    }
    if !is_own && !is_there && plan.lines.is_empty() {
        return Err(fault(CLASS, format!("{} does not exist, and there is no schema for it", directory.display())));
    }
    if is_there {
        compare(&directory, &plan.lines)?;
    }
    let monitor = plan.monitor.as_ref().map(|id| directory.join("mon_groups").join(id));
    if let Some(monitor) = monitor.as_ref().filter(|monitor| monitor.exists()) {
        return Err(fault("/linux/intelRdt/enableMonitoring", format!("{} exists already", monitor.display())));
    }
    Ok(RdtPlace { directory, is_own, monitor })
}

/// Whether a class that is there has the schemas that are asked for.
fn compare(directory: &Path, lines: &[SchemaLine]) -> Result<(), Faults> {
    let lines: Vec<_> = lines.iter().filter(|line| line.is_compared).collect();
    let Some(first) = lines.first() else { return Ok(()) };
    let file = directory.join("schemata");
    let found = std::fs::read_to_string(&file)
        .map_err(|error| fault(&first.pointer, format!("read {}: {error}", file.display())))?;
    for line in lines {
        if let Some(other) = schema::difference(&line.text, &found) {
            let reason = format!("{:?} is asked for, but {} has {other:?}", line.text, file.display());
            return Err(fault(&line.pointer, reason));
        }
    }
    Ok(())
}

/// The container's group while it is made.
#[derive(Debug)]
pub struct Rdt {
    place: RdtPlace,
    made: Vec<PathBuf>,
}

impl Rdt {
    /// Nothing is made yet.
    pub fn at(place: RdtPlace) -> Rdt {
        Rdt { place, made: Vec::new() }
    }

    /// Makes the directories and writes the schemas.
    ///
    /// # Errors
    /// The kernel's words, from `info/last_cmd_status` too; what was made is taken back by `undo`.
    pub fn make(&mut self, plan: &RdtPlan) -> anyhow::Result<()> {
        self.make_class()?;
        self.fill(plan)
    }

    fn make_class(&mut self) -> anyhow::Result<()> {
        let directory = self.place.directory.clone();
        if self.place.is_own || !directory.is_dir() { self.make_directory(&directory) } else { Ok(()) }
    }

    fn fill(&mut self, plan: &RdtPlan) -> anyhow::Result<()> {
        write_schemata(&self.place, &plan.lines)?;
        if let Some(monitor) = self.place.monitor.clone() {
            self.make_directory(&monitor)?;
        }
        Ok(())
    }

    fn make_directory(&mut self, directory: &Path) -> anyhow::Result<()> {
        DirBuilder::new().create(directory).map_err(errno_of).with_context(|| {
            let status = last_status(&self.place).unwrap_or_default();
            format!("config.json: /linux/intelRdt: mkdir {}{status}", directory.display())
        })?;
        self.made.push(directory.to_owned());
        Ok(())
    }

    /// Takes a process in.
    ///
    /// # Errors
    /// See [`join`].
    pub fn join(&self, pid: i32) -> anyhow::Result<()> {
        join(&self.place, pid)
    }

    /// Removes what `make` made.
    ///
    /// # Errors
    /// What stays.
    pub fn undo(&mut self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut self.made);
        made.iter().rev().try_for_each(|directory| remove_directory(directory))
    }
}

/// Takes a process into the container's group; its children will be in it too.
///
/// # Errors
/// `ESRCH` when it has ended.
pub fn join(place: &RdtPlace, pid: i32) -> anyhow::Result<()> {
    // The class first: a monitoring group takes those of its own class only.
    for directory in std::iter::once(&place.directory).chain(&place.monitor) {
        let file = directory.join("tasks");
        write(&file, &[format!("{pid}\n")]).with_context(|| format!("write {pid} to {}", file.display()))?;
    }
    Ok(())
}

/// Writes schemas, each in a write of its own.
///
/// # Errors
/// The pointer of the line that the kernel refuses, and why.
pub fn write_schemata(place: &RdtPlace, lines: &[SchemaLine]) -> anyhow::Result<()> {
    let file = place.directory.join("schemata");
    for line in lines {
        write(&file, &[format!("{}\n", line.text)]).with_context(|| {
            let status = last_status(place).unwrap_or_default();
            format!("{}: write {:?} to {}{status}", line.pointer, line.text, file.display())
        })?;
    }
    Ok(())
}

/// Removes the directories that go with the container.
///
/// # Errors
/// When one stays; that it is gone is none.
pub fn remove(place: &RdtPlace) -> anyhow::Result<()> {
    place.monitor.as_deref().map_or(Ok(()), remove_directory)?;
    if place.is_own { remove_directory(&place.directory) } else { Ok(()) }
}

fn remove_directory(directory: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(errno_of(error)).with_context(|| format!("rmdir {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn write(file: &Path, lines: &[String]) -> Result<(), Errno> {
    // Appending means nothing to the kernel.
    let mut file = File::options().append(true).open(file).map_err(errno_of)?;
    lines.iter().try_for_each(|line| file.write_all(line.as_bytes()).map_err(errno_of))
}

/// What the kernel says about the last command that it refused.
fn last_status(place: &RdtPlace) -> Option<String> {
    let mut parents = place.directory.ancestors().take(2);
    let text = parents.find_map(|root| std::fs::read_to_string(root.join("info/last_cmd_status")).ok())?;
    let text = text.trim();
    (!text.is_empty() && text != "ok").then(|| format!(" ({})", text.replace('\n', "; ")))
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests;
