//! config.md, "Linux Process": scheduler, ioPriority, execCPUAffinity.

use serde_json::{Value, json};

use crate::harness::{Bundle, Container, Mode, cgroups, mode};

/// What /proc/PID/stat says: nice, real-time priority, policy.
fn scheduling(stat: &str) -> [i64; 3] {
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
    [16, 37, 38].map(|index| fields[index].parse().unwrap())
}

fn scheduled(scheduler: Value) -> Bundle {
    let bundle = Bundle::args(&["cat", "/proc/self/stat"]).set("/process/scheduler", scheduler);
    bundle.set("/ociVersion", json!("1.1.0"))
}

/// "`policy` represents the scheduling policy": those for which this machine needs no real-time bandwidth.
#[test]
fn each_ordinary_policy_is_set() {
    only_rt!(); // newer than Debian's runc and crun
    for (scheduler, shown) in [
        (json!({ "policy": "SCHED_OTHER" }), [0, 0, 0]),
        (json!({ "policy": "SCHED_OTHER", "nice": 11 }), [11, 0, 0]),
        (json!({ "policy": "SCHED_BATCH", "nice": -3 }), [-3, 0, 3]),
        (json!({ "policy": "SCHED_IDLE" }), [0, 0, 5]),
        (json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"] }), [0, 0, 0]),
        (
            json!({ "policy": "SCHED_OTHER", "flags": [], "priority": 0, "runtime": 0, "deadline": 0, "period": 0 }),
            [0, 0, 0],
        ),
    ] {
        if shown[0] < 0 && mode() == Mode::Rootless {
            continue; // only root has a nice value below 0
        }
        let container = Container::new(scheduled(scheduler.clone()));
        assert_eq!(scheduling(&container.run().ok().stdout), shown, "{scheduler}");
    }
}

/// SCHED_DEADLINE, with all three times.
#[test]
fn the_deadline_policy_is_set() {
    only_rt!();
    let times =
        json!({ "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000, "period": 50_000_000 });
    let bundle = scheduled(times).set("/process/args", json!(["cat", "/proc/self/stat", "/proc/self/sched"]));
    let outcome = Container::new(bundle).run();
    if outcome.code != 0 && outcome.stderr.contains("EPERM") {
        skip!("this machine gives nobody a deadline");
    }
    let output = outcome.ok().stdout;
    assert_eq!(scheduling(output.lines().next().unwrap())[2], 6, "{output}");
    assert!(output.lines().any(|line| line.starts_with("policy") && line.ends_with(" 6")), "{output}");
}

/// SCHED_FIFO and SCHED_RR: set, or an error that names the policy, where the cgroup has no real-time bandwidth.
#[test]
fn the_real_time_policies_are_set_or_an_error() {
    only_rt!();
    for (policy, number) in [("SCHED_FIFO", 1), ("SCHED_RR", 2)] {
        let container = Container::new(scheduled(json!({ "policy": policy, "priority": 7 })));
        let outcome = container.run();
        if outcome.code == 0 {
            assert_eq!(scheduling(&outcome.stdout)[1..], [7, number], "{policy}");
        } else {
            outcome.refused_with(&["scheduler", policy, "EPERM"]);
            container.assert_nothing_left();
        }
    }
}

/// "If not set, the runtime must use the value 0": the caller's nice value is not inherited where there is a scheduler.
/// Without one it is.
#[test]
fn nice_is_0_unless_set() {
    only_rt!();
    for (bundle, nice) in
        [(scheduled(json!({ "policy": "SCHED_OTHER" })), 0), (Bundle::args(&["cat", "/proc/self/stat"]), 5)]
    {
        if nice < 5 && mode() == Mode::Rootless {
            continue; // only root lowers a nice value
        }
        let container = Container::new(bundle);
        let mut command = std::process::Command::new("nice");
        command.args(["-n", "5"]).arg(&crate::harness::runtime().path).arg("--root").arg(container.root());
        command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
        assert_eq!(scheduling(&crate::harness::runtime::outcome(command).ok().stdout)[0], nice);
    }
}

/// What no kernel takes is refused before anything is made.
#[test]
fn impossible_schedulers_are_refused() {
    only_rt!();
    for (scheduler, place) in [
        (json!({ "policy": "SCHED_ISO" }), "policy"),
        (json!({ "policy": "SCHED_EXTRA" }), "policy"),
        (json!({ "nice": 1 }), "policy"),
        (json!({ "policy": "SCHED_FIFO", "priority": 100 }), "priority"),
        (json!({ "policy": "SCHED_RR" }), "priority"),
        (json!({ "policy": "SCHED_OTHER", "priority": 1 }), "priority"),
        (json!({ "policy": "SCHED_OTHER", "nice": 20 }), "nice"),
        (json!({ "policy": "SCHED_OTHER", "runtime": 1 }), "runtime"),
        (json!({ "policy": "SCHED_DEADLINE", "runtime": 10, "deadline": 20, "period": 30 }), "runtime"),
        (json!({ "policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4000 }), "deadline"),
        (json!({ "policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 4000, "period": 3000 }), "period"),
        (json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONE"] }), "flags/0"),
    ] {
        let container = Container::new(scheduled(scheduler));
        container.create().refused_with(&[&format!("/process/scheduler/{place}")]);
        container.assert_nothing_left();
    }
}

/// A process under SCHED_DEADLINE cannot fork, so it could not run the hook: said before anything is made.
#[test]
fn a_deadline_and_start_hooks_need_reset_on_fork() {
    only_rt!();
    let deadline = |flags: &[&str]| {
        let times = json!({ "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000, "flags": flags });
        Container::new(scheduled(times).hook("startContainer", "true"))
    };
    let container = deadline(&[]);
    container.create().refused_with(&["/process/scheduler/flags", "SCHED_FLAG_RESET_ON_FORK", "startContainer"]);
    container.assert_nothing_left();
    let outcome = deadline(&["SCHED_FLAG_RESET_ON_FORK"]).run();
    assert!(outcome.code == 0 || outcome.stderr.contains("EPERM"), "{outcome:?}");
}

/// "`class` specifies the I/O scheduling class", "`priority` [...] from 0 (highest) to 7 (lowest)".
#[test]
fn each_io_priority_is_set() {
    only_rt!();
    for (class, priority, shown) in [
        ("IOPRIO_CLASS_RT", 0, "realtime: prio 0"),
        ("IOPRIO_CLASS_RT", 7, "realtime: prio 7"),
        ("IOPRIO_CLASS_BE", 0, "best-effort: prio 0"),
        ("IOPRIO_CLASS_BE", 3, "best-effort: prio 3"),
        ("IOPRIO_CLASS_IDLE", 4, "idle"),
    ] {
        if class == "IOPRIO_CLASS_RT" && mode() == Mode::Rootless {
            continue; // for root alone
        }
        let priority = json!({ "class": class, "priority": priority });
        let bundle = Bundle::args(&["ionice"]).set("/process/ioPriority", priority);
        let output = Container::new(bundle).run().ok().stdout;
        assert!(output.trim().starts_with(shown), "{class}: {output}");
    }
}

/// "The value should be an integer ranging from 0 (highest) to 7 (lowest)", and there are three classes.
#[test]
fn impossible_io_priorities_are_refused() {
    only_rt!();
    for (priority, place) in [
        (json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }), "priority"),
        (json!({ "class": "IOPRIO_CLASS_BE", "priority": -1 }), "priority"),
        (json!({ "class": "IOPRIO_CLASS_NONE", "priority": 0 }), "class"),
        (json!({ "class": "IOPRIO_CLASS_BE" }), "priority"),
        (json!({ "priority": 0 }), "class"),
    ] {
        let container = Container::new(Bundle::args(&["true"]).set("/process/ioPriority", priority));
        container.create().refused_with(&[&format!("/process/ioPriority/{place}")]);
        container.assert_nothing_left();
    }
}

/// "affecting all processes within the container": those of exec, too; and so is the scheduler.
#[test]
fn exec_has_the_priorities_of_the_container() {
    only_rt!();
    let bundle = Bundle::sleeping().set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }));
    let container = Container::new(bundle.set("/process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 4 })));
    container.launch();
    let output = container.exec_sh("ionice; cat /proc/self/stat").ok().stdout;
    let (io, stat) = output.trim().split_once('\n').unwrap();
    assert_eq!(io, "best-effort: prio 6");
    assert_eq!(scheduling(stat), [4, 0, 3]);
}

fn allowed_cpus(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim()
}

fn on_two_cpus() -> bool {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    allowed_cpus(&own) == "0-1"
}

/// "`final` is a list of CPUs the process will be run on after the transition to container's cgroup"; "This setting is
/// not applicable to the container's init process."
#[test]
fn exec_runs_on_the_final_cpus_and_init_does_not() {
    only_rt!(); // newer
    if !on_two_cpus() {
        skip!("this machine has not just two CPUs");
    }
    for (affinity, shown) in [
        (json!({ "final": "1" }), "1"),
        (json!({ "initial": "0", "final": "1" }), "1"),
        (json!({ "initial": "1", "final": "0-1" }), "0-1"),
        (json!({ "initial": "0-1", "final": "0" }), "0"),
    ] {
        let container = Container::new(Bundle::sleeping().set("/process/execCPUAffinity", affinity.clone()));
        container.launch();
        let status = container.exec(&["cat", "/proc/self/status"]).ok().stdout;
        assert_eq!(allowed_cpus(&status), shown, "{affinity}");
        let of_init = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        assert_eq!(allowed_cpus(&of_init), "0-1", "{affinity}");
    }
}

/// "If omitted or empty, runtime SHOULD NOT change process' CPU affinity after the process is moved to container's
/// cgroup": then what the kernel made of `initial` there holds.
#[test]
fn without_final_cpus_the_kernel_decides() {
    only_rt!();
    if !on_two_cpus() || cgroups::directory("cpuset", "/").is_none() {
        skip!("this machine has not just two CPUs and a cpuset controller");
    }
    let row = |after: Value| json!({ "initial": "1", "final": after });
    for affinity in [json!({ "initial": "1" }), row(json!("")), row(Value::Null)] {
        // In a cgroup without CPU 1 the kernel must give another; in one with it, newer kernels leave it at that.
        for (cpus, possible) in [("0", &["0"][..]), ("0-1", &["1", "0-1"])] {
            let bundle = Bundle::sleeping().set("/process/execCPUAffinity", affinity.clone());
            let container = Container::new(bundle.set("/linux/resources/cpu", json!({ "cpus": cpus, "mems": "0" })));
            container.launch();
            let status = container.exec(&["cat", "/proc/self/status"]).ok().stdout;
            assert!(possible.contains(&allowed_cpus(&status)), "{affinity}, cpuset {cpus}: {}", allowed_cpus(&status));
        }
    }
}

/// A process file of `exec --process` may have its own; CPUs that are not there are an error, and the container goes on.
#[test]
fn exec_can_be_given_other_cpus() {
    only_rt!();
    if !on_two_cpus() {
        skip!("this machine has not just two CPUs");
    }
    let container = Container::new(Bundle::sleeping().set("/process/execCPUAffinity", json!({ "final": "0" })));
    container.launch();
    let file = container.home.path().join("process.json");
    let process = |cpus: &str| {
        json!({
            "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"], "args": ["cat", "/proc/self/status"],
            "execCPUAffinity": { "final": cpus },
        })
    };
    let exec = |cpus: &str| {
        std::fs::write(&file, process(cpus).to_string()).unwrap();
        container.call(&["exec", "--process", file.to_str().unwrap(), &container.id])
    };
    assert_eq!(allowed_cpus(&exec("1").ok().stdout), "1");
    exec("900").refused_with(&["900", "EINVAL"]);
    exec("1-").refused_with(&["/execCPUAffinity/final"]);
    assert_eq!(container.status(), "running");
}

/// "a comma-separated list, with dashes to represent ranges": anything else is refused at create.
#[test]
fn impossible_cpu_lists_are_refused() {
    only_rt!();
    for list in ["a", "1-", "3-1", "0,,1", "-1", "0 1", "4294967296"] {
        for name in ["initial", "final"] {
            let container =
                Container::new(Bundle::args(&["true"]).set("/process/execCPUAffinity", json!({ name: list })));
            container.create().refused_with(&[&format!("/process/execCPUAffinity/{name}")]);
            container.assert_nothing_left();
        }
    }
}
