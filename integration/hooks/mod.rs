//! config.md, "POSIX-platform Hooks", and the steps 3 to 13 of the lifecycle.

mod failure;
mod points;

use serde_json::{Value, json};

use crate::harness::container::MARK;
use crate::harness::{Bundle, Container, Kind, runtime};

const POINTS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A bundle whose hooks each append their name to `log`, which is also /log inside.
fn logging(script: &str) -> Bundle {
    let bundle = Bundle::sh(script);
    std::fs::write(bundle.beside("log"), "").unwrap();
    let log = bundle.beside("log");
    let bundle = bundle.bind(&log, "/log", &[]);
    POINTS.iter().fold(bundle, |bundle, point| {
        let file = if *point == "startContainer" { "/log".into() } else { log.display().to_string() };
        bundle.hook(point, &format!("echo {point} >> {file}"))
    })
}

/// Steps 3, 4, 5 belong to create, 7 and 9 to start, 13 to delete; "Hooks MUST be called in the listed order."
#[test]
fn hooks_run_in_the_order_of_the_lifecycle() {
    let container = Container::new(logging("echo program >> /log; sleep 1000"));
    let log = || container.bundle.read_beside("log").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    container.create().ok();
    assert_eq!(log(), ["prestart", "createRuntime", "createContainer"]);
    container.start().ok();
    crate::harness::runtime::eventually("the program ran", || log().contains(&"program".to_owned()));
    let order = log();
    assert_eq!(order[3], "startContainer");
    assert!(order[4..].contains(&"poststart".to_owned()), "{order:?}");
    container.stop();
    assert!(!log().contains(&"poststop".to_owned()));
    container.delete().ok();
    assert_eq!(log().last().unwrap(), "poststop");
}

/// Several hooks of one kind run one after the other, in the listed order.
#[test]
fn hooks_of_one_kind_run_in_order() {
    let mut bundle = Bundle::args(&["true"]);
    let log = bundle.beside("log");
    for number in 0..5 {
        bundle = bundle.hook("createRuntime", &format!("echo {number} >> {}", log.display()));
    }
    let container = Container::new(bundle);
    container.run().ok();
    assert_eq!(container.bundle.read_beside("log"), "0\n1\n2\n3\n4\n");
}

