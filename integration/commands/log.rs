//! `--log` and `--log-format`: one document for a failure, which managers read back.

use serde_json::Value;

use crate::harness::{Bundle, Container, Kind, runtime};

fn logged(container: &Container, format: &str, args: &[&str]) -> String {
    let file = container.home.path().join("log");
    let mut command = container.command();
    command.arg("--log").arg(&file).arg(format!("--log-format={format}")).args(args);
    crate::harness::runtime::outcome(command).refused();
    std::fs::read_to_string(&file).unwrap()
}

/// podman parses the whole file as one document; containerd wants `level` to be exactly `error` and an RFC 3339 time.
#[test]
fn a_failure_is_one_json_document() {
    let container = Container::new(Bundle::sleeping());
    let text = logged(&container, "json", &["start", &container.id]);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(document["level"], "error");
    assert!(document["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{text}");
    let time = document["time"].as_str().expect("time");
    assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.as_bytes()[4] == b'-', "RFC 3339: {time}");
    if runtime().kind == Kind::Rt {
        assert_eq!(text.lines().count(), 1, "one line");
        assert!(document["msg"].as_str().unwrap().contains("does not exist"));
    }
}

/// A failure in the container's own process is in the log as well (runc's is not always).
#[test]
fn a_failure_of_init_is_in_the_log() {
    let container = Container::new(Bundle::args(&["nosuch"]));
    let bundle = container.bundle.dir.path().to_str().unwrap().to_owned();
    let text = logged(&container, "json", &["run", "--bundle", &bundle, &container.id]);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert!(document["msg"].as_str().unwrap().contains("nosuch"), "{text}");
    if runtime().kind == Kind::Rt {
        assert!(document["msg"].as_str().unwrap().contains("executable file not found in $PATH"), "{text}");
    }
}

/// A message with quotes, line ends and foreign letters stays one valid document.
#[test]
fn a_message_is_escaped() {
    let container = Container::new(Bundle::args(&["no\"such\n\u{1}ä"]));
    let bundle = container.bundle.dir.path().to_str().unwrap().to_owned();
    let text = logged(&container, "json", &["run", "--bundle", &bundle, &container.id]);
    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
}

/// The log is appended to.
#[test]
fn the_log_is_appended_to() {
    let container = Container::new(Bundle::sleeping());
    let first = logged(&container, "json", &["start", &container.id]);
    let both = logged(&container, "json", &["start", &container.id]);
    assert!(both.starts_with(&first) && both.len() > first.len(), "{both}");
    let documents: Vec<Value> = serde_json::Deserializer::from_str(&both).into_iter().map(Result::unwrap).collect();
    assert_eq!(documents.len(), 2);
}

/// Text is the other format; one that is neither is refused.
#[test]
fn text_is_the_other_format() {
    let container = Container::new(Bundle::sleeping());
    assert!(!logged(&container, "text", &["start", &container.id]).trim().is_empty());
    if runtime().kind == Kind::Crun {
        skip!("crun takes any format");
    }
    container.call(&["--log-format", "xml", "list"]).refused();
}

/// A log that cannot be opened swallows nothing: the error is on stderr.
#[test]
fn a_log_that_cannot_be_opened_is_an_error() {
    let container = Container::new(Bundle::sleeping());
    let outcome = container.call(&["--log", "/no/such/directory/log", "start", &container.id]).refused();
    assert!(runtime().kind != Kind::Rt || outcome.stderr.contains("does not exist"), "{outcome:#?}");
}

/// conmon reads stderr with one read of 8191 bytes: the message is one line, written at once.
#[test]
fn the_error_on_stderr_is_one_short_line() {
    only_rt!();
    let container = Container::new(Bundle::args(&[&"x".repeat(100_000)]));
    let outcome = container.run().refused();
    assert_eq!(outcome.stderr.lines().count(), 1);
    assert!(outcome.stderr.len() <= 8191, "{} bytes", outcome.stderr.len());
    assert!(outcome.stderr.ends_with('\n'));
}
