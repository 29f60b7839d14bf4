//! runtime.md, "Errors": "generating an error MUST leave the state of the environment as if the operation were never
//! attempted". Each case: one clear line, a non-zero exit, nothing left.

mod everywhere;
mod forbidden;
mod tolerance;

use serde_json::{Value, json};

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container};

/// A container whose config.json is this text.
fn with_text(text: &str) -> Container {
    let container = Container::as_written(Bundle::args(&["true"]));
    std::fs::write(container.bundle.beside("config.json"), text).unwrap();
    container
}

#[track_caller]
fn refused(container: &Container, words: &[&str]) {
    container.create().refused_with(words);
    assert!(container.state().is_none());
    container.assert_nothing_left();
}

/// state.json is UTF-8 and names the bundle, so this one cannot have a container.
#[test]
fn a_bundle_whose_path_is_no_text_is_refused() {
    only_rt!(); // others write what is no JSON
    use std::os::unix::ffi::OsStrExt;
    let container = Container::new(Bundle::args(&["true"]));
    let link = container.home.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    std::os::unix::fs::symlink(container.bundle.beside(""), &link).unwrap();
    let mut command = container.command();
    command.args(["create", "--bundle"]).arg(&link).arg(&container.id);
    outcome(command).refused_with(&["\\xFF", "UTF-8"]);
    container.assert_nothing_left();
}

/// "If the runtime is unable to create the environment [...] it MUST generate an error": no bundle, no config.json.
#[test]
fn a_missing_bundle_is_refused() {
    let container = Container::as_written(Bundle::args(&["true"]));
    refused(&container, &["config.json", "no such file or directory"]);
    let mut command = container.command();
    command.args(["create", "--bundle", "/no/such/bundle", &container.id]);
    outcome(command).refused_with(&["/no/such/bundle"]);
    container.assert_nothing_left();
}

/// Broken JSON: the place is named.
#[test]
fn broken_json_is_refused_with_its_place() {
    for text in ["", "{", "{\"ociVersion\": \"1.0.2\",,}", "[1, 2]", "not json", "\u{0}\u{1}", "{} {}"] {
        refused(&with_text(text), &["config.json"]);
    }
    let mut bytes =
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-examples/hello/config.json"))
            .unwrap();
    bytes.truncate(bytes.len() / 2);
    refused(&with_text(&String::from_utf8_lossy(&bytes)), &["config.json", "line"]);
}

/// "`ociVersion` MUST be in SemVer v2.0.0 format": another major is not ours. (runc and crun take any.)
#[test]
fn an_unknown_major_version_is_refused() {
    only_rt!();
    for version in [json!("2.0.0"), json!("0.9.0"), json!("one"), json!(""), json!("1"), json!(1), Value::Null] {
        refused(&Container::new(Bundle::args(&["true"]).set("/ociVersion", version)), &["/ociVersion"]);
    }
    refused(&Container::new(Bundle::args(&["true"]).without("/ociVersion")), &["ociVersion"]);
}

/// Newer minors and pre-releases of the same major are accepted.
#[test]
fn other_minor_versions_are_accepted() {
    for version in ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.3.0", "1.99.0", "1.0.0-rc5"] {
        if crate::harness::runtime().kind == crate::harness::Kind::Rt || version.starts_with("1.0") {
            Container::new(Bundle::args(&["true"]).set("/ociVersion", json!(version))).run().ok();
        }
    }
}

/// "`args` [...] at least one entry is REQUIRED."
#[test]
fn empty_args_are_refused() {
    refused(&Container::new(Bundle::args(&[])), &["/process/args"]);
}

/// An empty program name cannot be found. (runc and crun say so at start.)
#[test]
fn an_empty_program_is_refused() {
    let container = Container::new(Bundle::args(&[""]));
    container.run().refused();
    container.assert_nothing_left();
}

