//! A running container into files: what CRIU has to be told about it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::SFlag;

use crate::criu::{CgroupMode, LogFile, NetworkLock, Options, PageServer, Request, Session, explain};
use crate::plan::Plan;
use crate::plan::checkpoint::{MountLine, external_mounts, read_mountinfo};
use crate::plan::rootfs::MountKind;
use crate::rootfs::resolve::{self, Symlinks};
use crate::state::State;

/// Keeps what standard input, output and error are called in the images: `restore` connects its own instead.
pub const DESCRIPTORS: &str = "descriptors.json";
/// crun's annotation: a file with options for CRIU.
pub const CONFIG_ANNOTATION: &str = "org.criu.config";
/// CRIU's options for all containers of `rt`, if the file is there.
const CONFIG_FILE: &str = "/etc/criu/rt.conf";

/// /dev/null
const NULL_DEVICE: u64 = nix::sys::stat::makedev(1, 3);

/// The flags that checkpoint and restore share.
#[derive(Debug, Clone, Default)]
pub struct ImageSettings {
    /// `--image-path`, absolute.
    pub images: PathBuf,
    /// `--work-path`, absolute: the log and CRIU's statistics.
    pub work: PathBuf,
    /// `--tcp-established`
    pub tcp_established: bool,
    /// `--ext-unix-sk`
    pub ext_unix_sockets: bool,
    /// `--shell-job`
    pub shell_job: bool,
    /// `--file-locks`
    pub file_locks: bool,
    /// `--link-remap`
    pub link_remap: bool,
    /// `--auto-dedup`
    pub auto_dedup: bool,
    /// `--lazy-pages`
    pub lazy_pages: bool,
    /// `--manage-cgroups-mode`
    pub cgroup_mode: CgroupMode,
    /// `--empty-ns`
    pub empty_namespaces: u32,
    /// `--network-lock`
    pub network_lock: Option<NetworkLock>,
}

/// The flags of checkpoint alone.
#[derive(Debug, Clone, Default)]
pub struct DumpSettings {
    /// `--leave-running`
    pub leave_running: bool,
    /// `--pre-dump`
    pub pre_dump: bool,
    /// `--parent-path`, relative to the images.
    pub parent: Option<PathBuf>,
    /// `--tcp-skip-in-flight`
    pub tcp_skip_in_flight: bool,
    /// `--page-server`
    pub page_server: Option<PageServer>,
    /// `--status-fd`
    pub status_fd: Option<i32>,
}

impl ImageSettings {
    /// Options as these flags want them, with what every request needs.
    pub fn options(&self, images: File, work: File, log: LogFile, root: &Path) -> Options {
        Options {
            tcp_established: self.tcp_established,
            ext_unix_sockets: self.ext_unix_sockets,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            link_remap: self.link_remap,
            auto_dedup: self.auto_dedup,
            lazy_pages: self.lazy_pages,
            cgroup_mode: self.cgroup_mode,
            empty_namespaces: self.empty_namespaces,
            network_lock: self.network_lock,
            // A terminal is a pair of which CRIU dumps one side: the other is the caller's.
            orphan_pts_master: true,
            ..Options::new(images, work, log.name(), root)
        }
    }
}

/// Dumps the container into files. Its processes are gone afterwards, unless they are to go on.
///
/// # Errors
/// What CRIU says, with the place of its log; the container runs on then.
pub fn dump(state: &State, plan: &Plan, settings: &ImageSettings, dump: &DumpSettings) -> anyhow::Result<()> {
    let images = make_directory(&settings.images).context("--image-path")?;
    let work = make_directory(&settings.work).context("--work-path")?;
    let lines = mounts_of(state.pid)?;
    let streams = standard_streams(state.pid, &lines)?;
    let path = settings.images.join(DESCRIPTORS);
    std::fs::write(&path, serde_json::to_vec(&streams)?).with_context(|| format!("write {}", path.display()))?;

    let mut options = settings.options(images, work, LogFile::Dump, &state.rootfs);
    options.pid = Some(state.pid);
    options.leave_running = dump.leave_running;
    options.track_memory = dump.pre_dump;
    options.parent = dump.parent.clone();
    options.tcp_skip_in_flight = dump.tcp_skip_in_flight;
    options.page_server = dump.page_server.clone();
    options.status_fd = dump.status_fd;
    options.config_file = config_file(state.annotations.get(CONFIG_ANNOTATION).map(String::as_str));
    options.freeze_cgroup = freezer(state);
    options.externals = external_namespaces(state.pid, plan)?;
    options.externals.extend(streams.into_iter().filter(|name| name.starts_with("file[")));
    options.external_mounts =
        mounts_from_outside(state.pid, plan, &lines)?.into_iter().map(|point| (point.clone(), point)).collect();

    let request = if dump.pre_dump { Request::PreDump } else { Request::Dump };
    let outcome = Session::start(&options)?.ask(request, &options, &mut |_| Ok(()))?;
    outcome.map_err(|refused| anyhow::anyhow!("{}", explain(&settings.work, LogFile::Dump, refused.message.as_deref())))
}

/// The file with more options for CRIU: the annotation's, or that of all containers.
pub fn config_file(annotation: Option<&str>) -> Option<PathBuf> {
    let of_all = || Some(PathBuf::from(CONFIG_FILE)).filter(|path| path.exists());
    annotation.map(PathBuf::from).or_else(of_all)
}

/// Opens a directory for CRIU, made when it is missing.
pub fn make_directory(path: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(path).map_err(errno_of).with_context(|| format!("create {}", path.display()))?;
    open_directory(path)
}

