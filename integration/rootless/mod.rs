//! A caller without privilege: his ids, his cgroups, his state, and callers that are root of a user namespace only.
//!
//! The whole suite runs without privilege as well (`make test-vm MODE=rootless`); here is what only such a caller meets.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::runtime::{outcome, wait};
use crate::harness::{Bundle, Container, Mode, cgroups, mode, program, runtime};

macro_rules! need_rootless {
    () => {
        if mode() != Mode::Rootless {
            skip!("for a caller without privilege: make test-vm MODE=rootless");
        }
    };
}

/// The caller alone is mapped: the kernel lets him do so without newuidmap, when nobody inside may drop groups.
fn single(bundle: Bundle) -> Bundle {
    let own = json!([{ "containerID": 0, "hostID": nix::unistd::geteuid().as_raw(), "size": 1 }]);
    let bundle = bundle.set("/linux/uidMappings", own.clone()).set("/linux/gidMappings", own);
    let devpts = json!({ "type": "devpts", "source": "devpts", "destination": "/dev/pts", "options": ["newinstance"] });
    bundle.without_mount("/dev/pts").push("/mounts", devpts)
}

#[test]
fn a_single_id_needs_no_helper() {
    need_rootless!();
    let container = Container::new(single(Bundle::sh("cat /proc/self/uid_map /proc/self/setgroups; id -u")));
    let mut command = container.verb("run", &[]);
    // No newuidmap far and wide.
    command.env("PATH", "/nowhere");
    let output = outcome(command).ok().stdout;
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["0", "1000", "1", "deny", "0"]);
}

/// Groups that cannot be set are an error, not forgotten: one that is not mapped, and one that is, where setgroups(2) is
/// denied.
#[test]
fn groups_with_a_single_id_are_refused() {
    need_rootless!();
    for (group, why) in [(7, "7"), (0, "")] {
        let user = json!({ "uid": 0, "gid": 0, "additionalGids": [group] });
        let container = Container::new(single(Bundle::args(&["true"])).set("/process/user", user));
        container.run().refused_with(&[why]);
        container.assert_nothing_left();
    }
    only_rt!();
    let container = Container::new(single(Bundle::sleeping()));
    container.launch();
    let exec = ["exec", "--additional-gids", "0", &container.id, "true"];
    container.call(&exec).refused_with(&["this user namespace denies setgroups(2)", "(EPERM)"]);
}

/// Ids that nobody has given the caller: newuidmap's own words, where it has them from, and nothing left.
#[test]
fn foreign_ids_are_refused() {
    need_rootless!();
    let map = json!([{ "containerID": 0, "hostID": 5000, "size": 10 }]);
    let container = Container::new(Bundle::args(&["true"]).set("/linux/uidMappings", map));
    let refused = container.run().refused_with(&["newuidmap", "not allowed"]);
    container.assert_nothing_left();
    only_rt!();
    assert!(refused.stderr.contains("/etc/subuid") && refused.stderr.lines().count() == 1, "{refused:#?}");
}

/// Whatever the helper says becomes one line.
#[test]
fn a_newuidmap_that_fails_is_quoted_in_one_line() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    program::script(
        &container.bundle.beside("newuidmap"),
        "#!/bin/sh\necho 'newuidmap: one' >&2; echo two >&2; exit 3",
        0o755,
    );
    let mut command = container.verb("run", &[]);
    command.env("PATH", container.bundle.dir.path());
    outcome(command).refused_with(&["newuidmap: one; two (exit status: 3)"]);
    container.assert_nothing_left();
}

/// newuidmap has its privilege from its file, and that does not count for whoever has given up new privileges.
#[test]
fn a_newuidmap_without_privilege_says_why() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    let mut command = Command::new("setpriv");
    command.arg("--no-new-privs").arg(&runtime().path).arg("--root").arg(container.root());
    command.args(["run", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    outcome(command).refused_with(&["newuidmap: ", "Operation not permitted", "no_new_privs"]);
    container.assert_nothing_left();
}

#[test]
fn without_newuidmap_the_package_is_named() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    let mut command = container.verb("run", &[]);
    command.env("PATH", "/nowhere");
    outcome(command).refused_with(&["newuidmap", "uidmap"]);
    container.assert_nothing_left();
}