/// Invalid values MUST be errors: a string for a uid (crun runs it as root), and others of a wrong shape.
#[test]
fn values_of_a_wrong_shape_are_refused() {
    only_rt!();
    let rows = [
        ("/process/user/uid", json!("root")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/gid", json!(4_294_967_296_u64)),
        ("/process/user/uid", json!(1.5)),
        ("/process/args", json!("sh")),
        ("/process/env", json!({ "A": "b" })),
        ("/process/cwd", json!(7)),
        ("/process/terminal", json!("yes")),
        ("/process/noNewPrivileges", json!(1)),
        ("/process/oomScoreAdj", json!("10")),
        ("/mounts", json!({})),
        ("/mounts/0/options", json!("ro")),
        ("/root/readonly", json!("true")),
        ("/linux/namespaces", json!(["pid"])),
        ("/linux/maskedPaths", json!([1])),
        ("/linux/resources/memory", json!({ "limit": "64M" })),
        ("/linux/resources/pids", json!({ "limit": 1.5 })),
        ("/annotations", json!({ "a": 1 })),
        ("/hooks", json!([])),
        ("/hostname", json!(["a"])),
    ];
    for (pointer, value) in rows {
        refused(&Container::new(Bundle::args(&["true"]).set(pointer, value)), &[pointer]);
    }
}

/// "uid: root" alone, for every runtime: it must never run.
#[test]
fn a_string_for_a_uid_never_runs_as_root() {
    let container = Container::new(Bundle::args(&["id"]).set("/process/user/uid", json!("root")));
    container.run().refused();
    container.assert_nothing_left();
}

/// "Runtimes MUST ignore unknown properties."
#[test]
fn unknown_properties_are_ignored() {
    let bundle = Bundle::args(&["echo", "fine"]).set("/fromTheFuture", json!({ "deep": [1] }));
    let bundle = bundle.set("/process/fromTheFuture", json!(true)).set("/linux/fromTheFuture", json!("x"));
    assert_eq!(Container::new(bundle).run().ok().stdout, "fine\n");
}

/// "Keys MUST NOT be an empty string." (No other runtime looks.)
#[test]
fn an_empty_annotation_key_is_refused() {
    only_rt!();
    refused(&Container::new(Bundle::args(&["true"]).set("/annotations", json!({ "": "x" }))), &["/annotations"]);
}

/// A relative cwd, duplicate namespaces and rlimits together: one line says how many there are, `check` lists all. (rt only: others say one.)
#[test]
fn several_faults_are_all_named() {
    only_rt!();
    let bundle = Bundle::args(&[]).set("/process/cwd", json!("relative"));
    let twice = format!("/linux/namespaces/{}", bundle.namespaces());
    let container = Container::new(bundle.push("/linux/namespaces", json!({ "type": "pid" })));
    container.create().refused_with(&["/process/", "more"]);
    let all = container.call(&["check", "--bundle", container.bundle.dir.path().to_str().unwrap()]);
    assert_eq!(all.code, 1);
    for pointer in ["/process/args", "/process/cwd", &twice] {
        assert!(all.stdout.contains(pointer), "{pointer}: {all:#?}");
    }
    container.assert_nothing_left();
}

/// A config.json that is a directory, a fifo that nobody writes, or unreadable is refused without hanging.
#[test]
fn a_config_json_that_is_no_file_is_refused() {
    let container = Container::as_written(Bundle::args(&["true"]));
    std::fs::create_dir(container.bundle.beside("config.json")).unwrap();
    refused(&container, &["config.json"]);
}

/// A huge config.json works: 2000 variables, 500 mounts' worth of text.
#[test]
fn a_large_config_is_accepted() {
    let mut bundle = Bundle::sh("env | grep -c '^V'");
    for number in 0..2000 {
        bundle = bundle.push("/process/env", json!(format!("V{number}={}", "x".repeat(50))));
    }
    assert_eq!(Container::new(bundle).run().ok().stdout, "2000\n");
}

/// "If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an
/// error."
#[test]
fn a_class_of_service_needs_resctrl() {
    if std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - resctrl ") {
        skip!("resctrl is mounted here");
    }
    let container = Container::new(Bundle::sleeping().set("/linux/intelRdt", json!({ "closID": "guests" })));
    container.create().refused_with(&["/linux/intelRdt", "resctrl"]);
    container.assert_nothing_left();
}
