//! `criu_opts`: what CRIU is asked to do, and how.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::wire::Writer;

/// What becomes of the cgroups of the processes, as `--manage-cgroups-mode` names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Nothing.
    Ignore,
    /// Those that are missing are made, with their properties.
    #[default]
    Soft,
    /// All are made, with their properties.
    Full,
    /// All have to be missing before.
    Strict,
}

impl CgroupMode {
    /// The word of the command line.
    pub fn from_word(word: &str) -> Option<CgroupMode> {
        Some(match word {
            "ignore" => CgroupMode::Ignore,
            "soft" => CgroupMode::Soft,
            "full" => CgroupMode::Full,
            "strict" => CgroupMode::Strict,
            _ => return None,
        })
    }

    /// Its number in rpc.proto.
    fn number(self) -> i64 {
        match self {
            CgroupMode::Ignore => 0,
            CgroupMode::Soft => 3,
            CgroupMode::Full => 4,
            CgroupMode::Strict => 5,
        }
    }
}

/// How the network stands still meanwhile, as `--network-lock` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkLock {
    /// By iptables; CRIU's default.
    Iptables,
    /// By nftables.
    Nftables,
    /// Not at all.
    Skip,
}

impl NetworkLock {
    /// The word of the command line.
    pub fn from_word(word: &str) -> Option<NetworkLock> {
        Some(match word {
            "iptables" => NetworkLock::Iptables,
            "nftables" => NetworkLock::Nftables,
            "skip" => NetworkLock::Skip,
            _ => return None,
        })
    }

    fn number(self) -> i64 {
        match self {
            NetworkLock::Iptables => 1,
            NetworkLock::Nftables => 2,
            NetworkLock::Skip => 3,
        }
    }
}

/// Where memory pages go instead of into files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageServer {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
}

impl PageServer {
    /// Reads `ADDRESS:PORT`.
    pub fn parse(text: &str) -> Option<PageServer> {
        let (address, port) = text.rsplit_once(':')?;
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!address.is_empty()).then(|| PageServer { address: address.to_owned(), port })
    }
}

/// All that `rt` asks of CRIU. A field that is absent or false is left to CRIU's default.
#[derive(Debug)]
pub struct Options {
    /// The directory of the image files.
    pub images: File,
    /// The directory of the log.
    pub work: File,
    /// Name of the log in it.
    pub log_file: &'static str,
    /// Whom to dump.
    pub pid: Option<i32>,
    /// The root of the container's mount tree.
    pub root: PathBuf,
    /// The processes go on afterwards.
    pub leave_running: bool,
    /// Unix sockets with a peer outside are allowed.
    pub ext_unix_sockets: bool,
    /// TCP connections are kept.
    pub tcp_established: bool,
    /// TCP connections are closed at restore.
    pub tcp_close: bool,
    /// TCP connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// A session leader or a terminal outside is allowed.
    pub shell_job: bool,
    /// File locks are kept.
    pub file_locks: bool,
    /// Files that were unlinked get a name again.
    pub link_remap: bool,
    /// Pages that are in an earlier image are removed from it.
    pub auto_dedup: bool,
    /// Changes of memory are tracked for the next dump.
    pub track_memory: bool,
    /// The images of the dump before, relative to those of this one.
    pub parent: Option<PathBuf>,
    /// Pages are brought when they are needed.
    pub lazy_pages: bool,
    /// Gets a zero byte when lazy pages may be fetched.
    pub status_fd: Option<i32>,
    /// Where pages go.
    pub page_server: Option<PageServer>,
    /// What becomes of cgroups.
    pub cgroup_mode: CgroupMode,
    /// Where the cgroups are restored: a controller, or none for cgroup2, and a path from the hierarchy's root.
    pub cgroup_roots: Vec<(Option<String>, PathBuf)>,
    /// The freezer's directory.
    pub freeze_cgroup: Option<PathBuf>,
    /// Namespaces whose contents are left out, as CLONE_NEW* flags.
    pub empty_namespaces: u32,
    /// Mounts from outside: what they are called in the images, and at restore the source.
    pub external_mounts: Vec<(PathBuf, PathBuf)>,
    /// Other things from outside, such as `net[4026531840]:name`.
    pub externals: Vec<String>,
    /// Descriptors of ours that take the place of what was dumped under a name.
    pub inherited: Vec<(String, Passed)>,
    /// The terminal's master comes to us, at restore.
    pub orphan_pts_master: bool,
    /// The restored init becomes our child, not CRIU's.
    pub restore_as_sibling: bool,
    /// How the network stands still.
    pub network_lock: Option<NetworkLock>,
    /// `apparmor:NAME` or `selinux:LABEL` for the restored processes.
    pub lsm_profile: Option<String>,
    /// The SELinux context of the restored mounts.
    pub lsm_mount_context: Option<String>,
    /// A file with more options, as criu(8) describes it.
    pub config_file: Option<PathBuf>,
}

/// A descriptor that CRIU gets.
#[derive(Debug)]
pub enum Passed {
    /// One of the standard streams, which stay open anyway.
    Stream(i32),
    /// One that was opened for this.
    Own(OwnedFd),
}

impl Passed {
    fn number(&self) -> i32 {
        match self {
            Passed::Stream(number) => *number,
            Passed::Own(fd) => fd.as_raw_fd(),
        }
    }
}

