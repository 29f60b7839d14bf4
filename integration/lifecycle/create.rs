//! runtime.md, "Create".

use serde_json::json;

use crate::harness::{Bundle, Container, cgroups, runtime};

/// "This operation MUST create a new container."
#[test]
fn a_created_container_has_a_process_and_waits() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    assert_eq!(container.status(), "created");
    assert!(container.pid() > 0);
}

/// "[`process.args`] MUST NOT be applied until triggered by the `start` operation."
#[test]
fn the_program_does_not_run_before_start() {
    let bundle = Bundle::sh("echo ran > /ran; sleep 1000");
    let container = Container::new(bundle);
    container.create().ok();
    container.exec(&["true"]);
    assert!(!container.bundle.rootfs("/ran").exists());
    container.start().ok();
    crate::harness::runtime::eventually("the program ran", || container.bundle.rootfs("/ran").exists());
}

/// "Any changes made to the `config.json` file after this operation will not have an effect on the container."
#[test]
fn a_later_change_of_config_json_has_no_effect() {
    let mut container = Container::new(Bundle::sh("echo first; echo $KEPT").push("/process/env", json!("KEPT=yes")));
    container.create().ok();
    container.bundle.config["process"]["args"] = json!(["echo", "second"]);
    container.bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    container.write_config();
    container.start().ok();
    container.until("stopped");
    assert_eq!(container.output(), "first\nyes\n");
}

/// "Any updates to `config.json` after this step MUST NOT affect the container": not even its absence.
#[test]
fn the_container_starts_and_goes_without_its_config_json() {
    let container = Container::new(Bundle::sh("echo here"));
    container.create().ok();
    std::fs::remove_file(container.bundle.beside("config.json")).unwrap();
    container.start().ok();
    container.until("stopped");
    container.delete().ok();
    assert_eq!(container.output(), "here\n");
}

/// "If the ID provided is not unique across all containers within the scope of the runtime [...] the
/// implementation MUST generate an error and a new container MUST NOT be created."
#[test]
fn a_second_create_is_refused_and_changes_nothing() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    let before = container.state();
    let again = container.verb("create", &[]);
    crate::harness::runtime::outcome(again).refused_with(&[&container.id, "exist"]);
    assert_eq!(container.state(), before);
}

/// "Once a container is deleted its ID MAY be used by a subsequent container."
#[test]
fn an_id_can_be_used_again_after_delete() {
    let container = Container::new(Bundle::args(&["echo", "once"]));
    for _ in 0..3 {
        container.launch().until("stopped");
        container.delete().ok();
    }
}

/// The pid file: "digits only, no newline; must exist (atomically)" before create returns.
#[test]
fn the_pid_file_holds_the_pid_and_nothing_else() {
    let container = Container::new(Bundle::sleeping());
    let file = container.home.path().join("pid");
    let command = container.verb("create", &["--pid-file", file.to_str().unwrap()]);
    crate::harness::runtime::outcome(command).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), container.pid().to_string());
}

/// "If it is not provided a path to the bundle": the command line takes the working directory.
#[test]
fn the_bundle_is_the_working_directory_by_default() {
    let container = Container::new(Bundle::args(&["echo", "here"]));
    let mut command = container.command();
    command.current_dir(container.bundle.dir.path()).args(["run", &container.id]);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "here\n");
}

/// "`bundle` [...] is the absolute path": also where a relative one was given.
#[test]
fn a_relative_bundle_becomes_absolute() {
    let container = Container::new(Bundle::sleeping());
    let mut command = container.command();
    let directory = container.bundle.dir.path();
    command.current_dir(directory.parent().unwrap());
    command.args(["create", "--bundle", directory.file_name().unwrap().to_str().unwrap(), &container.id]);
    crate::harness::runtime::outcome(command).ok();
    assert_eq!(container.state().unwrap()["bundle"], directory.to_str().unwrap());
}

/// "The container's runtime environment MUST be created according to the configuration": at create, not at start.
#[test]
fn the_environment_is_complete_before_start() {
    need_root!("look at an init that waits");
    let device = json!({ "path": "/dev/early", "type": "p", "fileMode": 0o640 });
    let bundle = Bundle::sleeping().set("/hostname", json!("early")).push("/linux/devices", device).limited();
    let container = Container::new(bundle);
    container.create().ok();
    let pid = container.pid();
    assert_eq!(container.exec(&["hostname"]).ok().stdout, "early\n");
    assert_eq!(container.exec(&["stat", "-c", "%F %a", "/dev/early"]).ok().stdout, "fifo 640\n");
    if cgroups::has("pids") {
        assert_eq!(container.cgroup_file("pids", "pids.max").as_deref(), Some("100"));
    }
    if cgroups::has("memory") {
        let limit =
            ["memory.max", "memory.limit_in_bytes"].iter().find_map(|file| container.cgroup_file("memory", file));
        assert_eq!(limit, Some((64 << 20).to_string()));
    }
    let mine = std::fs::read_link("/proc/self/ns/uts").unwrap();
    assert_ne!(std::fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap(), mine);
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(mounts.contains(" /proc "), "{mounts}");
    assert!(std::fs::read_link(format!("/proc/{pid}/root")).is_ok());
}

/// "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a
/// new container MUST NOT be created."
#[test]
fn what_cannot_be_applied_leaves_nothing() {
    let container = Container::new(Bundle::sleeping().bind("/no/such/source", "/mnt", &[]));
    container.create().refused_with(&["/no/such/source"]);
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// The last mount fails, after cgroups, namespaces and the first mounts were made.
#[test]
fn a_late_failure_undoes_what_was_made() {
    let bundle = Bundle::sleeping().limited();
    let container = Container::new(bundle.mount("nosuchfs", "none", "/mnt", &[]));
    container.create().refused_with(&["nosuchfs"]);
    container.assert_nothing_left();
}

/// Ids of all allowed characters work.
#[test]
fn an_id_may_hold_letters_digits_and_four_marks() {
    let mut container = Container::new(Bundle::sleeping());
    container.id.push_str("_aZ0+x.y-z");
    container.create().ok();
    assert_eq!(container.state().unwrap()["id"], container.id);
    container.delete_force().ok();
    assert!(runtime().path.exists() || container.state().is_none());
}
