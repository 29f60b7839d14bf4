//! runtime.md, "Start".

use crate::harness::{Bundle, Container};

/// "This operation MUST run the user-specified program as specified by `process`."
#[test]
fn start_runs_the_program() {
    let container = Container::new(Bundle::args(&["echo", "started"]));
    container.launch().until("stopped");
    assert_eq!(container.output(), "started\n");
}

/// "Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST
/// generate an error."
#[test]
fn a_second_start_is_refused() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let pid = container.pid();
    container.start().refused_with(&[&container.id]);
    assert_eq!((container.status().as_str(), container.pid()), ("running", pid));
}

/// As above, for a stopped container.
#[test]
fn a_stopped_container_cannot_be_started() {
    let container = Container::new(Bundle::args(&["true"]));
    container.launch().until("stopped");
    container.start().refused_with(&[&container.id]);
    assert_eq!(container.status(), "stopped");
}

/// "This operation MUST generate an error": for an id that nobody has.
#[test]
fn an_unknown_id_cannot_be_started() {
    let container = Container::new(Bundle::sleeping());
    container.start().refused_with(&["does not exist"]);
}

/// "This operation MUST generate an error if `process` was not set." (create is allowed without.)
#[test]
fn start_without_a_process_is_refused() {
    let container = Container::new(Bundle::sleeping().without("/process"));
    only_rt!(); // runc and crun refuse at create
    container.create().ok();
    assert_eq!(container.status(), "created");
    container.start().refused_with(&["process"]);
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// A program that cannot be executed: the error names it, in the words that managers look for.
#[test]
fn a_program_that_is_not_there_is_named() {
    let container = Container::new(Bundle::args(&["nosuch"]));
    container.run().refused_with(&["exec: \"nosuch\": executable file not found in $PATH"]);
    container.assert_nothing_left();
}

/// As above, by an absolute path.
#[test]
fn an_absolute_program_that_is_not_there_is_named() {
    let container = Container::new(Bundle::args(&["/bin/nosuch"]));
    container.run().refused_with(&["exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory"]);
    container.assert_nothing_left();
}

/// A directory, and a file without the x bit.
#[test]
fn what_is_not_executable_is_refused() {
    let bundle = || Bundle::sleeping().file("/plain", "#!/bin/sh\n", 0o644);
    for (program, words) in
        [("/etc", "exec: \"/etc\": is a directory"), ("/plain", "exec: \"/plain\": permission denied")]
    {
        let container = Container::new(bundle().set("/process/args", serde_json::json!([program])));
        container.run().refused_with(&[words]);
        container.assert_nothing_left();
    }
}

/// A file of no known format must not be given to a shell, as execvp does.
#[test]
fn garbage_is_not_run_as_a_shell_script() {
    let container = Container::new(Bundle::args(&["/garbage"]).file("/garbage", "echo shell > /ran\n", 0o755));
    container.run().refused_with(&["exec"]);
    assert!(!container.bundle.rootfs("/ran").exists());
    container.assert_nothing_left();
}

/// A script whose interpreter is missing is an error that says so.
#[test]
fn a_missing_interpreter_is_an_error() {
    let container = Container::new(Bundle::args(&["/script"]).file("/script", "#!/no/such\n", 0o755));
    container.run().refused_with(&["no such file or directory"]);
}

/// The program is looked up in the container's own PATH, in the container's own root.
#[test]
fn the_program_is_searched_in_the_containers_path() {
    let bundle = Bundle::args(&["mine"]).file("/opt/mine", "#!/bin/sh\necho found by $PATH\n", 0o755);
    let container = Container::new(bundle.set("/process/env/0", serde_json::json!("PATH=/nowhere:/opt:/bin")));
    assert_eq!(container.run().ok().stdout, "found by /nowhere:/opt:/bin\n");
}

/// A relative program with a slash starts from the working directory.
#[test]
fn a_relative_program_starts_from_cwd() {
    let bundle = Bundle::args(&["./mine"]).file("/opt/mine", "#!/bin/sh\npwd\n", 0o755);
    let container = Container::new(bundle.set("/process/cwd", serde_json::json!("/opt")));
    assert_eq!(container.run().ok().stdout, "/opt\n");
}

/// A container that was killed before its start stays dead.
#[test]
fn a_container_killed_before_start_is_stopped() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    container.stop();
    container.start().refused();
    container.delete().ok();
    container.assert_nothing_left();
}

/// "Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST generate an
/// error": a paused one, too.
#[test]
fn a_paused_container_cannot_be_started() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let pid = container.pid();
    container.call(&["pause", &container.id]).ok();
    container.start().refused();
    assert_eq!((container.status().as_str(), container.pid()), ("paused", pid));
}

/// Without a `process` everything else is made by create: "All of the properties configured in `config.json` except for
/// `process` MUST be applied."
#[test]
fn without_a_process_the_rest_is_applied() {
    need_root!("look at an init that waits");
    only_rt!(); // runc and crun refuse at create
    let bundle = Bundle::sleeping().without("/process").set("/hostname", serde_json::json!("empty"));
    let container = Container::new(bundle.mount("tmpfs", "tmpfs", "/mnt", &["size=64k"]));
    container.create().ok();
    let pid = container.pid();
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(mounts.lines().any(|line| line.split(' ').nth(4) == Some("/mnt")), "{mounts}");
    assert_ne!(
        std::fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap(),
        std::fs::read_link("/proc/self/ns/uts").unwrap()
    );
    container.start().refused_with(&["/process"]);
    assert_eq!(container.status(), "created");
    container.delete_force().ok();
    container.assert_nothing_left();
}
