//! Every property of config.json with a value that it cannot have: one error with its place, and nothing is left.
//!
//! Which properties there are says src/spec/captured/full.json; a unit test compares that with the schema.

use std::path::Path;

use serde_json::{Value, json};

use super::forbidden::{names, put};
use crate::harness::{Bundle, Container};

/// What other platforms have, and what this one ignores.
const IGNORED: &[&str] = &[
    "/windows",
    "/solaris",
    "/zos",
    "/freebsd",
    "/vm",
    "/uidMappings",
    "/gidMappings",
    "/process/commandLine",
    "/process/user/username",
    "/linux/intelRdt/enableCmt",
    "/linux/intelRdt/enableMbm",
];

/// What may hold any text: annotations and what else only others read.
const CARGO: &[&str] = &["/annotations/", "/linux/seccomp/listenerMetadata"];

/// Numbers that the spec and the kernel give no end but that of an int64.
const ANY_INT64: &[&str] =
    &["/linux/resources/cpu/realtimeRuntime", "/linux/timeOffsets/monotonic/secs", "/linux/timeOffsets/boottime/secs"];

fn full() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/captured/full.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The pointer of each value in `value`, itself the first.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            places(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| places(value, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

/// Values of another type, beyond any range, and with a NUL that no system call can be told.
fn wrong(pointer: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) if CARGO.iter().any(|cargo| pointer.starts_with(cargo)) => vec![json!(7)],
        // An unknown capability is a warning.
        Value::String(_) if pointer.starts_with("/process/capabilities/") => vec![json!(7)],
        Value::String(_) => vec![json!(7), json!("/a=\0b")],
        Value::Number(_) if ANY_INT64.contains(&pointer) => vec![json!("1"), json!(0.5), json!(1e30)],
        Value::Number(_) => vec![json!("1"), json!(0.5), json!(1e30), json!(i64::MIN)],
        Value::Bool(_) => vec![json!("true"), json!(1)],
        Value::Array(_) => vec![json!({ "0": "a" }), json!("a")],
        Value::Object(_) => vec![json!([]), json!("a")],
        Value::Null => unreachable!("nothing in the full configuration is null"),
    }
}

/// The part of a configuration that is copied from the full one: `/process/user` of `/process/user/uid`.
fn section(pointer: &str) -> String {
    let depth = if pointer.starts_with("/linux/resources/") { 4 } else { 3 };
    let is_deep = pointer.starts_with("/process/") || pointer.starts_with("/linux/");
    pointer.split('/').take(if is_deep { depth } else { 2 }).collect::<Vec<_>>().join("/")
}

/// Creates a container with each wrong value below `root`, the rest of its section being good.
#[track_caller]
fn refused_below(root: &str, at_least: usize) {
    only_rt!();
    let full = full();
    let container = Container::new(Bundle::sleeping());
    let mut found = Vec::new();
    places(full.pointer(root).unwrap(), root, &mut found);
    let (mut tried, mut broken) = (0, Vec::new());
    // In a guest each creation takes ten times as long.
    let values = if std::env::var_os("RT_CONTAINED").is_some_and(|how| how == "guest") { 1 } else { usize::MAX };
    for pointer in found.iter().filter(|pointer| !pointer.is_empty()) {
        if IGNORED.iter().any(|ignored| Path::new(pointer).starts_with(ignored)) {
            continue;
        }
        let section = section(pointer);
        let mut good = container.bundle.config.clone();
        put(&mut good, &section, full.pointer(&section).unwrap().clone());
        for wrong in wrong(pointer, full.pointer(pointer).unwrap()).into_iter().take(values) {
            let mut config = good.clone();
            put(&mut config, pointer, wrong.clone());
            std::fs::write(container.bundle.beside("config.json"), config.to_string()).unwrap();
            let outcome = container.create();
            let is_one_line = outcome.stderr.lines().count() == 1 && outcome.stderr.ends_with('\n');
            if outcome.code != 1 || !is_one_line || !names(&outcome.stderr, pointer) {
                broken.push(format!("{pointer} = {wrong}: {} {}", outcome.code, outcome.stderr));
                container.delete_force();
            }
            tried += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(tried >= at_least || values == 1, "{tried}");
    // All of them had the same name: what one had left would have been in the way of the next.
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// "Runtimes [...] MUST generate an error when invalid or unsupported values are encountered": `process`.
#[test]
fn a_wrong_value_anywhere_in_the_process_is_refused() {
    refused_below("/process", 150);
}

/// The same: `linux`, except its resources and its filter.
#[test]
fn a_wrong_value_anywhere_in_the_rest_of_linux_is_refused() {
    for name in full()["linux"].as_object().unwrap().keys().filter(|name| !["resources", "seccomp"].contains(&&***name))
    {
        refused_below(&format!("/linux/{name}"), 2);
    }
}

/// The same: `linux.resources`.
#[test]
fn a_wrong_value_anywhere_in_the_resources_is_refused() {
    refused_below("/linux/resources", 200);
}

/// The same: `linux.seccomp`.
#[test]
fn a_wrong_value_anywhere_in_the_filter_is_refused() {
    refused_below("/linux/seccomp", 50);
}

/// The same: what stands beside `process` and `linux`.
#[test]
fn a_wrong_value_anywhere_else_is_refused() {
    for name in full().as_object().unwrap().keys().filter(|name| !["process", "linux"].contains(&&***name)) {
        if !IGNORED.contains(&&*format!("/{name}")) {
            refused_below(&format!("/{name}"), 2);
        }
    }
}
