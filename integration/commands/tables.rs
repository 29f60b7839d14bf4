//! The flags of all runtimes that rt takes the place of, one after the other: each is accepted, and acted on.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::{Value, json};

use super::flags::line;
use crate::harness::runtime::{eventually, outcome};
use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container, cgroups};

fn ran(args: &[&str]) -> Container {
    Container::new(Bundle::args(args))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A shell that calls the runtime: for what must be inherited.
fn shell(container: &Container, script: &str) -> crate::harness::Outcome {
    let mut command = std::process::Command::new("sh");
    command.env("RT", &crate::harness::runtime().path).env("ROOT", container.root()).env("ID", &container.id);
    command.env("BUNDLE", container.bundle.dir.path()).env("HOME", container.home.path());
    command.env(crate::harness::container::MARK, &container.id).stdin(std::process::Stdio::null());
    outcome({
        command.args(["-c", script]);
        command
    })
}

#[test]
fn global_flags_of_all_runtimes_do_what_they_say() {
    only_rt!();
    need_root!("write to /dev/log");
    need_cgroupfs!();
    // --root DIR, --root=DIR, -r DIR; the root of the file system is no place for state.
    for root in ["--root ROOT", "--root=ROOT", "-r ROOT", "-root ROOT"] {
        let container = ran(&["true"]);
        line(&container, &format!("{root} create --bundle BUNDLE ID")).ok();
        assert!(container.root().join(&container.id).is_dir(), "{root}");
    }
    line(&ran(&["true"]), "--root / list").refused_with(&["--root /"]);

    // --log FILE and file:FILE, 0644, appended to; --log-format text or json.
    for (log, format, words) in [("", "text", "level=error msg="), ("file:", "json", "\"level\":\"error\",\"msg\":")] {
        let container = ran(&["true"]);
        let said = format!("--root ROOT --log {log}HOME/log --log-format {format} start ID");
        line(&container, &said).refused();
        line(&container, &said.replace("--log-format ", "--log-format=")).refused();
        let file = container.home.path().join("log");
        assert_eq!(text(&file).matches(words).count(), 2, "{}", text(&file));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
    // journald:ID, syslog:ID.
    for (log, socket, words) in [
        ("journald:some", "/run/systemd/journal/socket", "PRIORITY=3\nSYSLOG_IDENTIFIER=some\nMESSAGE="),
        ("syslog:some", "/dev/log", "<27>some: "),
    ] {
        std::fs::create_dir_all(Path::new(socket).parent().unwrap()).unwrap();
        let server = UnixDatagram::bind(socket).unwrap();
        line(&ran(&["true"]), &format!("--log={log} --root ROOT start ID")).refused();
        let mut buffer = [0; 4096];
        let length = server.recv(&mut buffer).unwrap();
        std::fs::remove_file(socket).unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).starts_with(words), "{log}");
    }
    // --log-level: what is tolerated is said from `warning` on. --debug.
    for (level, said) in
        [("--log-level error", false), ("--log-level=warning", true), ("--log-level debug", true), ("--debug", true)]
    {
        let container = Container::new(Bundle::args(&["true"]).capabilities(&["CAP_FROM_THE_FUTURE"]));
        let outcome = line(&container, &format!("--root ROOT {level} run --bundle BUNDLE ID")).ok();
        assert_eq!(outcome.stderr.contains("CAP_FROM_THE_FUTURE"), said, "{level}: {}", outcome.stderr);
        let plan = outcome.stderr.lines().filter(|line| line.starts_with("rt: debug: ")).count();
        assert_eq!(plan > 10, level.ends_with("debug"), "{level}: {}", outcome.stderr);
    }
    // --cgroup-manager, --systemd-cgroup: who makes the cgroup. There is no systemd here.
    for (flags, cgroup) in [
        ("--cgroup-manager cgroupfs", true),
        ("--systemd-cgroup=false", true),
        ("--systemd-cgroup --systemd-cgroup=false", true),
        ("--cgroup-manager=disabled", false),
        ("--cgroup-manager disabled --systemd-cgroup", false),
    ] {
        let container = ran(&["true"]);
        line(&container, &format!("--root ROOT {flags} create --bundle BUNDLE ID")).ok();
        assert_eq!(!cgroups::existing(&container.cgroup()).is_empty(), cgroup, "{flags}");
        line(&container, "--root ROOT delete --force ID").ok();
    }
    for flags in ["--systemd-cgroup", "--systemd-cgroup=true", "-s", "--cgroup-manager systemd"] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/cgroupsPath", json!("rt.slice:rt:x")));
        line(&container, &format!("--root ROOT {flags} create --bundle BUNDLE ID")).refused_with(&["systemd"]);
    }
    // --rootless; --criu, --systemd-log: there is nothing to do.
    for flags in
        ["--rootless true", "--rootless=false", "--rootless auto", "--criu /usr/sbin/criu", "--systemd-log", "-criu=x"]
    {
        line(&ran(&["true"]), &format!("--root ROOT {flags} run --bundle BUNDLE ID")).ok();
    }
    line(&ran(&["true"]), "--rootless maybe list").refused_with(&["--rootless"]);
    // What only prints: on standard output, and nothing else.
    for flag in ["-v", "-V", "--version", "-version", "-h", "--help", "-?", "--usage"] {
        let outcome = line(&ran(&["true"]), flag).ok();
        assert!(!outcome.stdout.is_empty() && outcome.stderr.is_empty(), "{flag}");
    }
}

