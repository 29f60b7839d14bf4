//! `run` in the foreground: the exit code is the program's, signals pass through, nothing stays.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::harness::runtime::{outcome, wait};
use crate::harness::{Bundle, Container, Kind, runtime};

/// The exit code of `run` is the program's own.
#[test]
fn run_returns_the_programs_status() {
    for code in [0, 1, 42, 255] {
        let container = Container::new(Bundle::sh(&format!("exit {code}")));
        assert_eq!(container.run().code, code);
        container.assert_nothing_left();
    }
}

/// A program that a signal ended gives 128+N.
#[test]
fn run_returns_128_and_the_signal() {
    let container = Container::new(Bundle::sh("echo up; while :; do sleep 0.02; done"));
    let child = container.spawn_run(&[]);
    container.until_output("up");
    container.kill("KILL").ok();
    assert_eq!(wait(child, "run"), 137);
    container.assert_nothing_left();
}

/// A signal to the runtime reaches the program.
#[test]
fn run_forwards_signals() {
    let container =
        Container::new(Bundle::sh("trap 'echo got it; exit 7' TERM; echo up; while :; do sleep 0.02; done"));
    let child = container.spawn_run(&[]);
    container.until_output("up");
    nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(wait(child, "run"), 7);
    assert!(container.output().contains("got it"));
    container.assert_nothing_left();
}

/// `run` removes the container at its end.
#[test]
fn run_leaves_nothing() {
    let container = Container::new(Bundle::args(&["true"]));
    container.run().ok();
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// `run --keep` leaves it stopped, for `delete`. (crun 1.8 knows no --keep.)
#[test]
fn run_keep_leaves_a_stopped_container() {
    if runtime().kind == Kind::Crun {
        skip!("crun 1.8 has no --keep");
    }
    let container = Container::new(Bundle::args(&["true"]));
    outcome(container.verb("run", &["--keep"])).ok();
    assert_eq!(container.status(), "stopped");
    container.delete().ok();
    container.assert_nothing_left();
}

/// `run --detach` returns while the program runs.
#[test]
fn run_detach_returns_at_once() {
    let container = Container::new(Bundle::sleeping());
    let pid_file = container.home.path().join("pid");
    outcome(container.verb("run", &["--detach", "--pid-file", pid_file.to_str().unwrap()])).ok();
    assert_eq!(container.status(), "running");
    assert_eq!(std::fs::read_to_string(pid_file).unwrap(), container.pid().to_string());
}

/// `run` of a failing container leaves nothing.
#[test]
fn a_failed_run_leaves_nothing() {
    let container = Container::new(Bundle::args(&["/nosuch"]));
    container.run().refused();
    container.assert_nothing_left();
}

/// Orphans of the container are reaped by its pid 1, not seen by the runtime: `run` ends with pid 1.
#[test]
fn run_ends_with_pid_1_whatever_else_runs() {
    let container = Container::new(Bundle::sh("setsid sleep 1000 & exit 3"));
    assert_eq!(container.run().code, 3);
    container.assert_nothing_left();
}
