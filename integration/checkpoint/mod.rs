//! `checkpoint` and `restore`: a container into files and back, by CRIU. The runtime spec has neither; callers do.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container, Mode, cgroups, mode, runtime};

/// Counts, so that whoever comes back is known by where it goes on.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo count $i; sleep 0.05; done";

/// Leaves the test where CRIU does not work: too old for this kernel, or not allowed to.
macro_rules! need_criu {
    () => {
        if let Some(why) = missing_criu() {
            skip!("{why}");
        }
    };
}

fn missing_criu() -> Option<String> {
    let Ok(output) = Command::new("criu").arg("--version").output() else { return Some("no criu here".to_owned()) };
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = version.lines().next().and_then(|line| line.strip_prefix("Version: ")?.split('.').next()?.parse().ok());
    if major.is_none_or(|major: u32| major < 4) {
        return Some(format!("this criu is too old for new kernels: {}", version.trim()));
    }
    let check = Command::new("criu").arg("check").stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!check.is_ok_and(|status| status.success())).then(|| "this kernel lacks what criu needs".to_owned())
}

/// A container with images of its own.
struct Frozen {
    container: Container,
    images: PathBuf,
}

impl Frozen {
    fn new(bundle: Bundle) -> Self {
        let container = Container::new(bundle);
        let images = container.home.path().join("images");
        Self { container, images }
    }

    fn checkpoint(&self, flags: &[&str]) -> crate::harness::Outcome {
        let images = self.images.to_str().unwrap();
        let id = &self.container.id;
        self.container.call(&[&["checkpoint", "--image-path", images], flags, &[id]].concat())
    }

    /// `restore --detach`, writing where `create` did.
    fn restore(&self, flags: &[&str]) -> crate::harness::Outcome {
        let images = self.images.to_str().unwrap();
        let out = std::fs::File::options().append(true).open(self.container.home.path().join("out")).unwrap();
        let err = self.container.home.path().join("restore-err");
        let mut command = self.container.verb("restore", &[&["--detach", "--image-path", images], flags].concat());
        command.stdout(out).stderr(std::fs::File::create(&err).unwrap());
        let line = format!("{command:?}");
        let code = runtime::wait(command.spawn().unwrap(), &line);
        let stderr = std::fs::read_to_string(&err).unwrap();
        crate::harness::Outcome { line, code, stdout: String::new(), stderr }
    }

    fn count(&self) -> u32 {
        let output = self.container.output();
        output.lines().rev().find_map(|line| line.strip_prefix("count ")?.parse().ok()).unwrap_or(0)
    }

    /// Every process, as its limit of processes shows.
    fn assert_in_its_cgroups(&self) {
        assert_eq!(self.container.cgroup_file("pids", "pids.max").as_deref(), Some("100"));
        let init = std::fs::read_to_string(format!("/proc/{}/cgroup", self.container.pid())).unwrap();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let is_seen = |line: &&str| !line.starts_with("0::") || cgroups::hierarchies().iter().any(|h| h.v2);
        for (inside, ours) in init.lines().zip(own.lines()).filter(|(line, _)| is_seen(line)) {
            assert_ne!(inside, ours, "it is not in the cgroup of whoever restored it");
        }
        let current = self.container.cgroup_file("pids", "pids.current").unwrap();
        assert!(current.parse::<u32>().unwrap() >= 2, "its children are there too: {current}");
    }

    fn until_count(&self, count: u32) {
        runtime::eventually(&format!("it counts to {count}"), || self.count() >= count);
    }
}

