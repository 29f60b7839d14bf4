//! What the command line wants of a new container, beyond config.json.

use std::path::PathBuf;

/// The flags of create, run and restore that the stages need.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The container's id.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// `--pid-file`
    pub pid_file: Option<PathBuf>,
    /// `--console-socket`
    pub console_socket: Option<PathBuf>,
    /// `--pidfd-socket`
    pub pidfd_socket: Option<PathBuf>,
    /// `--no-pivot`
    pub no_pivot: bool,
    /// Unless `--no-new-keyring`.
    pub new_keyring: bool,
    /// `--preserve-fds`, and LISTEN_FDS: how many descriptors from 3 on the container keeps.
    pub preserve_fds: u32,
    /// Whether the container gets a notify socket of its own.
    pub has_notify_socket: bool,
    /// Whether a user namespace may deny setgroups(2).
    pub may_deny_setgroups: bool,
}
