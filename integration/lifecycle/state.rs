//! runtime.md, "State" and "Query State"; `list` and `ps` beside it.

use serde_json::{Value, json};

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container};

/// "The state of a container includes the following properties": ociVersion, id, status, pid, bundle.
#[test]
fn state_has_all_required_properties() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    let state = container.state().unwrap();
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert_eq!(state["id"], container.id);
    assert_eq!(state["status"], "created");
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1));
    assert_eq!(state["bundle"], container.bundle.dir.path().to_str().unwrap());
}

/// "`annotations` contains the list of annotations associated with the container."
#[test]
fn state_repeats_the_annotations() {
    // "Keys SHOULD be named using a reverse domain notation": others are repeated, too.
    let notes = json!({ "org.example.one": "1", "org.example.two": "zwei \"quoted\"\n", "a key/of ~ anybody's": "" });
    let container = Container::new(Bundle::sleeping().set("/annotations", notes.clone()));
    container.create().ok();
    assert_eq!(container.state().unwrap()["annotations"], notes);
}

/// "created", "running", "stopped" in the order of the lifecycle.
#[test]
fn status_follows_the_lifecycle() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    assert_eq!(container.status(), "created");
    container.start().ok();
    assert_eq!(container.status(), "running");
    container.stop();
    assert_eq!(container.status(), "stopped");
}

/// "Attempting to query a container that does not exist MUST generate an error."
#[test]
fn the_state_of_nobody_is_an_error() {
    let container = Container::new(Bundle::sleeping());
    container.call(&["state", &container.id]).refused_with(&["does not exist"]);
}

/// "This operation MUST generate an error if it is not provided the ID of a container."
#[test]
fn verbs_without_an_id_are_refused() {
    let container = Container::new(Bundle::sleeping());
    for verb in ["state", "start", "kill", "delete", "create", "run", "exec", "pause", "resume", "ps"] {
        container.call(&[verb]).refused();
    }
    container.assert_nothing_left();
}