/// Without `--root` the state is in $XDG_RUNTIME_DIR/rt, and without that variable, as cron and `su` call, where a login
/// would have set it.
#[test]
fn the_state_is_in_the_runtime_directory() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    let call = |home: Option<&std::path::Path>, words: &[&str]| {
        let mut command = Command::new(&runtime().path);
        command.env_remove("XDG_RUNTIME_DIR").args(words).arg(&container.id);
        home.map(|home| command.env("XDG_RUNTIME_DIR", home));
        outcome(command)
    };
    let bundle = container.bundle.dir.path().to_str().unwrap();
    let login = mode().state_home();
    for (home, place) in [(Some(container.home.path()), container.home.path()), (None, login.as_path())] {
        call(home, &["create", "--bundle", bundle]).ok();
        let made = place.join("rt").join(&container.id).is_dir();
        call(home, &["delete", "--force"]).ok();
        assert!(made, "{}", place.display());
    }
    container.assert_nothing_left();
}

/// "All paths set in these environment variables must be absolute. If an implementation encounters a relative path in any
/// of these variables it should consider the path invalid and ignore it": or `start` from elsewhere would find nothing.
#[test]
fn a_relative_runtime_directory_is_none() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    for home in ["relative", "..", ""] {
        let call = |words: &[&str]| {
            let mut command = Command::new(&runtime().path);
            command.env("XDG_RUNTIME_DIR", home).current_dir(container.home.path()).args(words).arg(&container.id);
            outcome(command)
        };
        call(&["create", "--bundle", container.bundle.dir.path().to_str().unwrap()]).ok();
        assert!(mode().state_home().join("rt").join(&container.id).is_dir(), "{home}");
        call(&["delete", "--force"]).ok();
        assert!(!container.home.path().join("relative").exists());
    }
    container.assert_nothing_left();
}

