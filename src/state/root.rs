//! The directory of all containers, and how one of them is found or begun.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use super::{Container, ContainerId, NOTIFY, STATE};
use crate::host;

/// How often `create` begins again when a `delete` of the same id comes between.
const ATTEMPTS: usize = 100;

/// There is no such container.
///
/// Managers look for "does not exist".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub ContainerId);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: container does not exist", self.0.as_str())
    }
}

impl std::error::Error for Missing {}

/// There is such a container already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exists(pub ContainerId);

impl fmt::Display for Exists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: container with this id already exists", self.0.as_str())
    }
}

impl std::error::Error for Exists {}

/// Where the states of all containers are; it is made when the first is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRoot {
    path: PathBuf,
    /// Below $XDG_RUNTIME_DIR, what is not sticky may be cleaned away while it is in use.
    sticky: bool,
    /// By `--root`.
    is_chosen: bool,
}

impl StateRoot {
    /// `--root`, or /run/NAME for root, or NAME in $XDG_RUNTIME_DIR (without it /run/user/UID) for others; `name` is the
    /// one that `rt` was called by.
    ///
    /// # Errors
    /// When the root is `/`, or there is no such directory for one who needs it.
    pub fn resolve(root: Option<&Path>, name: &str) -> anyhow::Result<StateRoot> {
        let runtime_directory = host::runtime_directory();
        let is_root = root.is_some() || nix::unistd::geteuid().is_root();
        // In a user namespace of a rootless manager root is not root, and says where its things are.
        let is_root =
            is_root && (runtime_directory.is_none() || root.is_some() || !host::in_user_namespace().unwrap_or(true));
        StateRoot::of(root, runtime_directory.as_deref(), is_root, name)
    }

    fn of(
        root: Option<&Path>,
        runtime_directory: Option<&Path>,
        is_root: bool,
        name: &str,
    ) -> anyhow::Result<StateRoot> {
        let (path, sticky) = match (root, runtime_directory) {
            (Some(root), _) => (root.to_owned(), false),
            (None, _) if is_root => (Path::new("/run").join(name), false),
            (None, Some(directory)) => (directory.join(name), true),
            (None, None) => anyhow::bail!(
                "no place for state: XDG_RUNTIME_DIR is not set, and there is no /run/user/{} of yours: give --root DIR",
                nix::unistd::geteuid()
            ),
        };
        let path = std::path::absolute(&path).with_context(|| format!("--root {}", path.display()))?;
        anyhow::ensure!(
            path.components().any(|component| matches!(component, Component::Normal(_))),
            "--root {}: the root of the file system is no place for state",
            path.display()
        );
        Ok(StateRoot { path, sticky, is_chosen: root.is_some() })
    }

    /// Where a container's notify socket is, if it has one.
    pub fn notify_directory(&self, id: &ContainerId) -> PathBuf {
        self.path.join(id.as_str()).join(NOTIFY)
    }

    /// Begins a container: makes its directory, locked. The caller saves a first state before it makes anything else,
    /// so that whatever comes after is found by `delete`.
    ///
    /// # Errors
    /// `Exists` when the id is taken.
    pub fn create(&self, id: &ContainerId) -> anyhow::Result<Container> {
        let path = self.path.join(id.as_str());
        let step = || format!("create {}", path.display());
        for _ in 0..ATTEMPTS {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make().with_context(|| self.hint(&format!("create {}", self.path.display())))?;
                    continue;
                }
                Err(error) => return Err(error).with_context(|| self.hint(&step())),
            }
            let container = match open(&path) {
                Ok(directory) => Container { id: id.clone(), path: path.clone(), directory },
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(step),
            };
            match container.try_lock() {
                Ok(false) => return Err(Exists(id.clone()).into()),
                // Also where we made it: somebody else may have been quicker with the lock.
                Ok(true) if container.stat(STATE).is_err() => return Ok(container),
                Ok(true) => return Err(Exists(id.clone()).into()),
                Err(error) if error.is::<Missing>() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Exists(id.clone()).into())
    }

    /// Finds a container.
    ///
    /// # Errors
    /// `Missing` when there is no such container.
    pub fn open(&self, id: &ContainerId) -> anyhow::Result<Container> {
        let path = self.path.join(id.as_str());
        match open(&path) {
            Ok(directory) => Ok(Container { id: id.clone(), path, directory }),
            // ENAMETOOLONG: no such directory can ever have been made.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENAMETOOLONG)) => {
                Err(Missing(id.clone()).into())
            }
            Err(error) => Err(error).with_context(|| format!("open {}", path.display())),
        }
    }

    /// The ids of all containers, in order; of those that are just being made or removed, too.
    ///
    /// # Errors
    /// When the directory cannot be read. That it does not exist is no error.
    pub fn ids(&self) -> anyhow::Result<Vec<ContainerId>> {
        let step = || format!("read {}", self.path.display());
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(step)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.with_context(step)?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(id) = entry.file_name().to_str().and_then(|name| ContainerId::parse(name).ok())
                && is_directory
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// The step, and the way out for whoever did not choose the place.
    fn hint(&self, step: &str) -> String {
        if self.is_chosen {
            step.to_owned()
        } else {
            format!("{step} (--root DIR or XDG_RUNTIME_DIR is another place)")
        }
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        if self.sticky {
            std::fs::set_permissions(&self.path, Permissions::from_mode(0o1700))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_depends_on_the_caller() {
        let xdg = Path::new("/run/user/1000");
        let cases = [
            (Some("/a"), None, true, Some(("/a", false))),
            (Some("/a"), Some(xdg), false, Some(("/a", false))),
            (None, None, true, Some(("/run/rt", false))),
            (None, Some(xdg), true, Some(("/run/rt", false))),
            (None, Some(xdg), false, Some(("/run/user/1000/rt", true))),
            (None, None, false, None),
            (Some("/"), None, true, None),
            (Some("//."), None, true, None),
            (Some("/.."), None, true, None),
        ];
        for (root, runtime_directory, is_root, expected) in cases {
            let found = StateRoot::of(root.map(Path::new), runtime_directory, is_root, "rt").ok();
            let is_chosen = root.is_some();
            let expected = expected.map(|(path, sticky)| StateRoot { path: path.into(), sticky, is_chosen });
            assert_eq!(found, expected, "{root:?} {runtime_directory:?} {is_root}");
        }
    }
}
