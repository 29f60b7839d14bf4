//! A corpus of configurations, real, complete and broken, and everything that `Spec` must say about them.

use serde_json::{Value, json};

use super::captured::CAPTURED;
use super::*;

/// Every property of OCI 1.3.0 for Linux, and the sections of other platforms.
const FULL: &str = include_str!("captured/full.json");

/// The smallest configuration that can be started.
fn minimal() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["true"], "cwd": "/" },
        "linux": { "namespaces": [{ "type": "mount" }] },
    })
}

/// Loads a text; the refusal of seccomp is left out, which is a thing of its own.
pub(super) fn load(text: &[u8]) -> Result<Spec, Vec<String>> {
    let (spec, mut faults) = Spec::examine_text("/b".into(), text.to_vec());
    faults.errors.retain(|fault| !fault.reason.starts_with("is not supported yet"));
    finish(spec, faults).map_err(|faults| faults.errors.iter().map(ToString::to_string).collect())
}

pub(super) fn lines(value: &Value) -> Vec<String> {
    load(value.to_string().as_bytes()).err().unwrap_or_default()
}

/// The minimal configuration with the value at `pointer` replaced, made on the way if need be.
fn with(pointer: &str, new: Value) -> Value {
    let mut config = minimal();
    put(&mut config, pointer, new);
    config
}

pub(super) fn put(config: &mut Value, pointer: &str, new: Value) {
    let mut place = config;
    for key in pointer.split('/').skip(1) {
        place = match place {
            Value::Array(items) => {
                let index: usize = key.parse().expect("an index");
                items.resize(items.len().max(index + 1), Value::Null);
                &mut items[index]
            }
            other => &mut other[key.replace("~1", "/").replace("~0", "~")],
        };
    }
    *place = new;
}

#[test]
fn loads_what_real_programs_write_without_a_detour() {
    for (name, text) in CAPTURED {
        let spec = load(text.as_bytes()).unwrap_or_else(|faults| panic!("{name}: {faults:#?}"));
        assert_eq!(spec.warnings.warnings, [], "{name}");
        assert!(!scan::scan(text.as_bytes(), &schema::CONFIG, CONFIG).needs_normalising, "{name}");
    }
}

#[test]
fn loads_every_property_of_the_spec() {
    let spec = load(FULL.as_bytes()).expect("the full configuration is good");
    let warned: Vec<&str> = spec.warnings.warnings.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(warned, ["/vm"]);
    let process = spec.oci.process().as_ref().expect("a process");
    let scheduler = process.scheduler().as_ref().expect("a scheduler");
    assert_eq!(scheduler.flags().as_ref().map(Vec::len), Some(3));
    let affinity = process.exec_cpu_affinity().as_ref().expect("an affinity");
    assert_eq!(affinity.cpu_affinity_final().as_deref(), Some("0-3,7"));
    let resources = spec.oci.linux().as_ref().and_then(|linux| linux.resources().as_ref()).expect("resources");
    let huge = resources.hugepage_limits().as_ref().map(|limits| limits[0].limit());
    assert_eq!(huge, Some(i64::MAX));
    assert_eq!(resources.pids().map(|pids| pids.limit()), Some(0));
}