/// "The state of the container MUST be passed to hooks over stdin": id, status, pid, bundle, annotations.
#[test]
fn hooks_get_the_state_on_stdin() {
    let bundle = Bundle::sleeping().set("/annotations", json!({ "org.example.key": "value" }));
    let directory = bundle.dir.path().to_owned();
    let bundle = POINTS
        .iter()
        .filter(|point| **point != "startContainer")
        .fold(bundle, |bundle, point| bundle.hook(point, &format!("cat > {}/{point}.json", directory.display())));
    let container = Container::new(bundle);
    container.launch();
    let pid = container.pid();
    container.stop();
    container.delete().ok();
    let rows = [
        // "after the runtime environment has been created": after step 2, and `creating` is step 2.
        ("prestart", "created"),
        ("createRuntime", "created"),
        ("createContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ];
    for (point, status) in rows {
        let text = container.bundle.read_beside(&format!("{point}.json"));
        let state: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{point}: {error}: {text:?}"));
        assert_eq!(state["id"], container.id, "{point}");
        assert_eq!(state["bundle"], directory.to_str().unwrap(), "{point}");
        assert_eq!(state["annotations"]["org.example.key"], "value", "{point}");
        assert!(state["ociVersion"].is_string(), "{point}");
        let shown = state["status"].as_str().unwrap();
        let is_early = status == "created" && shown == "creating" && runtime().kind != Kind::Rt;
        assert!(shown == status || is_early, "{point}: {shown}");
        if point != "createContainer" && point != "poststop" {
            assert_eq!(state["pid"], pid, "{point}");
        }
    }
}

/// "For hooks executed in the container namespace, [pid] is the pid as seen by the container."
#[test]
fn start_container_hooks_see_the_containers_pid() {
    let container = Container::new(Bundle::args(&["true"]).hook("startContainer", "cat > /state.json"));
    container.run().ok();
    let text = std::fs::read_to_string(container.bundle.rootfs("/state.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["id"], container.id);
    only_rt!(); // runc and crun give the host's pid
    assert_eq!(state["pid"], 1);
}

/// "The `createRuntime` hooks MUST be executed in the runtime namespace", so do prestart, poststart and poststop;
/// "`createContainer` hooks MUST be executed in the container namespace".
#[test]
fn hooks_run_in_the_right_namespaces() {
    let bundle = Bundle::sleeping();
    let directory = bundle.dir.path().to_owned();
    let bundle = POINTS.iter().fold(bundle, |bundle, point| {
        let file = if *point == "startContainer" {
            "/startContainer.ns".into()
        } else {
            format!("{}/{point}.ns", directory.display())
        };
        bundle.hook(point, &format!("for n in mnt uts; do readlink /proc/self/ns/$n; done > {file}"))
    });
    let container = Container::new(bundle);
    container.launch();
    let inner = container.bundle.rootfs("/startContainer.ns");
    crate::harness::runtime::eventually("startContainer wrote", || {
        std::fs::read_to_string(&inner).is_ok_and(|text| text.contains("uts"))
    });
    let of = |pid: &str| {
        ["mnt", "uts"].map(|name| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string())
    };
    let (inside, outside) = (of(&container.pid().to_string()), of("self"));
    container.stop();
    container.delete().ok();
    for point in POINTS {
        let text = match point {
            "startContainer" => std::fs::read_to_string(container.bundle.rootfs("/startContainer.ns")).unwrap(),
            _ => container.bundle.read_beside(&format!("{point}.ns")),
        };
        let shown: Vec<&str> = text.lines().rev().take(2).collect();
        let wanted = if ["createContainer", "startContainer"].contains(&point) { &inside } else { &outside };
        assert_eq!(shown, [wanted[1].as_str(), wanted[0].as_str()], "{point}");
    }
}

/// prestart, createRuntime and createContainer run "before the `pivot_root` or any equivalent operation": a mount
/// that createContainer makes in the root file system is there for the program.
#[test]
fn create_container_hooks_can_still_mount() {
    let bundle = Bundle::sh("cat /mnt/file");
    let (root, source) = (bundle.rootfs("/mnt"), bundle.beside("source"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "by a hook\n").unwrap();
    let bundle = bundle.hook("createContainer", &format!("mount --bind {} {}", source.display(), root.display()));
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout, "by a hook\n");
    container.assert_nothing_left();
}

/// "`args` with the same semantics as IEEE Std 1003.1 execv's argv", "`env`": these and no others, for each kind.
#[test]
fn hooks_get_their_args_and_env() {
    for point in POINTS {
        let bundle = Bundle::args(&["true"]).set("/process/env", json!(["OF_THE_PROCESS=1"]));
        let is_inside = point == "startContainer";
        let outside = if is_inside { bundle.rootfs("/seen") } else { bundle.beside("seen") };
        let file = if is_inside { "/seen".into() } else { outside.display().to_string() };
        let script = format!("echo \"$0 $1\" > {file}; export -p >> {file}");
        // busybox goes by its name.
        let name = if is_inside { "sh" } else { "zero" };
        let hook = json!({ "path": "/bin/sh", "args": [name, "-c", script, "first", "second"], "env": ["ONLY=this"] });
        let container = Container::new(bundle.push(&format!("/hooks/{point}"), hook));
        container.run().ok();
        let seen = std::fs::read_to_string(&outside).unwrap_or_default();
        assert!(seen.starts_with("first second\n"), "{point}: {seen}");
        // A shell adds variables of its own.
        assert!(seen.contains("export ONLY='this'\n"), "{point}: {seen}");
        assert!(!seen.contains("OF_THE_PROCESS") && !seen.contains(MARK), "{point}: {seen}");
    }
}

/// What a hook prints goes to the runtime's own streams, not into the container.
#[test]
fn a_hook_without_args_and_env_runs() {
    let bundle = Bundle::args(&["echo", "ran"]).push("/hooks/prestart", json!({ "path": "/bin/true" }));
    assert!(Container::new(bundle).run().ok().stdout.ends_with("ran\n"));
}

/// A hook that does not read its stdin is no reason to fail, even when the state is longer than a pipe.
#[test]
fn a_hook_need_not_read_the_state() {
    let long = "x".repeat(200_000);
    let bundle = Bundle::args(&["echo", "ran"]).set("/annotations", json!({ "org.example.long": long }));
    let container = Container::new(bundle.push("/hooks/prestart", json!({ "path": "/bin/true" })));
    only_rt!(); // runc fails with a broken pipe now and then
    assert_eq!(container.run().ok().stdout, "ran\n");
}