/// Opens a directory for CRIU.
pub fn open_directory(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY);
    options.open(path).map_err(errno_of).with_context(|| format!("open {}", path.display()))
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The names that namespaces from outside have in the images: CRIU knows these two.
pub const EXTERNAL_NAMESPACES: [(CloneFlags, &str, &str); 2] =
    [(CloneFlags::CLONE_NEWNET, "net", "extRootNetNS"), (CloneFlags::CLONE_NEWPID, "pid", "extRootPidNS")];

/// Reads the words of `--empty-ns`.
///
/// # Errors
/// The word that is no namespace.
pub fn parse_empty_namespaces<'a>(words: impl Iterator<Item = &'a String>) -> anyhow::Result<u32> {
    let mut flags = CloneFlags::empty();
    for word in words {
        flags |= match word.as_str() {
            "network" => CloneFlags::CLONE_NEWNET,
            "ipc" => CloneFlags::CLONE_NEWIPC,
            "uts" => CloneFlags::CLONE_NEWUTS,
            "pid" => CloneFlags::CLONE_NEWPID,
            "mount" => CloneFlags::CLONE_NEWNS,
            "user" => CloneFlags::CLONE_NEWUSER,
            _ => bail!("--empty-ns: {word:?} is not one of network, ipc, uts, pid, mount, user"),
        };
    }
    Ok(flags.bits().cast_unsigned())
}

/// What init's standard streams are called in the images, each; a terminal and what is the container's own have no
/// name. A pipe needs none of the options, a file that is not in the container's mounts is external.
fn standard_streams(pid: i32, lines: &[MountLine]) -> anyhow::Result<[String; 3]> {
    let mut names = [const { String::new() }; 3];
    for (number, name) in names.iter_mut().enumerate() {
        let path = format!("/proc/{pid}/fd/{number}");
        let Ok(status) = nix::sys::stat::stat(path.as_str()) else { continue };
        match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFIFO => *name = format!("pipe:[{}]", status.st_ino),
            SFlag::S_IFREG => *name = file_name(pid, number, status.st_ino, lines)?,
            SFlag::S_IFCHR if status.st_rdev == NULL_DEVICE => *name = file_name(pid, number, status.st_ino, lines)?,
            _ => {}
        }
    }
    Ok(names)
}

/// `file[MOUNT:INODE]`, in hexadecimal, when the mount is not one of the container's.
fn file_name(pid: i32, number: usize, inode: u64, lines: &[MountLine]) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/fdinfo/{number}");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mount = text.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse::<u32>().ok());
    let outside = mount.filter(|mount| lines.iter().all(|line| line.id != *mount));
    Ok(outside.map(|mount| format!("file[{mount:x}:{inode:x}]")).unwrap_or_default())
}

/// Where the container's processes are frozen.
fn freezer(state: &State) -> Option<PathBuf> {
    state.cgroup.v1_directory("freezer").map(Path::to_owned).or_else(|| state.cgroup.v2.clone())
}

/// `net[4026531840]:extRootNetNS` for a namespace that was joined by path.
fn external_namespaces(pid: i32, plan: &Plan) -> anyhow::Result<Vec<String>> {
    let mut externals = Vec::new();
    for (_, flag, _) in plan.namespaces.joined() {
        let Some((_, kind, key)) = EXTERNAL_NAMESPACES.iter().find(|known| known.0 == flag) else { continue };
        let path = format!("/proc/{pid}/ns/{kind}");
        let status = nix::sys::stat::stat(path.as_str()).with_context(|| format!("stat {path}"))?;
        externals.push(format!("{kind}[{}]:{key}", status.st_ino));
    }
    Ok(externals)
}

fn mounts_of(pid: i32) -> anyhow::Result<Vec<MountLine>> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(read_mountinfo(&text))
}

/// The mounts of the container that came from outside, by their places in it.
fn mounts_from_outside(pid: i32, plan: &Plan, lines: &[MountLine]) -> anyhow::Result<Vec<PathBuf>> {
    let root = open_directory(Path::new(&format!("/proc/{pid}/root")))?;
    let resolved = |destination: &Path| resolve_in(&root, destination).unwrap_or_else(|| destination.to_owned());
    let mounts: Vec<_> = plan
        .rootfs
        .mounts
        .iter()
        .map(|mount| (resolved(&mount.destination), matches!(mount.kind, MountKind::Bind(_))))
        .collect();
    Ok(external_mounts(lines, &mounts))
}

/// A path of the container with its symlinks followed, as mountinfo shows it.
pub fn resolve_in(root: &File, path: &Path) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let name = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    let opened = resolve::open(root.as_fd(), path, Symlinks::Follow).ok()?;
    let (top, found) = (name(root.as_raw_fd())?, name(opened.as_raw_fd())?);
    Some(Path::new("/").join(found.strip_prefix(top).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("run/lock")).unwrap();
        std::os::unix::fs::symlink("/run", directory.path().join("var")).unwrap();
        let root = File::open(directory.path()).unwrap();
        assert_eq!(resolve_in(&root, Path::new("/var/lock")), Some("/run/lock".into()));
        assert_eq!(resolve_in(&root, Path::new("/")), Some("/".into()));
        assert_eq!(resolve_in(&root, Path::new("/missing")), None);
    }

    #[test]
    fn the_words_of_empty_ns_are_namespaces() {
        let words = ["network".to_owned(), "ipc".to_owned()];
        let both = (CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC).bits().cast_unsigned();
        assert_eq!(parse_empty_namespaces(words.iter()).unwrap(), both);
        let error = parse_empty_namespaces(["net".to_owned()].iter()).unwrap_err();
        assert!(error.to_string().starts_with("--empty-ns: \"net\" is not one of"), "{error}");
    }
}