/// A counter is frozen, is gone, comes back from its files and goes on where it was.
#[test]
fn a_counter_goes_on_where_it_was() {
    need_criu!();
    let frozen = Frozen::new(Bundle::sh(COUNTER).limited());
    frozen.container.launch();
    frozen.until_count(3);
    frozen.checkpoint(&[]).ok();
    // "Destroyed" after a checkpoint: nothing of it is left but its images.
    frozen.container.assert_nothing_left();
    let before = frozen.count();
    frozen.restore(&[]).ok();
    assert_eq!(frozen.container.status(), "running");
    frozen.until_count(before + 3);
    let output = frozen.container.output();
    let counts: Vec<u32> = output.lines().filter_map(|line| line.strip_prefix("count ")?.parse().ok()).collect();
    assert!(counts.windows(2).all(|pair| pair[1] == pair[0] + 1), "it counted on, without a gap: {counts:?}");
    if let Some(limit) = frozen.container.cgroup_file("pids", "pids.max") {
        assert_eq!(limit, "100", "the limits of config.json stand again");
    }
    assert_eq!(frozen.container.exec_sh("echo $$ is not 1; cat /proc/1/comm").ok().stdout.lines().nth(1), Some("sh"));
    frozen.container.stop();
    frozen.container.delete().ok();
}

/// With --leave-running the container goes on, and the images are complete all the same.
#[test]
fn a_container_left_running_goes_on() {
    need_criu!();
    let frozen = Frozen::new(Bundle::sh(COUNTER));
    frozen.container.launch();
    frozen.until_count(2);
    frozen.checkpoint(&["--leave-running"]).ok();
    assert_eq!(frozen.container.status(), "running");
    let at = frozen.count();
    frozen.until_count(at + 2);
    assert!(frozen.images.join("inventory.img").exists());
    frozen.container.stop();
    frozen.container.delete().ok();
    frozen.restore(&[]).refused_with(&["bad size"]);
    frozen.container.assert_nothing_left();
}

/// Bind mounts, masked and read-only paths, tmpfs with its files, and cgroup mounts are there again.
#[test]
fn the_mount_tree_comes_back() {
    need_criu!();
    let bundle = Bundle::sh("echo in memory > /scratch/file; while :; do echo count 1; sleep 0.05; done")
        .mount("tmpfs", "tmpfs", "/scratch", &["size=1m"])
        .mount("cgroup", "cgroup", "/sys/fs/cgroup", &["ro"])
        .file("/etc/secret", "secret", 0o644)
        .file("/etc/fixed", "fixed", 0o644)
        .set("/linux/maskedPaths", json!(["/etc/secret", "/proc/kcore"]))
        .set("/linux/readonlyPaths", json!(["/etc/fixed"]));
    std::fs::create_dir(bundle.beside("data")).unwrap();
    std::fs::write(bundle.beside("data/file"), "from outside").unwrap();
    std::fs::create_dir_all(bundle.rootfs("run")).unwrap();
    let data = bundle.beside("data");
    let frozen = Frozen::new(bundle.bind(data, "/data", &["ro"]));
    frozen.container.launch();
    frozen.until_count(1);
    let look = "cat /scratch/file /data/file /etc/secret /etc/fixed; touch /data/x /etc/fixed 2>&1; ls /sys/fs/cgroup";
    let before = frozen.container.exec_sh(look);
    frozen.checkpoint(&[]).ok();
    frozen.restore(&[]).ok();
    let after = frozen.container.exec_sh(look);
    assert!(before.stdout.starts_with("in memory\nfrom outsidefixed"), "{before:#?}");
    assert_eq!(before.stdout, after.stdout);
}

/// Prestart and createRuntime hooks run again, with the state of the restored container; poststop hooks at each end.
#[test]
fn the_runtimes_hooks_run_at_a_restore() {
    need_criu!();
    let bundle = Bundle::sh(COUNTER);
    let log = bundle.beside("hooks");
    let say = |word: &str| {
        format!("grep -o '\"status\":\"[a-z]*\"' | tr '\\n' ' ' >> {0}; echo {word} >> {0}", log.display())
    };
    let bundle = bundle.hook("createRuntime", &say("createRuntime")).hook("poststop", &say("poststop"));
    let frozen = Frozen::new(bundle);
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    frozen.restore(&[]).ok();
    frozen.container.stop();
    frozen.container.delete().ok();
    let create = "\"status\":\"created\" createRuntime\n";
    let end = "\"status\":\"stopped\" poststop\n";
    assert_eq!(frozen.container.bundle.read_beside("hooks"), format!("{create}{end}{create}{end}"));
}

