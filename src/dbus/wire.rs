//! Values as bytes, in the byte order of this machine.
//!
//! <https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-marshaling>

use crate::plan::cgroup::Value;

/// Bytes that grow; alignment counts from their beginning.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Fills up with zeros to a multiple of `boundary`.
    pub fn align(&mut self, boundary: usize) {
        self.0.resize(self.0.len().next_multiple_of(boundary), 0);
    }

    /// `u`
    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_ne_bytes());
    }

    /// `s` and `o`
    pub fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// `g`
    pub fn signature(&mut self, signature: &str) {
        self.0.push(u8::try_from(signature.len()).expect("no signature of ours is that long"));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements are aligned to `boundary`; its length does not count the padding before the first one.
    pub fn array(&mut self, boundary: usize, elements: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let at = self.0.len() - 4;
        self.align(boundary);
        let start = self.0.len();
        elements(self);
        let bytes = length(self.0.len() - start).to_ne_bytes();
        self.0[at..at + 4].copy_from_slice(&bytes);
    }

    /// A value without its type.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(value) => self.0.push(*value),
            Value::Bool(value) => self.u32(u32::from(*value)),
            Value::I16(value) => self.number(&value.to_ne_bytes()),
            Value::U16(value) => self.number(&value.to_ne_bytes()),
            Value::I32(value) => self.number(&value.to_ne_bytes()),
            Value::U32(value) => self.number(&value.to_ne_bytes()),
            Value::I64(value) => self.number(&value.to_ne_bytes()),
            Value::U64(value) => self.number(&value.to_ne_bytes()),
            Value::F64(value) => self.number(&value.to_ne_bytes()),
            Value::Text(text) | Value::Path(text) => self.text(text),
            Value::Signature(signature) => self.signature(signature),
            Value::Variant(value) => self.variant(value),
            Value::Array(element, values) => self.array(alignment(element), |writer| {
                values.iter().for_each(|value| writer.value(value));
            }),
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|value| self.value(value));
            }
        }
    }

    /// A value after its type.
    pub fn variant(&mut self, value: &Value) {
        self.signature(&value.signature());
        self.value(value);
    }

    fn number(&mut self, bytes: &[u8]) {
        self.align(bytes.len());
        self.0.extend(bytes);
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("no message of ours is that long")
}

/// To which boundary a type is aligned.
fn alignment(signature: &str) -> usize {
    match signature.bytes().next() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

/// Bytes that somebody else wrote; none of what they say is believed.
#[derive(Debug, Clone)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// Reads from the beginning.
    pub fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { bytes, at: 0 }
    }

    /// Whether all is read.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Skips the padding before the next value.
    pub fn align(&mut self, boundary: usize) -> Option<()> {
        self.take(self.at.next_multiple_of(boundary) - self.at).map(drop)
    }

    /// The next bytes as they are.
    pub fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    /// `y`
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// `u`
    pub fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_ne_bytes(self.take(4)?.try_into().ok()?))
    }

    /// `s` and `o`
    pub fn text(&mut self) -> Option<&'b str> {
        let length = self.u32()?;
        self.terminated(usize::try_from(length).ok()?)
    }

    /// `g`
    pub fn signature(&mut self) -> Option<&'b str> {
        let length = self.byte()?;
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Option<&'b str> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn writes_values_as_the_specification_says() {
        for (value, expected) in [
            (Value::Bool(true), &[1, 0, 0, 0][..]),
            (Value::text("foo"), &[3, 0, 0, 0, b'f', b'o', b'o', 0]),
            (Value::Signature("as".into()), &[2, b'a', b's', 0]),
            // The specification's own example: an array of one 64-bit integer, padded before its first element.
            (Value::Array("x".into(), vec![Value::I64(5)]), &[8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]),
            // The padding is there even if no element is.
            (Value::Array("(st)".into(), vec![]), &[0, 0, 0, 0, 0, 0, 0, 0]),
            (Value::Variant(Box::new(Value::Byte(7))), &[1, b'y', 0, 7]),
            (Value::Variant(Box::new(Value::U32(7))), &[1, b'u', 0, 0, 7, 0, 0, 0]),
            (Value::Array("y".into(), vec![Value::Byte(1), Value::Byte(2)]), &[2, 0, 0, 0, 1, 2]),
            (
                Value::Struct(vec![Value::Byte(1), Value::U16(2), Value::U64(3)]),
                &[1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            ),
        ] {
            let mut writer = Writer::default();
            writer.value(&value);
            assert_eq!(writer.0, expected, "{value:?}");
        }
    }

    #[test]
    fn reads_what_it_wrote_and_never_beyond() {
        let mut writer = Writer::default();
        writer.0.push(9);
        writer.u32(4711);
        writer.text("héllo");
        writer.signature("a(sv)");
        for end in 0..writer.0.len() {
            let mut reader = Reader::new(&writer.0[..end]);
            let all = (|| Some((reader.byte()?, reader.u32()?, reader.text()?, reader.signature()?)))();
            assert_eq!(all, None, "{end}");
        }
        let mut reader = Reader::new(&writer.0);
        assert_eq!(
            (reader.byte(), reader.u32(), reader.text(), reader.signature()),
            (Some(9), Some(4711), Some("héllo"), Some("a(sv)"))
        );
        assert!(reader.is_at_end());
        assert_eq!(Reader::new(&[255, 255, 255, 255, 0]).text(), None);
    }
}
