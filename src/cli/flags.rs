//! The flags and operands of each verb: those of runc, crun and youki together.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

/// A flag without value.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// A flag with a file name.
pub fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
}

/// A flag with any text.
pub fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// A flag with one of a few words: `"text|json"`.
pub fn choice(name: &'static str, words: &'static str, help: &'static str) -> Arg {
    let known: Vec<&str> = words.split('|').collect();
    Arg::new(name).long(name).value_name(words).hide_possible_values(true).value_parser(known).help(help)
}

/// A flag that may be given several times, each adding to the one before.
fn list(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    text(name, value, help).action(ArgAction::Append)
}

/// The container that the verb is about.
pub fn id() -> Arg {
    Arg::new("id").value_name("ID").required(true).help("the container")
}

fn preserve_fds() -> Arg {
    text("preserve-fds", "N", "pass descriptors 3 to 2+N on as well").value_parser(value_parser!(u32))
}

fn console_socket() -> Arg {
    path("console-socket", "SOCKET", "send the master of the terminal there")
}

fn pid_file() -> Arg {
    path("pid-file", "FILE", "write the pid of the process there")
}

fn pidfd_socket() -> Arg {
    path("pidfd-socket", "SOCKET", "send a pidfd of the process there")
}

/// rt create [FLAGS] ID
pub fn create(command: Command) -> Command {
    command.args([
        path("bundle", "DIR", "directory with config.json [.]").short('b'),
        path("config", "FILE", "the configuration, when it is not DIR/config.json").short('f'),
        pid_file().short('p'),
        console_socket().short('c'),
        pidfd_socket(),
        switch("no-pivot", "chroot instead of pivot_root, for a root in a ramfs"),
        switch("no-new-keyring", "keep the caller's session keyring"),
        switch("no-subreaper", "ignored").hide(true),
        preserve_fds(),
        id(),
    ])
}

/// rt run [FLAGS] ID
pub fn run(command: Command) -> Command {
    const ENVIRONMENT: &str = "Environment:\n  NOTIFY_SOCKET  what the program says to its own is passed on; --detach waits for READY=1\n\
                               \x20 LISTEN_FDS     so many descriptors from 3 on are handed on, before those of --preserve-fds";
    create(command).after_help(ENVIRONMENT).args([
        switch("detach", "return when the process runs").short('d'),
        switch("keep", "do not delete the container when its process ends"),
    ])
}

/// rt start ID
pub fn start(command: Command) -> Command {
    const NOTIFY: &str = "With NOTIFY_SOCKET in the environment of create and start, what the program says to its own\n\
                          is passed on, and start returns when it has said READY=1 or has ended.";
    command.after_help(NOTIFY).arg(id())
}

/// rt exec [FLAGS] ID [COMMAND...]
pub fn exec(command: Command) -> Command {
    command.args([
        path("process", "FILE", "a process object as in config.json, instead of COMMAND").short('p'),
        switch("detach", "return when the process runs").short('d'),
        switch("tty", "give it a terminal").short('t'),
        text("cwd", "DIR", "its working directory"),
        list("env", "NAME=VALUE", "add to its environment").short('e'),
        text("user", "UID[:GID]", "its user").short('u'),
        list("additional-gids", "GID", "add to its groups")
            .short('g')
            .value_delimiter(',')
            .value_parser(value_parser!(u32)),
        list("cap", "NAME", "add to its capabilities").short('c'),
        switch("no-new-privs", "forbid new privileges"),
        text("apparmor", "PROFILE", "its AppArmor profile"),
        text("process-label", "LABEL", "its SELinux label"),
        list("cgroup", "[CTRL:]PATH", "a cgroup below the container's"),
        pid_file(),
        console_socket(),
        pidfd_socket(),
        preserve_fds(),
        switch("ignore-paused", "do not mind that the container is paused"),
        id(),
        Arg::new("command")
            .value_name("COMMAND")
            .num_args(0..)
            .trailing_var_arg(true)
            .value_parser(value_parser!(std::ffi::OsString))
            .help("program and arguments"),
    ])
}

/// rt kill [FLAGS] ID [SIGNAL]
pub fn kill(command: Command) -> Command {
    command.args([
        switch("all", "signal every process of the container").short('a'),
        switch("regex", "ID is a pattern: signal all that match").short('r'),
        id(),
        Arg::new("signal").value_name("SIGNAL").help("TERM, SIGTERM or 15 [TERM]"),
    ])
}

