//! The strings, formats and exit codes that managers match, one after the other.

use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use super::flags::line;
use crate::harness::{Bundle, Container, Outcome};

/// What podman makes of an error's text: its exit code (libpod's getOCIRuntimeError).
fn podman(text: &str) -> u8 {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    match () {
        () if has(&["permission denied", "operation not permitted"]) => 126,
        () if has(&["executable file not found in", "no such file or directory", "open executable"]) => 127,
        () => 125,
    }
}

/// What dockerd makes of it (setExitCodeFromError).
fn docker(text: &str) -> u8 {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    match () {
        () if has(&["executable file not found", "no such file or directory"]) => 127,
        () if has(&["permission denied", "is a directory"]) => 126,
        () if has(&["not a directory"]) => 127,
        () => 128,
    }
}

/// Runs a line with a JSON log, which must hold one document: the error on stderr.
fn logged(container: &Container, args: &str) -> (Outcome, String) {
    let log = container.home.path().join("log.json");
    let _ = std::fs::remove_file(&log);
    let outcome = line(container, &format!("--root ROOT --log HOME/log.json --log-format json {args}"));
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args}: {error}: {text:?}"));
    assert_eq!(document["level"], "error", "containerd takes the last one whose level is exactly this");
    let time = document["time"].as_str().unwrap();
    assert!(time.len() >= 20 && time[4..5] == *"-" && time[10..11] == *"T" && time.ends_with('Z'), "RFC 3339: {time}");
    let message = document["msg"].as_str().unwrap().to_owned();
    assert_eq!(outcome.stderr, format!("rt: {message}\n"), "stderr says the same, in one line");
    (outcome, message)
}

/// The exit codes 126, 127 and 128 of `docker run` and `podman run` come from these words.
#[test]
fn what_cannot_be_executed_is_said_in_the_words_that_managers_match() {
    only_rt!();
    for (program, words, podmans, dockers) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH", 127, 127),
        ("", "exec: \"\": executable file not found in $PATH", 127, 127), // podman's, for an image without a command
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory", 127, 127),
        ("/plain", "exec: \"/plain\": permission denied", 126, 126),
        ("/etc", "exec: \"/etc\": is a directory", 126, 126),
        ("/plain/x", "exec: \"/plain/x\": stat /plain/x: not a directory", 125, 127),
        ("/script", "no such file or directory", 127, 127),
    ] {
        let bundle = Bundle::args(&[program]).file("/plain", "", 0o644).file("/script", "#!/nosuch\n", 0o755);
        let container = Container::new(bundle);
        let (outcome, message) = logged(&container, "run --bundle BUNDLE ID");
        assert_eq!(outcome.code, 1, "{outcome:#?}");
        assert!(message.contains(words), "{message}");
        assert_eq!((podman(&message), docker(&message)), (podmans, dockers), "{message}");
        container.assert_nothing_left();
    }
    // exec: the same words, and 255: the code must not look like the program's. conmon: no pid file when it failed.
    let container = Container::new(Bundle::sleeping().file("/plain", "", 0o644));
    container.launch();
    for (program, words) in [("nosuch", "executable file not found in $PATH"), ("/plain", "permission denied")] {
        let (outcome, message) = logged(&container, &format!("exec --pid-file HOME/exec.pid ID {program}"));
        assert_eq!(outcome.code, 255);
        assert!(message.contains(words), "{message}");
        assert!(!container.home.path().join("exec.pid").exists());
    }
}

/// containerd: "does not exist" and "container not running" are NotFound; CRI-O matches the latter on stderr.
#[test]
fn a_container_that_is_not_there_or_has_ended_is_said_so() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    for verb in
        ["delete ID", "kill ID 15", "kill --all ID 15", "state ID", "start ID", "pause ID", "resume ID", "ps ID"]
    {
        let (outcome, message) = logged(&container, verb);
        assert_eq!(outcome.code, 1);
        assert!(message.contains("does not exist"), "{verb}: {message}");
    }
    line(&container, "--root ROOT delete --force ID").ok();
    container.launch();
    container.stop();
    let (outcome, message) = logged(&container, "kill ID 15");
    assert_eq!((outcome.code, message.contains("container not running")), (1, true), "{message}");
    line(&container, "--root ROOT kill --all ID 15").ok();
    let (outcome, message) = logged(&container, "exec ID true");
    assert_eq!((outcome.code, message.contains("container not running")), (255, true), "{message}");
}

/// The child's status, or 128 and the signal.
#[test]
fn exit_codes_are_those_of_the_program() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 125", 125)] {
        assert_eq!(Container::new(Bundle::sh(script)).run().code, code, "{script}");
    }
    let container = Container::new(Bundle::sleeping());
    container.launch();
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("exit 255", 255)] {
        assert_eq!(container.exec_sh(script).code, code, "{script}");
    }
}