/// Everything in the full configuration that the schema has a word for: its pointer and shape.
fn places(value: &Value, shape: &'static Shape, pointer: &str, found: &mut Vec<(String, &'static Shape)>) {
    found.push((pointer.to_string(), shape));
    match (shape, value) {
        (Shape::Object(properties) | Shape::Optional(properties), Value::Object(object)) => {
            for property in *properties {
                if let Some(value) = object.get(property.name) {
                    places(value, &property.shape, &format!("{pointer}/{}", property.name), found);
                }
            }
        }
        (Shape::Map(values), Value::Object(object)) => {
            for (key, value) in object {
                places(value, values, &format!("{pointer}/{}", escape(key)), found);
            }
        }
        (Shape::List(items), Value::Array(array)) => {
            for (index, value) in array.iter().enumerate() {
                places(value, items, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

pub(super) fn full_places() -> (Value, Vec<(String, &'static Shape)>) {
    let full: Value = serde_json::from_str(FULL).expect("JSON");
    let mut found = Vec::new();
    places(&full, &schema::CONFIG, "", &mut found);
    (full, found)
}

#[test]
fn the_full_configuration_has_every_property_of_the_schema() {
    fn walk(shape: &'static Shape, name: String, all: &mut Vec<String>) {
        match shape {
            Shape::Object(properties) | Shape::Optional(properties) => {
                for property in *properties {
                    let name = format!("{name}/{}", property.name);
                    all.push(name.clone());
                    walk(&property.shape, name, all);
                }
            }
            Shape::List(inner) | Shape::Map(inner) => walk(inner, format!("{name}/*"), all),
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(&schema::CONFIG, String::new(), &mut all);
    let (_, found) = full_places();
    let generic = |pointer: &str, name: &str| {
        let parts: Vec<&str> = pointer.split('/').collect();
        let names: Vec<&str> = name.split('/').collect();
        parts.len() == names.len() && parts.iter().zip(&names).all(|(part, name)| *name == "*" || part == name)
    };
    // Hooks of one kind and throttles of one kind stand for the others.
    let missing: Vec<&String> = all
        .iter()
        .filter(|name| !name.starts_with("/hooks/") || name.starts_with("/hooks/prestart"))
        .filter(|name| !found.iter().any(|(pointer, _)| generic(pointer, name)))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn a_wrong_type_anywhere_is_one_line_with_its_pointer() {
    let (full, found) = full_places();
    let wrong = [json!(true), json!(-7), json!(1.5), json!("\0"), json!([]), json!({}), json!([[]]), json!(1e30)];
    let mut tried = 0;
    for (pointer, shape) in found.iter().filter(|(_, shape)| !matches!(shape, Shape::Foreign | Shape::Ignored(_))) {
        for wrong in &wrong {
            let fits = match (shape, wrong) {
                (Shape::Bool, Value::Bool(_))
                | (Shape::Map(_) | Shape::Object(_) | Shape::Optional(_), Value::Object(_))
                | (Shape::Cargo | Shape::Capability, Value::String(_)) => true,
                (Shape::List(_), Value::Array(items)) => items.is_empty(),
                (Shape::Int(least, _), number) => number.as_i64().is_some_and(|number| i128::from(number) >= *least),
                _ => false,
            };
            if fits {
                continue;
            }
            let mut config = full.clone();
            if pointer.is_empty() {
                config = wrong.clone();
            } else {
                put(&mut config, pointer, wrong.clone());
            }
            let lines = lines(&config);
            let place = format!("config.json: {pointer}");
            assert!(
                lines.iter().any(|line| line.starts_with(place.trim_end_matches(": "))),
                "{pointer} {wrong}: {lines:?}"
            );
            assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn a_missing_required_property_is_one_line_with_its_pointer() {
    let (full, found) = full_places();
    for (pointer, shape) in found {
        let (Shape::Object(properties) | Shape::Optional(properties)) = shape else { continue };
        for property in properties.iter().filter(|property| property.presence == shape::Presence::Required) {
            for absent in [None, Some(Value::Null)] {
                let mut config = full.clone();
                let object = config.pointer_mut(&pointer).and_then(Value::as_object_mut).expect("an object");
                match absent {
                    None => drop(object.remove(property.name)),
                    Some(null) => drop(object.insert(property.name.into(), null)),
                }
                let line = format!("config.json: {pointer}/{}: missing", property.name);
                assert_eq!(lines(&config), [line]);
            }
        }
    }
}

/// Where the scan finds no fault, the typed model must take the document: a change of oci-spec shows here.
#[test]
fn whatever_the_scan_lets_through_the_typed_model_takes() {
    let (full, found) = full_places();
    let values = [
        Value::Null,
        json!(""),
        json!("x"),
        json!("p"),
        json!(0),
        json!(1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([]),
        json!({}),
        json!([null]),
        json!([""]),
        json!({"x": null}),
        json!({"": ""}),
        json!("CAP_NOPE"),
    ];
    for (pointer, _) in found.iter().filter(|(pointer, _)| !pointer.is_empty()) {
        for value in &values {
            let mut config = full.clone();
            put(&mut config, pointer, value.clone());
            let text = config.to_string();
            let scanned = scan::scan(text.as_bytes(), &schema::CONFIG, CONFIG);
            if scanned.faults.errors.is_empty() {
                let parsed = parse::<oci_spec::runtime::Spec>(text.as_bytes(), &schema::CONFIG, CONFIG);
                assert!(parsed.0.is_some(), "{pointer} = {value}: {:?}", parsed.1);
            }
        }
    }
}

#[test]
fn each_mistake_is_said_in_one_line() {
    let namespaces = |types: &[&str]| types.iter().map(|t| json!({ "type": t })).collect::<Value>();
    let mapping =
        |container: u32, host: u32, size: u32| json!({"containerID": container, "hostID": host, "size": size});
    let cases = [
        ("/ociVersion", json!("9.9.9"), "9.9.9 is not supported: rt knows 1.x, up to 1.3.0"),
        ("/ociVersion", json!("1.0"), "\"1.0\" is not a version like 1.3.0 (SemVer 2.0.0)"),
        ("/root/path", json!(""), "is empty"),
        ("/process/user/uid", json!("root"), "must be an integer, not the string \"root\""),
        ("/process/user/uid", json!(-1), "-1 is not between 0 and 4294967295"),
        ("/process/user/gid", json!(4294967295_u32), "4294967295 is not an id"),
        ("/process/args", json!([]), "args must not be empty"),
        ("/process/args", json!(null), "missing"),
        ("/process/args/0", json!(""), "exec: \"\": executable file not found in $PATH"),
        ("/process/cwd", json!("tmp"), "\"tmp\" is not an absolute path"),
        ("/process/env", json!(["A"]), "/0: \"A\" is not of the form NAME=VALUE"),
        ("/process/env", json!(["=A"]), "/0: \"=A\" has no name before the ="),
        ("/process/oomScoreAdj", json!(1001), "1001 is not between -1000 and 1000"),
        ("/process/user/umask", json!(512), "512 is not between 0 and 511"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}, {"type": "RLIMIT_NOFILE", "soft": 2, "hard": 2}]),
            "/1/type: RLIMIT_NOFILE is already at /process/rlimits/0",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]),
            "/0/soft: 2 is more than the hard limit 1",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FIFO"}),
            "/priority: 0 is not between 1 and 99, as SCHED_FIFO needs",
        ),
        ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "/policy: SCHED_ISO is reserved: no Linux has it"),
        ("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 20}), "/nice: 20 is not between -20 and 19"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_BATCH", "deadline": 1}),
            "/deadline: is for SCHED_DEADLINE, not SCHED_BATCH",
        ),
        ("/hostname", json!("h"), "needs a uts namespace in /linux/namespaces: it would rename the host"),
        ("/mounts", json!([{"destination": ""}]), "/0/destination: is empty"),
        ("/mounts", json!([{"destination": "/a", "uidMappings": []}]), "/0/gidMappings: missing beside uidMappings"),
        ("/annotations", json!({"": "a"}), "/: a key must not be empty"),
        ("/hooks", json!({"poststop": [{"path": "a"}]}), "/poststop/0/path: \"a\" is not an absolute path"),
        (
            "/hooks",
            json!({"poststop": [{"path": "/a", "timeout": 0}]}),
            "/poststop/0/timeout: 0 is not between 1 and 9223372036854775807",
        ),
        ("/linux/namespaces", namespaces(&["pid", "pid"]), "/1/type: pid is already at /linux/namespaces/0"),
        (
            "/linux/namespaces",
            namespaces(&["magic"]),
            "/0/type: \"magic\" is not one of mount, pid, network, uts, ipc, user, cgroup, time",
        ),
        ("/linux/namespaces", json!([{"type": "pid", "path": "ns"}]), "/0/path: \"ns\" is not an absolute path"),
        ("/linux/uidMappings", json!([mapping(0, 0, 1)]), "needs a user namespace in /linux/namespaces"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "needs a time namespace in /linux/namespaces"),
        ("/linux/sysctl", json!({"a..b": "1"}), "/a..b: is not the name of a kernel parameter"),
        ("/linux/netDevices", json!({"eth0": {}}), "needs a network namespace in /linux/namespaces"),
        ("/linux/devices", json!([{"path": "/dev/a", "type": "c", "minor": 1}]), "/0/major: missing"),
        (
            "/linux/devices",
            json!([{"path": "/dev/a", "type": "x", "major": 1, "minor": 1}]),
            "/0/type: \"x\" is not one of c, b, u, p",
        ),
        (
            "/linux/devices",
            json!([{"path": "/dev/a", "type": "c", "major": 4096, "minor": 1}]),
            "/0/major: 4096 is not between 0 and 4095",
        ),
        (
            "/linux/resources",
            json!({"hugepageLimits": [{"pageSize": "64kB", "limit": 1}]}),
            "/hugepageLimits/0/pageSize: \"64kB\" is not a size like 64KB, 2MB or 1GB",
        ),
        (
            "/linux/resources",
            json!({"rdma": {"mlx5_1": {"hcaHandles": "not a uint32"}}}),
            "/rdma/mlx5_1/hcaHandles: must be an integer, not the string \"not a uint32\"",
        ),
        (
            "/linux/resources",
            json!({"devices": [{"allow": true, "access": "rwx"}]}),
            "/devices/0/access: \"rwx\" has other letters than r, w and m",
        ),
        ("/linux/maskedPaths", json!(["proc"]), "/0: \"proc\" is not an absolute path"),
        ("/linux/intelRdt", json!({"closID": "mon_groups"}), "/closID: \"mon_groups\" is not the name of a directory"),
        ("/linux/intelRdt", json!({"schemata": ["L3:0=f\nMB:0=10"]}), "/schemata/0: must be one line"),
        ("/linux/intelRdt", json!({"memBwSchema": "MB:0=1\nMB:1=1"}), "/memBwSchema: must be one line"),
        ("/linux/intelRdt", json!({"memBwSchema": "L3:0=1"}), "/memBwSchema: must start with MB:"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "/nodes: missing: MPOL_BIND needs a node"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_DEFAULT", "nodes": "0"}),
            "/nodes: must be empty with MPOL_DEFAULT",
        ),
        ("/linux/rootfsPropagation", json!("loud"), ": \"loud\" is not one of shared, slave"),
    ];
    for (pointer, value, reason) in cases {
        let separator = if reason.starts_with(['/', ':']) { "" } else { ": " };
        let expected = format!("config.json: {pointer}{separator}{reason}");
        match &lines(&with(pointer, value.clone()))[..] {
            [line] if line.starts_with(&expected) => {}
            other => panic!("{pointer} = {value}\n want {expected}\n got  {other:#?}"),
        }
    }
}

#[test]
fn user_namespaces_need_good_mappings() {
    let mapping =
        |container: u32, host: u32, size: u32| json!({"containerID": container, "hostID": host, "size": size});
    let good = json!([mapping(0, 1000, 10)]);
    let cases = [
        (good.clone(), good.clone(), 3, vec![]),
        (
            good.clone(),
            json!([]),
            0,
            vec!["/linux/gidMappings: missing: a new user namespace needs at least one mapping"],
        ),
        (good.clone(), good.clone(), 10, vec!["/process/user/uid: 10 is not mapped by /linux/uidMappings"]),
        (
            json!([mapping(0, 1, 0)]),
            good.clone(),
            0,
            vec![
                "/linux/uidMappings/0/size: must be at least 1",
                "/process/user/uid: 0 is not mapped by /linux/uidMappings",
            ],
        ),
        (
            json!([mapping(0, 0, 10), mapping(9, 100, 1)]),
            good.clone(),
            0,
            vec!["/linux/uidMappings/1/containerID: overlaps with /linux/uidMappings/0"],
        ),
        (
            json!([mapping(0, 5, 10), mapping(10, 0, 6)]),
            good.clone(),
            0,
            vec!["/linux/uidMappings/0/hostID: overlaps with /linux/uidMappings/1"],
        ),
        (
            json!([mapping(0, 4294967290, 6)]),
            good.clone(),
            0,
            vec!["/linux/uidMappings/0/hostID: 4294967290 and 6 ids from there go past the last id"],
        ),
    ];
    for (uids, gids, uid, expected) in cases {
        let mut config = with("/linux/namespaces", json!([{"type": "user"}]));
        put(&mut config, "/linux/uidMappings", uids);
        put(&mut config, "/linux/gidMappings", gids);
        put(&mut config, "/process/user/uid", json!(uid));
        let expected: Vec<String> = expected.iter().map(|line| format!("config.json: {line}")).collect();
        assert_eq!(lines(&config), expected);
    }
}

#[test]
fn names_of_network_devices_are_looked_at() {
    let fine = json!({"eth0": {}, "eth1": {"name": "net%d"}, "eth2": {"name": "net%d"}, "eth3": {"name": ""}, "é": {}});
    let cases = [
        (fine, None),
        (json!({"": {}}), Some("/: is not the name of a network device")),
        (json!({"..": {}}), Some("/..: is not the name of a network device")),
        (json!({"a/b": {}}), Some("/a~1b: is not the name of a network device")),
        (json!({"a:1": {}}), Some("/a:1: is not the name of a network device")),
        (json!({"eth%d": {}}), Some("/eth%d: is not the name of a network device")),
        (json!({"lo": {}}), Some("/lo: the loopback device belongs to its network namespace: it cannot be moved")),
        (json!({"a": {"name": "lo"}}), Some("/a/name: every network namespace has its lo already")),
        (json!({"a": {"name": "a b"}}), Some("/a/name: \"a b\" is not the name of a network device")),
        (json!({"a": {"name": "."}}), Some("/a/name: \".\" is not the name of a network device")),
        (
            json!({"a": {"name": "1234567890123456"}}),
            Some("/a/name: \"1234567890123456\" is not the name of a network device"),
        ),
        (json!({"a": {"name": "%d%d"}}), Some("/a/name: \"%d%d\" is not the name of a network device")),
        (json!({"a": {"name": "x"}, "b": {"name": "x"}}), Some("/b/name: \"x\" is taken by /linux/netDevices/a")),
        (json!({"a": {"name": "b"}, "b": {}}), Some("/b: \"b\" is taken by /linux/netDevices/a")),
    ];
    for (devices, expected) in cases {
        let mut config = with("/linux/namespaces", json!([{"type": "network"}]));
        put(&mut config, "/linux/netDevices", devices);
        let expected: Vec<String> =
            expected.iter().map(|fault| format!("config.json: /linux/netDevices{fault}")).collect();
        assert_eq!(lines(&config), expected);
    }
}

#[test]
fn five_mistakes_are_five_lines() {
    let mut config = minimal();
    put(&mut config, "/ociVersion", json!(7));
    put(&mut config, "/process/cwd", json!("x"));
    put(&mut config, "/process/user/uid", json!("root"));
    put(&mut config, "/mounts", json!([{"type": "proc"}]));
    put(&mut config, "/linux/namespaces/0/type", json!("mnt"));
    assert_eq!(lines(&config).len(), 5);
}

#[test]
fn a_fault_of_shape_hides_none_of_meaning() {
    let mut config = minimal();
    put(&mut config, "/process/cwd", json!("x"));
    put(&mut config, "/process/args", json!([]));
    put(&mut config, "/linux/namespaces/1", json!({"type": "mount"}));
    assert_eq!(
        lines(&config),
        [
            "config.json: /process/cwd: \"x\" is not an absolute path",
            "config.json: /process/args: args must not be empty",
            "config.json: /linux/namespaces/1/type: mount is already at /linux/namespaces/0",
        ]
    );
}

#[test]
fn what_the_spec_tolerates_is_tolerated() {
    let warned = |config: Value| -> Vec<String> {
        let spec = load(config.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{config}: {faults:?}"));
        spec.warnings.warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warned(with("/unknown", json!({"deep": [1]}))), [""; 0]);
    assert_eq!(warned(with("/process/unknown", json!(null))), [""; 0]);
    assert_eq!(warned(with("/ociVersion", json!("1.99.0-rc.1"))), [""; 0]);
    assert_eq!(
        warned(with("/process/capabilities", json!({"bounding": ["CAP_KILL", "CAP_NEW_IN_2030"], "ambient": null}))),
        ["config.json: /process/capabilities/bounding/1: \"CAP_NEW_IN_2030\" is unknown, and ignored"]
    );
    assert_eq!(
        warned(with("/mounts", json!([{"destination": "tmp"}]))),
        ["config.json: /mounts/0/destination: tmp is relative: taken as /tmp"]
    );
    // What Go's tools write for "unset".
    for (pointer, value) in [
        ("/hostname", json!("")),
        ("/linux/cgroupsPath", json!("")),
        ("/linux/namespaces/0/path", json!("")),
        ("/linux/rootfsPropagation", json!("")),
        ("/process/apparmorProfile", json!("")),
        ("/process/execCPUAffinity", json!({"initial": "", "final": null})),
        ("/linux/resources", json!({"devices": [{"allow": false, "type": "", "access": "rwm"}], "pids": {}})),
        ("/mounts", json!(null)),
        ("/windows", json!("anything")),
        ("/process/commandLine", json!(5)),
    ] {
        let config = with(pointer, value);
        assert_eq!(warned(config.clone()), [""; 0], "{config}");
    }
    let spec = load(with("/linux/resources", json!({"pids": {}})).to_string().as_bytes()).expect("good");
    let pids = spec.oci.linux().as_ref().and_then(|linux| linux.resources().as_ref()).and_then(|r| *r.pids());
    assert_eq!(pids, None, "no limit is not a limit of 0");
}

#[test]
fn the_last_of_two_equal_keys_counts_and_a_warning_says_so() {
    let text = minimal().to_string().replace("\"ociVersion\":", "\"ociVersion\":\"1.0.0\",\"ociVersion\":");
    let spec = load(text.as_bytes()).expect("good");
    assert_eq!(spec.oci.version(), "1.0.2");
    assert_eq!(spec.warnings.warnings.len(), 1);
}

#[test]
fn broken_json_is_said_with_line_column_and_place() {
    let text = "{\n  \"ociVersion\": \"1.0.2\",\n  \"process\": {\"args\": [\"a\" \"b\"]}\n}";
    assert_eq!(
        load(text.as_bytes()).err(),
        Some(vec!["config.json: /process/args/1: not JSON: expected `,` or `]` at line 3 column 28".to_string()])
    );
    for bad in ["", "{", "{]", "[]", "nul", "{} x", "\u{feff}{}", "\"\\ud800\""] {
        assert!(load(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(load(deep.as_bytes()).is_err());
    assert!(load(format!("{{\"x\":{deep}").as_bytes()).is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_said_in_the_kernels_words() {
    let line = |faults: Faults| faults.to_string();
    let missing = line(Spec::examine(Path::new("/nosuch"), None).1);
    assert_eq!(missing, "config.json: open /nosuch/config.json: no such file or directory (ENOENT)");
    let directory = line(Spec::examine(Path::new("/"), Some(Path::new("/etc"))).1);
    assert_eq!(directory, "config.json: open /etc: is a directory (EISDIR)");
    let endless = line(Spec::examine(Path::new("/"), Some(Path::new("/dev/zero"))).1);
    assert_eq!(endless, "config.json: /dev/zero is larger than 64 MiB");
}

#[test]
fn a_process_of_its_own_is_checked_like_that_of_a_configuration() {
    let good = json!({"user": {"uid": 5, "gid": 6}, "args": ["true"], "cwd": "/"});
    let (process, _) = process_from_text(good.to_string().as_bytes()).expect("good");
    assert_eq!(process.user().uid(), 5);
    let bad = json!({"user": {"uid": "5", "gid": 6}, "args": [], "cwd": "/"});
    let faults = process_from_text(bad.to_string().as_bytes()).expect_err("a string for a uid");
    assert_eq!(faults.to_string(), "process.json: /user/uid: must be an integer, not the string \"5\"");
    let empty = json!({"user": {"uid": 5, "gid": 6}, "args": [], "cwd": "/"});
    let faults = process_from_text(empty.to_string().as_bytes()).expect_err("no args");
    assert_eq!(faults.to_string(), "process.json: /args: args must not be empty");
}

#[test]
fn resources_of_their_own_are_scanned() {
    let (resources, _) = resources_from_text(br#"{"pids": {"limit": 7}, "memory": {"limit": -1}}"#).expect("good");
    assert_eq!(resources.pids().map(|pids| pids.limit()), Some(7));
    let faults = resources_from_text(br#"{"memory": {"limit": "1G"}}"#).expect_err("a string for a number");
    assert_eq!(faults.to_string(), "resources.json: /memory/limit: must be an integer, not the string \"1G\"");
}

/// xorshift64*: the same bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Nothing that a file can hold makes rt panic: a panic is an abort, and no manager can read that.
#[test]
fn no_text_makes_it_panic() {
    let mut random = Random(0x5eed);
    let corpus: Vec<&str> = CAPTURED.iter().map(|(_, text)| *text).chain([FULL]).collect();
    let pieces: [&[u8]; 16] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\u0000",
        b"null",
        b"-1",
        b"18446744073709551616",
        b"1e999",
        b"true",
        b"\xff",
        b"\"ociVersion\"",
        b"\\ud83d",
    ];
    for round in 0..600 {
        let mut text = corpus[round % corpus.len()].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let (at, piece) = (random.below(text.len()), pieces[random.below(pieces.len())]);
            match random.below(4) {
                0 => text[at] = random.below(256) as u8,
                1 => drop(text.splice(at..at, piece.iter().copied())),
                2 => drop(text.splice(at..(at + piece.len()).min(text.len()), piece.iter().copied())),
                _ => drop(text.drain(at..(at + random.below(200)).min(text.len()))),
            }
            if text.is_empty() {
                break;
            }
        }
        let _ = load(&text);
        let _ = process_from_text(&text);
        let _ = resources_from_text(&text);
    }
    for _ in 0..2000 {
        let length = random.below(64);
        let text: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let _ = load(&text);
    }
}

/// `cargo test --release -- --ignored --nocapture how_fast`
#[test]
#[ignore = "a measurement"]
fn how_fast() {
    for (name, text) in CAPTURED.iter().copied().chain([("full", FULL)]) {
        let mut best = [f64::MAX; 3];
        for _ in 0..300 {
            let start = std::time::Instant::now();
            std::hint::black_box(scan::scan(text.as_bytes(), &schema::CONFIG, CONFIG).needs_normalising);
            let scanned = start.elapsed().as_secs_f64();
            let typed: Result<oci_spec::runtime::Spec, _> = serde_json::from_slice(text.as_bytes());
            let parsed = start.elapsed().as_secs_f64();
            let _ = std::hint::black_box(typed);
            let again = std::time::Instant::now();
            let _ = std::hint::black_box(load(text.as_bytes()));
            for (best, now) in best.iter_mut().zip([scanned, parsed - scanned, again.elapsed().as_secs_f64()]) {
                *best = best.min(now);
            }
        }
        let [scan, parse, all] = best.map(|seconds| seconds * 1e6);
        println!("{name:24} {:6} bytes: scan {scan:5.1} µs, typed model {parse:5.1} µs, load {all:5.1} µs", text.len());
    }
}
