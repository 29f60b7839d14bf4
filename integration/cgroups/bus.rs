//! The systemd driver before a systemd that misbehaves: one clear error with the unit's name, and nothing is left.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, cgroups, mode};

/// What it says once we have said who we are, and after which it closes; and what our error holds.
type Row = (&'static str, fn() -> Vec<u8>, &'static str);

const ROWS: &[Row] = &[
    ("nothing", Vec::new, "the connection was closed"),
    ("no", || b"REJECTED EXTERNAL\r\n".to_vec(), "authentication was refused"),
    ("a line without end", || vec![b'x'; 1 << 20], "an answer that is not D-Bus"),
    ("yes, and nothing more", || accepted(&[]), "the connection was closed"),
    ("nonsense", || accepted(&[&[b'#'; 300]]), "an answer that is not D-Bus of this machine"),
    ("a message of four gigabytes", || accepted(&[b"l\x02\0\x01\xf0\xff\xff\xff\x01\0\0\0\x10\0\0\0"]), "too long"),
    ("a message of zeros", || accepted(&[&[b"l\x02\0\x01", &[0; 12][..]].concat()]), "breaks the rules of D-Bus"),
    ("half a message", || accepted(&[&answer(1, None)[..20]]), "the connection was closed"),
    (
        "half of the call's answer",
        || accepted(&[&answer(1, None), &answer(2, None), &answer(3, None)[..9]]),
        "was closed",
    ),
    (
        "that the unit may not be",
        || accepted(&[&answer(1, None), &answer(2, None), &answer(3, Some("You may not."))]),
        "You may not (a.b.C)",
    ),
    ("the job, but not its end", || accepted(&[&answer(1, None), &answer(2, None), &answer(3, None)]), "was closed"),
];

/// "A clear error": the unit, what is wrong, and the state is as before.
#[test]
fn a_systemd_that_misbehaves_is_told_by_the_units_name() {
    only_rt!();
    if mode() != Mode::Rootless && Path::new("/run/systemd/private").exists() {
        skip!("systemd itself is here, and is asked first");
    }
    for (name, says, expected) in ROWS {
        let bundle = Bundle::sleeping();
        let mut container = Container::new(bundle);
        let slice = "rtbus.slice";
        container.bundle.config["linux"]["cgroupsPath"] = json!(format!("{slice}:rt:{}", container.id));
        container.write_config();
        let address = serve(&container, *says);
        let mut command = container.command();
        let variable = if mode() == Mode::Rootless { "DBUS_SESSION_BUS_ADDRESS" } else { "DBUS_SYSTEM_BUS_ADDRESS" };
        command.env(variable, address).arg("--systemd-cgroup");
        command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
        let unit = format!("start rt-{}.scope in {slice}: ", container.id);
        let outcome = crate::harness::runtime::outcome(command);
        println!("{name}: {}", outcome.stderr);
        outcome.refused_with(&[&unit, expected]);
        assert!(cgroups::existing(slice).is_empty(), "{name}: its slice is left");
        container.assert_nothing_left();
    }
}

/// Listens as long as the test runs; each who comes is told the same.
fn serve(container: &Container, says: fn() -> Vec<u8>) -> String {
    let path = container.home.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            converse(stream, &says());
        }
    });
    format!("unix:path={}", path.display())
}

fn converse(mut stream: UnixStream, says: &[u8]) {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"BEGIN\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        heard.push(byte[0]);
    }
    stream.write_all(says).unwrap_or(());
    stream.shutdown(std::net::Shutdown::Write).unwrap_or(());
    // Closed before all was read, it would be a reset connection, whose answers are lost.
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0);
}

fn accepted(messages: &[&[u8]]) -> Vec<u8> {
    [b"DATA\r\nOK 0123\r\n", messages.concat().as_slice()].concat()
}

/// The answer to the call of this serial, which is a path; or the error `a.b.C` in these words.
fn answer(serial: u32, error: Option<&str>) -> Vec<u8> {
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes(), b"\0"].concat();
    let (kind, body) = error.map_or_else(|| (2, text("/job/1")), |words| (3, text(words)));
    let mut fields = [&b"\x05\x01u\0"[..], &serial.to_le_bytes()].concat();
    if error.is_some() {
        fields.extend([&b"\x04\x01s\0"[..], &text("a.b.C")].concat());
        fields.resize(fields.len().next_multiple_of(8), 0);
    }
    fields.extend(if error.is_some() { b"\x08\x01g\0\x01s\0" } else { b"\x08\x01g\0\x01o\0" });
    let number = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    let mut message =
        [&[b'l', kind, 0, 1][..], &number(body.len()), &7_u32.to_le_bytes(), &number(fields.len())].concat();
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}
