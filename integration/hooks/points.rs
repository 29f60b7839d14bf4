//! Where each kind of hook stands in the lifecycle, what it sees there, and in which namespace its path is looked up.

use serde_json::{Value, json};

use super::POINTS;
use crate::harness::program::script;
use crate::harness::{Bundle, Container, runtime};

/// `$pid` of the container, from the state on stdin.
const READ_PID: &str = "pid=$(tr ',' '\\n' | tr -d ' ' | sed -n 's/^\"pid\"://p')";

/// A hook that runs a program of its own: `path` as it is written, nothing but the state given.
fn program(path: &str) -> Value {
    json!({ "path": path })
}

/// "Hooks MUST be called in the listed order": three of each kind.
#[test]
fn hooks_of_every_kind_run_in_the_listed_order() {
    let mut bundle = Bundle::args(&["true"]);
    std::fs::write(bundle.beside("log"), "").unwrap();
    let log = bundle.beside("log");
    bundle = bundle.bind(&log, "/log", &[]);
    for number in 1..=3 {
        for point in POINTS {
            let file = if point == "startContainer" { "/log".into() } else { log.display().to_string() };
            bundle = bundle.hook(point, &format!("echo {point} {number} >> {file}"));
        }
    }
    let container = Container::new(bundle);
    container.launch().until("stopped");
    container.delete().ok();
    let seen = container.bundle.read_beside("log");
    let expected: String =
        POINTS.iter().flat_map(|point| (1..=3).map(move |number| format!("{point} {number}\n"))).collect();
    assert_eq!(seen, expected);
}

/// "The `prestart` hooks MUST be called as part of the `create` operation after the runtime environment has been created
/// (according to the configuration in config.json) but before the `pivot_root`": the namespaces are there, the mounts are
/// made, and the process still sees the host's tree. The same holds for createRuntime.
#[test]
fn create_hooks_find_namespaces_and_mounts_before_the_pivot() {
    need_root!("look at an init that waits");
    for point in ["prestart", "createRuntime"] {
        let bundle = Bundle::args(&["true"]);
        let (seen, root) = (bundle.beside("seen"), bundle.rootfs(""));
        let script = format!(
            "{READ_PID}; exec > {}; \
             for n in mnt net ipc uts pid; do [ \"$(readlink /proc/$pid/ns/$n)\" != \"$(readlink /proc/self/ns/$n)\" ] && echo new $n; done; \
             [ -e /proc/$pid/root{}/proc/version ] && echo proc is mounted, the root is not changed",
            seen.display(),
            root.display(),
        );
        let container = Container::new(bundle.hook(point, &script));
        container.create().ok();
        let expected = "new mnt\nnew net\nnew ipc\nnew uts\nnew pid\nproc is mounted, the root is not changed\n";
        assert_eq!(container.bundle.read_beside("seen"), expected, "{point}");
    }
}

/// "The value of `path` MUST resolve in the runtime namespace": of prestart, createRuntime, createContainer, poststart and
/// poststop hooks. The program lies on the host alone, where the container has none.
#[test]
fn hook_paths_of_the_runtime_namespace_are_looked_up_there() {
    for point in POINTS.into_iter().filter(|point| *point != "startContainer") {
        let bundle = Bundle::args(&["true"]);
        let (path, log) = (bundle.beside("only-outside"), bundle.beside("log"));
        script(&path, &format!("#!/bin/sh\necho outside >> {}\n", log.display()), 0o755);
        let container = Container::new(bundle.push(&format!("/hooks/{point}"), program(path.to_str().unwrap())));
        container.launch().until("stopped");
        container.delete().ok();
        assert_eq!(container.bundle.read_beside("log"), "outside\n", "{point}");
    }
}

/// "The `startContainer` hooks' path MUST resolve in the container namespace": a program of the image works, one of the
/// host is not there.
#[test]
fn start_container_paths_are_looked_up_inside() {
    let bundle = Bundle::args(&["cat", "/log"]).file("/only-inside", "#!/bin/sh\necho inside > /log\n", 0o755);
    let container = Container::new(bundle.push("/hooks/startContainer", program("/only-inside")));
    assert_eq!(container.run().ok().stdout, "inside\n");
    let bundle = Bundle::args(&["true"]);
    let path = bundle.beside("only-outside");
    script(&path, "#!/bin/sh\n", 0o755);
    let container = Container::new(bundle.push("/hooks/startContainer", program(path.to_str().unwrap())));
    container.run().refused_with(&["only-outside", "no such file or directory"]);
    container.assert_nothing_left();
}

