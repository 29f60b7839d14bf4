//! sd_notify(3): the service manager behind the runtime hears of the container, and of nothing else.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::program::compile;
use crate::harness::runtime::{outcome, wait};
use crate::harness::{Bundle, Container};

/// A bundle with a program `say` that sends its words to NOTIFY_SOCKET.
fn saying(script: &str) -> Bundle {
    let bundle = Bundle::sh(script);
    compile("integration/process/say.c", &bundle.rootfs("/bin/say"));
    bundle
}

/// What systemd would be: hears everything that is said to `manager` beside config.json.
fn manager(container: &Container) -> UnixDatagram {
    let socket = UnixDatagram::bind(container.bundle.beside("manager")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn hear(manager: &UnixDatagram) -> String {
    let mut text = [0; 4096];
    let length = loop {
        match manager.recv(&mut text) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => break other.expect("a message for the service manager"),
        }
    };
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[track_caller]
fn assert_silent(manager: &UnixDatagram) {
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 4096]).is_err(), "one message too many");
    manager.set_nonblocking(false).unwrap();
}

fn with_manager(mut command: Command, address: &Path) -> Command {
    command.env("NOTIFY_SOCKET", address);
    command
}

/// `start` waits until the container is ready, and says which process of the host is the service.
#[test]
fn start_returns_when_the_container_is_ready() {
    let script = "sleep 1; say STATUS=warming MAINPID=1 FDSTORE=1; echo > /said; say READY=1; sleep 1000";
    let container = Container::new(saying(script).set("/root/readonly", json!(false)));
    let manager = manager(&container);
    let address = container.bundle.beside("manager");
    outcome(with_manager(container.verb("create", &[]), &address)).ok();
    let pid = container.pid();
    let mut start = container.command();
    start.args(["start", &container.id]);
    let start = with_manager(start, &address).spawn().unwrap();
    assert_eq!(hear(&manager), "STATUS=warming\n");
    assert_eq!(hear(&manager), format!("READY=1\nMAINPID={pid}\n"));
    assert_eq!(hear(&manager), "BARRIER=1");
    assert_eq!(wait(start, "start"), 0);
    assert!(container.bundle.rootfs("/said").exists());
    assert_silent(&manager);
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// `run` passes on what the container says as long as it runs, and is the service's main process itself.
#[test]
fn run_passes_on_to_the_end() {
    let script = "say READY=1 STATUS=fine WATCHDOG=1 WATCHDOG=trigger; sleep 0.2; say STOPPING=1; sleep 0.2";
    let container = Container::new(saying(script));
    let manager = manager(&container);
    let run = with_manager(container.verb("run", &[]), &container.bundle.beside("manager")).spawn().unwrap();
    let pid = run.id();
    assert_eq!(hear(&manager), format!("READY=1\nMAINPID={pid}\n"));
    assert_eq!(hear(&manager), "STATUS=fine\n");
    assert_eq!(hear(&manager), "WATCHDOG=1\n");
    assert_eq!(hear(&manager), "STOPPING=1\n");
    assert_eq!(wait(run, "run"), 0);
    assert_silent(&manager);
}

/// Detached, `run` does as `start`. The container's user may be any, and the manager's name may be abstract.
#[test]
fn a_detached_run_returns_when_the_container_is_ready() {
    for mapped in [false, true] {
        let bundle = saying("say READY=1; sleep 1000").set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
        let container = Container::new(if mapped { bundle.user_namespace(100_000) } else { bundle });
        let name = format!("rt-test-{}", container.id);
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let run = with_manager(container.verb("run", &["--detach"]), Path::new(&format!("@{name}")));
        let run = { run }.spawn().unwrap();
        let said = hear(&manager);
        assert_eq!(hear(&manager), "BARRIER=1");
        assert_eq!(wait(run, "run --detach"), 0);
        assert_eq!(said, format!("READY=1\nMAINPID={}\n", container.pid()));
    }
}

/// A container that ends before it is ready keeps nobody waiting.
#[test]
fn a_container_that_is_never_ready_ends_the_wait() {
    let container = Container::new(saying("sleep 0.3; exit 7"));
    let manager = manager(&container);
    let address = container.bundle.beside("manager");
    outcome(with_manager(container.verb("create", &[]), &address)).ok();
    let mut start = container.command();
    start.args(["start", &container.id]);
    let start = with_manager(start, &address).spawn().unwrap();
    assert_eq!(hear(&manager), "BARRIER=1");
    assert_eq!(wait(start, "start"), 0);
    container.until("stopped");
}

/// The manager's own socket is not to be seen; the container's is, in a directory that it cannot write to.
#[test]
fn the_container_has_a_socket_of_its_own() {
    let script = "echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo socket; touch /run/notify/x 2>&1; say READY=1";
    let container = Container::new(saying(script));
    let manager = manager(&container);
    let output = outcome(with_manager(container.verb("run", &[]), &container.bundle.beside("manager"))).ok().stdout;
    assert!(output.starts_with("/run/notify/notify.sock\nsocket\n") && output.contains("Read-only"), "{output}");
    assert!(hear(&manager).starts_with("READY=1\n"));
}

/// Without NOTIFY_SOCKET there is nothing of it; a start that has it waits for no container that was made without.
#[test]
fn nobody_waits_where_there_is_no_manager() {
    let container = Container::new(Bundle::sh("echo \"<$NOTIFY_SOCKET>\"; ls /run/notify 2>&1; sleep 1000"));
    container.create().ok();
    let mut start = container.command();
    start.args(["start", &container.id]);
    outcome(with_manager(start, Path::new("/nobody/listens"))).ok();
    container.until_output("No such file");
    assert!(container.output().starts_with("<>\n"), "{}", container.output());
}

/// A name that sd_notify(3) does not have is refused before anything is made.
#[test]
fn a_notify_socket_must_be_a_path_or_an_abstract_name() {
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    let refused = outcome(with_manager(container.verb("run", &[]), Path::new("relative/path")));
    refused.refused_with(&["NOTIFY_SOCKET=relative/path"]);
    container.assert_nothing_left();
}
