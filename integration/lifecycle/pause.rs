//! `pause` and `resume`: a status of the runtime's own, "they MUST be used to represent new runtime states".

use std::process::Stdio;

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container};

const TICKS: &str = "while :; do echo tick; sleep 0.01; done";

/// A paused container makes no step, and goes on where it was.
#[test]
fn a_paused_container_stands_still() {
    need_cgroup!();
    let container = Container::new(Bundle::sh(TICKS));
    container.launch().until_output("tick");
    container.call(&["pause", &container.id]).ok();
    assert_eq!(container.status(), "paused");
    let before = container.output();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(container.output(), before);
    container.call(&["resume", &container.id]).ok();
    assert_eq!(container.status(), "running");
    eventually("it goes on", || container.output().len() > before.len());
}

/// Only what runs can be paused, and only what is paused can be resumed.
#[test]
fn pause_and_resume_need_the_right_status() {
    let container = Container::new(Bundle::sleeping());
    container.call(&["pause", &container.id]).refused_with(&["does not exist"]);
    container.launch().stop();
    container.call(&["pause", &container.id]).refused();
    only_rt!(); // crun resumes what runs
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.call(&["resume", &container.id]).refused_with(&[&container.id]);
}

/// A KILL reaches a paused container.
#[test]
fn a_paused_container_can_be_killed() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.call(&["pause", &container.id]).ok();
    container.kill("KILL").ok();
    container.call(&["resume", &container.id]);
    container.until("stopped");
}

/// exec into a paused container is refused instead of hanging.
#[test]
fn exec_into_a_paused_container_is_refused() {
    need_cgroup!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.call(&["pause", &container.id]).ok();
    container.exec(&["true"]).refused_with(&["paused"]);
    container.call(&["resume", &container.id]).ok();
    container.exec(&["true"]).ok();
}

/// With --ignore-paused it waits instead, as with runc, and runs when the container is resumed.
#[test]
fn exec_may_wait_for_a_paused_container() {
    need_cgroup!();
    only_rt!(); // crun has no such flag
    let container = Container::new(Bundle::sleeping());
    container.launch();
    container.call(&["pause", &container.id]).ok();
    let mut command = container.command();
    command.args(["exec", "--ignore-paused", &container.id, "sh", "-c", "exit 7"]);
    let mut waiting = command.stdin(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(waiting.try_wait().unwrap(), None, "nothing runs in a paused container");
    container.call(&["resume", &container.id]).ok();
    assert_eq!(waiting.wait().unwrap().code(), Some(7));
}
