//! config.md, "terminal" and "consoleSize"; the console socket.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use serde_json::json;

use crate::harness::runtime::{outcome, wait};
use crate::harness::terminal::{ConsoleSocket, Terminal};
use crate::harness::{Bundle, Container};

fn with_terminal(script: &str) -> Bundle {
    Bundle::sh(script).set("/process/terminal", json!(true))
}

fn create_with_socket(container: &Container) -> Terminal {
    let socket = ConsoleSocket::bind(container.home.path());
    outcome(container.verb("create", &["--console-socket", socket.path.to_str().unwrap()])).ok();
    socket.receive().0
}

/// "`terminal` specifies whether a terminal is attached to the process": its master comes over the console socket.
#[test]
fn the_console_socket_gets_the_terminal() {
    let container = Container::new(with_terminal("tty; echo hello; read line; echo \"<$line>\""));
    let mut terminal = create_with_socket(&container);
    container.start().ok();
    assert!(terminal.until("hello").contains("/dev/pts/0") || terminal.until("hello").contains("/dev/console"));
    terminal.type_in("typed\n");
    terminal.until("<typed>");
}

/// "On Linux, if `terminal` is true, a pseudoterminal pair is allocated, and the pseudoterminal pty is duplicated on
/// the process' standard streams."
#[test]
fn all_three_streams_are_the_terminal() {
    let container = Container::new(with_terminal("test -t 0 && test -t 1 && test -t 2 && echo all three"));
    let mut terminal = create_with_socket(&container);
    container.start().ok();
    terminal.until("all three");
}

/// "`consoleSize` specifies the console size in characters of the terminal": before the program starts.
#[test]
fn the_console_has_the_size_asked_for() {
    let size = json!({ "height": 33, "width": 121 });
    let container = Container::new(with_terminal("stty size; sleep 1000").set("/process/consoleSize", size));
    let mut terminal = create_with_socket(&container);
    assert_eq!(terminal.size(), (33, 121));
    container.start().ok();
    terminal.until("33 121");
}

/// "Runtimes MUST ignore `consoleSize` if `terminal` is `false` or unset."
#[test]
fn a_console_size_without_a_terminal_is_ignored() {
    let container =
        Container::new(Bundle::args(&["echo", "fine"]).set("/process/consoleSize", json!({ "height": 1, "width": 1 })));
    assert_eq!(container.run().ok().stdout, "fine\n");
}

/// config-linux.md, "Default Devices": "`/dev/console` is set up if `terminal` is enabled in the config by bind
/// mounting the pseudoterminal pty to `/dev/console`."
#[test]
fn dev_console_is_the_terminal() {
    let container = Container::new(with_terminal(
        "echo by name > /dev/console; grep ' /dev/console ' /proc/self/mountinfo; sleep 1000",
    ));
    let mut terminal = create_with_socket(&container);
    container.start().ok();
    terminal.until("by name");
    terminal.until("devpts");
}

/// The terminal is the controlling one: /dev/tty works and job control signals arrive.
#[test]
fn the_terminal_controls_the_program() {
    let container = Container::new(with_terminal(
        "trap 'echo interrupted' INT; echo via tty > /dev/tty; while :; do sleep 0.05; done",
    ));
    let mut terminal = create_with_socket(&container);
    container.start().ok();
    terminal.until("via tty");
    terminal.type_in("\u{3}");
    terminal.until("interrupted");
}

/// The terminal belongs to the program's user.
#[test]
fn the_terminal_belongs_to_the_user() {
    let container = Container::new(
        with_terminal("stat -L -c 'owner %u' /proc/self/fd/0; sleep 1000").set("/process/user/uid", json!(1000)),
    );
    let mut terminal = create_with_socket(&container);
    container.start().ok();
    terminal.until("owner 1000");
}

/// A detached container with a terminal needs a console socket; without a terminal it must not get one.
#[test]
fn a_detached_terminal_needs_a_socket() {
    let container = Container::new(with_terminal("true"));
    container.create().refused_with(&["console"]);
    container.assert_nothing_left();
}

/// A console socket that nobody listens on is an error that leaves nothing.
#[test]
fn a_dead_console_socket_is_an_error() {
    let container = Container::new(with_terminal("true"));
    let path = container.home.path().join("nobody.sock");
    outcome(container.verb("create", &["--console-socket", path.to_str().unwrap()])).refused_with(&["nobody.sock"]);
    container.assert_nothing_left();
}

/// `exec --tty --console-socket`.
#[test]
fn exec_gets_a_terminal_of_its_own() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let socket = ConsoleSocket::bind(container.home.path());
    let path = socket.path.to_str().unwrap();
    container
        .call(&[
            "exec",
            "--tty",
            "--detach",
            "--console-socket",
            path,
            &container.id,
            "sh",
            "-c",
            "tty; echo up; read x; echo \"<$x>\"",
        ])
        .ok();
    let (mut terminal, _) = socket.receive();
    terminal.until("up");
    terminal.type_in("x\n");
    terminal.until("<x>");
}

/// `run` on the caller's own terminal: what the program prints comes out there, what is typed goes in.
#[test]
fn run_uses_the_callers_terminal() {
    let container =
        Container::new(with_terminal("test -t 0 && echo on a terminal; read line; echo \"<$line>\"; exit 5"));
    let pair = nix::pty::openpty(None, None).unwrap();
    let slave: OwnedFd = pair.slave;
    let mut command = container.verb("run", &[]);
    command
        .stdin(Stdio::from(slave.try_clone().unwrap()))
        .stdout(Stdio::from(slave.try_clone().unwrap()))
        .stderr(Stdio::from(slave));
    let child = command.spawn().unwrap();
    drop(command);
    let mut terminal = Terminal::new(pair.master);
    terminal.until("on a terminal");
    terminal.type_in("typed\n");
    terminal.until("<typed>");
    assert_eq!(wait(child, "run"), 5);
    container.assert_nothing_left();
}

/// `exec --tty` on the caller's own terminal.
#[test]
fn exec_uses_the_callers_terminal() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let pair = nix::pty::openpty(None, None).unwrap();
    let slave: OwnedFd = pair.slave;
    let mut command = container.command();
    command.args(["exec", "--tty", &container.id, "sh", "-c", "test -t 1 && echo on a terminal; exit 6"]);
    command
        .stdin(Stdio::from(slave.try_clone().unwrap()))
        .stdout(Stdio::from(slave.try_clone().unwrap()))
        .stderr(Stdio::from(slave));
    let child = command.spawn().unwrap();
    drop(command);
    let terminal = Terminal::new(pair.master);
    assert_eq!(wait(child, "exec"), 6);
    assert!(terminal.rest().contains("on a terminal"));
}
