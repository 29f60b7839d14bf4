//! Paths of the container, resolved by the kernel from the root's descriptor: no path leaves the root,
//! whatever the image or another container does with symlinks meanwhile (CVE-2021-30465, CVE-2024-45310).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

use crate::sys::fd::Spent;

/// What becomes of symlinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// They are followed, and `/` is the container's root for them.
    Follow,
    /// They are followed, but for one at the end, which is opened itself.
    OpenLast,
    /// They are refused with ELOOP.
    Refuse,
}

/// What is made when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A directory, mode 0755.
    Directory,
    /// An empty file, mode 0644.
    File,
}

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);
const LINKS_AT_MOST: u32 = 40;

/// Opens `path` inside `root` as `O_PATH`.
///
/// # Errors
/// As openat2(2).
pub fn open(root: BorrowedFd<'_>, path: &Path, symlinks: Symlinks) -> nix::Result<OwnedFd> {
    open_with(root, path, OFlag::O_PATH, symlinks)
}

/// Opens `path` inside `root` with `flags`.
///
/// # Errors
/// As openat2(2).
pub fn open_with(root: BorrowedFd<'_>, path: &Path, flags: OFlag, symlinks: Symlinks) -> nix::Result<OwnedFd> {
    let mut flags = flags | OFlag::O_CLOEXEC;
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match symlinks {
        Symlinks::Follow => {}
        Symlinks::OpenLast => flags |= OFlag::O_NOFOLLOW,
        Symlinks::Refuse => resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS,
    }
    loop {
        match openat2(root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            // The kernel saw a rename or mount while it went over "..": it could not tell whether we are still inside.
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
}

/// Opens `path` inside `root`, and makes it, with its parents, when it is missing.
///
/// # Errors
/// As openat2(2), mkdirat(2) and openat(2).
pub fn open_or_create(
    root: BorrowedFd<'_>,
    path: &Path,
    missing: impl FnOnce() -> nix::Result<Missing>,
    symlinks: Symlinks,
) -> anyhow::Result<Opened> {
    match open(root, path, symlinks) {
        Ok(fd) => return Ok(Opened { fd, is_new: false, parent: None }),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno).with_context(|| format!("open {} in the container", path.display())),
    }
    let missing = missing()?;
    let (fd, parent) =
        create(root, path, missing, symlinks).with_context(|| format!("create {} in the container", path.display()))?;
    Ok(Opened { fd, is_new: true, parent })
}

/// What `open_or_create` found.
#[derive(Debug)]
pub struct Opened {
    /// The object.
    pub fd: OwnedFd,
    /// Whether it was made just now.
    pub is_new: bool,
    /// The directory that it was made in, where that is open still.
    parent: Option<OwnedFd>,
}

impl Opened {
    /// Nobody needs it any more.
    pub fn spend(self, spent: &mut Spent) {
        spent.push(self.fd);
        self.parent.into_iter().for_each(|parent| spent.push(parent));
    }
}

/// Opens the directory that holds `path`, made when it is missing, and gives the last name beside it.
///
/// # Errors
/// As [`open_or_create`]; EINVAL for the root itself.
pub fn open_parent<'a>(
    root: BorrowedFd<'_>,
    path: &'a Path,
    symlinks: Symlinks,
) -> anyhow::Result<(OwnedFd, &'a OsStr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL).with_context(|| format!("open the parent of {}", path.display()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new("/") } else { parent };
    let parent = open_or_create(root, parent, || Ok(Missing::Directory), symlinks)?;
    Ok((parent.fd, name))
}

/// The object, and its directory where that was opened.
fn create(
    root: BorrowedFd<'_>,
    path: &Path,
    missing: Missing,
    symlinks: Symlinks,
) -> nix::Result<(OwnedFd, Option<OwnedFd>)> {
    // Mostly one name is missing in a directory that is there.
    let parent = path.parent().unwrap_or(path);
    let is_root = parent.parent().is_none();
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let held = (!is_root).then(|| open_with(root, parent, flags, followed(symlinks)));
    if let (Some(name), None | Some(Ok(_))) = (path.file_name(), &held) {
        let parent = held.as_ref().and_then(|held| held.as_ref().ok()).map_or(root, AsFd::as_fd);
        match create_one(parent, name, missing) {
            Err(Errno::EEXIST) => {} // a symlink to nothing, or somebody was faster
            result => return result.map(|fd| (fd, held.and_then(Result::ok))),
        }
    }
    create_all(root, path, missing, symlinks).map(|fd| (fd, None))
}

/// How the parents are resolved.
fn followed(symlinks: Symlinks) -> Symlinks {
    if symlinks == Symlinks::Refuse { Symlinks::Refuse } else { Symlinks::Follow }
}

fn create_all(root: BorrowedFd<'_>, path: &Path, missing: Missing, symlinks: Symlinks) -> nix::Result<OwnedFd> {
    let mut names: VecDeque<OsString> = names_of(path);
    // What is there: as a path from the root, and open.
    let mut done = PathBuf::from("/");
    let mut directory: Option<OwnedFd> = None;
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        let is_last = names.is_empty();
        let next = done.join(&name);
        match open(root, &next, if is_last { symlinks } else { followed(symlinks) }) {
            Ok(fd) => {
                (directory, done) = (Some(fd), next);
                continue;
            }
            Err(Errno::ENOENT) if name != ".." => {}
            Err(errno) => return Err(errno),
        }
        let parent = directory.as_ref().map_or(root, AsFd::as_fd);
        match create_one(parent, &name, if is_last { missing } else { Missing::Directory }) {
            Ok(fd) => (directory, done) = (Some(fd), next),
            Err(Errno::EEXIST) => {
                links += 1;
                if links > LINKS_AT_MOST || symlinks == Symlinks::Refuse {
                    return Err(Errno::ELOOP);
                }
                match readlinkat(parent, name.as_os_str()) {
                    // A symlink to nothing: what it names is made, inside the root.
                    Ok(target) => {
                        let target = PathBuf::from(target);
                        if target.is_absolute() {
                            (directory, done) = (None, PathBuf::from("/"));
                        }
                        for part in names_of(&target).into_iter().rev() {
                            names.push_front(part);
                        }
                    }
                    // Somebody was faster: look again.
                    Err(Errno::EINVAL | Errno::ENOENT) => names.push_front(name),
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    directory.ok_or(Errno::ENOENT)
}

fn names_of(path: &Path) -> VecDeque<OsString> {
    use std::path::Component::{Normal, ParentDir};
    path.components().filter(|part| matches!(part, Normal(_) | ParentDir)).map(|part| part.as_os_str().into()).collect()
}

/// Makes one name in a directory, never through a symlink, and opens it.
fn create_one(parent: BorrowedFd<'_>, name: &OsStr, missing: Missing) -> nix::Result<OwnedFd> {
    match missing {
        Missing::Directory => {
            mkdirat(parent, name, Mode::from_bits_truncate(0o755))?;
            openat(parent, name, DIRECTORY, Mode::empty())
        }
        Missing::File => create_file(parent, name, 0o644),
    }
}

/// Makes an empty file that was not there, never through a symlink.
///
/// # Errors
/// EEXIST, and those of openat(2).
pub fn create_file(parent: BorrowedFd<'_>, name: &OsStr, mode: u32) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::from_bits_truncate(mode))
}
