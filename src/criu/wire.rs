//! The protobuf encoding, as far as CRIU's messages need it.
//!
//! <https://protobuf.dev/programming-guides/encoding/>: a field is a key (number × 8 + wire type) and a value, a varint
//! (type 0) or a length and so many bytes (type 2).

use std::fmt;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// A message while it is written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An integer; negative ones take ten bytes, as protobuf has it for int32.
    pub fn number(&mut self, field: u32, value: i64) -> &mut Self {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(value.cast_unsigned());
        self
    }

    /// A bool, left out when it is false: that is the default of all that CRIU knows.
    pub fn flag(&mut self, field: u32, value: bool) -> &mut Self {
        if value { self.number(field, 1) } else { self }
    }

    /// A string or bytes.
    pub fn text(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A message inside this one.
    pub fn message(&mut self, field: u32, value: &Writer) -> &mut Self {
        self.text(field, &value.0)
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A value as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'m> {
    /// An integer or a bool.
    Number(u64),
    /// A string, bytes or a message.
    Bytes(&'m [u8]),
}

impl<'m> Value<'m> {
    /// An int32.
    pub fn as_i32(self) -> Option<i32> {
        // Negative numbers are sign-extended to 64 bits.
        if let Value::Number(number) = self { Some(number as i32) } else { None }
    }

    /// A bool.
    pub fn as_bool(self) -> Option<bool> {
        if let Value::Number(number) = self { Some(number != 0) } else { None }
    }

    /// A string, with whatever is no UTF-8 replaced.
    pub fn as_text(self) -> Option<String> {
        self.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Bytes, or a message inside.
    pub fn as_bytes(self) -> Option<&'m [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// A message that ends in the middle of a field, or has one of an unknown kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no protobuf message")
    }
}

/// The fields of a message, in its order; those of kinds that CRIU does not use are passed over.
///
/// # Errors
/// `Malformed`.
pub fn read(mut rest: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        let field = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        match key & 7 {
            VARINT => fields.push((field, Value::Number(take_varint(&mut rest)?))),
            BYTES => {
                let length = usize::try_from(take_varint(&mut rest)?).map_err(|_| Malformed)?;
                fields.push((field, Value::Bytes(take(&mut rest, length)?)));
            }
            FIXED_64 => drop(take(&mut rest, 8)?),
            FIXED_32 => drop(take(&mut rest, 4)?),
            _ => return Err(Malformed),
        }
    }
    Ok(fields)
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Result<&'m [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = left;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encoding_guide_come_out_as_printed_there() {
        let mut writer = Writer::default();
        writer.number(1, 150);
        assert_eq!(writer.bytes(), [0x08, 0x96, 0x01]);
        let mut writer = Writer::default();
        writer.text(2, b"testing");
        assert_eq!(writer.bytes(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let (mut inner, mut outer) = (Writer::default(), Writer::default());
        inner.number(1, 150);
        outer.message(3, &inner);
        assert_eq!(outer.bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut writer = Writer::default();
        writer.number(1, -2);
        assert_eq!(writer.bytes(), [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut inner = Writer::default();
        inner.text(1, b"post-restore").number(2, 4711);
        let mut writer = Writer::default();
        writer.number(1, -1).flag(2, true).flag(3, false).message(5, &inner);
        let fields = read(writer.bytes()).unwrap();
        assert_eq!(fields.len(), 3);
        assert_eq!((fields[0].0, fields[0].1.as_i32()), (1, Some(-1)));
        assert_eq!((fields[1].0, fields[1].1.as_bool()), (2, Some(true)));
        let inner = read(fields[2].1.as_bytes().unwrap()).unwrap();
        assert_eq!(inner[0].1.as_text().unwrap(), "post-restore");
        assert_eq!(inner[1].1.as_i32(), Some(4711));
    }

    #[test]
    fn unknown_kinds_are_passed_over_and_broken_messages_are_errors() {
        // fixed64, then fixed32, then a number.
        let bytes = [0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 7];
        assert_eq!(read(&bytes), Ok(vec![(3, Value::Number(7))]));
        for broken in [&[0x08][..], &[0x12, 5, 1], &[0x0b], &[0x80], &[0x08, 0x80], &[0x80; 12]] {
            assert_eq!(read(broken), Err(Malformed), "{broken:?}");
        }
    }
}
