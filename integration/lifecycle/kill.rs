//! runtime.md, "Kill".

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, Kind, runtime};

const TRAPS: &str = "trap 'echo got TERM' TERM; trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.02; done";

const SPELLINGS: [&str; 4] = ["USR1", "SIGUSR1", "10", "usr1"];

/// "This operation MUST send the specified signal to the container process": by name, SIGname and number.
#[test]
fn kill_sends_the_signal_however_it_is_written() {
    let container = Container::new(Bundle::sh(TRAPS));
    container.launch().until_output("ready");
    let spellings = if runtime().kind == Kind::Crun { &SPELLINGS[..3] } else { &SPELLINGS };
    for (count, signal) in spellings.iter().enumerate() {
        container.kill(signal).ok();
        eventually(signal, || container.output().matches("got USR1").count() == count + 1);
    }
}

/// The default signal is TERM.
#[test]
fn kill_sends_term_by_default() {
    let container = Container::new(Bundle::sh(TRAPS));
    container.launch().until_output("ready");
    container.call(&["kill", &container.id]).ok();
    container.until_output("got TERM");
}

/// KILL ends the container.
#[test]
fn kill_9_stops_the_container() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.kill("9").ok();
    container.until("stopped");
}

/// "Attempting to send a signal to a container that is neither `created` nor `running` MUST have no effect on
/// the container and MUST generate an error."
#[test]
fn a_stopped_container_cannot_be_killed() {
    let container = Container::new(Bundle::args(&["true"]));
    container.launch().until("stopped");
    container.kill("TERM").refused_with(&["container not running"]);
    assert_eq!(container.status(), "stopped");
}

/// A created container can be signalled.
#[test]
fn a_created_container_can_be_killed() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    container.kill("KILL").ok();
    container.until("stopped");
}

/// What asks a program to end ends one that has not begun, too: pid 1 would pass over it.
#[test]
fn a_created_container_ends_by_term() {
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let container = Container::new(Bundle::sleeping());
        container.create().ok();
        container.kill(signal).ok();
        container.until("stopped");
        container.start().refused();
        container.delete().ok();
        container.assert_nothing_left();
    }
}

/// An id that nobody has.
#[test]
fn nobody_cannot_be_killed() {
    let container = Container::new(Bundle::sleeping());
    container.kill("TERM").refused_with(&["container does not exist"]);
}

/// A signal that does not exist is refused and nothing is sent.
#[test]
fn an_unknown_signal_is_refused() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    for signal in ["NOSUCH", "SIGNOSUCH", "65", "-1", "1x"] {
        container.kill(signal).refused();
    }
    assert_eq!(container.status(), "running");
}

/// `kill --all` reaches every process of the container, also one that left its session.
#[test]
fn kill_all_reaches_every_process() {
    need_cgroup!();
    let script = "setsid sleep 1000 & trap 'echo parent got it' TERM; echo ready; while :; do sleep 0.02; done";
    let container = Container::new(Bundle::sh(script));
    container.launch().until_output("ready");
    container.call(&["kill", "--all", &container.id, "TERM"]).ok();
    container.until_output("parent got it");
    eventually("the other process is gone", || {
        let table = container.exec(&["ps", "-o", "comm,args"]).stdout;
        !table.lines().any(|line| line.starts_with("sleep") && line.ends_with("1000"))
    });
}

/// `kill --all` of a stopped container is no error (podman sends it).
#[test]
fn kill_all_of_a_stopped_container_is_accepted() {
    if runtime().kind == Kind::Crun {
        skip!("crun 1.8 refuses it");
    }
    let container = Container::new(Bundle::args(&["true"]));
    container.launch().until("stopped");
    container.call(&["kill", "--all", &container.id, "KILL"]).ok();
}

/// pid 1 of a pid namespace gets a real-time signal too.
#[test]
fn real_time_signals_are_sent() {
    let script = "trap 'echo got RT' 40; echo ready; while :; do sleep 0.02; done";
    let container = Container::new(Bundle::sh(script));
    container.launch().until_output("ready");
    container.kill("40").ok();
    container.until_output("got RT");
}

/// A signal that the container's pid 1 has no handler for is dropped by the kernel, except KILL and STOP.
#[test]
fn a_signal_without_a_handler_leaves_pid_1_alone() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.kill("USR2").ok();
    assert_eq!(container.exec(&["true"]).ok().code, 0);
    assert_eq!(container.status(), "running");
}

/// What is paused is not one of the four states of the spec: it runs, as far as a signal goes, and gets it when it goes on.
#[test]
fn a_paused_container_gets_its_signal_when_it_goes_on() {
    need_cgroup!();
    let container = Container::new(Bundle::sh(TRAPS));
    container.launch().until_output("ready");
    container.call(&["pause", &container.id]).ok();
    container.kill("USR1").ok();
    assert_eq!(container.status(), "paused");
    assert!(!container.output().contains("got USR1"));
    container.call(&["resume", &container.id]).ok();
    container.until_output("got USR1");
}
