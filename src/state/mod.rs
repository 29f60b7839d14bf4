//! The state directory: state.json, its lock, the start gate, recovery after a crash.
//!
//! ```text
//! ROOT/ID/          flock: held exclusively by whoever changes the container
//!   state.json      always whole: written beside and renamed. Without it the container does not exist
//!   config.json     a copy, because later changes of the bundle have no effect
//!   notify/         the container's notify socket; only where the creator has NOTIFY_SOCKET
//!   start           the gate; there as long as the container is `created`
//! ```
//! A directory without state.json is what a killed `create` or `delete` left; the next `create` of this id takes it.

mod id;
pub mod init;
pub mod members;
pub mod owner;
mod record;
mod root;

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

pub use id::ContainerId;
pub use init::{Boot, InitHandle};
pub use record::{Report, State, Status, VERSION};
#[cfg(test)]
use root::Exists;
pub use root::{Missing, StateRoot};

use crate::sys::fd::read_small;

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
/// The directory of the container's notify socket, see `stage::notify`.
const NOTIFY: &str = "notify";
/// The gate's name, see `stage::gate`.
const GATE: &str = "start";

/// A container's state directory, open.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
    path: PathBuf,
    directory: File,
}

impl Container {
    /// The container's id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The state directory.
    ///
    /// The lock belongs to the open directory, not to the process: a clone that keeps it keeps the lock.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Waits until nobody else changes the container, and keeps others from it until `unlock` or drop.
    ///
    /// # Errors
    /// `Missing` when it was deleted meanwhile.
    pub fn lock(&self) -> anyhow::Result<()> {
        self.directory.lock().with_context(|| format!("lock {}", self.path.display()))?;
        if self.is_unlinked()? { Err(Missing(self.id.clone()).into()) } else { Ok(()) }
    }

