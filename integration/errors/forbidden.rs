//! What the spec forbids, and what the kernel refuses: one error with the place in config.json, and nothing is left.

use serde_json::{Value, json};

use crate::harness::{Bundle, Container};

/// A configuration that must be refused: where, and the values that make it so.
type Case = (&'static str, Vec<(&'static str, Value)>);

/// Creates each of them, one after the other, on one root file system.
#[track_caller]
fn refused(cases: Vec<Case>) {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    let mut wrong = Vec::new();
    for (pointer, changes) in cases {
        let mut config = container.bundle.config.clone();
        for (place, value) in &changes {
            put(&mut config, place, value.clone());
        }
        std::fs::write(container.bundle.beside("config.json"), config.to_string()).unwrap();
        let outcome = container.create();
        if outcome.code == 0 || outcome.stderr.lines().count() != 1 || !names(&outcome.stderr, pointer) {
            wrong.push(format!("{pointer}: {changes:?}: {} {}", outcome.code, outcome.stderr));
            container.delete_force();
        }
        container.assert_nothing_left();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether an error names just this place: not one below, nor another that begins alike.
pub(super) fn names(error: &str, pointer: &str) -> bool {
    error.match_indices(pointer).any(|(start, _)| {
        !error[start + pointer.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '/')
    })
}

/// Sets the value at a pointer; objects on the way are made, and `-` is the end of a list.
pub(super) fn put(config: &mut Value, pointer: &str, value: Value) {
    let place = pointer.split('/').skip(1).fold(config, |place, name| match place {
        Value::Array(list) => {
            let index = name.parse().unwrap_or(list.len());
            if index == list.len() {
                list.push(Value::Null);
            }
            &mut list[index]
        }
        _ => &mut place[name.replace("~1", "/").replace("~0", "~")],
    });
    *place = value;
}

fn namespaces(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({ "type": kind })).collect()
}

fn map(ranges: &[[u32; 3]]) -> Value {
    ranges
        .iter()
        .map(|[container, host, size]| json!({ "containerID": container, "hostID": host, "size": size }))
        .collect()
}

const SOME: &[&str] = &["mount", "pid", "uts", "ipc", "cgroup"];

/// "`sysctl`", "`hostname`", "`timeOffsets`", "`netDevices`", "`uidMappings`": each belongs to a namespace.
#[test]
fn what_belongs_to_a_namespace_needs_it() {
    need_root!("do without a user namespace");
    let without = |kind: &str| {
        let kinds = ["mount", "pid", "uts", "ipc", "network"].into_iter().filter(|one| *one != kind);
        namespaces(&kinds.collect::<Vec<_>>())
    };
    refused(vec![
        (
            "/linux/sysctl/net.ipv4.ip_forward",
            vec![("/linux/namespaces", without("network")), ("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }))],
        ),
        (
            "/linux/sysctl/kernel.shmmax",
            vec![("/linux/namespaces", without("ipc")), ("/linux/sysctl", json!({ "kernel.shmmax": "4096" }))],
        ),
        (
            "/linux/sysctl/kernel.domainname",
            vec![
                ("/linux/namespaces", without("uts")),
                ("/hostname", Value::Null),
                ("/linux/sysctl", json!({ "kernel.domainname": "x" })),
            ],
        ),
        ("/linux/sysctl/vm.swappiness", vec![("/linux/sysctl", json!({ "vm.swappiness": "1" }))]),
        ("/hostname", vec![("/linux/namespaces", without("uts")), ("/hostname", json!("x"))]),
        (
            "/domainname",
            vec![("/linux/namespaces", without("uts")), ("/hostname", Value::Null), ("/domainname", json!("x"))],
        ),
        ("/linux/timeOffsets", vec![("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }))]),
        (
            "/linux/netDevices",
            vec![("/linux/namespaces", without("network")), ("/linux/netDevices", json!({ "nosuch0": {} }))],
        ),
        ("/linux/uidMappings", vec![("/linux/uidMappings", map(&[[0, 0, 1]]))]),
        ("/linux/gidMappings", vec![("/linux/gidMappings", map(&[[0, 0, 1]]))]),
    ]);
}

/// "The runtime MUST generate an error" for namespaces that cannot be joined, and ids that cannot be mapped.
#[test]
fn impossible_namespaces_and_mappings_are_refused() {
    need_root!("do without a user namespace");
    let with_user = namespaces(&[SOME, &["user", "network"]].concat());
    let mapped = |uids: &[[u32; 3]], gids: &[[u32; 3]]| {
        vec![
            ("/linux/namespaces", with_user.clone()),
            ("/linux/uidMappings", map(uids)),
            ("/linux/gidMappings", map(gids)),
        ]
    };
    let one = [[0, 100_000, 10]];
    refused(vec![
        ("/linux/namespaces/5/type", vec![("/linux/namespaces", namespaces(&[SOME, &["pid"]].concat()))]),
        (
            "/linux/namespaces",
            vec![(
                "/linux/namespaces",
                json!([{ "type": "pid", "path": "/no/such" }, { "type": "mount" }, { "type": "uts" }]),
            )],
        ),
        (
            "/linux/namespaces",
            vec![(
                "/linux/namespaces",
                json!([{ "type": "network", "path": "/proc/self/ns/uts" }, { "type": "mount" }, { "type": "uts" }]),
            )],
        ),
        (
            "/linux/namespaces",
            vec![(
                "/linux/namespaces",
                json!([{ "type": "network", "path": "/etc/passwd" }, { "type": "mount" }, { "type": "uts" }]),
            )],
        ),
        ("/linux/uidMappings/1/containerID", mapped(&[[0, 100_000, 10], [9, 200_000, 1]], &one)),
        ("/linux/gidMappings/1/hostID", mapped(&one, &[[0, 100_000, 10], [10, 100_009, 1]])),
        ("/linux/uidMappings/0/size", mapped(&[[0, 100_000, 0]], &one)),
        ("/linux/uidMappings/0/hostID", mapped(&[[0, 4_294_967_290, 10]], &one)),
        ("/process/user/uid", [mapped(&one, &one), vec![("/process/user/uid", json!(10))]].concat()),
        ("/process/user/gid", [mapped(&one, &one), vec![("/process/user/gid", json!(10))]].concat()),
        (
            "/process/user/additionalGids/1",
            [mapped(&one, &one), vec![("/process/user/additionalGids", json!([1, 10]))]].concat(),
        ),
        (
            "/linux/timeOffsets/realtime",
            vec![
                ("/linux/namespaces", namespaces(&[SOME, &["time"]].concat())),
                ("/linux/timeOffsets", json!({ "realtime": { "secs": 1 } })),
            ],
        ),
        (
            "/linux/timeOffsets",
            vec![
                ("/linux/namespaces", namespaces(&[SOME, &["time"]].concat())),
                ("/linux/timeOffsets", json!({ "boottime": { "secs": -i64::from(u32::MAX) } })),
            ],
        ),
    ]);
}

/// "`mounts`": what cannot be mounted.
#[test]
fn impossible_mounts_are_refused() {
    need_root!("make devices, and mount without a user namespace");
    let mount = |mount: Value| vec![("/mounts", json!([mount]))];
    refused(vec![
        ("/mounts/0/destination", mount(json!({ "destination": "" }))),
        ("/mounts/0", mount(json!({ "destination": "/a", "source": "/no/such", "options": ["bind"] }))),
        ("/mounts/0/source", mount(json!({ "destination": "/a", "options": ["bind"] }))),
        ("/mounts/0", mount(json!({ "destination": "/a", "type": "nosuchfs", "source": "none" }))),
        ("/mounts/0", mount(json!({ "destination": "/a", "type": "tmpfs", "options": ["size=large"] }))),
        ("/mounts/0", mount(json!({ "destination": "/a", "type": "tmpfs", "options": ["nosuchoption"] }))),
        ("/mounts/0/options", mount(json!({ "destination": "/a", "source": "/usr", "options": ["bind", "idmap"] }))),
        (
            "/mounts/0/gidMappings",
            mount(
                json!({ "destination": "/a", "source": "/usr", "options": ["bind"], "uidMappings": map(&[[0, 1, 1]]) }),
            ),
        ),
        (
            "/mounts/0/uidMappings/1/containerID",
            mount(json!({
                "destination": "/a", "source": "/usr", "options": ["bind", "idmap"],
                "uidMappings": map(&[[0, 1, 10], [5, 100, 1]]), "gidMappings": map(&[[0, 1, 1]])
            })),
        ),
        ("/root/path", vec![("/root/path", json!("no/such"))]),
        ("/root/path", vec![("/root/path", json!("config.json"))]),
        ("/linux/rootfsPropagation", vec![("/linux/rootfsPropagation", json!("sideways"))]),
        ("/linux/maskedPaths/0", vec![("/linux/maskedPaths", json!(["proc"]))]),
        ("/linux/readonlyPaths/1", vec![("/linux/readonlyPaths", json!(["/proc", "../sys"]))]),
        (
            "/linux/devices/0",
            vec![("/linux/devices", json!([{ "path": "/bin/sh", "type": "c", "major": 1, "minor": 3 }]))],
        ),
        ("/linux/devices/0/major", vec![("/linux/devices", json!([{ "path": "/dev/x", "type": "c", "minor": 3 }]))]),
    ]);
}

/// "`seccomp`": what the spec forbids.
#[test]
fn impossible_filters_are_refused() {
    let profile = |more: Value| {
        let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![("/linux/seccomp", profile)]
    };
    let rule = |more: Value| {
        let mut rule = json!({ "names": ["kill"], "action": "SCMP_ACT_ERRNO" });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile(json!({ "syscalls": [rule] }))
    };
    let argument = |index: u32, op: &str| json!({ "args": [{ "index": index, "value": 1, "op": op }] });
    refused(vec![
        ("/linux/seccomp/defaultErrnoRet", profile(json!({ "defaultErrnoRet": 1 }))),
        ("/linux/seccomp/syscalls/0/errnoRet", rule(json!({ "action": "SCMP_ACT_KILL", "errnoRet": 1 }))),
        ("/linux/seccomp/syscalls/0/errnoRet", rule(json!({ "errnoRet": 100_000 }))),
        ("/linux/seccomp/listenerMetadata", profile(json!({ "listenerMetadata": "x" }))),
        ("/linux/seccomp/listenerPath", rule(json!({ "action": "SCMP_ACT_NOTIFY" }))),
        (
            "/linux/seccomp/listenerPath",
            [
                rule(json!({ "action": "SCMP_ACT_NOTIFY" })),
                vec![("/linux/seccomp/listenerPath", json!("/no/such/agent"))],
            ]
            .concat(),
        ),
        ("/linux/seccomp/syscalls/0/args/0/index", rule(argument(6, "SCMP_CMP_EQ"))),
        ("/linux/seccomp/syscalls/0/args/0/op", rule(argument(1, "SCMP_CMP_ALMOST"))),
        ("/linux/seccomp/syscalls/0/names", rule(json!({ "names": [] }))),
        ("/linux/seccomp/architectures/0", profile(json!({ "architectures": ["SCMP_ARCH_PDP11"] }))),
        ("/linux/seccomp/flags/0", profile(json!({ "flags": ["SECCOMP_FILTER_FLAG_NOSUCH"] }))),
    ]);
}

/// "`resources`": below the kernel's minimum, above its maximum, and what it has not.
#[test]
fn impossible_limits_are_refused() {
    need_controller!("cpu");
    need_controller!("memory");
    let cpu = |value: Value| vec![("/linux/resources/cpu", value)];
    let memory = |value: Value| vec![("/linux/resources/memory", value)];
    refused(vec![
        ("/linux/resources/cpu/quota", cpu(json!({ "quota": 999, "period": 100_000 }))),
        ("/linux/resources/cpu/quota", cpu(json!({ "quota": -2 }))),
        ("/linux/resources/cpu/period", cpu(json!({ "period": 999 }))),
        ("/linux/resources/cpu/period", cpu(json!({ "period": 1_000_001 }))),
        ("/linux/resources/cpu/burst", cpu(json!({ "quota": 10_000, "period": 100_000, "burst": 20_000 }))),
        ("/linux/resources/cpu/idle", cpu(json!({ "idle": 2 }))),
        ("/linux/resources/cpu/cpus", cpu(json!({ "cpus": "two" }))),
        ("/linux/resources/memory/limit", memory(json!({ "limit": -2 }))),
        ("/linux/resources/memory/swap", memory(json!({ "limit": 64 << 20, "swap": 1 << 20 }))),
        ("/linux/resources/memory/swappiness", memory(json!({ "swappiness": 101 }))),
        ("/linux/resources/pids/limit", vec![("/linux/resources/pids/limit", json!(-2))]),
        ("/linux/resources/blockIO/weight", vec![("/linux/resources/blockIO", json!({ "weight": 1001 }))]),
        (
            "/linux/resources/blockIO/throttleReadBpsDevice/0",
            vec![(
                "/linux/resources/blockIO",
                json!({ "throttleReadBpsDevice": [{ "major": 4000, "minor": 77, "rate": 1 }] }),
            )],
        ),
        (
            "/linux/resources/hugepageLimits/0",
            vec![("/linux/resources/hugepageLimits", json!([{ "pageSize": "3MB", "limit": 1 }]))],
        ),
        (
            "/linux/resources/devices/0/access",
            vec![("/linux/resources/devices", json!([{ "allow": true, "access": "x" }]))],
        ),
        (
            "/linux/resources/devices/0/type",
            vec![("/linux/resources/devices", json!([{ "allow": true, "type": "p" }]))],
        ),
        ("/linux/resources/unified/a~1b", vec![("/linux/resources/unified", json!({ "a/b": "1" }))]),
        ("/linux/cgroupsPath", vec![("/linux/cgroupsPath", json!("/a/../../b"))]),
    ]);
}

/// "`process`": values that no kernel takes, and words that are none.
#[test]
fn impossible_processes_are_refused() {
    let process = |pointer: &'static str, value: Value| vec![(pointer, value)];
    refused(vec![
        ("/process/cwd", process("/process/cwd", json!("tmp"))),
        ("/process/cwd", process("/process/cwd", json!("/bin/sh"))),
        ("/process/env/0", process("/process/env", json!(["NAME"]))),
        (
            "/process/rlimits/1/type",
            process(
                "/process/rlimits",
                json!([
                    { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 }, { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 }
                ]),
            ),
        ),
        (
            "/process/rlimits/0/soft",
            process("/process/rlimits", json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }])),
        ),
        (
            "/process/rlimits/0",
            process("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX }])),
        ),
        (
            "/process/rlimits/0/type",
            process("/process/rlimits", json!([{ "type": "RLIMIT_MOOD", "soft": 1, "hard": 1 }])),
        ),
        ("/process/oomScoreAdj", process("/process/oomScoreAdj", json!(-1001))),
        (
            "/process/ioPriority/priority",
            process("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 })),
        ),
        (
            "/process/scheduler/priority",
            process("/process/scheduler", json!({ "policy": "SCHED_RR", "priority": 100 })),
        ),
        (
            "/process/scheduler/runtime",
            process(
                "/process/scheduler",
                json!({ "policy": "SCHED_DEADLINE", "runtime": 3, "deadline": 2, "period": 1 }),
            ),
        ),
        ("/process/execCPUAffinity/initial", process("/process/execCPUAffinity", json!({ "initial": "3-1" }))),
        ("/process/apparmorProfile", process("/process/apparmorProfile", json!("no such profile"))),
        ("/process/selinuxLabel", process("/process/selinuxLabel", json!("no:such:label:s0"))),
        ("/hooks/prestart/0/path", process("/hooks", json!({ "prestart": [{ "path": "true" }] }))),
        (
            "/hooks/poststop/0/timeout",
            process("/hooks", json!({ "poststop": [{ "path": "/bin/true", "timeout": -1 }] })),
        ),
        ("/linux/personality/domain", process("/linux/personality", json!({ "domain": "SOLARIS" }))),
        ("/linux/memoryPolicy/nodes", process("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND" }))),
        ("/linux/memoryPolicy", process("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "63" }))),
        ("/hostname", process("/hostname", json!("h".repeat(65)))),
    ]);
}
