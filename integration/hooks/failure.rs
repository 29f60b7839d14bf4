//! What a failing hook does: "If any `prestart` hook fails, the runtime MUST generate an error, stop the container,
//! and continue the lifecycle at step 12."

use serde_json::json;

use crate::harness::{Bundle, Container};

/// prestart, createRuntime and createContainer: create fails, nothing remains, poststop hooks run.
#[test]
fn a_failing_create_hook_undoes_the_container() {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::sleeping();
        let log = bundle.beside("log");
        let bundle = bundle.hook(point, "exit 3").hook("poststop", &format!("echo poststop >> {}", log.display()));
        let container = Container::new(bundle);
        container.create().refused_with(&[point, "3"]);
        assert!(container.state().is_none(), "{point}");
        container.assert_nothing_left();
        if crate::harness::runtime().kind == crate::harness::Kind::Rt {
            // runc and crun leave the poststop hooks out after a failed create.
            assert_eq!(container.bundle.read_beside("log"), "poststop\n", "{point}");
        }
    }
}

/// A failing hook keeps the later ones of its kind from running.
#[test]
fn hooks_after_a_failed_one_do_not_run() {
    let bundle = Bundle::sleeping();
    let log = bundle.beside("log");
    let note = |word: &str| format!("echo {word} >> {}", log.display());
    let bundle = bundle
        .hook("createRuntime", &note("first"))
        .hook("createRuntime", "false")
        .hook("createRuntime", &note("second"));
    let container = Container::new(bundle.hook("createContainer", &note("third")));
    container.create().refused();
    assert_eq!(container.bundle.read_beside("log"), "first\n");
}

/// "If any `startContainer` hook fails, the runtime MUST generate an error, stop the container": the program never runs.
#[test]
fn a_failing_start_container_hook_stops_the_container() {
    let container = Container::new(Bundle::sh("echo ran > /ran").hook("startContainer", "exit 4"));
    container.create().ok();
    only_rt!(); // runc and crun let start succeed
    container.start().refused_with(&["startContainer", "4"]);
    assert!(!container.bundle.rootfs("/ran").exists());
    assert_ne!(container.status(), "running");
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// "If any `poststart` hook fails, the runtime MUST generate an error, stop the container." (runc and crun only warn.)
#[test]
fn a_failing_poststart_hook_stops_the_container() {
    only_rt!();
    let container = Container::new(Bundle::sleeping().hook("poststart", "exit 5"));
    container.create().ok();
    container.start().refused_with(&["poststart", "5"]);
    assert_ne!(container.status(), "running");
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// "[...] and continue the lifecycle at step 12": the container is destroyed and the poststop hooks run, without a delete.
#[test]
fn a_failing_start_hook_destroys_the_container() {
    only_rt!(); // runc and crun only stop it
    for point in ["startContainer", "poststart"] {
        let bundle = Bundle::sleeping().limited();
        let log = bundle.beside("log");
        let bundle = bundle.hook(point, "exit 7").hook("poststop", &format!("echo poststop >> {}", log.display()));
        let container = Container::new(bundle);
        container.create().ok();
        container.start().refused_with(&[point, "7"]);
        assert_eq!(container.status(), "none", "{point}");
        assert_eq!(container.bundle.read_beside("log"), "poststop\n", "{point}");
        container.assert_nothing_left();
    }
}

/// "If any `poststop` hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if
/// the hook had succeeded."
#[test]
fn a_failing_poststop_hook_is_a_warning() {
    let bundle = Bundle::args(&["true"]);
    let log = bundle.beside("log");
    let bundle = bundle.hook("poststop", "exit 6").hook("poststop", &format!("echo second >> {}", log.display()));
    let container = Container::new(bundle);
    container.launch().until("stopped");
    let outcome = container.delete().ok();
    assert!(!outcome.stderr.is_empty(), "no warning");
    assert_eq!(container.bundle.read_beside("log"), "second\n");
    container.assert_nothing_left();
}

/// "`timeout` is the number of seconds before aborting the hook": the hook is ended, and so are its children.
#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "sleep 600; true"], "env": ["PATH=/bin:/usr/bin"], "timeout": 1 });
    let container = Container::new(Bundle::sleeping().push("/hooks/createRuntime", hook));
    let begin = std::time::Instant::now();
    container.create().refused_with(&["createRuntime"]);
    assert!(begin.elapsed().as_secs() < 15);
    container.assert_nothing_left();
}

/// The same for the hooks of start and delete: those of start end the container, a poststop hook is only warned of.
#[test]
fn the_timeout_holds_for_the_later_hooks_too() {
    only_rt!(); // runc 1.1 waits for the hook's children
    for point in ["createContainer", "startContainer", "poststart", "poststop"] {
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "sleep 600; true"], "env": ["PATH=/bin:/usr/bin"], "timeout": 1 });
        let container = Container::new(Bundle::sleeping().push(&format!("/hooks/{point}"), hook));
        let begin = std::time::Instant::now();
        match point {
            "createContainer" => drop(container.create().refused_with(&[point, "timeout"])),
            "poststop" => {
                container.create().ok();
                let outcome = container.delete_force().ok();
                assert!(outcome.stderr.contains("timeout"), "{outcome:?}");
            }
            _ => {
                container.create().ok();
                container.start().refused_with(&[point, "timeout"]);
            }
        }
        assert!(begin.elapsed().as_secs() < 15, "{point}");
        container.assert_nothing_left();
    }
}