/// "`stopped`: the container process has exited": a zombie has, even if nobody has reaped it yet.
#[test]
fn a_zombie_counts_as_stopped() {
    let container = Container::new(Bundle::sleeping());
    let mut child = container.spawn_run(&[]);
    container.until("running");
    let (runtime, init) = (child.id().cast_signed(), container.pid());
    let signal = |pid, signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    signal(runtime, nix::sys::signal::Signal::SIGSTOP);
    signal(init, nix::sys::signal::Signal::SIGKILL);
    crate::harness::runtime::eventually("init is a zombie", || {
        std::fs::read_to_string(format!("/proc/{init}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    let status = container.status();
    signal(runtime, nix::sys::signal::Signal::SIGCONT);
    child.wait().unwrap();
    assert_eq!(status, "stopped");
}

/// `list` names every container below the root, as a table and as JSON.
#[test]
fn list_shows_the_containers() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let table = container.call(&["list"]).ok().stdout;
    assert!(table.contains(&container.id) && table.contains("running"), "{table}");
    let list: Value = serde_json::from_str(&container.call(&["list", "--format", "json"]).ok().stdout).unwrap();
    let entry = &list.as_array().unwrap()[0];
    assert_eq!(entry["id"], container.id);
    assert_eq!(entry["status"], "running");
    assert_eq!(entry["pid"], container.pid());
    assert_eq!(entry["bundle"], container.bundle.dir.path().to_str().unwrap());
    assert_eq!(container.call(&["list", "-q"]).ok().stdout.trim(), container.id);
}

/// `list` without containers is not an error.
#[test]
fn an_empty_list_is_no_error() {
    let container = Container::new(Bundle::sleeping());
    assert_eq!(container.call(&["list", "--quiet"]).ok().stdout.trim(), "");
    let json = container.call(&["list", "--format=json"]).ok().stdout;
    let list: Value = serde_json::from_str(&json).unwrap();
    assert!(list.is_null() || list == json!([]), "{json}");
}

/// `ps` shows the processes of the container, by their pids on the host.
#[test]
fn ps_shows_the_processes_of_the_container() {
    let container = Container::new(Bundle::sh("sleep 1000 & echo up; wait"));
    container.launch().until_output("up");
    let json = container.call(&["ps", "--format", "json", &container.id]).ok().stdout;
    let pids: Vec<i32> = serde_json::from_str(&json).unwrap();
    assert_eq!(pids.len(), 2, "{json}");
    assert!(pids.contains(&container.pid()));
    let table = container.call(&["ps", &container.id]).ok().stdout;
    assert!(pids.iter().all(|pid| table.contains(&pid.to_string())), "{table}");
}

/// The state is one JSON document that also says owner, root file system and time of creation.
#[test]
fn state_says_rootfs_and_created() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    let state = container.state().unwrap();
    assert_eq!(state["rootfs"], container.bundle.rootfs("").to_str().unwrap().trim_end_matches('/'));
    let created = state["created"].as_str().expect("created");
    assert!(created.len() >= 20 && created.contains('T') && created.ends_with('Z'), "RFC 3339: {created}");
}

/// Containers below different roots do not see each other.
#[test]
fn roots_are_separate() {
    let container = Container::new(Bundle::sleeping());
    container.create().ok();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(&crate::harness::runtime().path);
    command.arg("--root").arg(elsewhere.path()).args(["state", &container.id]);
    outcome(command).refused();
}

/// "When serialized in JSON, the format MUST adhere to the JSON Schema `schema/state-schema.json`": what it requires, and
/// the types of all it knows, in each status.
#[test]
fn state_has_the_types_of_the_schema() {
    let container = Container::new(Bundle::sleeping().set("/annotations", json!({ "org.example.key": "" })));
    let check = |status: &str| {
        let state = container.state().expect(status);
        let version = state["ociVersion"].as_str().unwrap();
        assert!(version.split('.').count() == 3 && version.starts_with("1."), "{version}");
        assert!(
            state["id"].is_string() && state["bundle"].as_str().is_some_and(|path| path.starts_with('/')),
            "{state}"
        );
        assert_eq!(state["status"], status);
        // "pid": minimum 0; REQUIRED when created or running.
        let pid = state["pid"].as_u64();
        assert!(if status == "stopped" { pid.unwrap_or(0) == 0 } else { pid > Some(1) }, "{state}");
        assert_eq!(state["annotations"], json!({ "org.example.key": "" }), "{state}");
    };
    container.create().ok();
    check("created");
    container.start().ok();
    check("running");
    container.stop();
    check("stopped");
}

/// "If no annotations were provided then this property MAY either be absent or an empty map."
#[test]
fn without_annotations_there_are_none() {
    for annotations in [json!({}), Value::Null] {
        let container = Container::new(Bundle::sleeping().set("/annotations", annotations));
        container.create().ok();
        let shown = container.state().unwrap()["annotations"].clone();
        assert!(shown.is_null() || shown == json!({}), "{shown}");
    }
}

/// "`creating`: the container is being created": there is a state to see, and all that needs a created container is an
/// error at once. It has no effect: the creation goes on.
#[test]
fn a_container_in_creation_is_seen_and_left_alone() {
    only_rt!(); // others have no state yet, or wait for themselves
    let bundle = Bundle::sleeping();
    let log = bundle.beside("log");
    let mut container = Container::new(bundle);
    let rt = format!("timeout 5 {} --root {}", crate::harness::runtime().path.display(), container.root().display());
    let script = format!(
        "exec >> {log} 2>&1; {rt} state {id} | tr -d ' \\n' | grep -o '\"status\":\"[a-z]*\"'; \
         for verb in start kill delete pause resume update events; do {rt} $verb {id}; echo $verb $?; done; {rt} exec {id} true; echo exec $?",
        log = log.display(),
        id = container.id,
    );
    container.bundle.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }] });
    container.write_config();
    container.create().ok();
    let log = container.bundle.read_beside("log");
    assert!(log.starts_with("\"status\":\"creating\"\n"), "{log}");
    for verb in ["start", "kill", "delete", "pause", "resume", "update", "events"] {
        assert!(log.contains(&format!("\n{verb} 1\n")), "{verb}: {log}");
    }
    assert!(log.contains("exec 255\n"), "{log}");
    assert_eq!(log.matches("rt: ").count(), 8, "{log}");
    assert_eq!(container.status(), "created");
}
