//! The three standard streams, and no other descriptor.

use crate::harness::runtime::{outcome, outcome_with_stdin};
use crate::harness::{Bundle, Container};

/// Standard input passes through `run`.
#[test]
fn stdin_passes_through_run() {
    let container = Container::new(Bundle::args(&["cat"]));
    let text = "line\n".repeat(10_000);
    assert_eq!(outcome_with_stdin(container.verb("run", &[]), &text).ok().stdout, text);
}

/// Output and errors stay apart.
#[test]
fn stdout_and_stderr_stay_apart() {
    let container = Container::new(Bundle::sh("echo out; echo err >&2"));
    let outcome = container.run().ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
}

/// Standard input passes through `exec`.
#[test]
fn stdin_passes_through_exec() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let mut command = container.command();
    command.args(["exec", &container.id, "cat"]);
    assert_eq!(outcome_with_stdin(command, "typed\n").ok().stdout, "typed\n");
}

/// No descriptor of the runtime leaks into the program (CVE-2024-21626). The fourth is ls's own.
#[test]
fn no_descriptor_leaks_into_the_program() {
    let container = Container::new(Bundle::args(&["ls", "/proc/self/fd"]));
    assert_eq!(container.run().ok().stdout, "0\n1\n2\n3\n");
}

/// As above, after `create` and `start`, and for `exec`.
#[test]
fn no_descriptor_leaks_after_start_or_into_exec() {
    let container = Container::new(Bundle::sh("ls /proc/1/fd; echo up; sleep 1000"));
    container.launch().until_output("up");
    assert_eq!(container.output(), "0\n1\n2\nup\n");
    assert_eq!(container.exec(&["ls", "/proc/self/fd"]).ok().stdout, "0\n1\n2\n3\n");
}

/// A descriptor that the caller left open does not reach the program.
#[test]
fn descriptors_of_the_caller_are_closed() {
    let container = Container::new(Bundle::args(&["ls", "/proc/self/fd"]));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 5</ 9</etc/passwd; exec \"$@\"", "sh"]).arg(&crate::harness::runtime().path);
    command
        .arg("--root")
        .arg(container.root())
        .arg("run")
        .arg("--bundle")
        .arg(container.bundle.dir.path())
        .arg(&container.id);
    assert_eq!(outcome(command).ok().stdout, "0\n1\n2\n3\n");
}

/// The program begins with default signal handling, nothing blocked: also where the caller ignored signals.
#[test]
fn the_program_starts_with_default_signals() {
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]));
    let status = container.run().ok().stdout;
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    assert_eq!(mask("SigIgn:") & (1 << 12), 0, "SIGPIPE must not be ignored");
}

/// The program is its own session's leader or not, but never of the runtime's terminal: no terminal here.
#[test]
fn without_a_terminal_there_is_no_console() {
    let container = Container::new(Bundle::sh("tty; test -e /dev/console && echo console || echo none"));
    let output = container.run().stdout;
    assert_eq!(output, "not a tty\nnone\n");
}