/// A hook that is faster than its timeout is not disturbed by it.
#[test]
fn a_hook_within_its_timeout_runs_to_its_end() {
    let bundle = Bundle::args(&["true"]);
    let log = bundle.beside("log");
    let script = format!("sleep 0.3; echo done > {}", log.display());
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 20 });
    let container = Container::new(bundle.push("/hooks/createRuntime", hook));
    container.run().ok();
    assert_eq!(container.bundle.read_beside("log"), "done\n");
}

/// "`env` with the same semantics as IEEE Std 1003.1-2008's `environ`": NAME=VALUE.
#[test]
fn a_hook_variable_without_a_value_is_refused() {
    only_rt!();
    for variable in ["NOTHING", "=x"] {
        let hook = json!({ "path": "/bin/true", "env": ["A=b", variable] });
        let container = Container::new(Bundle::sleeping().push("/hooks/poststop", hook));
        container.create().refused_with(&["/hooks/poststop/0/env/1", variable]);
        container.assert_nothing_left();
    }
}

/// "If set, `timeout` MUST be greater than zero."
#[test]
fn a_timeout_of_zero_is_refused() {
    only_rt!(); // runc ends the hook at once, crun waits for ever
    for timeout in [0, -1] {
        let hook = json!({ "path": "/bin/true", "timeout": timeout });
        let container = Container::new(Bundle::sleeping().push("/hooks/prestart", hook));
        container.create().refused_with(&["/hooks/prestart/0/timeout"]);
        container.assert_nothing_left();
    }
}

/// "`path` MUST be absolute."
#[test]
fn a_relative_hook_path_is_refused() {
    let container = Container::new(Bundle::sleeping().push("/hooks/prestart", json!({ "path": "true" })));
    container.create().refused_with(&["/hooks/prestart/0/path"]);
    container.assert_nothing_left();
}

/// A hook that is not there is named.
#[test]
fn a_missing_hook_is_named() {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let container =
            Container::new(Bundle::sleeping().push(&format!("/hooks/{point}"), json!({ "path": "/no/such/hook" })));
        container.create().refused_with(&["/no/such/hook"]);
        container.assert_nothing_left();
    }
}

/// A hook that a signal ended has failed.
#[test]
fn a_killed_hook_has_failed() {
    let container = Container::new(Bundle::sleeping().hook("createRuntime", "kill -9 $$"));
    container.create().refused_with(&["createRuntime"]);
    container.assert_nothing_left();
}

/// `run` runs the poststop hooks too.
#[test]
fn run_runs_poststop() {
    let bundle = Bundle::args(&["true"]);
    let log = bundle.beside("log");
    let container = Container::new(bundle.hook("poststop", &format!("echo stopped >> {}", log.display())));
    container.run().ok();
    assert_eq!(container.bundle.read_beside("log"), "stopped\n");
}

/// The words of a failed hook are in the error, and those of the others nowhere.
#[test]
fn the_words_of_a_failed_hook_are_in_the_error() {
    only_rt!();
    let bundle =
        Bundle::args(&["true"]).hook("createRuntime", "echo quiet").hook("createRuntime", "echo why >&2; exit 1");
    let outcome = Container::new(bundle).create().refused_with(&["createRuntime hook 1", "why"]);
    assert!(!outcome.stderr.contains("quiet"), "{outcome:?}");
}