/// rt delete [FLAGS] ID
pub fn delete(command: Command) -> Command {
    command.args([
        switch("force", "kill it first; no error when it does not exist").short('f'),
        switch("regex", "ID is a pattern: delete all that match").short('r'),
        id(),
    ])
}

/// rt state ID
pub fn state(command: Command) -> Command {
    command.arg(id())
}

/// rt list [FLAGS]
pub fn list_containers(command: Command) -> Command {
    command.args([
        choice("format", "table|json", "form of the list [table]").short('f'),
        switch("quiet", "only the ids").short('q'),
    ])
}

/// rt ps [FLAGS] ID [PS FLAGS...]
pub fn ps(command: Command) -> Command {
    command.args([
        choice("format", "table|json", "form of the list [table]").short('f'),
        id(),
        Arg::new("ps").value_name("PS FLAGS").num_args(0..).trailing_var_arg(true).help("flags for ps(1) [-ef]"),
    ])
}

/// rt pause ID
pub fn pause(command: Command) -> Command {
    command.arg(id())
}

/// rt resume ID
pub fn resume(command: Command) -> Command {
    command.arg(id())
}

/// rt events [FLAGS] ID
pub fn events(command: Command) -> Command {
    command.args([
        text("interval", "TIME", "how often to show what it uses, like 500ms or 1m30s [5s]"),
        switch("stats", "show what it uses once"),
        id(),
    ])
}

/// rt mounts add|remove ID FILE
pub fn mounts(command: Command) -> Command {
    command.args([
        Arg::new("action").value_name("add|remove").required(true).help("what is done"),
        id(),
        Arg::new("file")
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("JSON, the mounts as in config.json; - is standard input"),
    ])
}

/// rt update [FLAGS] ID
pub fn update(command: Command) -> Command {
    let ignored = |name: &'static str| text(name, "BYTES", "ignored: it is part of --memory").hide(true);
    command.args([
        path("resources", "FILE", "new limits as JSON, like linux.resources; - is standard input").short('r'),
        text("memory", "BYTES", "limit of memory, like 64m; -1 is none"),
        text("memory-swap", "BYTES", "limit of memory and swap together; -1 is none"),
        text("memory-reservation", "BYTES", "what is left to it when memory is short"),
        text("cpu-share", "N", "weight against other containers, 2 to 262144"),
        text("cpu-quota", "US", "microseconds of CPU time in each period; -1 is no limit"),
        text("cpu-period", "US", "length of the period"),
        text("cpu-burst", "US", "how much unused quota may be saved up"),
        text("cpu-idle", "0|1", "run only when nothing else wants to"),
        text("cpu-rt-period", "US", "period of real-time processes"),
        text("cpu-rt-runtime", "US", "their microseconds in each period"),
        text("cpuset-cpus", "LIST", "on which CPUs, like 0-3,7"),
        text("cpuset-mems", "LIST", "from which memory nodes"),
        text("pids-limit", "N", "how many processes; -1 is no limit"),
        text("blkio-weight", "N", "weight at block devices, 10 to 1000"),
        text("l3-cache-schema", "LINE", "share of the L3 cache (Intel RDT)"),
        text("mem-bw-schema", "LINE", "share of the memory bandwidth (Intel RDT)"),
        ignored("kernel-memory"),
        ignored("kernel-memory-tcp"),
        id(),
    ])
}

/// rt spec [FLAGS]
pub fn spec(command: Command) -> Command {
    command.args([
        path("bundle", "DIR", "write DIR/config.json [.]").short('b'),
        path("config", "FILE", "write FILE instead; - is standard output").short('f').alias("file"),
        switch("rootless", "for a caller without privilege"),
    ])
}

/// rt features
pub fn features(command: Command) -> Command {
    command
}

/// rt explain [FLAGS]
pub fn explain(command: Command) -> Command {
    check(command).arg(switch("seccomp", "print the system call filter instead: what it means, and its program"))
}

/// rt check [FLAGS]
pub fn check(command: Command) -> Command {
    command.args([
        path("bundle", "DIR", "directory with config.json [.]").short('b'),
        path("config", "FILE", "the configuration, when it is not DIR/config.json").short('f'),
        switch("json", "print JSON"),
    ])
}
