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
    let bundle = Bundle::args(&["uname", "-m"]).set("/linux/personality", json!({ "domain": "LINUX32" }));
    assert_eq!(Container::new(bundle).run().ok().stdout, "i686\n");
}
