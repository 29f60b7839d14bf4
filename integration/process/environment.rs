//! config.md, "Process": args, env, cwd.

use serde_json::json;

use crate::harness::{Bundle, Container};

/// "`args` with similar semantics to IEEE Std 1003.1 execvp's argv": not split, not expanded, also when empty.
#[test]
fn args_arrive_as_written() {
    let container =
        Container::new(Bundle::args(&["sh", "-c", "printf '[%s]' \"$@\"", "sh", "a b", "", "$HOME", "*", "é\n"]));
    assert_eq!(container.run().ok().stdout, "[a b][][$HOME][*][é\n]");
}

/// "`env` with the same semantics as IEEE Std 1003.1's environ": these and no others of the caller's.
#[test]
fn env_is_as_written() {
    let bundle = Bundle::args(&["env"]).set("/process/env", json!(["PATH=/bin", "A=1=2", "EMPTY=", "SPACE= x "]));
    let container = Container::new(bundle);
    let mut command = container.verb("run", &[]);
    command.env("OF_THE_CALLER", "secret");
    let output = crate::harness::runtime::outcome(command).ok().stdout;
    let mut lines: Vec<&str> =
        output.lines().filter(|line| !line.starts_with("RT_TEST_ID=") && !line.starts_with("HOME=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1=2", "EMPTY=", "PATH=/bin", "SPACE= x "]);
}

/// "`cwd` is the working directory that will be set for the executable."
#[test]
fn cwd_is_the_working_directory() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("/tmp")));
    assert_eq!(container.run().ok().stdout, "/tmp\n");
}

/// A working directory that is not there is made, as runc and crun do.
#[test]
fn a_missing_cwd_is_made() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("/not/there/yet")));
    assert_eq!(container.run().ok().stdout, "/not/there/yet\n");
}

/// "This value MUST be an absolute path."
#[test]
fn a_relative_cwd_is_refused() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("tmp")));
    container.run().refused_with(&["/process/cwd", "tmp"]);
    container.assert_nothing_left();
}

/// A working directory through a symbolic link of the image stays inside the root.
#[test]
fn a_symlinked_cwd_stays_inside() {
    let bundle = Bundle::args(&["pwd"]).set("/process/cwd", json!("/link"));
    std::os::unix::fs::symlink("/../../../tmp", bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout.trim(), "/tmp");
}

/// LISTEN_FDS with --preserve-fds: the descriptors arrive as 3, 4, ...
#[test]
fn preserved_descriptors_arrive() {
    let container = Container::new(Bundle::sh("cat <&3"));
    let file = container.home.path().join("given");
    std::fs::write(&file, "through fd 3\n").unwrap();
    let script = "exec 3<\"$0\"; exec \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(&file).arg(&crate::harness::runtime().path).arg("--root").arg(container.root());
    command.args(["run", "--preserve-fds", "1", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "through fd 3\n");
}

/// --preserve-fds must not hand out descriptors of the runtime's own (runc#5474).
#[test]
fn preserving_descriptors_that_are_not_open_is_refused() {
    only_rt!();
    let container = Container::new(Bundle::sh("ls -l /proc/self/fd"));
    let command = container.verb("run", &["--preserve-fds", "5"]);
    crate::harness::runtime::outcome(command).refused();
    container.assert_nothing_left();
}
