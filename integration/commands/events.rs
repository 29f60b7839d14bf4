//! `events`: statistics as runc prints them, lack of memory, and an end with the container.

use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, Kind, Mode, cgroups, mode, runtime};

/// Leaves the test for a runtime that has no such command.
macro_rules! need_events {
    () => {
        if runtime().kind == Kind::Crun {
            skip!("crun has no events");
        }
    };
}

/// `events` in the background, and the file that it writes.
struct Watching {
    child: Child,
    file: std::path::PathBuf,
    seen: usize,
}

impl Watching {
    fn begin(container: &Container, flags: &[&str]) -> Watching {
        let file = container.home.path().join("events");
        let mut command = container.command();
        command.arg("events").args(flags).arg(&container.id).stdout(std::fs::File::create(&file).unwrap());
        Watching { child: command.spawn().unwrap(), file, seen: 0 }
    }

    /// All events so far.
    fn all(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The next event of this kind.
    #[track_caller]
    fn next(&mut self, kind: &str) -> Value {
        let mut found = None;
        eventually(&format!("an event {kind:?}"), || {
            let all = self.all();
            let place = all.iter().skip(self.seen).position(|event| event["type"] == kind);
            found = place.map(|place| {
                self.seen += place + 1;
                all[self.seen - 1].clone()
            });
            found.is_some()
        });
        found.expect("it was found")
    }

    /// Waits for its end.
    #[track_caller]
    fn end(self) -> i32 {
        crate::harness::runtime::wait(self.child, "events")
    }
}

impl Container {
    fn stats(&self) -> Value {
        let outcome = self.call(&["events", "--stats", &self.id]).ok();
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        serde_json::from_str(&outcome.stdout).unwrap()
    }
}

/// One document with the numbers of every controller that is here.
#[test]
fn statistics_are_printed_once() {
    need_events!();
    need_cgroup!();
    let bundle = Bundle::sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 1000").limited();
    let container = Container::new(bundle);
    container.launch();
    let event = container.stats();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("stats"), Some(container.id.as_str())));
    let data = &event["data"];
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{event:#}");
    if cgroups::directory("memory", "/").is_some() {
        assert_eq!(data["memory"]["usage"]["limit"], 64 << 20, "{event:#}");
        assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{event:#}");
        assert!(data["memory"]["raw"].as_object().unwrap().len() > 5, "{event:#}");
    }
    if cgroups::directory("pids", "/").is_some() {
        assert_eq!((&data["pids"]["current"], &data["pids"]["limit"]), (&json!(1), &json!(100)), "{event:#}");
    }
    for key in ["cpuset", "blkio", "hugetlb", "intel_rdt"] {
        assert!(data[key].is_object(), "{key}: {event:#}");
    }
    assert_eq!(data.get("network_interfaces"), Some(&Value::Null), "{event:#}");
}

/// The numbers are those of the cgroup's own files.
#[test]
fn statistics_follow_what_the_container_does() {
    need_events!();
    need_controller!("memory");
    let container = Container::new(Bundle::sleeping().limited());
    container.launch();
    let usage = |event: &Value| event["data"]["memory"]["usage"]["usage"].as_u64().unwrap();
    let before = container.stats();
    container.exec_sh("dd if=/dev/zero of=/dev/shm/file bs=1M count=16 2>&1").ok();
    let after = container.stats();
    // What the start took may be given back meanwhile.
    assert!(usage(&before) < 16 << 20 && usage(&after) >= 16 << 20, "{before:#} {after:#}");
    assert!(after["data"]["cpu"]["usage"]["total"].as_u64() > before["data"]["cpu"]["usage"]["total"].as_u64());
}

/// Where the kernel measures pressure on cgroup v2, it is there.
#[test]
fn pressure_is_told_on_v2() {
    only_rt!(); // newer than Debian's runc
    let unified = cgroups::hierarchies().into_iter().all(|hierarchy| hierarchy.v2);
    if !unified {
        skip!("cgroup v1 measures no pressure");
    }
    need_controller!("memory");
    let container = Container::new(Bundle::sleeping());
    container.launch();
    if container.cgroup_file("memory", "memory.pressure").is_none_or(|text| text.is_empty()) {
        skip!("this kernel measures no pressure");
    }
    let event = container.stats();
    for resource in ["cpu", "memory", "blkio"] {
        assert!(event["data"][resource]["psi"]["some"]["total"].is_u64(), "{resource}: {event:#}");
    }
}

/// At each interval a line; the end of the container is the end of it, and no error.
#[test]
fn events_come_at_intervals_until_the_container_ends() {
    need_events!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let mut watching = Watching::begin(&container, &["--interval", "100ms"]);
    for _ in 0..3 {
        assert_eq!(watching.next("stats")["id"], container.id.as_str());
    }
    container.stop();
    container.delete().ok();
    assert_eq!(watching.end(), 0);
}

/// The interval is the time that it takes, and not less.
#[test]
fn nothing_is_printed_before_the_first_interval() {
    need_events!();
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let watching = Watching::begin(&container, &["--interval=1h"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(watching.all(), [] as [Value; 0]);
    container.stop();
    container.delete().ok();
    assert_eq!(watching.end(), 0);
}

/// Lack of memory is told when it happens, on cgroup v1 by its eventfd, on v2 by memory.events.
#[test]
fn lack_of_memory_is_told() {
    need_events!();
    need_controller!("memory");
    let limits = json!({ "limit": 32 << 20, "swap": 32 << 20 });
    let container = Container::new(Bundle::sleeping().set("/linux/resources/memory", limits));
    container.launch();
    let mut watching = Watching::begin(&container, &["--interval", "100ms"]);
    watching.next("stats");
    let outcome = container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=96M", "count=1"]);
    assert_eq!(outcome.code, 137, "{outcome:?}");
    assert_eq!(watching.next("oom"), json!({ "type": "oom", "id": container.id }));
    container.stop();
    container.delete().ok();
    assert_eq!(watching.end(), 0);
}

/// A container whose own program dies of it: the event is not lost in its end.
#[test]
fn lack_of_memory_that_ends_the_container_is_told() {
    only_rt!(); // with runc it is a race
    if mode() == Mode::Systemd {
        skip!("systemd removes the cgroup, and its counters, with the last process");
    }
    need_controller!("memory");
    let bundle = Bundle::sh("sleep 1; exec dd if=/dev/zero of=/dev/null bs=96M count=1");
    let limits = json!({ "limit": 32 << 20, "swap": 32 << 20 });
    let container = Container::new(bundle.set("/linux/resources/memory", limits));
    container.launch();
    let mut watching = Watching::begin(&container, &[]);
    watching.next("oom");
    assert_eq!(watching.end(), 0);
}

/// A wrong state and wrong words.
#[test]
fn events_of_what_does_not_run_are_refused() {
    need_events!();
    let container = Container::new(Bundle::sleeping());
    container.call(&["events", "--stats", &container.id]).refused_with(&["does not exist"]);
    container.launch();
    for (flag, word) in [("--interval=0s", "greater than 0"), ("--interval=x", "--interval")] {
        container.call(&["events", flag, &container.id]).refused_with(&[word]);
    }
    container.stop();
    container.call(&["events", "--stats", &container.id]).refused_with(&["container not running"]);
    container.call(&["events", &container.id]).refused_with(&["container not running"]);
}
