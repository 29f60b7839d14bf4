//! Messages: calls, their answers, and signals.
//!
//! <https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-messages>

use super::Call;
use super::wire::{Reader, Writer};
use crate::plan::cgroup::Value;

/// The kinds of message.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
/// The codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Byte order, kind, flags, version, length of the body, serial, length of the header fields.
const FIXED_BYTES: usize = 16;
/// The specification allows 128 MiB; nobody who speaks to us has that much to say.
const LARGEST_BYTES: usize = 16 << 20;
const BYTE_ORDER: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };
const PROTOCOL_VERSION: u8 = 1;

/// What came from the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The answer to a call.
    Return {
        /// The serial of the call.
        to: u32,
        /// Type of the body.
        signature: String,
        /// The values.
        body: Vec<u8>,
    },
    /// A call that did not work.
    Error {
        /// The serial of the call.
        to: u32,
        /// Such as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// In words.
        text: String,
    },
    /// Something has happened.
    Signal {
        /// Its name.
        member: String,
        /// Type of the body.
        signature: String,
        /// The values.
        body: Vec<u8>,
    },
    /// Nothing that concerns us.
    Other,
}

/// A call as bytes; it asks for an answer.
pub fn encode(call: &Call<'_>, serial: u32) -> Vec<u8> {
    let mut body = Writer::default();
    call.arguments.iter().for_each(|argument| body.value(argument));
    let body = body.0;
    let signature: String = call.arguments.iter().map(Value::signature).collect();

    let mut writer = Writer(vec![BYTE_ORDER, CALL, 0, PROTOCOL_VERSION]);
    writer.u32(u32::try_from(body.len()).expect("no message of ours is that long"));
    writer.u32(serial);
    let text = |value: &str| Value::Text(value.to_owned());
    let fields = [
        (PATH, Value::Path(call.path.to_owned())),
        (DESTINATION, text(call.destination)),
        (INTERFACE, text(call.interface)),
        (MEMBER, text(call.member)),
        (SIGNATURE, Value::Signature(signature)),
    ];
    writer.array(8, |writer| {
        for (code, value) in fields {
            if code == SIGNATURE && body.is_empty() {
                continue;
            }
            writer.align(8);
            writer.0.push(code);
            writer.variant(&value);
        }
    });
    writer.align(8);
    writer.0.extend(body);
    writer.0
}

/// How long the message is that begins with `bytes`; `None` as long as that cannot be seen yet.
///
/// # Errors
/// It is no message.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    if bytes.len() < FIXED_BYTES {
        return Ok(None);
    }
    if bytes[0] != BYTE_ORDER || bytes[3] != PROTOCOL_VERSION {
        return Err("an answer that is not D-Bus of this machine");
    }
    let number = |at: usize| Reader::new(&bytes[at..at + 4]).u32().and_then(|n| usize::try_from(n).ok());
    let (Some(body), Some(fields)) = (number(4), number(12)) else { return Err("an answer without a length") };
    if body > LARGEST_BYTES || fields > LARGEST_BYTES {
        return Err("an answer that is too long");
    }
    Ok(Some((FIXED_BYTES + fields).next_multiple_of(8) + body))
}

/// Reads one whole message; `None` for what breaks the rules.
pub fn decode(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(bytes);
    let kind = reader.take(4)?[1];
    let body_length = usize::try_from(reader.u32()?).ok()?;
    reader.u32()?;
    let fields_length = usize::try_from(reader.u32()?).ok()?;
    // The fields are aligned as in the message, of which they begin at a multiple of 8.
    let mut fields = Reader::new(reader.take(fields_length)?);
    let (mut to, mut member, mut name, mut signature) = (None, "", "", "");
    while !fields.is_at_end() {
        fields.align(8)?;
        let code = fields.byte()?;
        match (code, fields.signature()?) {
            (REPLY_SERIAL, "u") => to = Some(fields.u32()?),
            (_, "u") => {
                fields.u32()?;
            }
            (MEMBER, "s") => member = fields.text()?,
            (ERROR_NAME, "s") => name = fields.text()?,
            (_, "s" | "o") => {
                fields.text()?;
            }
            (SIGNATURE, "g") => signature = fields.signature()?,
            (_, "g") => {
                fields.signature()?;
            }
            // Fields of a later specification are to be passed over; nobody has defined one in twenty years.
            _ => return None,
        }
    }
    reader.align(8)?;
    let body = reader.take(body_length)?;
    let (signature, body) = (signature.to_owned(), body.to_owned());
    Some(match kind {
        RETURN => Message::Return { to: to?, signature, body },
        ERROR => {
            let text = if signature.starts_with('s') { Reader::new(&body).text() } else { None };
            Message::Error { to: to?, name: name.to_owned(), text: text.unwrap_or_default().to_owned() }
        }
        SIGNAL => Message::Signal { member: member.to_owned(), signature, body },
        _ => Message::Other,
    })
}

