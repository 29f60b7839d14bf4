//! What `rt` says about itself: `--version`, `features`, `spec`, `--help`.

use serde_json::Value;

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container, Kind, Mode, mode, runtime};

fn said(args: &[&str]) -> crate::harness::Outcome {
    let mut command = std::process::Command::new(&runtime().path);
    command.args(args);
    outcome(command)
}

/// dockerd takes the line with "version" apart; nothing may go to stderr.
#[test]
fn the_version_has_the_form_that_managers_read() {
    let outcome = said(&["--version"]).ok();
    assert_eq!(outcome.stderr, "");
    let first = outcome.stdout.lines().next().unwrap();
    let (name, version) = first.split_once(" version ").expect("NAME version VERSION");
    assert_eq!(name, runtime().path.file_name().unwrap().to_str().unwrap());
    assert!(version.split('.').count() >= 2 && version.starts_with(|first: char| first.is_ascii_digit()), "{first}");
    if runtime().kind != Kind::Crun {
        assert!(outcome.stdout.contains("\nspec: 1."), "{}", outcome.stdout);
    }
}

/// runtime-spec features.md: "The `features` JSON": versions, hooks, mount options, namespaces, capabilities.
#[test]
fn features_is_one_json_document() {
    if runtime().kind == Kind::Crun {
        skip!("crun 1.8 has no features");
    }
    let outcome = said(&["features"]).ok();
    assert_eq!(outcome.stderr, "", "cri-o reads both streams as one");
    let features: Value = serde_json::from_str(&outcome.stdout).unwrap();
    for pointer in ["/ociVersionMin", "/ociVersionMax"] {
        assert!(
            features.pointer(pointer).and_then(Value::as_str).is_some_and(|text| text.starts_with("1.")),
            "{pointer}"
        );
    }
    let has = |pointer: &str, word: &str| {
        let list =
            features.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{pointer} is missing"));
        assert!(list.iter().any(|have| have == word), "{pointer}: {word}");
    };
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"] {
        has("/linux/namespaces", namespace);
    }
    for option in ["bind", "rbind", "ro", "nosuid", "noexec", "nodev", "rro"] {
        has("/mountOptions", option);
    }
    has("/linux/capabilities", "CAP_KILL");
    if runtime().kind == Kind::Rt {
        has("/linux/namespaces", "time");
        assert_eq!(features.pointer("/linux/cgroup/v1"), Some(&Value::Bool(true)));
        assert_eq!(features.pointer("/linux/cgroup/v2"), Some(&Value::Bool(true)));
    }
}

/// features must not promise what `rt` refuses: every namespace that it lists can be asked for.
#[test]
fn every_advertised_namespace_can_be_made() {
    only_rt!();
    let features: Value = serde_json::from_str(&said(&["features"]).ok().stdout).unwrap();
    for namespace in features["linux"]["namespaces"].as_array().unwrap() {
        let name = namespace.as_str().unwrap();
        let bundle = Bundle::args(&["true"]).without_mount("/sys/fs/cgroup");
        let bundle = if name == "user" { bundle.user_namespace(100_000) } else { bundle.namespace(name, None) };
        Container::new(bundle.set("/ociVersion", serde_json::json!("1.2.0"))).run().ok();
    }
}

/// `spec` writes a config.json that the runtime itself runs.
#[test]
fn spec_writes_a_config_that_runs() {
    let container = Container::new(Bundle::args(&["true"]));
    let file = container.bundle.beside("config.json");
    std::fs::remove_file(&file).unwrap();
    let mut command = container.command();
    outcome({
        let flags: &[&str] = if mode() == Mode::Rootless { &["--rootless"] } else { &[] };
        command.current_dir(container.bundle.dir.path()).arg("spec").args(flags);
        command
    })
    .ok();
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(config["ociVersion"].as_str().unwrap().starts_with("1."));
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    config["process"]["terminal"] = serde_json::json!(false);
    config["process"]["args"] = serde_json::json!(["echo", "ran"]);
    config["linux"]["cgroupsPath"] = serde_json::json!(mode().cgroups_path(&container.id));
    config["linux"].as_object_mut().unwrap().remove("seccomp");
    std::fs::write(&file, config.to_string()).unwrap();
    assert_eq!(container.run().ok().stdout, "ran\n");
}

/// `spec` does not write over a config.json that is there.
#[test]
fn spec_keeps_what_is_there() {
    let container = Container::new(Bundle::args(&["true"]));
    let before = std::fs::read(container.bundle.beside("config.json")).unwrap();
    let mut command = container.command();
    outcome({
        let flags: &[&str] = if mode() == Mode::Rootless { &["--rootless"] } else { &[] };
        command.current_dir(container.bundle.dir.path()).arg("spec").args(flags);
        command
    })
    .refused_with(&["config.json", "exist"]);
    assert_eq!(std::fs::read(container.bundle.beside("config.json")).unwrap(), before);
}

/// `spec --rootless` asks for a user namespace with mappings and for no cgroup limits.
#[test]
fn spec_rootless_has_a_user_namespace() {
    let container = Container::new(Bundle::args(&["true"]));
    let file = container.bundle.beside("config.json");
    std::fs::remove_file(&file).unwrap();
    container.call(&["spec", "--rootless", "--bundle", container.bundle.dir.path().to_str().unwrap()]).ok();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(config["linux"]["namespaces"].as_array().unwrap().iter().any(|entry| entry["type"] == "user"));
    assert_eq!(config["linux"]["uidMappings"][0]["size"], 1);
    assert!(config["linux"]["resources"].is_null() || config["linux"]["resources"].as_object().unwrap().is_empty());
}

/// `--help` of the whole and of each command: on stdout, exit code 0. podman probes `checkpoint --help` like that.
#[test]
fn every_command_has_help() {
    for verb in ["create", "start", "run", "exec", "kill", "delete", "state", "list", "ps", "pause", "resume", "spec"] {
        let outcome = said(&[verb, "--help"]).ok();
        assert!(outcome.stdout.contains(verb), "{verb}: {}", outcome.stdout);
    }
    let all = said(&["--help"]).ok().stdout;
    for verb in ["create", "start", "exec", "kill", "delete", "state"] {
        assert!(all.contains(verb), "{verb}: {all}");
    }
}

/// A wrong command exits with 1, and never with a code that a program could have.
#[test]
fn an_error_of_the_runtime_is_exit_code_1() {
    only_rt!();
    let container = Container::new(Bundle::args(&["/nosuch"]));
    assert_eq!(container.run().code, 1);
    assert_eq!(container.start().code, 1);
    assert_eq!(container.call(&["state", &container.id]).code, 1);
    assert_eq!(container.call(&["nosuchverb"]).code, 1);
    assert_eq!(container.exec(&["true"]).code, 255);
}
