//! What has gone wrong in other runtimes, and must not here. Each test names the attack.

mod actions;
mod apparmor;
mod images;
mod listener;
mod races;
mod seccomp;
mod selinux;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container, Kind, Outcome, runtime};

/// A file of the host that nobody can see from inside a container.
const OUTSIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Prints the outside file if the working directory leads out of the root.
fn look_outside() -> String {
    format!("cat ../../../../../../../../../../../..{OUTSIDE} 2>/dev/null; echo inside")
}

fn assert_inside(outcome: &Outcome, what: &str) {
    assert!(!outcome.stdout.contains("[package]"), "{what} leads out of the container: {outcome:#?}");
}

/// CVE-2024-21626: a working directory that is a descriptor of the runtime's own, for `run`.
#[test]
fn a_cwd_of_a_leaked_descriptor_does_not_lead_out() {
    for number in 3..24 {
        let container =
            Container::new(Bundle::sh(&look_outside()).set("/process/cwd", json!(format!("/proc/self/fd/{number}"))));
        assert_inside(&container.run(), &format!("/proc/self/fd/{number}"));
        container.assert_nothing_left();
    }
}

/// A directory of the host that the caller has left open: no working directory is made in it.
#[test]
fn a_cwd_is_not_made_through_a_leaked_descriptor() {
    let container = Container::new(Bundle::args(&["true"]).set("/process/cwd", json!("/proc/self/fd/9/made")));
    let directory = tempfile::tempdir().unwrap();
    let inner = container.verb("run", &[]);
    let mut leaking = Command::new("sh");
    leaking.args(["-c", "exec 9< \"$0\"; exec \"$@\""]).arg(directory.path());
    leaking.arg(inner.get_program()).args(inner.get_args());
    leaking.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outcome(leaking).refused();
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "something was made on the host");
    container.assert_nothing_left();
}

/// As above, for `exec`, and through a symbolic link of the image.
#[test]
fn a_cwd_of_exec_does_not_lead_out() {
    let container = Container::new(Bundle::sleeping());
    std::os::unix::fs::symlink("/proc/self/fd/7", container.bundle.rootfs("/link")).unwrap();
    container.launch();
    for cwd in (3..24).map(|number| format!("/proc/self/fd/{number}")).chain(["/link".into(), "/proc/1/root/..".into()])
    {
        let outcome = container.call(&["exec", "--cwd", &cwd, &container.id, "sh", "-c", &look_outside()]);
        assert_inside(&outcome, &cwd);
    }
}

/// The words of the test itself: it would see an escape.
#[test]
fn the_look_outside_finds_what_is_outside() {
    let shown = Command::new("sh").args(["-c", &look_outside()]).current_dir("/tmp").output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("[package]"));
}

/// The environment of the runtime, with whatever secrets its caller has, cannot be read from inside: not from the
/// waiting init, nor later.
#[test]
fn the_runtimes_environment_is_not_readable() {
    // CAP_SYS_PTRACE of the machine's own user namespace would see every environment there is.
    let all = ["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"];
    let container = Container::new(Bundle::sleeping().capabilities(&all));
    let mut command = container.verb("create", &[]);
    command.env("SECRET_OF_THE_CALLER", "hunter2");
    outcome(command).ok();
    let before = container.exec_sh("tr '\\0' '\\n' < /proc/1/environ").stdout;
    container.start().ok();
    let after = container.exec_sh("tr '\\0' '\\n' < /proc/1/environ; ls /proc/1/fd").stdout;
    assert!(!before.contains("hunter2") && !after.contains("hunter2"), "{before}{after}");
}

