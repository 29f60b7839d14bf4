//! A bus for tests, which says what a script tells it.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};

use super::wire::Writer;
use super::{Address, Message, message};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a call is answered with.
#[derive(Debug, Clone, Copy)]
pub enum Script {
    /// Texts.
    Return(&'static [&'static str]),
    /// Name and words.
    Error(&'static str, &'static str),
    /// Member and texts, after a number.
    Signal(&'static str, &'static [&'static str]),
    /// Signals without end.
    Flood,
    /// The connection ends.
    HangUp,
}

/// It listens as long as it lives.
pub struct Fake {
    name: String,
    /// Kept open, for those who are not heard.
    _listener: Option<UnixListener>,
}

impl Fake {
    /// Answers each call by the name of its method.
    pub fn start(script: impl Fn(&str) -> Vec<Script> + Send + 'static) -> Fake {
        Self::serve(move |stream| {
            receive_until(stream, b"BEGIN\r\n");
            stream.write_all(b"DATA\r\nOK 0123\r\n").unwrap();
            let mut received = Vec::new();
            loop {
                while let Ok(Some(length)) = message::length(&received)
                    && received.len() >= length
                {
                    let call: Vec<u8> = received.drain(..length).collect();
                    let (serial, member) = serial_and_member(&call);
                    for answer in script(&member) {
                        if matches!(answer, Script::HangUp) {
                            return;
                        }
                        while stream.write_all(&bytes_of(answer, serial)).is_ok() && matches!(answer, Script::Flood) {}
                    }
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                }
            }
        })
    }

    /// Says this and closes.
    pub fn greeting(text: &'static str) -> Fake {
        Self::serve(move |stream| {
            receive_until(stream, b"BEGIN\r\n");
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            receive_until(stream, b"never");
        })
    }

    /// Accepts nobody.
    pub fn deaf() -> Fake {
        let (name, listener) = listen();
        Fake { name, _listener: Some(listener) }
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        Address::Abstract(self.name.clone().into_bytes())
    }

    fn serve(serve: impl Fn(&mut UnixStream) + Send + 'static) -> Fake {
        let (name, listener) = listen();
        #[allow(clippy::disallowed_methods)] // the other side of a test: nothing is cloned in it
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                serve(&mut stream);
            }
        });
        Fake { name, _listener: None }
    }
}

fn listen() -> (String, UnixListener) {
    let name = format!("rt-test-bus-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (name, UnixListener::bind_addr(&address).unwrap())
}

/// Byte by byte: what comes after it is another's.
fn receive_until(stream: &mut UnixStream, end: &[u8]) {
    let mut received = Vec::new();
    let mut byte = [0];
    while !received.ends_with(end) && matches!(stream.read(&mut byte), Ok(1)) {
        received.push(byte[0]);
    }
}

fn serial_and_member(call: &[u8]) -> (u32, String) {
    let serial = u32::from_ne_bytes(call[8..12].try_into().unwrap());
    // The member's field: code 3, a variant of a text.
    let at = call.windows(4).position(|bytes| bytes == [3, 1, b's', 0]).unwrap() + 4;
    let length = u32::from_ne_bytes(call[at..at + 4].try_into().unwrap()) as usize;
    (serial, String::from_utf8_lossy(&call[at + 4..at + 4 + length]).into_owned())
}

fn bytes_of(script: Script, to: u32) -> Vec<u8> {
    let mut body = Writer::default();
    message::tests::answer(&match script {
        Script::Return(texts) => {
            texts.iter().for_each(|text| body.text(text));
            Message::Return { to, signature: "s".repeat(texts.len()), body: body.0 }
        }
        Script::Error(name, text) => Message::Error { to, name: name.into(), text: text.into() },
        Script::Flood | Script::HangUp => {
            Message::Signal { member: "Noise".into(), signature: String::new(), body: Vec::new() }
        }
        Script::Signal(member, texts) => {
            body.u32(1);
            texts.iter().for_each(|text| body.text(text));
            Message::Signal { member: member.into(), signature: format!("u{}", "s".repeat(texts.len())), body: body.0 }
        }
    })
}
