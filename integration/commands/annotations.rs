//! crun's annotations that are about no chapter of the spec.

use serde_json::json;

use crate::harness::terminal::ConsoleSocket;
use crate::harness::{Bundle, Container};

/// `run.oci.hooks.stdout` and `.stderr`: files that the output of all six kinds of hooks is appended to.
#[test]
fn annotations_name_files_for_the_output_of_hooks() {
    const POINTS: [&str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let bundle = POINTS.iter().fold(Bundle::args(&["true"]), |bundle, point| {
        bundle.hook(point, &format!("echo {point}; echo not {point} >&2"))
    });
    let (out, err) = (bundle.beside("out"), bundle.beside("err"));
    std::fs::write(&out, "before\n").unwrap();
    let annotations = json!({ "run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err });
    let container = Container::new(bundle.user_namespace(100_000).set("/annotations", annotations));
    container.run().ok();
    assert_eq!(container.bundle.read_beside("out"), format!("before\n{}\n", POINTS.join("\n")));
    assert_eq!(container.bundle.read_beside("err"), format!("not {}\n", POINTS.join("\nnot ")));
}

/// A file that cannot be opened keeps the container from being created.
#[test]
fn a_file_for_hooks_that_cannot_be_opened_is_an_error() {
    only_rt!();
    let with = |path: &str| {
        let bundle = Bundle::args(&["true"]).hook("createRuntime", "true");
        Container::new(bundle.set("/annotations", json!({ "run.oci.hooks.stdout": path })))
    };
    let container = with("/nonexistent/file");
    container.run().refused_with(&["run.oci.hooks.stdout", "/nonexistent/file", "(ENOENT)"]);
    container.assert_nothing_left();
    with("relative").run().refused_with(&["/annotations/run.oci.hooks.stdout", "not an absolute path"]);
}

/// `run.oci.pidfd_receiver` is `--pidfd-socket`, of which the flag is the stronger.
#[test]
fn an_annotation_names_the_receiver_of_the_pidfd() {
    let bundle = Bundle::sleeping();
    let socket = ConsoleSocket::bind(bundle.dir.path());
    let container = Container::new(bundle.set("/annotations", json!({ "run.oci.pidfd_receiver": socket.path })));
    container.launch();
    let (_pidfd, _) = socket.receive();
}

/// `run.oci.handler` asks for something else than execve: that cannot be ignored. The settings of handlers can.
#[test]
fn a_handler_is_refused_and_its_settings_are_ignored() {
    only_rt!();
    let with = |annotations| Container::new(Bundle::args(&["true"]).set("/annotations", annotations));
    for handler in ["krun", "wasm", "nonsense"] {
        let container = with(json!({ "run.oci.handler": handler }));
        container.run().refused_with(&["/annotations/run.oci.handler", handler, "not supported"]);
        container.assert_nothing_left();
    }
    let settings = json!({ "krun.cpus": "2", "krun.ram_mib": "512", "module.wasm.image/variant": "compat" });
    with(settings).run().ok();
}
