//! config.md, "POSIX process" and "Linux Process": rlimits, oomScoreAdj, scheduler, ioPriority.

use serde_json::json;

use crate::harness::{Bundle, Container};

/// "`rlim.rlim_cur` MUST match the configured value", "`rlim.rlim_max` MUST match": all sixteen types.
#[test]
fn rlimits_are_set() {
    let limits = [
        ("RLIMIT_AS", "Max address space", "4294967296", "8589934592"),
        ("RLIMIT_CORE", "Max core file size", "0", "4096"),
        ("RLIMIT_CPU", "Max cpu time", "100", "200"),
        ("RLIMIT_DATA", "Max data size", "4294967296", "8589934592"),
        ("RLIMIT_FSIZE", "Max file size", "4294967296", "8589934592"),
        ("RLIMIT_LOCKS", "Max file locks", "10", "20"),
        ("RLIMIT_MEMLOCK", "Max locked memory", "4096", "8192"),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", "4096", "8192"),
        ("RLIMIT_NICE", "Max nice priority", "0", "0"),
        ("RLIMIT_NOFILE", "Max open files", "100", "200"),
        ("RLIMIT_NPROC", "Max processes", "100", "200"),
        ("RLIMIT_RSS", "Max resident set", "4096", "8192"),
        ("RLIMIT_RTPRIO", "Max realtime priority", "0", "0"),
        ("RLIMIT_RTTIME", "Max realtime timeout", "1000", "2000"),
        ("RLIMIT_SIGPENDING", "Max pending signals", "10", "20"),
        ("RLIMIT_STACK", "Max stack size", "4194304", "8388608"),
    ];
    let number = |text: &str| text.parse::<u64>().unwrap();
    let list = limits.map(|(kind, _, soft, hard)| json!({ "type": kind, "soft": number(soft), "hard": number(hard) }));
    let container = Container::new(Bundle::args(&["cat", "/proc/self/limits"]).set("/process/rlimits", json!(list)));
    let shown = container.run().ok().stdout;
    for (kind, name, soft, hard) in limits {
        let line = shown.lines().find(|line| line.starts_with(name)).expect(name);
        let fields: Vec<&str> = line[name.len()..].split_whitespace().collect();
        assert_eq!(fields[..2], [soft, hard], "{kind}");
    }
}

/// "If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error."
/// (No other runtime does.)
#[test]
fn a_duplicate_rlimit_is_refused() {
    let limit = json!({ "type": "RLIMIT_NOFILE", "soft": 10, "hard": 10 });
    let container = Container::new(Bundle::args(&["true"]).push("/process/rlimits", limit));
    container.run().refused_with(&["/process/rlimits", "RLIMIT_NOFILE"]);
    container.assert_nothing_left();
}

/// "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface."
#[test]
fn an_unknown_rlimit_is_refused() {
    let limit = json!({ "type": "RLIMIT_NOSUCH", "soft": 10, "hard": 10 });
    let container = Container::new(Bundle::args(&["true"]).push("/process/rlimits", limit));
    container.run().refused_with(&["RLIMIT_NOSUCH"]);
}

/// A soft limit above the hard one cannot be set.
#[test]
fn a_soft_limit_above_the_hard_one_is_refused() {
    let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 20, "hard": 10 }]);
    let container = Container::new(Bundle::args(&["true"]).set("/process/rlimits", limit));
    container.run().refused_with(&["/process/rlimits/0", "20", "10"]);
    container.assert_nothing_left();
}

/// "If `oomScoreAdj` is set, the runtime MUST set `oom_score_adj` to the given value."
#[test]
fn oom_score_adj_is_set() {
    let container =
        Container::new(Bundle::args(&["cat", "/proc/self/oom_score_adj"]).set("/process/oomScoreAdj", json!(321)));
    assert_eq!(container.run().ok().stdout, "321\n");
}

/// "If `oomScoreAdj` is not set, the runtime MUST NOT change the value of `oom_score_adj`."
#[test]
fn oom_score_adj_is_inherited() {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let container = Container::new(Bundle::args(&["cat", "/proc/self/oom_score_adj"]));
    assert_eq!(container.run().ok().stdout, own);
}