/// The first texts and paths of a body; those before the first value of another type.
pub fn texts<'b>(signature: &str, body: &'b [u8]) -> Vec<&'b str> {
    let mut reader = Reader::new(body);
    let mut found = Vec::new();
    for kind in signature.bytes() {
        match kind {
            b's' | b'o' => found.extend(reader.text()),
            b'u' => drop(reader.u32()),
            // A variant of a text, as properties are.
            b'v' if matches!(reader.signature(), Some("s" | "o")) => found.extend(reader.text()),
            _ => break,
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer or a signal as bytes, as a server makes it.
    pub fn answer(message: &Message) -> Vec<u8> {
        let mut fields = vec![(7, Value::text(":1.1"))];
        let (kind, body) = match message {
            Message::Return { to, signature, body } => {
                fields.extend([(REPLY_SERIAL, Value::U32(*to)), (SIGNATURE, Value::Signature(signature.clone()))]);
                (RETURN, body.clone())
            }
            Message::Error { to, name, text } => {
                fields.extend([(REPLY_SERIAL, Value::U32(*to)), (ERROR_NAME, Value::text(name.clone()))]);
                fields.push((SIGNATURE, Value::Signature("s".into())));
                let mut body = Writer::default();
                body.text(text);
                (ERROR, body.0)
            }
            Message::Signal { member, signature, body } => {
                fields.extend([(PATH, Value::Path("/x".into())), (MEMBER, Value::text(member.clone()))]);
                fields.push((SIGNATURE, Value::Signature(signature.clone())));
                (SIGNAL, body.clone())
            }
            Message::Other => (9, Vec::new()),
        };
        let mut writer = Writer(vec![BYTE_ORDER, kind, 0, PROTOCOL_VERSION]);
        writer.u32(body.len().try_into().unwrap());
        writer.u32(77);
        writer.array(8, |writer| {
            for (code, value) in fields {
                writer.align(8);
                writer.0.push(code);
                writer.variant(&value);
            }
        });
        writer.align(8);
        writer.0.extend(body);
        writer.0
    }

    fn examples() -> Vec<Message> {
        let mut body = Writer::default();
        body.u32(5);
        body.text("/job/5");
        vec![
            Message::Return { to: 3, signature: "uo".into(), body: body.0.clone() },
            Message::Error { to: 4, name: "org.x.Error".into(), text: "it did not work".into() },
            Message::Signal { member: "JobRemoved".into(), signature: "uo".into(), body: body.0 },
            Message::Other,
        ]
    }

    #[test]
    fn reads_answers_and_signals() {
        for message in examples() {
            let bytes = answer(&message);
            assert_eq!(length(&bytes), Ok(Some(bytes.len())));
            assert_eq!(decode(&bytes).as_ref(), Some(&message));
        }
    }

    #[test]
    fn what_is_cut_or_damaged_never_panics() {
        for message in examples() {
            let bytes = answer(&message);
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), None);
                let _ = length(&bytes[..cut]);
            }
            for at in 0..bytes.len() {
                for value in [0, 1, 127, 255] {
                    let mut damaged = bytes.clone();
                    damaged[at] = value;
                    let (_, _) = (decode(&damaged), length(&damaged));
                }
            }
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_call_is_the_bytes_of_the_specification() {
        let call = Call {
            destination: "a.b",
            path: "/c",
            interface: "d.e",
            member: "F",
            arguments: vec![Value::text("x"), Value::Bool(true)],
        };
        let expected: &[&[u8]] = &[
            b"l\x01\0\x01\x0c\0\0\0\x09\0\0\0\x48\0\0\0",
            b"\x01\x01o\0\x02\0\0\0/c\0\0\0\0\0\0",
            b"\x06\x01s\0\x03\0\0\0a.b\0\0\0\0\0",
            b"\x02\x01s\0\x03\0\0\0d.e\0\0\0\0\0",
            b"\x03\x01s\0\x01\0\0\0F\0\0\0\0\0\0\0",
            b"\x08\x01g\0\x02sb\0",
            b"\x01\0\0\0x\0\0\0\x01\0\0\0",
        ];
        assert_eq!(encode(&call, 9), expected.concat());
    }

    #[test]
    fn finds_the_texts_of_a_body() {
        let mut body = Writer::default();
        body.u32(5);
        body.text("/job/5");
        body.text("x.scope");
        body.text("done");
        assert_eq!(texts("uoss", &body.0), ["/job/5", "x.scope", "done"]);
        assert_eq!(texts("uoss", &body.0[..12]), Vec::<&str>::new());
        let mut body = Writer::default();
        body.variant(&Value::text("257.9"));
        assert_eq!(texts("v", &body.0), ["257.9"]);
    }
}
