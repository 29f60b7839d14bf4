//! config-linux.md, "Offset for Time Namespace".

use serde_json::{Value, json};

use crate::harness::{Bundle, Container};

fn with_offsets(args: &[&str], offsets: Value) -> Bundle {
    let bundle = Bundle::args(args).namespace("time", None).set("/ociVersion", json!("1.1.0"));
    bundle.set("/linux/timeOffsets", offsets)
}

fn lines(bundle: Bundle) -> String {
    let output = Container::new(bundle).run().ok().stdout;
    output.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// "`secs` is the offset of clock (in seconds) in the container", "`nanosecs` (in nanoseconds)": each alone, and both.
#[test]
fn each_part_of_an_offset_is_optional() {
    only_rt!(); // runc 1.1 and crun 1.8 do not know it
    let show = ["cat", "/proc/self/timens_offsets"];
    for (offsets, shown) in [
        (json!({ "monotonic": { "secs": 5 } }), "monotonic 5 0 boottime 0 0"),
        (json!({ "boottime": { "nanosecs": 999_999_999 } }), "monotonic 0 0 boottime 0 999999999"),
        (json!({ "monotonic": {}, "boottime": { "secs": 7, "nanosecs": 1 } }), "monotonic 0 0 boottime 7 1"),
        (json!({}), "monotonic 0 0 boottime 0 0"),
    ] {
        assert_eq!(lines(with_offsets(&show, offsets.clone())), shown, "{offsets}");
    }
}

/// `secs` is an int64: a clock may be set back, as far as it has come.
#[test]
fn a_clock_can_be_set_back() {
    only_rt!();
    let offsets = json!({ "monotonic": { "secs": -1 }, "boottime": { "secs": -1 } });
    assert_eq!(lines(with_offsets(&["cat", "/proc/self/timens_offsets"], offsets)), "monotonic -1 0 boottime -1 0");
    let offsets = json!({ "boottime": { "secs": -4_000_000_000_i64 } });
    let container = Container::new(with_offsets(&["true"], offsets));
    container.run().refused_with(&["/linux/timeOffsets", "ERANGE"]);
    container.assert_nothing_left();
}

/// Under a new user namespace, which owns the time namespace then.
#[test]
fn clocks_can_be_set_under_a_user_namespace() {
    only_rt!();
    let offsets = json!({ "boottime": { "secs": 604_800 } });
    let bundle = with_offsets(&["sh", "-c", "cat /proc/self/timens_offsets; id -u"], offsets);
    let bundle = bundle.user_namespace(100_000).without_mount("/sys/fs/cgroup");
    assert_eq!(lines(bundle), "monotonic 0 0 boottime 604800 0 0");
}

/// The runtime's own clocks, and those of its hooks, stay as they are.
#[test]
fn hooks_keep_the_clocks_of_the_runtime() {
    only_rt!();
    let bundle = with_offsets(&["true"], json!({ "boottime": { "secs": 604_800 } }));
    let note = bundle.beside("note");
    let bundle = bundle.hook("createRuntime", &format!("readlink /proc/self/ns/time > {}", note.display()));
    let container = Container::new(bundle);
    container.run().ok();
    let own = std::fs::read_link("/proc/self/ns/time").unwrap();
    assert_eq!(container.bundle.read_beside("note").trim(), own.to_str().unwrap());
}

/// "The name of the clock is the entry key": the kernel has two. What it has not, and what cannot be, is refused.
#[test]
fn bad_offsets_are_refused() {
    only_rt!();
    let second = json!({ "secs": 1 });
    let clocks = with_offsets(&["true"], json!({ "realtime": second }));
    let nanoseconds = with_offsets(&["true"], json!({ "boottime": { "nanosecs": 1_000_000_000 } }));
    let negative = with_offsets(&["true"], json!({ "boottime": { "nanosecs": -1 } }));
    let inherited = with_offsets(&["true"], json!({ "boottime": second })).without_namespace("time");
    let joined = with_offsets(&["true"], json!({ "boottime": second }));
    let joined = joined.namespace("time", Some("/proc/self/ns/time"));
    for (bundle, pointer) in [
        (clocks, "/linux/timeOffsets/realtime"),
        (nanoseconds, "/linux/timeOffsets/boottime/nanosecs"),
        (negative, "/linux/timeOffsets/boottime/nanosecs"),
        (inherited, "/linux/timeOffsets"),
        (joined, "/linux/timeOffsets"),
    ] {
        let container = Container::new(bundle);
        container.create().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}