/// A hook that fails stops the restore, and nothing is left.
#[test]
fn a_failing_hook_stops_the_restore() {
    need_criu!();
    let bundle = Bundle::sh(COUNTER);
    let flag = bundle.beside("fail");
    let frozen = Frozen::new(bundle.hook("createRuntime", &format!("test ! -e {}", flag.display())));
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    std::fs::write(&flag, "").unwrap();
    frozen.restore(&[]).refused_with(&["createRuntime hook 0"]);
    frozen.container.assert_nothing_left();
}

/// The pid file names the restored init, and a pidfd is not needed to find it.
#[test]
fn a_restore_writes_the_pid_file() {
    need_criu!();
    let frozen = Frozen::new(Bundle::sh(COUNTER));
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    let file = frozen.container.home.path().join("pid");
    frozen.restore(&["--pid-file", file.to_str().unwrap(), "-no-subreaper"]).ok();
    assert_eq!(std::fs::read_to_string(file).unwrap(), frozen.container.pid().to_string());
}

/// A container with a terminal gets its terminal's master at the console socket again.
#[test]
fn a_terminal_comes_back_at_the_console_socket() {
    need_criu!();
    let bundle = Bundle::sh("while read word; do echo you said $word; done").set("/process/terminal", json!(true));
    let frozen = Frozen::new(bundle);
    let container = &frozen.container;
    let first = ConsoleSocket::bind(container.home.path());
    crate::harness::runtime::outcome(container.verb("create", &["--console-socket", first.path.to_str().unwrap()]))
        .ok();
    let (mut terminal, _) = first.receive();
    container.start().ok();
    terminal.type_in("one\n");
    terminal.until("you said one");
    frozen.checkpoint(&[]).ok();
    let directory = tempfile::tempdir().unwrap();
    let second = ConsoleSocket::bind(directory.path());
    let flags = [
        "--detach",
        "--image-path",
        frozen.images.to_str().unwrap(),
        "--console-socket",
        second.path.to_str().unwrap(),
    ];
    crate::harness::runtime::outcome(container.verb("restore", &flags)).ok();
    let (mut terminal, _) = second.receive();
    terminal.type_in("two\n");
    terminal.until("you said two");
}

/// In the foreground, restore stays until the end, gives its status and deletes the container.
#[test]
fn a_restore_in_the_foreground_gives_the_status() {
    need_criu!();
    let bundle = Bundle::sh("echo count 1; while [ ! -e /go ]; do sleep 0.05; done; exit 7");
    let go = bundle.rootfs("go");
    let frozen = Frozen::new(bundle);
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    std::fs::write(go, "").unwrap();
    let out = std::fs::File::options().append(true).open(frozen.container.home.path().join("out")).unwrap();
    let mut command = frozen.container.verb("restore", &["--image-path", frozen.images.to_str().unwrap()]);
    command.stdout(out).stderr(Stdio::null());
    let err = std::fs::File::options().append(true).open(frozen.container.home.path().join("err")).unwrap();
    let child = command.stderr(err).spawn().unwrap();
    assert_eq!(runtime::wait(child, "restore"), 7);
    frozen.container.assert_nothing_left();
}