impl Options {
    /// Nothing but where things are.
    pub fn new(images: File, work: File, log_file: &'static str, root: &Path) -> Options {
        Options {
            images,
            work,
            log_file,
            root: root.to_owned(),
            pid: None,
            leave_running: false,
            ext_unix_sockets: false,
            tcp_established: false,
            tcp_close: false,
            tcp_skip_in_flight: false,
            shell_job: false,
            file_locks: false,
            link_remap: false,
            auto_dedup: false,
            track_memory: false,
            parent: None,
            lazy_pages: false,
            status_fd: None,
            page_server: None,
            cgroup_mode: CgroupMode::default(),
            cgroup_roots: Vec::new(),
            freeze_cgroup: None,
            empty_namespaces: 0,
            external_mounts: Vec::new(),
            externals: Vec::new(),
            inherited: Vec::new(),
            orphan_pts_master: false,
            restore_as_sibling: false,
            network_lock: None,
            lsm_profile: None,
            lsm_mount_context: None,
            config_file: None,
        }
    }

    /// The message, by the numbers of CRIU's rpc.proto.
    pub(super) fn encode(&self) -> Writer {
        let mut out = Writer::default();
        out.number(1, i64::from(self.images.as_raw_fd()));
        if let Some(pid) = self.pid {
            out.number(2, i64::from(pid));
        }
        out.flag(3, self.leave_running)
            .flag(4, self.ext_unix_sockets)
            .flag(5, self.tcp_established)
            .flag(7, self.shell_job)
            .flag(8, self.file_locks)
            // Everything but the dump of every page: what a bug report needs.
            .number(9, 4)
            .text(10, self.log_file.as_bytes());
        if let Some(PageServer { address, port }) = &self.page_server {
            let mut server = Writer::default();
            server.text(1, address.as_bytes()).number(2, i64::from(*port));
            out.message(11, &server);
        }
        // We want to hear of every stage.
        out.flag(12, true).text(13, bytes(&self.root));
        if let Some(parent) = &self.parent {
            out.text(14, bytes(parent));
        }
        out.flag(15, self.track_memory)
            .flag(16, self.auto_dedup)
            .number(17, i64::from(self.work.as_raw_fd()))
            .flag(18, self.link_remap);
        for (key, value) in &self.external_mounts {
            let mut pair = Writer::default();
            pair.text(1, bytes(key)).text(2, bytes(value));
            out.message(23, &pair);
        }
        out.flag(24, self.cgroup_mode != CgroupMode::Ignore);
        for (controller, path) in &self.cgroup_roots {
            let mut root = Writer::default();
            if let Some(controller) = controller {
                root.text(1, controller.as_bytes());
            }
            out.message(25, root.text(2, bytes(path)));
        }
        out.flag(26, self.restore_as_sibling);
        for (key, fd) in &self.inherited {
            let mut pair = Writer::default();
            pair.text(1, key.as_bytes()).number(2, i64::from(fd.number()));
            out.message(27, &pair);
        }
        // A bind mount that is a slave of the host's is external, not broken.
        out.flag(30, true).number(34, self.cgroup_mode.number());
        for external in &self.externals {
            out.text(37, external.as_bytes());
        }
        if self.empty_namespaces != 0 {
            out.number(38, i64::from(self.empty_namespaces));
        }
        if let Some(directory) = &self.freeze_cgroup {
            out.text(44, bytes(directory));
        }
        out.flag(46, self.tcp_skip_in_flight).flag(48, self.lazy_pages);
        if let Some(fd) = self.status_fd {
            out.number(49, i64::from(fd));
        }
        out.flag(50, self.orphan_pts_master);
        if let Some(file) = &self.config_file {
            out.text(51, bytes(file));
        }
        out.flag(52, self.tcp_close);
        if let Some(profile) = &self.lsm_profile {
            out.text(53, profile.as_bytes());
        }
        if let Some(context) = &self.lsm_mount_context {
            out.text(63, context.as_bytes());
        }
        if let Some(lock) = self.network_lock {
            out.number(64, lock.number());
        }
        out
    }

    /// Every descriptor that CRIU has to inherit under its number.
    pub(super) fn descriptors(&self) -> Vec<i32> {
        let held = [self.images.as_raw_fd(), self.work.as_raw_fd()].into_iter();
        held.chain(self.inherited.iter().map(|(_, fd)| fd.number())).chain(self.status_fd).collect()
    }
}

fn bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        let parsed = |text: &str| PageServer::parse(text).map(|server| (server.address, server.port));
        assert_eq!(parsed("10.0.0.1:1234"), Some(("10.0.0.1".into(), 1234)));
        assert_eq!(parsed("[::1]:1"), Some(("::1".into(), 1)));
        for wrong in ["", "host", ":1", "host:", "host:0", "host:65536", "host:x"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_left_to_criu() {
        let directory = || File::open("/").unwrap();
        let options = Options::new(directory(), directory(), "dump.log", Path::new("/r"));
        let message = options.encode();
        let fields: Vec<u32> = wire::read(message.bytes()).unwrap().iter().map(|(field, _)| *field).collect();
        // images_dir_fd, log_level, log_file, notify_scripts, root, work_dir_fd, manage_cgroups, ext_masters, the mode
        assert_eq!(fields, [1, 9, 10, 12, 13, 17, 24, 30, 34]);
    }

    #[test]
    fn every_word_of_the_command_line_has_its_number() {
        for (word, number) in [("ignore", 0), ("soft", 3), ("full", 4), ("strict", 5)] {
            assert_eq!(CgroupMode::from_word(word).unwrap().number(), number);
        }
        for (word, number) in [("iptables", 1), ("nftables", 2), ("skip", 3)] {
            assert_eq!(NetworkLock::from_word(word).unwrap().number(), number);
        }
        assert_eq!((CgroupMode::from_word("props"), NetworkLock::from_word("")), (None, None));
    }
}