    /// As `lock`, but gives false at once when somebody else has it.
    ///
    /// # Errors
    /// `Missing` when the container was deleted meanwhile.
    pub fn try_lock(&self) -> anyhow::Result<bool> {
        match self.directory.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", self.path.display())),
            Ok(()) if self.is_unlinked()? => Err(Missing(self.id.clone()).into()),
            Ok(()) => Ok(true),
        }
    }

    /// Lets others change the container, also where a clone still holds the directory.
    pub fn unlock(&self) {
        let _ = self.directory.unlock();
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// `Missing` when there is none; what is wrong with it otherwise.
    pub fn load(&self) -> anyhow::Result<State> {
        let text = match self.read(STATE) {
            Err(Errno::ENOENT) => return Err(Missing(self.id.clone()).into()),
            other => other.with_context(|| self.display(STATE))?,
        };
        let state: State = serde_json::from_slice(&text).with_context(|| self.display(STATE))?;
        anyhow::ensure!(
            state.version <= VERSION,
            "{:?}: created by a newer rt: its state has version {}, this rt knows {VERSION}",
            self.id.as_str(),
            state.version
        );
        Ok(state)
    }

    /// Replaces state.json; whoever reads meanwhile, or after a crash, finds the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &State) -> anyhow::Result<()> {
        let text = serde_json::to_vec(state).with_context(|| self.display(STATE))?;
        self.replace(STATE, &text).with_context(|| format!("write {}", self.display(STATE)))
    }

    /// The configuration that the container was created from.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config_text(&self) -> anyhow::Result<Vec<u8>> {
        self.read(CONFIG).with_context(|| format!("read {}", self.display(CONFIG)))
    }

    /// Keeps the configuration. Before state.json is there: nobody reads it until then, half written or whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_config(&self, text: &[u8]) -> anyhow::Result<()> {
        self.write(CONFIG, text).with_context(|| format!("write {}", self.display(CONFIG)))
    }

    /// Finds out the container's status.
    ///
    /// # Errors
    /// When /proc or the cgroup cannot be read.
    pub fn status(&self, state: &State, boot: &Boot) -> anyhow::Result<Status> {
        if state.pid == 0 {
            // The creator holds the lock to its end. Shared, so that two who ask do not mislead each other.
            return match self.directory.try_lock_shared() {
                Ok(()) => {
                    self.unlock();
                    Ok(Status::Stopped)
                }
                Err(TryLockError::WouldBlock) => Ok(Status::Creating),
                Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", self.path.display())),
            };
        }
        if !init::is_alive(state, boot)? {
            return Ok(Status::Stopped);
        }
        if crate::cgroup::is_frozen(&state.cgroup)? {
            return Ok(Status::Paused);
        }
        Ok(if self.has_gate() { Status::Created } else { Status::Running })
    }

    /// Whether init still waits for `rt start`.
    pub fn has_gate(&self) -> bool {
        self.stat(GATE).is_ok()
    }

    /// Removes the state directory, and the lock with it. state.json goes last: an interrupted delete is still found
    /// by the next.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn remove(&self) -> anyhow::Result<()> {
        self.remove_all()?;
        self.unlock();
        Ok(())
    }

    /// Makes the place for the container's notify socket.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_notify_directory(&self) -> anyhow::Result<()> {
        // All of the container's users must get through, whatever the umask.
        let make = || {
            mkdirat(&self.directory, NOTIFY, Mode::from_bits_truncate(0o755))?;
            fchmodat(&self.directory, NOTIFY, Mode::from_bits_truncate(0o755), FchmodatFlags::FollowSymlink)
        };
        make().with_context(|| format!("make {}", self.display(NOTIFY)))
    }

    /// Opens it; `None` when the container has none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn notify_directory(&self) -> anyhow::Result<Option<OwnedFd>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.directory, NOTIFY, flags, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(None),
            other => other.map(Some).with_context(|| format!("open {}", self.display(NOTIFY))),
        }
    }

    fn remove_notify_directory(&self) -> anyhow::Result<()> {
        let Some(directory) = self.notify_directory()? else { return Ok(()) };
        let tolerate = |result| match result {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        };
        tolerate(unlinkat(&directory, crate::plan::notify::SOCKET, UnlinkatFlags::NoRemoveDir))
            .and_then(|()| tolerate(unlinkat(&self.directory, NOTIFY, UnlinkatFlags::RemoveDir)))
            .with_context(|| format!("remove {}", self.display(NOTIFY)))
    }

    fn remove_all(&self) -> anyhow::Result<()> {
        let step = || format!("remove {}", self.path.display());
        self.remove_notify_directory()?;
        for name in [GATE, CONFIG, STATE] {
            match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno).with_context(step),
            }
        }
        match unlinkat(nix::fcntl::AT_FDCWD, &self.path, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => return Err(errno).with_context(step),
        }
        // What a killed `save` left, or a newer rt keeps.
        for name in self.names().with_context(step)? {
            unlinkat(&self.directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir).with_context(step)?;
        }
        unlinkat(nix::fcntl::AT_FDCWD, &self.path, UnlinkatFlags::RemoveDir).with_context(step)
    }

    fn names(&self) -> Result<Vec<std::ffi::CString>, Errno> {
        let mut directory =
            Dir::openat(&self.directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let fd = openat(&self.directory, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        read_small(fd.as_fd())
    }

    fn replace(&self, name: &str, text: &[u8]) -> Result<(), Errno> {
        let beside = format!("{name}.new");
        self.write(&beside, text)?;
        renameat(&self.directory, beside.as_str(), &self.directory, name)
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), Errno> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.directory, name, flags, Mode::from_bits_truncate(0o600))?;
        File::from(fd).write_all(text).map_err(errno_of)
    }

    fn stat(&self, name: &str) -> Result<FileStat, Errno> {
        fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn is_unlinked(&self) -> anyhow::Result<bool> {
        Ok(fstat(&self.directory).with_context(|| format!("stat {}", self.path.display()))?.st_nlink == 0)
    }

    fn display(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests;