/// A place of somebody else's: the error says how to name another one, unless the caller has named it himself.
#[test]
fn state_where_the_caller_may_not_write_is_refused() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    let run = |command: &mut Command| {
        command.args(["run", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
        let mut owned = Command::new(command.get_program());
        owned.args(command.get_args()).env("XDG_RUNTIME_DIR", "/etc");
        outcome(owned)
    };
    run(&mut Command::new(&runtime().path)).refused_with(&[
        "create /etc/rt (--root DIR",
        "XDG_RUNTIME_DIR",
        "(EACCES)",
    ]);
    let refused = run(Command::new(&runtime().path).args(["--root", "/etc/rt"])).refused_with(&["create /etc/rt:"]);
    assert!(!refused.stderr.contains("--root"), "{refused:#?}");
}

/// Somebody who has never logged in has no such directory: said in one line, which names the way out.
#[test]
fn without_any_place_for_state_the_flag_is_named() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    let mut command = Command::new("unshare");
    // Where the caller has another id, and that id no directory.
    command.args(["--user", "--map-user=4242", "--map-group=4242"]).env_remove("XDG_RUNTIME_DIR");
    command.arg(&runtime().path).args(["create", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    outcome(command).refused_with(&["XDG_RUNTIME_DIR", "/run/user/4242", "--root"]);
}

/// A network namespace that is not the caller's: /sys cannot be mounted then, and is the host's, bound.
#[test]
fn sysfs_of_an_inherited_network_is_bound() {
    need_rootless!();
    let script =
        "ls -d /sys/kernel; (echo x > /sys/kernel/mm) 2>/dev/null || echo refused; grep ' /sys ' /proc/self/mounts";
    let output = Container::new(Bundle::sh(script).without_namespace("network")).run().ok().stdout;
    assert!(output.starts_with("/sys/kernel\nrefused\n"), "{output}");
    assert!(output.contains(" ro,") && output.contains("nosuid,nodev,noexec"), "{output}");
}

/// An IPC namespace that is not the caller's: the same with message queues.
#[test]
fn mqueue_of_an_inherited_ipc_is_bound() {
    need_rootless!();
    let bundle = Bundle::sh("grep -c ' /dev/mqueue ' /proc/self/mounts").without_namespace("ipc");
    assert_eq!(Container::new(bundle).run().ok().stdout, "1\n");
}

/// A limit that cannot be set is an error: it is never forgotten, whatever `--rootless` says.
#[test]
fn a_limit_without_a_cgroup_is_refused() {
    need_rootless!();
    if cgroups::has_cgroup() {
        skip!("a cgroup was delegated");
    }
    let container = Container::new(Bundle::args(&["true"]).set("/linux/resources/pids/limit", json!(10)));
    let refused = container.run().refused();
    container.assert_nothing_left();
    only_rt!();
    assert!(refused.stderr.contains("need a cgroup that was delegated to the caller"), "{refused:#?}");
}

/// What only root can do is said in one line, not by what the kernel says of it.
#[test]
fn mounts_of_a_running_container_need_root() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let list = container.bundle.beside("mounts.json");
    std::fs::write(&list, json!([{ "type": "tmpfs", "destination": "/mnt" }]).to_string()).unwrap();
    container.call(&["mounts", "add", &container.id, list.to_str().unwrap()]).refused_with(&["needs root privilege"]);
    assert_eq!(container.exec_sh("grep -c ' /mnt ' /proc/self/mounts; true").ok().stdout, "0\n");
}

/// Without a cgroup the processes are those of the pid namespace: ps lists them, kill --all reaches them.
#[test]
fn without_a_cgroup_the_pid_namespace_holds_the_processes() {
    only_rt!();
    let script = "trap 'echo heard' TERM; (trap 'echo child; exit' TERM; while true; do sleep 0.1; done) & \
        echo up; wait; wait; sleep 1000";
    let bundle = Bundle::sh(script).without("/linux/cgroupsPath").without_mount("/sys/fs/cgroup");
    let container = Container::new(bundle);
    let mut create = container.command();
    create.args(["--cgroup-manager", "disabled", "create", "--bundle"]).arg(container.bundle.dir.path());
    create.arg(&container.id).stdout(File::create(container.home.path().join("out")).unwrap()).stderr(Stdio::null());
    assert_eq!(wait(create.spawn().unwrap(), "create"), 0);
    container.start().ok();
    container.until_output("up");
    let pids: Vec<i32> =
        serde_json::from_str(&container.call(&["ps", "-f", "json", &container.id]).ok().stdout).unwrap();
    assert!(pids.len() >= 2 && pids.contains(&container.pid()), "{pids:?}");
    container.call(&["kill", "--all", &container.id, "TERM"]).ok();
    container.until_output("child");
    container.until_output("heard");
}

/// What needs a cgroup is refused where there is none, and the container lives on; all else works.
#[test]
fn a_container_without_a_cgroup_has_all_other_verbs() {
    only_rt!();
    let container = Container::new(Bundle::sleeping().without("/linux/cgroupsPath").without_mount("/sys/fs/cgroup"));
    let call = |words: &[&str]| {
        let mut command = container.command();
        command.args(["--cgroup-manager", "disabled"]).args(words);
        outcome(command)
    };
    let bundle = container.bundle.dir.path().to_str().unwrap();
    let mut create = container.command();
    create.args(["--cgroup-manager", "disabled", "create", "--bundle", bundle, &container.id]);
    assert_eq!(wait(create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), "create"), 0);
    container.start().ok();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap(), own);
    assert_eq!(call(&["exec", &container.id, "echo", "ran"]).ok().stdout, "ran\n");
    for (verb, words) in [("pause", &[][..]), ("resume", &[]), ("update", &["--pids-limit", "10"])] {
        let line = [&[verb][..], words, &[&container.id]].concat();
        call(&line).refused_with(&[if verb == "resume" { "not paused" } else { "no cgroup of its own" }]);
    }
    assert_eq!(container.status(), "running");
    call(&["kill", &container.id, "KILL"]).ok();
    container.until("stopped");
    call(&["delete", &container.id]).ok();
    container.assert_nothing_left();
}