/// conmon reads the message with one read of 8191 bytes, and go-runc the pid file with Atoi.
#[test]
fn messages_and_pid_files_can_be_read_at_once() {
    only_rt!();
    let container = Container::new(Bundle::args(&[&"x".repeat(100_000)]));
    let (outcome, _) = logged(&container, "create --bundle BUNDLE --pid-file HOME/pids ID");
    assert!(outcome.stderr.len() <= 8191 && outcome.stderr.lines().count() == 1, "{}", outcome.stderr.len());
    assert!(!container.home.path().join("pids").exists());
    let container = Container::new(Bundle::sleeping());
    line(&container, "--root ROOT create --bundle BUNDLE --pid-file HOME/pids ID").ok();
    let text = std::fs::read_to_string(container.home.path().join("pids")).unwrap();
    assert_eq!(text.parse::<i32>().ok(), Some(container.pid()), "{text:?}");
}

/// podman takes the whole log for one document: what was only a warning is not in it when an error follows. And conmon
/// reads standard error once: whatever a failure says is one write.
#[test]
fn a_failure_is_one_document_and_one_write_whatever_was_warned_before() {
    only_rt!();
    let bundle = Bundle::args(&["nosuch"]).capabilities(&["CAP_FROM_THE_FUTURE"]);
    let container = Container::new(bundle);
    let log = container.home.path().join("log.json");
    for verb in ["create", "run"] {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut command = container.command();
        command.stderr(std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        command.arg("--log").arg(&log).args(["--log-format", "json", verb, "--bundle"]);
        command.arg(container.bundle.dir.path()).arg(&container.id);
        assert_eq!(command.status().unwrap().code(), Some(1));
        drop(command);
        ours.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8191];
        let messages: Vec<String> = std::iter::from_fn(|| {
            ours.recv(&mut buffer)
                .ok()
                .filter(|length| *length > 0)
                .map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect();
        let errors: Vec<&String> = messages.iter().filter(|text| text.contains("nosuch")).collect();
        assert!(matches!(errors[..], [text] if text.ends_with('\n')), "{messages:?}");
        let text = std::fs::read_to_string(&log).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{verb}: {error}: {text}"));
        assert_eq!(document["level"], "error");
        std::fs::remove_file(&log).unwrap();
    }
}

/// CRI-O and containerd's CRI read features, dockerd and go-runc the version; CRI-O reads stderr with it.
#[test]
fn what_rt_says_of_itself_can_be_parsed() {
    only_rt!();
    let container = Container::new(Bundle::sleeping());
    let features = line(&container, "features").ok();
    assert_eq!(features.stderr, "");
    let features: Value = serde_json::from_str(&features.stdout).unwrap();
    for pointer in ["/ociVersionMin", "/ociVersionMax"] {
        assert!(!features.pointer(pointer).and_then(Value::as_str).unwrap_or_default().is_empty(), "{pointer}");
    }
    let lists =
        |pointer: &str, word: &str| features.pointer(pointer).unwrap().as_array().unwrap().contains(&word.into());
    assert!(lists("/mountOptions", "rro") && lists("/linux/namespaces", "user"));
    assert_eq!(features.pointer("/linux/mountExtensions/idmap/enabled"), Some(&Value::Bool(true)));
    let version = line(&container, "--version").ok();
    assert_eq!(version.stderr, "");
    let first = version.stdout.lines().next().unwrap();
    assert_eq!(first, format!("rt version {}", env!("CARGO_PKG_VERSION")), "dockerd splits it at `version`");
    assert!(version.stdout.contains("\ncommit: "));
    // podman's and CRI-O's probes of what the runtime can.
    line(&container, "checkpoint --help").ok();
    line(&container, "restore --lsm-mount-context").refused_with(&["requires an argument"]);
}

/// CRI-O and buildah decode state, go-runc the list.
#[test]
fn state_and_list_have_the_keys_that_managers_decode() {
    only_rt!();
    let container = Container::new(Bundle::sleeping().set("/annotations", serde_json::json!({ "a": "b" })));
    assert_eq!(line(&container, "--root ROOT list --format json").ok().stdout.trim(), "[]");
    container.create().ok();
    let look = |status: &str| {
        let state = container.state().unwrap();
        assert_eq!(state["status"], status);
        for (key, kind) in [
            ("ociVersion", "text"),
            ("id", "text"),
            ("bundle", "text"),
            ("rootfs", "text"),
            ("created", "text"),
            ("owner", "text"),
        ] {
            assert!(state[key].is_string(), "{key} is no {kind}: {state}");
        }
        assert_eq!((&state["annotations"]["a"], state["pid"].is_number()), (&"b".into(), true));
        let list: Value =
            serde_json::from_str(&line(&container, "--root ROOT list --format json").ok().stdout).unwrap();
        for key in ["id", "pid", "status", "bundle", "rootfs", "created", "annotations"] {
            assert_eq!(list[0][key], state[key], "{key}");
        }
        state["pid"].as_i64().unwrap()
    };
    assert!(look("created") > 0);
    container.start().ok();
    assert!(look("running") > 0);
    container.kill("KILL").ok();
    container.until("stopped");
    assert_eq!(look("stopped"), 0);
}
