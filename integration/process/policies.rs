//! config-linux.md, "Personality" and "Memory policy".

use serde_json::{Value, json};

use crate::harness::{Bundle, Container};

fn with_personality(args: &[&str], personality: Value) -> Bundle {
    Bundle::args(args).set("/linux/personality", personality)
}

/// "`domain`: the execution domain": `LINUX` and `LINUX32`, for what exec starts too.
#[test]
fn both_domains_can_be_had() {
    only_rt!(); // runc 1.1 does not know it
    for (domain, shown) in [("LINUX", "00000000\n"), ("LINUX32", "00000008\n")] {
        let bundle = with_personality(&["sleep", "1000"], json!({ "domain": domain }));
        let container = Container::new(bundle);
        container.launch();
        let program = std::fs::read_to_string(format!("/proc/{}/personality", container.pid())).unwrap();
        let of_exec = container.exec(&["cat", "/proc/self/personality"]).ok().stdout;
        assert_eq!((program.as_str(), of_exec.as_str()), (shown, shown), "{domain}");
    }
}

/// "`flags`: the additional flags to apply. Currently no flag values are supported": `rt` takes personality(2)'s own names
/// and no others, so that nothing is ignored.
#[test]
fn the_flags_are_those_of_the_kernel() {
    only_rt!(); // crun and runc ignore them
    let flags = json!({ "domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE", "ADDR_COMPAT_LAYOUT"] });
    let container = Container::new(with_personality(&["cat", "/proc/self/personality"], flags));
    assert_eq!(container.run().ok().stdout, "00240008\n");
    let container =
        Container::new(with_personality(&["uname", "-r"], json!({ "domain": "LINUX", "flags": ["UNAME26"] })));
    assert!(container.run().ok().stdout.starts_with("2.6."));
}

/// What is no domain, and no flag.
#[test]
fn bad_personalities_are_refused() {
    only_rt!();
    for (personality, pointer) in [
        (json!({ "domain": "LINUX64" }), "/linux/personality/domain"),
        (json!({}), "/linux/personality/domain"),
        (json!({ "domain": "LINUX", "flags": ["UNAME26", "FAST"] }), "/linux/personality/flags/1"),
        (json!({ "domain": "LINUX", "flags": "UNAME26" }), "/linux/personality/flags"),
        (json!("LINUX32"), "/linux/personality"),
    ] {
        let container = Container::new(with_personality(&["true"], personality));
        container.run().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}

/// What numa_maps says of the heap, a mapping that has no policy of its own.
fn shown(output: &str) -> String {
    output.lines().find(|line| line.contains(" heap ")).and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned()
}

/// "`memoryPolicy` sets the NUMA memory policy for the container": each mode, for what exec starts too.
#[test]
fn each_memory_policy_is_set() {
    only_rt!(); // runc 1.1 and crun 1.8 do not know it
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        skip!("this kernel has no NUMA");
    }
    for (policy, wanted) in [
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_DEFAULT", "nodes": "" }), "default"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0"),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }), "interleave:0"),
        (json!({ "mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0" }), "weighted interleave:0"),
        (json!({ "mode": "MPOL_PREFERRED", "nodes": "0" }), "prefer:0"),
        (json!({ "mode": "MPOL_PREFERRED" }), "local"),
        (json!({ "mode": "MPOL_PREFERRED_MANY", "nodes": "0" }), "prefer (many):0"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"] }), "bind=relative:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"] }), "bind=balancing:0"),
    ] {
        let container = Container::new(Bundle::sleeping().set("/linux/memoryPolicy", policy.clone()));
        let created = container.create();
        if created.code != 0 && wanted.starts_with("weighted") {
            created.refused_with(&["set_mempolicy", "EINVAL"]); // before Linux 6.9
            continue;
        }
        created.ok();
        container.start().ok();
        let output = container.exec(&["cat", "/proc/self/numa_maps"]).ok().stdout;
        assert!(output.contains(&format!(" {wanted} ")), "{policy}: {}\n{output}", shown(&output));
    }
}

/// "Some modes require that there are no nodes [...] Others that there is at least one node", and flags that exclude
/// each other.
#[test]
fn bad_memory_policies_are_refused() {
    only_rt!();
    for (policy, pointer) in [
        (json!({ "mode": "MPOL_BIND" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_DEFAULT", "nodes": "0" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_LOCAL", "nodes": "0" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0-" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_BIND", "nodes": "3-1" }), "/linux/memoryPolicy/nodes"),
        (json!({ "mode": "MPOL_BEST", "nodes": "0" }), "/linux/memoryPolicy/mode"),
        (json!({ "nodes": "0" }), "/linux/memoryPolicy/mode"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_FAST"] }), "/linux/memoryPolicy/flags/0"),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] }),
            "/linux/memoryPolicy/flags",
        ),
        (json!({ "mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"] }), "/linux/memoryPolicy/flags"),
        // A node that this machine has not: the kernel says so.
        (json!({ "mode": "MPOL_BIND", "nodes": "1000" }), "memory"),
    ] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/memoryPolicy", policy));
        container.run().refused_with(&[pointer]);
        container.assert_nothing_left();
    }
}