/// A network namespace that was joined by path is joined again, by the path of the new configuration.
#[test]
fn a_joined_network_namespace_is_joined_again() {
    need_criu!();
    let mut holder = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    runtime::eventually("the namespace is there", || std::fs::read_link(&path).is_ok_and(|link| link != own));
    let frozen = Frozen::new(Bundle::sh(COUNTER).namespace("network", Some(&path)));
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    frozen.restore(&[]).ok();
    let inside = std::fs::read_link(format!("/proc/{}/ns/net", frozen.container.pid())).unwrap();
    assert_eq!(inside, std::fs::read_link(&path).unwrap());
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// What cannot be checkpointed says why in one line, and runs on.
#[test]
fn what_cannot_be_checkpointed_runs_on() {
    need_criu!();
    only_rt!(); // the line that quotes CRIU
    // A TCP connection, without --tcp-established.
    let script =
        "nc -l -p 7 -e cat & sleep 0.3; nc 127.0.0.1 7 < /dev/zero > /dev/null & sleep 0.3; echo count 1; wait";
    let frozen = Frozen::new(Bundle::sh(script).capabilities(&["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"]));
    frozen.container.launch();
    frozen.until_count(1);
    let outcome = frozen.checkpoint(&[]).refused_with(&["checkpoint", "criu: ", "dump.log"]);
    assert!(outcome.stderr.contains("tcp"), "{outcome:#?}");
    assert_eq!(frozen.container.status(), "running");
    assert!(frozen.images.join("dump.log").exists(), "the log is kept");
}

/// A hierarchy of cgroup v1 that is not here any more does not stop a restore: the processes, all of them, are in the
/// container's cgroups of those that are.
#[test]
fn a_hierarchy_that_is_gone_does_not_stop_the_restore() {
    need_criu!();
    only_rt!();
    if crate::harness::cgroups::directory("freezer", "/").is_none() {
        skip!("no hierarchy of cgroup v1");
    }
    let frozen = Frozen::new(Bundle::sh(&format!("sleep 1000 & {COUNTER}")).limited());
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    let image = frozen.images.join("cgroup.img");
    let mut bytes = std::fs::read(&image).unwrap();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"freezer")).collect();
    assert!(!places.is_empty(), "it was in the hierarchy");
    for at in places {
        bytes[at..at + 7].copy_from_slice(b"is_gone");
    }
    std::fs::write(&image, bytes).unwrap();
    let before = frozen.count();
    frozen.restore(&[]).ok();
    frozen.until_count(before + 2);
    frozen.assert_in_its_cgroups();
}

/// The container sees its own cgroup, as the root of its namespace and of its mounts: not that of who restored it. Under
/// systemd it is the unit of then, with its limits.
#[test]
fn the_cgroup_is_seen_as_before() {
    need_criu!();
    need_cgroup!();
    let bundle = Bundle::sh(COUNTER).limited().mount("cgroup", "cgroup", "/sys/fs/cgroup", &["ro"]);
    let frozen = Frozen::new(bundle);
    frozen.container.launch();
    frozen.until_count(1);
    let look = "cat /proc/1/cgroup; grep ' - cgroup' /proc/self/mountinfo | cut -d' ' -f4,5; cat /sys/fs/cgroup/pids.max \
                /sys/fs/cgroup/pids/pids.max 2>/dev/null; true";
    let before = frozen.container.exec_sh(look).ok().stdout;
    assert!(before.lines().all(|line| line.ends_with(":/") || line.starts_with("/ ") || line == "100"), "{before}");
    frozen.checkpoint(&[]).ok();
    frozen.restore(&[]).ok();
    assert_eq!(frozen.container.exec_sh(look).ok().stdout, before);
    if mode() == Mode::Systemd {
        let unit = format!("rt-{}.scope", frozen.container.id);
        let tasks =
            || Command::new("systemctl").args(["show", "-P", "TasksMax", "-P", "LoadState", &unit]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&tasks().stdout), "100\nloaded\n");
        frozen.container.delete_force().ok();
        assert!(String::from_utf8_lossy(&tasks().stdout).contains("not-found"));
    }
}

/// Whom CRIU does not take into a cgroup, the runtime does: nobody is left in its own.
#[test]
fn where_criu_ignores_cgroups_the_runtime_does_not() {
    need_criu!();
    let frozen = Frozen::new(Bundle::sh(&format!("sleep 1000 & {COUNTER}")).limited());
    frozen.container.launch();
    frozen.until_count(1);
    frozen.checkpoint(&[]).ok();
    frozen.restore(&["--manage-cgroups-mode", "ignore"]).ok();
    frozen.assert_in_its_cgroups();
}

