//! The flags of checkpoint and restore: those of runc and crun together.

use clap::{ArgAction, Command, value_parser};

use super::flags::{self, choice, path, switch, text};

/// What both have in common.
fn images(command: Command) -> Command {
    command.args([
        path("image-path", "DIR", "the image files [./checkpoint]"),
        path("work-path", "DIR", "CRIU's log and statistics [the image files' directory]"),
        switch("tcp-established", "allow TCP connections"),
        switch("ext-unix-sk", "allow unix sockets that lead outside"),
        switch("shell-job", "allow a terminal or a session that is the caller's"),
        switch("file-locks", "keep file locks"),
        switch("link-remap", "keep files that were unlinked"),
        switch("auto-dedup", "remove pages from images that have become old"),
        switch("lazy-pages", "bring memory when it is needed, by `criu lazy-pages`"),
        choice("manage-cgroups-mode", "soft|full|strict|ignore", "what becomes of the cgroups [soft]"),
        text("empty-ns", "NAMESPACE", "leave what is in this namespace out").action(ArgAction::Append),
        choice("network-lock", "iptables|nftables|skip", "how the network stands still meanwhile [iptables]"),
    ])
}

/// rt checkpoint [FLAGS] ID
pub fn checkpoint(command: Command) -> Command {
    images(command).args([
        switch("leave-running", "let the container go on").short('R'),
        switch("pre-dump", "only copy the memory, and let the container go on"),
        path("parent-path", "DIR", "images of the dump before, relative to the image files"),
        switch("tcp-skip-in-flight", "leave TCP connections out that are being made"),
        text("page-server", "ADDRESS:PORT", "send memory there"),
        text("status-fd", "N", "write a zero byte to descriptor N when lazy pages can be fetched")
            .value_parser(value_parser!(i32).range(0..)),
        flags::id(),
    ])
}

/// rt restore [FLAGS] ID
pub fn restore(command: Command) -> Command {
    images(flags::run(command)).args([
        switch("tcp-close", "close the TCP connections of the images"),
        text("lsm-profile", "TYPE:NAME", "the label of the processes: apparmor:NAME or selinux:LABEL"),
        text("lsm-mount-context", "CONTEXT", "the SELinux context of the mounts"),
    ])
}