#[test]
fn flags_of_create_and_run_do_what_they_say() {
    only_rt!();
    // -b, --bundle, --pid-file: digits, whole, and nothing beside it.
    let container = ran(&["sleep", "1000"]);
    line(&container, "--root ROOT create -b BUNDLE --pid-file HOME/pids ID").ok();
    assert_eq!(text(&container.home.path().join("pids")), container.pid().to_string());
    let beside = std::fs::read_dir(container.home.path()).unwrap();
    assert!(beside.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_str().unwrap().starts_with('.')));
    drop(container);
    // -f, --config FILE.
    let container = ran(&["echo", "ran"]);
    std::fs::rename(container.bundle.beside("config.json"), container.home.path().join("other.json")).unwrap();
    assert_eq!(line(&container, "--root ROOT run -b BUNDLE --config HOME/other.json ID").ok().stdout, "ran\n");
    // --console-socket: the terminal's other end.
    let container = Container::new(Bundle::args(&["tty"]).set("/process/terminal", json!(true)));
    let socket = ConsoleSocket::bind(container.home.path());
    line(&container, "--root ROOT create -b BUNDLE --console-socket HOME/tty.sock ID").ok();
    let (mut terminal, _) = socket.receive();
    line(&container, "--root ROOT start ID").ok();
    terminal.until("/dev/pts/0");
    // --pidfd-socket: a descriptor of init.
    let container = ran(&["sleep", "1000"]);
    let socket = ConsoleSocket::bind(container.home.path());
    line(&container, "--root ROOT create -b BUNDLE --pidfd-socket HOME/tty.sock ID").ok();
    socket.receive();
    // --no-pivot, --no-new-keyring, --no-subreaper: the container is the same, but for the session keyring.
    for (flags, keyrings) in [
        ("--no-pivot", "1\n"),
        ("--no-subreaper", "1\n"),
        ("--no-new-keyring", "0\n"),
        ("-no-subreaper --no-pivot --no-new-keyring", "0\n"),
    ] {
        let container = Container::new(Bundle::args(&["sh", "/script"]).without("/linux/maskedPaths"));
        let script = format!("grep -c {} /proc/keys", container.id);
        std::fs::write(container.bundle.rootfs("/script"), script).unwrap();
        let outcome = line(&container, &format!("--root ROOT run {flags} -b BUNDLE ID"));
        assert_eq!(outcome.stdout, keyrings, "{flags}: {outcome:#?}");
    }
    // --preserve-fds N: 3 to 2 + N, and no more.
    let container = Container::new(Bundle::sh("cat <&3; cat <&4 2>/dev/null || echo none"));
    std::fs::write(container.home.path().join("three"), "three\n").unwrap();
    let script = "exec 3<$HOME/three 4<$HOME/three; $RT --root $ROOT run --preserve-fds 1 -b $BUNDLE $ID";
    assert_eq!(shell(&container, script).ok().stdout, "three\nnone\n");
    // run -d, --detach; --keep.
    for flag in ["-d", "--detach"] {
        let container = ran(&["sleep", "1000"]);
        line(&container, &format!("--root ROOT run {flag} -b BUNDLE ID")).ok();
        assert_eq!(container.status(), "running");
    }
    let container = ran(&["true"]);
    line(&container, "--root ROOT run --keep -b BUNDLE ID").ok();
    assert_eq!(container.status(), "stopped");
}