/// --pre-dump writes the memory while the container goes on; the checkpoint names it by --parent-path, and holds the rest.
#[test]
fn a_pre_dump_is_the_parent_of_a_checkpoint() {
    need_criu!();
    let tracks = Command::new("criu").args(["check", "--feature", "mem_dirty_track"]).stderr(Stdio::null()).status();
    if !tracks.is_ok_and(|status| status.success()) {
        skip!("this kernel does not track what is written to memory");
    }
    let frozen = Frozen::new(Bundle::sh(COUNTER));
    frozen.container.launch();
    frozen.until_count(2);
    let before = frozen.container.home.path().join("before");
    let id = &frozen.container.id;
    frozen.container.call(&["checkpoint", "--image-path", before.to_str().unwrap(), "--pre-dump", id]).ok();
    let at = frozen.count();
    frozen.until_count(at + 2);
    assert_eq!(frozen.container.status(), "running");
    frozen.checkpoint(&["--parent-path", "../before"]).ok();
    assert!(frozen.images.join("parent").exists(), "the images refer to those of before");
    let at = frozen.count();
    frozen.restore(&[]).ok();
    frozen.until_count(at + 2);
}

/// A TCP connection goes on with --tcp-established at both ends.
#[test]
fn a_tcp_connection_goes_on() {
    need_criu!();
    let script = "nc -l -p 7 -e cat & sleep 0.3; \
        (i=0; while :; do i=$((i+1)); echo count $i; sleep 0.05; done) | nc 127.0.0.1 7";
    let frozen = Frozen::new(Bundle::sh(script).capabilities(&["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"]));
    frozen.container.launch();
    frozen.until_count(3);
    let outcome = frozen.checkpoint(&["--tcp-established"]);
    if outcome.stderr.contains("Can't get 1:16 opt: Operation not supported") {
        skip!("since Linux 6.16 a TCP socket has no SO_PASSCRED, which this criu asks for");
    }
    outcome.ok();
    let before = frozen.count();
    frozen.restore(&["--tcp-established"]).ok();
    frozen.until_count(before + 3);
}

/// Wrong states and wrong flags are told before CRIU is called.
#[test]
fn a_checkpoint_needs_a_running_container() {
    need_root!("checkpoint");
    let frozen = Frozen::new(Bundle::sleeping());
    frozen.checkpoint(&[]).refused_with(&["does not exist"]);
    frozen.container.create().ok();
    frozen.checkpoint(&[]).refused_with(&["created"]);
    frozen.container.start().ok();
    frozen.checkpoint(&["--empty-ns", "net"]).refused_with(&["--empty-ns", "network"]);
    frozen.checkpoint(&["--page-server", "nowhere"]).refused_with(&["ADDRESS:PORT"]);
    frozen.checkpoint(&["--parent-path", "/abs"]).refused_with(&["relative"]);
    frozen.container.stop();
    frozen.checkpoint(&[]).refused_with(&["container not running"]);
    assert!(!frozen.images.exists(), "nothing was made");
}

/// A directory without a checkpoint is told as such.
#[test]
fn a_restore_needs_images() {
    need_root!("restore");
    let frozen = Frozen::new(Bundle::sleeping());
    std::fs::write(frozen.container.home.path().join("out"), "").unwrap();
    frozen.restore(&[]).refused_with(&["--image-path", "no checkpoint"]);
    frozen.container.assert_nothing_left();
}

/// podman asks `restore --lsm-mount-context` without its value whether the flag is known.
#[test]
fn a_flag_without_its_value_says_that_it_requires_one() {
    let frozen = Frozen::new(Bundle::sleeping());
    let outcome = frozen.container.call(&["restore", "--lsm-mount-context"]).refused();
    assert!(outcome.stderr.contains("requires an argument"), "{outcome:#?}");
    frozen.container.call(&["checkpoint", "--help"]).ok();
}

/// crun's annotation `org.criu.config`: a file with more options for CRIU, which knows what they mean or refuses them.
#[test]
fn an_annotation_names_a_file_of_options() {
    need_criu!();
    only_rt!();
    for (options, good) in [("ext-unix-sk\n", true), ("no-such-option\n", false)] {
        let bundle = Bundle::sh(COUNTER);
        let file = bundle.beside("criu.conf");
        std::fs::write(&file, options).unwrap();
        let frozen = Frozen::new(bundle.set("/annotations", json!({ "org.criu.config": file })));
        frozen.container.launch().until_output("count 3");
        let outcome = frozen.checkpoint(&[]);
        if good {
            outcome.ok();
        } else {
            outcome.refused();
            assert_eq!(frozen.container.status(), "running");
        }
    }
}