/// An id that the user namespace does not have is more than an "invalid argument".
#[test]
fn exec_as_an_unmapped_user_says_so() {
    only_rt!();
    let container = Container::new(Bundle::sleeping().user_namespace(100_000));
    container.launch();
    for (flags, step) in [
        (["--user", "70000"], "set user 70000: this user namespace does not map it"),
        (["--user", "0:70000"], "set group 70000: this user namespace does not map it"),
        (["--additional-gids", "70000"], "set additional groups [70000]"),
    ] {
        container.call(&[&["exec"][..], &flags, &[&container.id, "true"]].concat()).refused_with(&[step, "not map"]);
    }
    assert_eq!(container.status(), "running");
}

/// `rt` with cgroups that nobody can write, as in a container.
fn with_readonly_cgroups(container: &Container, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let script = "for point in $(cut -d' ' -f5 /proc/self/mountinfo | grep ^/sys/fs/cgroup); do \
        mount -o remount,bind,ro $point || exit 99; done; exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).args(words).arg(&runtime().path);
    command.arg("--root").arg(container.root());
    command
}

/// No cgroup at all where there is none to be written, if the caller has no privilege or says so.
#[test]
fn without_a_writable_cgroup_there_is_none() {
    only_rt!();
    need_cgroupfs!();
    if mode() == Mode::Rootless {
        skip!("it takes root to make cgroups read-only: RT_MODE=rootless without a cgroup shows the same");
    }
    let bundle = Bundle::sh("echo ran").without("/linux/cgroupsPath").without_mount("/sys/fs/cgroup");
    let container = Container::new(bundle.user_namespace(100_000));
    let run = |words: &[&str], flags: &[&str]| {
        let mut command = with_readonly_cgroups(&container, words);
        command.args(flags).args(["run", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
        outcome(command)
    };
    run(&[], &[]).refused_with(&["mkdir ", "(EROFS)"]);
    assert_eq!(run(&[], &["--rootless=true"]).ok().stdout, "ran\n");
    // Root of a container that is not privileged: nothing but a user with another number.
    let unprivileged = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    assert_eq!(run(&unprivileged, &[]).ok().stdout, "ran\n");
    run(&unprivileged, &["--rootless=false"]).refused_with(&["mkdir ", "(EROFS)"]);
    container.assert_nothing_left();
}

/// A user who says to be root gets what root would: the cgroup must be made.
#[test]
fn a_user_who_denies_it_is_refused_a_cgroup_of_roots() {
    need_rootless!();
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]).without("/linux/cgroupsPath"));
    let mut command = container.command();
    command.args(["--rootless=false", "run", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    outcome(command).refused_with(&["mkdir /sys/fs/cgroup", "(EACCES)"]);
    container.assert_nothing_left();
}

/// `--rootless` overrules what rt finds out: root's container goes where a user's would, a user's where root's would.
#[test]
fn the_flag_says_who_the_caller_is() {
    only_rt!();
    need_cgroupfs!();
    let container = Container::new(Bundle::sleeping().without("/linux/cgroupsPath").limited());
    let bundle = container.bundle.dir.path().to_str().unwrap();
    let create = |flag: &str| container.call(&[flag, "explain", "--bundle", bundle]).ok().stdout;
    let place =
        |text: &str| text.lines().find(|line| line.contains("mkdir") && line.contains("cgroup")).unwrap().to_owned();
    let (asroot, asuser) = (place(&create("--rootless=false")), place(&create("--rootless=true")));
    assert!(asroot.contains("/rt/ID"), "{asroot}");
    assert_ne!(asroot, asuser);
    let auto = place(&create("--rootless=auto"));
    assert_eq!(auto, if mode() == Mode::Rootless { asuser } else { asroot });
}

/// Root of a user namespace that a rootless manager has made, as podman calls its runtime: no further one is needed.
#[test]
fn inside_a_user_namespace_of_the_caller() {
    only_rt!();
    let bundle = Bundle::sh("id -u; cat /proc/self/uid_map | tr -s ' '").without_namespace("user");
    let bundle = bundle.without("/linux/uidMappings").without("/linux/gidMappings").without("/linux/cgroupsPath");
    let container = Container::new(bundle.without_mount("/sys/fs/cgroup").without_mount("/dev/pts"));
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--fork"]);
    command.arg(&runtime().path).arg("--root").arg(container.root()).args(["run", "--bundle"]);
    command.arg(container.bundle.dir.path()).arg(&container.id);
    let output = outcome(command).ok().stdout;
    let own = nix::unistd::geteuid().as_raw();
    assert_eq!(output, format!("0\n 0 {own} 1\n"));
    container.assert_nothing_left();
}

/// A bundle whose program is rt, in a user namespace, as this user with these capabilities.
fn nested(uid: u32, capabilities: &[&str]) -> Bundle {
    let script = "export XDG_RUNTIME_DIR=/state; cd /bundle && /bin/rt spec --rootless && \
        sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"id\"/' config.json && \
        /bin/rt run inner && ls /state/rt";
    let bundle = Bundle::sh(script).user_namespace(100_000).set("/process/noNewPrivileges", json!(false));
    let bundle = bundle.set("/process/user", json!({ "uid": uid, "gid": uid })).capabilities(capabilities);
    let inner = bundle.rootfs("/bundle/rootfs");
    std::fs::create_dir_all(&inner).unwrap();
    let copied = Command::new("cp").arg("-a").arg(bundle.rootfs("/bin")).arg(&inner).status();
    assert!(copied.unwrap().success());
    for name in ["proc", "sys", "dev", "etc", "tmp"] {
        std::fs::create_dir(inner.join(name)).unwrap();
    }
    program::copy(&runtime().path, &bundle.rootfs("/bin/rt"));
    let state = json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/state", "options": ["mode=777"] });
    std::fs::set_permissions(bundle.rootfs("/bundle"), Permissions::from_mode(0o777)).unwrap();
    if mode() != Mode::Rootless {
        let done = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs("/bundle")).status();
        assert!(done.unwrap().success());
    }
    bundle.push("/mounts", state)
}