/// The whole range, and a fault beyond it. What the kernel denies (lowering needs CAP_SYS_RESOURCE) is an error, and
/// nothing is left: "If the runtime cannot apply a property [...] it MUST generate an error."
#[test]
fn oom_score_adj_is_set_or_an_error() {
    only_rt!(); // crun 1.8 takes any number
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let container = |adjustment: i32| {
        let bundle = Bundle::args(&["cat", "/proc/self/oom_score_adj"]).set("/process/oomScoreAdj", json!(adjustment));
        Container::new(bundle)
    };
    for adjustment in [-1000, -500, -1, 0, 1, 1000] {
        let container = container(adjustment);
        let outcome = container.run();
        if outcome.code == 0 || adjustment >= own {
            assert_eq!(outcome.ok().stdout, format!("{adjustment}\n"));
        } else {
            outcome.refused_with(&["oom_score_adj", &adjustment.to_string(), "EACCES"]);
            container.assert_nothing_left();
        }
    }
    for adjustment in [1001, -1001] {
        let container = container(adjustment);
        container.create().refused_with(&["/process/oomScoreAdj", &adjustment.to_string()]);
        container.assert_nothing_left();
    }
}

/// A container does not inherit the adjustment of one that was asked for elsewhere: only that of who calls `rt`.
#[test]
fn oom_score_adj_of_the_caller_is_inherited() {
    let container = Container::new(Bundle::args(&["cat", "/proc/self/oom_score_adj"]));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo 977 > /proc/self/oom_score_adj; exec \"$@\"", "sh"]);
    command.arg(&crate::harness::runtime().path).arg("--root").arg(container.root());
    command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "977\n");
}

/// A hard limit above what the machine gives, or above what the kernel takes, is an error with its name.
#[test]
fn a_limit_that_the_kernel_refuses_is_an_error() {
    only_rt!(); // others say it in other words
    let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 4_000_000_000_u64, "hard": 4_000_000_000_u64 }]);
    let container = Container::new(Bundle::args(&["true"]).set("/process/rlimits", limit));
    container.create().refused_with(&["RLIMIT_NOFILE", "4000000000", "EPERM"]);
    container.assert_nothing_left();
}

/// "For each entry in `rlimits`, a `getrlimit(3)` on `type` MUST succeed": without a limit at all, too (RLIM_INFINITY).
#[test]
fn an_infinite_limit_is_a_limit() {
    let limit = json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX }]);
    let container = Container::new(Bundle::sh("ulimit -c; ulimit -Hc").set("/process/rlimits", limit));
    assert_eq!(container.run().ok().stdout, "0\nunlimited\n");
}

/// "`scheduler` describes the scheduler properties for the process": policy and nice. (runc 1.1 and crun 1.8 ignore it.)
#[test]
fn the_scheduler_is_set() {
    let bundle = Bundle::args(&["cat", "/proc/self/stat"])
        .set("/process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 7 }));
    let outcome = Container::new(bundle.set("/ociVersion", json!("1.1.0"))).run().ok();
    let fields: Vec<&str> = outcome.stdout.rsplit(") ").next().unwrap().split_whitespace().collect();
    // After the command's name: field 19 is nice, 41 is policy.
    assert_eq!((fields[16], fields[38]), ("7", "3"), "{fields:?}");
}

/// "`ioPriority`: the I/O priority settings for the container's processes". (runc 1.1 and crun 1.8 ignore it.)
#[test]
fn the_io_priority_is_set() {
    let priority = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    let bundle = Bundle::args(&["ionice"]).set("/process/ioPriority", priority).set("/ociVersion", json!("1.1.0"));
    assert_eq!(Container::new(bundle).run().ok().stdout.trim(), "best-effort: prio 6");
}

/// "`personality`": linux.personality sets the domain.
#[test]
fn the_personality_is_set() {
    let bundle = Bundle::sh("cat /proc/self/personality; uname -m");
    let bundle = bundle.set("/linux/personality", json!({ "domain": "LINUX32" }));
    // What uname makes of it is the kernel's business: User-Mode Linux says x86_64.
    let machine = std::process::Command::new("setarch").args(["linux32", "uname", "-m"]).output().unwrap();
    let wanted = format!("00000008\n{}", String::from_utf8(machine.stdout).unwrap());
    assert_eq!(Container::new(bundle).run().ok().stdout, wanted);
}
