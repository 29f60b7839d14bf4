//! `rt` called by the name of another runtime: its words, its exit codes, its place for state.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::runtime::{eventually, outcome};
use crate::harness::{Bundle, Container, Outcome, mode, runtime};

/// A link to `rt` by this name.
fn link(container: &Container, name: &str) -> PathBuf {
    let link = container.home.path().join(name);
    if !link.exists() {
        symlink(&runtime().path, &link).unwrap();
    }
    link
}

/// Runs `NAME --root ROOT args…`; `BUNDLE` and `ID` stand for those of the container.
fn call(container: &Container, name: &str, args: &str) -> Outcome {
    let mut command = Command::new(link(container, name));
    command.env(crate::harness::container::MARK, &container.id).stdin(Stdio::null());
    command.arg("--root").arg(container.root());
    for word in args.split(' ') {
        match word {
            "BUNDLE" => command.arg(container.bundle.dir.path()),
            "ID" => command.arg(&container.id),
            other => command.arg(other),
        };
    }
    outcome(command)
}

/// What runc and crun of Debian say, word for word, where a tool could match it.
#[test]
fn called_as_runc_or_crun_it_says_what_they_say() {
    only_rt!();
    need_cgroupfs!();
    for (program, runc, crun) in [
        (
            "nosuch",
            "runc run failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH",
            "executable file `nosuch` not found in $PATH: No such file or directory",
        ),
        (
            "/nosuch",
            "runc run failed: unable to start container process: exec: \"/nosuch\": stat /nosuch: no such file or directory",
            "executable file `/nosuch` not found: No such file or directory",
        ),
        (
            "/etc/passwd",
            "runc run failed: unable to start container process: exec: \"/etc/passwd\": permission denied",
            "open executable: Permission denied",
        ),
    ] {
        let container = Container::new(Bundle::args(&[program]));
        for (name, words) in [("runc", runc), ("crun", crun)] {
            let outcome = call(&container, name, "run --bundle BUNDLE ID");
            assert_eq!(outcome.code, 1, "{outcome:#?}");
            assert_eq!(outcome.stderr, format!("{name}: {words}\n"));
            // Docker, podman and Kubernetes match the words of a create.
            let outcome = call(&container, name, "create --bundle BUNDLE ID").refused();
            assert_eq!(outcome.stderr, format!("{name}: {}\n", words.replace("run failed", "create failed")));
        }
    }
}

/// The spec refuses to delete what is only created, and so does `rt` by its own name; buildah leaves containers behind
/// where a runtime does so.
#[test]
fn called_as_runc_or_crun_it_deletes_what_is_only_created() {
    only_rt!();
    need_cgroupfs!();
    for name in ["runc", "crun"] {
        let container = Container::new(Bundle::sleeping());
        call(&container, name, "create --bundle BUNDLE ID").ok();
        call(&container, name, "delete ID").ok();
        container.assert_nothing_left();
    }
}

/// The words for each state of a container, and exec's exit code.
#[test]
fn called_as_runc_or_crun_it_speaks_of_containers_as_they_do() {
    only_rt!();
    need_cgroupfs!();
    let cases = |name: &str, container: &Container, what: &[(&str, u8, &str, &str)]| {
        for (args, runc_code, runc, crun) in what {
            let outcome = call(container, name, args);
            let crun_code = u8::from(*runc_code != 0);
            let (code, words) = if name == "runc" { (*runc_code, runc) } else { (crun_code, crun) };
            assert_eq!(outcome.code, i32::from(code), "{outcome:#?}");
            let id = words.replace("<id>", &container.id);
            assert!(outcome.stderr.contains(&id), "{name} {args}: {:?} is not in {:?}", id, outcome.stderr);
        }
    };
    for name in ["runc", "crun"] {
        let container = Container::new(Bundle::sleeping());
        cases(
            name,
            &container,
            &[
                ("state ID", 1, "container does not exist", "container `<id>` does not exist"),
                ("delete ID", 1, "container does not exist", "container `<id>` does not exist"),
                ("delete --force ID", 0, "", ""),
                ("kill ID 15", 1, "container does not exist", "container `<id>` does not exist"),
                ("exec ID true", 255, "exec failed: container does not exist", "container `<id>` does not exist"),
                ("state --nosuch ID", 1, "flag provided but not defined: -nosuch", "unrecognized option '--nosuch'"),
                ("create --bundle", 1, "flag needs an argument: -bundle", "option '--bundle' requires an argument"),
            ],
        );
        call(&container, name, "create --bundle BUNDLE ID").ok();
        cases(
            name,
            &container,
            &[(
                "create --bundle BUNDLE ID",
                1,
                "container with given ID already exists",
                "container `<id>` already exists",
            )],
        );
        call(&container, name, "start ID").ok();
        cases(
            name,
            &container,
            &[
                ("start ID", 1, "cannot start an already running container", "container `<id>` is already running"),
                (
                    "delete ID",
                    1,
                    "cannot delete container <id> that is not stopped",
                    "is not in `created` or `stopped` state",
                ),
                ("resume ID", 1, "container not paused", "container `<id>` is not paused"),
                (
                    "exec ID nosuch",
                    255,
                    "exec failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH",
                    "executable file `nosuch` not found in $PATH",
                ),
                ("exec ID /etc", 255, "exec: \"/etc\": is a directory", "Operation not permitted"),
            ],
        );
        assert_eq!(call(&container, name, "exec ID false").code, 1, "a program's own");
        call(&container, name, "kill ID 9").ok();
        eventually("it has stopped", || call(&container, name, "state ID").stdout.contains("stopped"));
        cases(
            name,
            &container,
            &[
                ("kill ID 15", 1, "container not running", "No such process"),
                ("kill --all ID 15", 0, "", ""),
                ("start ID", 1, "cannot start a container that has stopped", "container `<id>` is not running"),
            ],
        );
        call(&container, name, "delete ID").ok();
    }
}

/// go-runc wants `runc version X` in the first line; podman shows all lines.
#[test]
fn the_version_is_that_of_the_name() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    for (name, more) in [("runc", ""), ("crun", "\nrundir: /run/crun\n+SYSTEMD ")] {
        let mut command = Command::new(link(&container, name));
        let outcome = outcome({
            command.arg("--version");
            command
        })
        .ok();
        let first = format!("{name} version {}\n", env!("CARGO_PKG_VERSION"));
        assert!(outcome.stdout.starts_with(&first) && outcome.stdout.contains("\nspec: 1."), "{}", outcome.stdout);
        assert!(outcome.stdout.contains(more), "{}", outcome.stdout);
        assert_eq!(outcome.stderr, "");
    }
}

/// podman finds a container's state by the name of the runtime.
#[test]
fn the_state_is_at_the_place_of_the_name() {
    only_rt!();
    for name in ["runc", "crun"] {
        let container = Container::new(Bundle::sleeping());
        let link = link(&container, name);
        let ask = |args: &[&str]| {
            let mut command = Command::new(&link);
            command.env(crate::harness::container::MARK, &container.id).env_remove("XDG_RUNTIME_DIR");
            outcome({
                command.stdin(Stdio::null()).args(args);
                command
            })
            .ok()
        };
        ask(&["create", "--bundle", container.bundle.dir.path().to_str().unwrap(), &container.id]);
        let place = mode().state_home().join(name).join(&container.id);
        let there = place.exists();
        ask(&["delete", "--force", &container.id]);
        assert!(there, "{} is not there", place.display());
        container.assert_nothing_left();
    }
}