#[test]
fn flags_of_exec_do_what_they_say() {
    only_rt!();
    let container = ran(&["sleep", "1000"]);
    container.launch();
    let process = json!({ "cwd": "/", "args": ["echo", "read"], "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] });
    std::fs::write(container.home.path().join("process"), process.to_string()).unwrap();
    let status = "grep -hE CapEff:|NoNewPrivs: /proc/self/status";
    for (flags, program, printed) in [
        ("-p HOME/process", "", "read\n"),
        ("--process HOME/process", "", "read\n"),
        ("--cwd /tmp", "pwd", "/tmp\n"),
        ("-e A=1 --env B=2", "env", "A=1\nB=2\n"),
        ("-u 1000", "id -u", "1000\n"),
        ("--user 1000:7", "id -g", "7\n"),
        ("-u 1000:7 -g 8 --additional-gids 9", "id -G", "7 8 9\n"),
        ("--ignore-paused", "echo ran", "ran\n"),
        ("--preserve-fds 0", "echo ran", "ran\n"),
        ("-no-new-privs=false -cwd=/", "pwd", "/\n"),
    ] {
        let outcome = line(&container, &format!("--root ROOT exec {flags} ID {program}")).ok();
        assert!(outcome.stdout.contains(printed), "{flags}: {}", outcome.stdout);
    }
    // The sets, exactly.
    let sets = |flags: &str| line(&container, &format!("--root ROOT exec {flags} ID {status}")).ok().stdout;
    assert!(sets("--no-new-privs").ends_with("NoNewPrivs:\t1\n"));
    let (plain, more) = (sets(""), sets("-c CAP_NET_ADMIN"));
    assert_eq!(sets("--cap CAP_NET_ADMIN"), more);
    let bits = |text: &str| u64::from_str_radix(text.lines().next().unwrap().split('\t').nth(1).unwrap(), 16).unwrap();
    assert_eq!(bits(&more), bits(&plain) | 1 << 12, "{plain} {more}");
    // -d, --pid-file; -t with --console-socket.
    line(&container, "--root ROOT exec -d --pid-file HOME/exec.pid ID sleep 1000").ok();
    let pid = text(&container.home.path().join("exec.pid"));
    assert!(Path::new("/proc").join(&pid).is_dir() && pid.parse::<u32>().is_ok(), "{pid:?}");
    for flags in ["-d -t", "--detach --tty"] {
        let socket = ConsoleSocket::bind(container.home.path());
        line(&container, &format!("--root ROOT exec {flags} --console-socket HOME/tty.sock ID tty")).ok();
        let (mut terminal, _) = socket.receive();
        terminal.until("/dev/pts/");
        std::fs::remove_file(container.home.path().join("tty.sock")).unwrap();
    }
    // --pidfd-socket: a descriptor of the process.
    let socket = ConsoleSocket::bind(container.home.path());
    line(&container, "--root ROOT exec -d --pidfd-socket HOME/tty.sock ID sleep 1000").ok();
    socket.receive();
    // --preserve-fds: what stands above the streams.
    std::fs::write(container.home.path().join("three"), "three\n").unwrap();
    let script = "exec 3<$HOME/three; $RT --root $ROOT exec --preserve-fds 1 $ID sh -c 'cat <&3'";
    assert_eq!(shell(&container, script).ok().stdout, "three\n");
    // --cgroup PATH, [CONTROLLER,...]:PATH: below the container's. src/process/exec.rs tells more.
    for flag in ["--cgroup / --", "--cgroup=/ --"] {
        let outcome = line(&container, &format!("--root ROOT exec {flag} ID echo ran"));
        if cgroups::has_cgroup() {
            assert_eq!(outcome.ok().stdout, "ran\n");
        } else {
            outcome.refused_with(&["--cgroup", "no cgroups"]);
        }
    }
    let there = if cgroups::has_cgroup() { "/none" } else { "no cgroups" };
    line(&container, "--root ROOT exec --cgroup none ID true").refused_with(&[there]);
    // Labels of security modules that are not there are accepted or refused by name, never taken for something else.
    for flag in ["--apparmor", "--process-label"] {
        let outcome = line(&container, &format!("--root ROOT exec {flag} unconfined ID true"));
        assert!(
            outcome.code == 0
                || outcome.stderr.to_lowercase().contains("apparmor")
                || outcome.stderr.contains("SELinux"),
            "{outcome:#?}"
        );
    }
}

#[test]
fn flags_of_the_other_commands_do_what_they_say() {
    only_rt!();
    need_cgroup!();
    // kill ID [SIGNAL], by name, by full name, by number, TERM when none is said; -a; --all when it has stopped.
    for signal in ["", "TERM", "SIGTERM", "15", "term", "-a ID 15"] {
        let container = Container::new(Bundle::sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
        container.launch();
        container.until_output("ready");
        let words = if signal.starts_with('-') { signal.to_owned() } else { format!("ID {signal}") };
        line(&container, &format!("--root ROOT kill {words}")).ok();
        container.until("stopped");
        line(&container, "--root ROOT kill --all ID 9").ok();
        line(&container, "--root ROOT kill ID 9").refused_with(&["container not running"]);
    }
    // kill -r, delete -r: by pattern.
    let container = ran(&["sleep", "1000"]);
    container.launch();
    line(&container, "--root ROOT kill -r ^ID$ 9").ok();
    container.until("stopped");
    line(&container, "--root ROOT delete --regex ^ID$").ok();
    container.assert_nothing_left();
    // delete -f, --force: what runs, and what is not there.
    let container = ran(&["sleep", "1000"]);
    container.launch();
    line(&container, "--root ROOT delete -f ID").ok();
    line(&container, "--root ROOT delete --force ID").ok();
    line(&container, "--root ROOT delete ID").refused_with(&["does not exist"]);
    // state; list -f, -q; ps -f; pause, resume.
    let container = ran(&["sleep", "1000"]);
    container.launch();
    let json = |args: &str| serde_json::from_str::<Value>(&line(&container, args).ok().stdout).unwrap();
    assert_eq!(json("--root ROOT state ID")["id"], container.id.as_str());
    for args in ["list -f json", "list --format=json"] {
        assert_eq!(json(&format!("--root ROOT {args}"))[0]["id"], container.id.as_str());
    }
    for flag in ["-q", "--quiet"] {
        assert_eq!(line(&container, &format!("--root ROOT list {flag}")).ok().stdout, format!("{}\n", container.id));
    }
    assert!(line(&container, "--root ROOT list --format table").ok().stdout.starts_with("ID "));
    assert_eq!(json("--root ROOT ps -f json ID"), json!([container.pid()]));
    let table = line(&container, "--root ROOT ps ID -o pid,comm").ok().stdout;
    assert!(table.contains("sleep") && table.lines().count() == 2, "{table}");
    for (verb, status) in [("pause", "paused"), ("resume", "running")] {
        line(&container, &format!("--root ROOT {verb} ID")).ok();
        assert_eq!(container.status(), status);
    }
    // events --stats; --interval as go-runc writes it, and seconds as youki wants them; its end is the container's.
    assert_eq!(json("--root ROOT events --stats ID")["type"], "stats");
    for interval in ["--interval=5s", "--interval 5s", "-interval=50ms"] {
        let mut events = container.command();
        events.arg("events").args(interval.split(' ')).arg(&container.id).stdout(std::process::Stdio::null());
        let mut events = events.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(events.try_wait().unwrap(), None, "{interval}");
        events.kill().unwrap();
        events.wait().unwrap();
    }
    line(&container, "--root ROOT events --interval 5x ID").refused_with(&["--interval"]);
    // spec -b, -f, --rootless; features.
    let container = ran(&["true"]);
    std::fs::remove_file(container.bundle.beside("config.json")).unwrap();
    line(&container, "spec -b BUNDLE").ok();
    line(&container, "spec --rootless -f HOME/spec.json").ok();
    assert!(text(&container.home.path().join("spec.json")).contains("\"user\""));
    assert!(line(&container, "features").ok().stdout.contains("ociVersionMin"));
}

#[test]
fn update_takes_every_limit_by_its_flag_and_by_document() {
    only_rt!();
    if !cgroups::is_v1("memory") || !cgroups::is_v1("cpu") {
        skip!("the files of cgroup v1 are looked at");
    }
    let container = ran(&["sleep", "1000"]);
    container.launch();
    for (flags, controller, file, value) in [
        ("--memory 67108864", "memory", "memory.limit_in_bytes", "67108864"),
        ("--memory-reservation 33554432", "memory", "memory.soft_limit_in_bytes", "33554432"),
        ("--cpu-period 50000 --cpu-quota 20000", "cpu", "cpu.cfs_quota_us", "20000"),
        ("--cpu-share 512", "cpu", "cpu.shares", "512"),
        ("--cpu-idle 1", "cpu", "cpu.idle", "1"),
        ("--cpu-idle 0", "cpu", "cpu.idle", "0"),
        ("--cpu-burst 10000", "cpu", "cpu.cfs_burst_us", "10000"),
        ("--cpuset-cpus 0 --cpuset-mems 0", "cpuset", "cpuset.cpus", "0"),
        ("--pids-limit 77", "pids", "pids.max", "77"),
        ("--kernel-memory 1 --kernel-memory-tcp 1 --pids-limit 78", "pids", "pids.max", "78"),
        ("-r HOME/resources", "pids", "pids.max", "79"),
        ("--resources=HOME/resources", "pids", "pids.max", "79"),
    ] {
        std::fs::write(container.home.path().join("resources"), r#"{ "pids": { "limit": 79 } }"#).unwrap();
        line(&container, &format!("--root ROOT update {flags} ID")).ok();
        assert_eq!(container.cgroup_file(controller, file).as_deref(), Some(value), "{flags}");
    }
    let document = "echo '{ \"pids\": { \"limit\": 80 } }' | $RT --root $ROOT update --resources";
    for dash in [" - $ID", "=- $ID"] {
        shell(&container, &format!("{document}{dash}")).ok();
        assert_eq!(container.cgroup_file("pids", "pids.max").as_deref(), Some("80"));
    }
    for flags in [
        "--cpu-rt-period 1000000",
        "--cpu-rt-runtime 0",
        "--memory-swap -1",
        "--blkio-weight 500",
        "--l3-cache-schema L3:0=f",
        "--mem-bw-schema MB:0=50",
    ] {
        let outcome = line(&container, &format!("--root ROOT update {flags} ID"));
        // What this kernel does not have is refused by the kernel's file, not as a flag.
        assert!(outcome.code == 0 || !outcome.stderr.contains("flag"), "{outcome:#?}");
    }
}

/// `mounts add|remove ID FILE`, crun's.
#[test]
fn mounts_are_added_and_removed_by_file_and_by_standard_input() {
    only_rt!();
    need_root!("enter a container with what the host has");
    let container = ran(&["sleep", "1000"]);
    container.launch();
    let list = |options: Value| json!([{ "type": "tmpfs", "source": "x", "destination": "/more", "options": options }]);
    let seen = || container.exec_sh("grep -c ' /more tmpfs ro' /proc/mounts").stdout;
    std::fs::write(container.home.path().join("more.json"), list(json!(["ro"])).to_string()).unwrap();
    line(&container, "--root ROOT mounts add ID HOME/more.json").ok();
    assert_eq!(seen(), "1\n");
    line(&container, "--root ROOT mounts remove ID HOME/more.json").ok();
    assert_eq!(seen(), "0\n");
    shell(&container, "$RT --root $ROOT mounts add $ID - < $HOME/more.json").ok();
    assert_eq!(seen(), "1\n");
    for (words, said) in
        [("change ID HOME/more.json", "neither add nor remove"), ("add ID", "FILE"), ("add none HOME/none", "none")]
    {
        line(&container, &format!("--root ROOT mounts {words}")).refused_with(&[said]);
    }
}

/// CRIU is not asked: a container that is not there is found missing after the flags are read.
#[test]
fn flags_of_checkpoint_and_restore_are_known() {
    only_rt!();
    let container = ran(&["true"]);
    for flags in [
        "--image-path HOME --work-path HOME --leave-running -R --tcp-established --ext-unix-sk --shell-job --file-locks",
        "--manage-cgroups-mode soft --parent-path ../parent --pre-dump --tcp-skip-in-flight --link-remap",
        "--lazy-pages --status-fd 1 --page-server 127.0.0.1:1 --auto-dedup --empty-ns network --network-lock nftables",
    ] {
        line(&container, &format!("--root ROOT checkpoint {flags} ID")).refused_with(&["does not exist"]);
    }
    for flags in [
        "--bundle BUNDLE --image-path HOME/none --work-path HOME --tcp-established --ext-unix-sk --shell-job --file-locks",
        "-b BUNDLE --image-path HOME/none --manage-cgroups-mode soft -d --pid-file HOME/pids --lsm-profile selinux:x",
        "--bundle BUNDLE --image-path HOME/none -no-subreaper --no-pivot --empty-ns network --auto-dedup --lazy-pages",
        "--bundle BUNDLE --image-path HOME/none --tcp-close --network-lock nftables --lsm-mount-context x",
    ] {
        let outcome = line(&container, &format!("--root ROOT restore {flags} ID")).refused();
        assert!(!outcome.stderr.contains("flag"), "{flags}: {}", outcome.stderr);
        container.assert_nothing_left();
    }
    // podman asks whether a runtime can: --help, and a flag without its value.
    line(&container, "checkpoint --help").ok();
    line(&container, "restore --lsm-mount-context").refused_with(&["requires an argument"]);
    eventually("nothing is left", || !container.root().join(&container.id).exists());
}