/// The kernel shows a new proc only to those who see the whole of theirs.
fn unmasked(bundle: Bundle) -> Bundle {
    bundle.without("/linux/maskedPaths").without("/linux/readonlyPaths")
}

const MOST: &[&str] =
    &["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETPCAP"];

/// A container that runs containers: rt inside rt.
#[test]
fn inside_another_container() {
    only_rt!();
    // Without CAP_SETFCAP the kernel lets nobody map his root again.
    for capabilities in [MOST, &[]] {
        let refused = Container::new(unmasked(nested(0, capabilities))).run().refused();
        assert!(refused.stderr.contains("CAP_SETFCAP"), "{refused:#?}");
    }
    for (uid, capabilities) in [(0, &[MOST, &["CAP_SETFCAP"]].concat()[..]), (0, &["CAP_SETFCAP"]), (1000, &[])] {
        let output = Container::new(unmasked(nested(uid, capabilities))).run().ok().stdout;
        assert!(output.starts_with("uid=0"), "{uid} {capabilities:?}: {output}");
        assert_eq!(output.lines().count(), 1, "the inner container has left its state: {output}");
    }
}

/// With masked paths outside, a proc of its own would show more than the container may see: said in words.
#[test]
fn inside_a_container_with_masked_paths_proc_is_refused() {
    only_rt!();
    let refused = Container::new(nested(0, &[MOST, &["CAP_SETFCAP"]].concat())).run().refused();
    let why = "mount \"proc\" on /proc (/mounts/0): a new one may show no more than what is mounted here";
    assert!(refused.stderr.contains(why) && refused.stderr.lines().count() == 1, "{refused:#?}");
}