/// A copy of the runtime on a file system that can be written: only so can an attack on it succeed and be seen.
fn exposed_copy(container: &Container) -> PathBuf {
    let copy = container.home.path().join(runtime().path.file_name().unwrap());
    crate::harness::program::copy(&runtime().path, &copy);
    copy
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// CVE-2019-5736: a container that writes to every /proc/PID/exe it can open, also long after the runtime has gone.
#[test]
fn the_runtimes_executable_cannot_be_written_from_inside() {
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; exec 4< $p/exe || continue; \
                  for i in 1 2 3 4 5 6 7 8; do (echo pwned > /proc/self/fd/4); usleep 1000; done; done; done 2>/dev/null";
    let every = [
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_CHOWN",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_MKNOD",
    ];
    let container =
        Container::new(Bundle::sh(script).capabilities(&every).set("/process/noNewPrivileges", json!(false)));
    let copy = exposed_copy(&container);
    let before = bytes(&copy);
    container.launch();
    for _ in 0..40 {
        let mut command = Command::new(&copy);
        command.arg("--root").arg(container.root()).args(["exec", &container.id, "true"]);
        outcome(command);
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    container.delete_force().ok();
    assert!(bytes(&copy) == before, "the runtime's executable was changed");
}

/// As above, by a program that is a script whose interpreter is /proc/self/exe, and by a program that is that link.
#[test]
fn proc_self_exe_is_not_a_way_to_the_runtime() {
    for (program, file) in [("/script", "#!/proc/self/exe\n"), ("/proc/self/exe", "")] {
        let container = Container::new(Bundle::args(&[program]).file("/script", file, 0o755));
        let copy = exposed_copy(&container);
        let before = bytes(&copy);
        let mut command = Command::new(&copy);
        command
            .arg("--root")
            .arg(container.root())
            .arg("run")
            .arg("--bundle")
            .arg(container.bundle.dir.path())
            .arg(&container.id);
        outcome(command);
        assert!(bytes(&copy) == before);
        container.delete_force();
        container.assert_nothing_left();
    }
}

/// What of a process's memory is its executable: where it begins, and what each piece may be used for.
fn image(pid: u32) -> (String, Vec<String>) {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&file).to_string();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let own: Vec<_> = maps.lines().map(fields).filter(|line| line[4] == inode).collect();
    (own[0][0].clone(), own.into_iter().map(|line| line[1].clone()).collect())
}

/// Whether this kernel gives programs random addresses: User-Mode Linux does not.
fn randomizes() -> bool {
    let maps = || std::process::Command::new("cat").arg("/proc/self/maps").output().unwrap().stdout;
    let first = |maps: Vec<u8>| maps.split(|byte| *byte == b'-').next().unwrap().to_vec();
    (0..8).any(|_| first(maps()) != first(maps()))
}

/// The start-up of our own (src/sys/start.rs) leaves no protection of the C library's out: addresses are random, and
/// data that only the relocations had to write is read-only afterwards.
#[test]
fn the_runtimes_own_memory_is_protected() {
    only_rt!();
    let images: Vec<_> = (0..2)
        .map(|_| {
            let container = Container::new(Bundle::sleeping());
            let mut child = container.spawn_run(&[]);
            container.until("running");
            let image = image(child.id());
            container.kill("KILL").ok();
            child.wait().unwrap();
            image
        })
        .collect();
    if randomizes() {
        assert_ne!(images[0].0, images[1].0);
    }
    for (_, pieces) in images {
        assert_eq!(pieces, ["r--p", "r-xp", "r--p", "rw-p"]);
    }
}

/// A file of the caller's own that stands on descriptor 0, 1 or 2 does not change hands (CVE-2026-88265).
#[test]
fn files_on_the_standard_streams_keep_their_owner() {
    let bundle = Bundle::args(&["true"]).user_namespace(100_000).without_mount("/sys/fs/cgroup");
    let container = Container::new(bundle);
    let file = container.home.path().join("mine");
    std::fs::write(&file, "mine").unwrap();
    let mut command = container.verb("run", &[]);
    command.stdin(std::fs::File::open(&file).unwrap());
    outcome(command).ok();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap());
    if runtime().kind != Kind::Rt {
        skip!("runc and crun hand standard streams to the container's root");
    }
    assert_eq!(owner, nix::unistd::geteuid().as_raw());
}

/// The machine's /dev/null stays as it is, whoever the container's root is.
#[test]
fn the_hosts_dev_null_stays_as_it_is() {
    only_rt!(); // runc and crun give it to 100000
    let before = std::fs::metadata("/dev/null").unwrap();
    Container::new(
        Bundle::sh("chmod 600 /dev/null; chown 7 /dev/null; true")
            .user_namespace(100_000)
            .without_mount("/sys/fs/cgroup"),
    )
    .run();
    let after = std::fs::metadata("/dev/null").unwrap();
    let facts = |meta: &std::fs::Metadata| {
        (std::os::unix::fs::MetadataExt::uid(meta), std::os::unix::fs::MetadataExt::mode(meta))
    };
    assert_eq!(facts(&after), facts(&before));
}