/// "The `createContainer` hooks MUST be executed in the container namespace": all of them, not the mounts alone.
#[test]
fn create_container_hooks_are_in_every_namespace_of_the_container() {
    need_root!("look at an init that waits");
    only_rt!(); // runc joins none, crun not all
    let bundle = Bundle::sleeping();
    let seen = bundle.beside("seen");
    let script = format!("for n in mnt net ipc uts pid; do readlink /proc/self/ns/$n; done > {}", seen.display());
    let container = Container::new(bundle.hook("createContainer", &script));
    container.create().ok();
    let of = |name: &str| std::fs::read_link(format!("/proc/{}/ns/{name}", container.pid())).unwrap();
    let expected: String = ["mnt", "net", "ipc", "uts", "pid"].map(|n| format!("{}\n", of(n).display())).concat();
    assert_eq!(container.bundle.read_beside("seen"), expected);
}

/// "The `startContainer` hooks MUST be called before the user-specified process is executed as part of the `start`
/// operation": not by create, and what they write is there for the program.
#[test]
fn start_container_hooks_run_between_start_and_the_program() {
    let bundle = Bundle::args(&["cat", "/made"]).hook("startContainer", "echo by the hook > /made");
    let container = Container::new(bundle);
    container.create().ok();
    assert!(!container.bundle.rootfs("/made").exists());
    container.start().ok();
    container.until("stopped");
    assert_eq!(container.output(), "by the hook\n");
}

/// "The `poststart` hooks MUST be called after the user-specified process is executed but before the `start` operation
/// returns."
#[test]
fn poststart_hooks_run_after_the_program_before_start_returns() {
    let bundle = Bundle::sleeping();
    let seen = bundle.beside("seen");
    let script = format!("{READ_PID}; sleep 0.2; tr '\\0' ' ' < /proc/$pid/cmdline > {}", seen.display());
    let container = Container::new(bundle.hook("poststart", &script));
    container.create().ok();
    container.start().ok();
    assert_eq!(container.bundle.read_beside("seen"), "sleep 1000 ");
}

/// "The `poststop` hooks MUST be called after the container is deleted but before the `delete` operation returns."
#[test]
fn poststop_hooks_run_after_the_deletion_before_delete_returns() {
    let container = Container::new(Bundle::args(&["true"]).limited());
    let seen = container.bundle.beside("seen");
    let script = format!(
        "sleep 0.2; {} --root {} state {} > /dev/null 2>&1 && echo still there; find /sys/fs/cgroup -path '*{}' >> {seen}; echo gone >> {seen}",
        runtime().path.display(),
        container.root().display(),
        container.id,
        container.cgroup(),
        seen = seen.display(),
    );
    let mut container = container;
    container.bundle.config["hooks"] =
        json!({ "poststop": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }] });
    container.write_config();
    container.launch().until("stopped");
    assert_eq!(container.bundle.read_beside("seen"), "");
    container.delete().ok();
    assert_eq!(container.bundle.read_beside("seen"), "gone\n");
}

/// "[The `poststop` hooks MUST be called] before the `delete` operation returns": also of a container that never started.
#[test]
fn poststop_hooks_run_for_a_container_that_never_started() {
    let bundle = Bundle::sleeping();
    let log = bundle.beside("log");
    let container = Container::new(bundle.hook("poststop", &format!("echo stopped >> {}", log.display())));
    container.create().ok();
    container.delete_force().ok();
    assert_eq!(container.bundle.read_beside("log"), "stopped\n");
}

/// A hook without `args` gets its path as the only word.
#[test]
fn without_args_the_path_is_the_only_word() {
    let bundle = Bundle::args(&["true"]);
    let (path, log) = (bundle.beside("hook"), bundle.beside("log"));
    script(&path, &format!("#!/bin/sh\necho $# > {}\n", log.display()), 0o755);
    let container = Container::new(bundle.push("/hooks/createRuntime", program(path.to_str().unwrap())));
    container.run().ok();
    assert_eq!(container.bundle.read_beside("log"), "0\n");
}
