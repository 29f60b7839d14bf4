//! A value as D-Bus knows it, and the text form in which annotations give one.

use std::fmt;

/// A value with its type.
///
/// <https://dbus.freedesktop.org/doc/dbus-specification.html#type-system>
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `y`
    Byte(u8),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Text(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `v`
    Variant(Box<Value>),
    /// `a` and the signature of its elements, all of which have it.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// Its type in one word.
    pub fn signature(&self) -> String {
        match self {
            Value::Bool(_) => "b".into(),
            Value::Byte(_) => "y".into(),
            Value::I16(_) => "n".into(),
            Value::U16(_) => "q".into(),
            Value::I32(_) => "i".into(),
            Value::U32(_) => "u".into(),
            Value::I64(_) => "x".into(),
            Value::U64(_) => "t".into(),
            Value::F64(_) => "d".into(),
            Value::Text(_) => "s".into(),
            Value::Path(_) => "o".into(),
            Value::Signature(_) => "g".into(),
            Value::Variant(_) => "v".into(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => format!("({})", fields.iter().map(Value::signature).collect::<String>()),
        }
    }

    /// Reads the [text form of GVariant], in which `org.systemd.property.*` annotations stand: `uint64 5`, `'text'`,
    /// `true`, `['a', 'b']`, `@a(ss) []`.
    ///
    /// [text form of GVariant]: https://docs.gtk.org/glib/gvariant-text-format.html
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Value, String> {
        let mut parser = Parser { text, rest: text, depth: 0 };
        let value = parser.value(None)?;
        parser.skip_blanks();
        if parser.rest.is_empty() { Ok(value) } else { Err(parser.unexpected()) }
    }
}

/// Arrays and tuples deeper than this are refused, as by D-Bus itself.
const DEEPEST: usize = 32;

/// The keywords that name a type.
const KEYWORDS: &[(&str, &str)] = &[
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    depth: usize,
}

impl Parser<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> String {
        match self.rest.chars().next() {
            Some(c) => format!("{c:?} is unexpected at character {}", self.text.len() - self.rest.len() + 1),
            None => "the value ends too early".into(),
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, expected: Option<&str>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is more than {DEEPEST} levels deep"));
        }
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('@') => {
                self.rest = &self.rest[1..];
                let end = self.rest.find(|c: char| c.is_whitespace()).unwrap_or(self.rest.len());
                let signature = &self.rest[..end];
                if first_type(signature) != Some(signature) {
                    return Err(format!("{signature:?} is not a type"));
                }
                self.rest = &self.rest[end..];
                self.value(Some(signature))
            }
            Some('\'' | '"') => self.quoted().and_then(|text| match expected.unwrap_or("s") {
                "s" => Ok(Value::Text(text)),
                "o" => Ok(Value::Path(text)),
                "g" => Ok(Value::Signature(text)),
                other => Err(format!("{text:?} is a string, where the type is {other:?}")),
            }),
            Some('[') => self.array(expected),
            Some('(') => self.tuple(expected),
            Some('<') => {
                self.eat('<');
                let inside = self.value(None)?;
                if self.eat('>') { Ok(Value::Variant(Box::new(inside))) } else { Err(self.unexpected()) }
            }
            Some(_) => self.word(expected),
            None => Err(self.unexpected()),
        }?;
        self.depth -= 1;
        match expected {
            Some(signature) if value.signature() != signature => {
                Err(format!("the type is {:?}, not {signature:?}", value.signature()))
            }
            _ => Ok(value),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map_or('\'', |(_, c)| c);
        let mut text = String::new();
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => match characters.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('\\' | '\'' | '"')) => text.push(c),
                    Some(c) => return Err(format!("\\{c} is not an escape that is known here")),
                    None => break,
                },
                '\0' => return Err("a NUL cannot be in it".into()),
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err("a string does not end".into())
    }

    fn array(&mut self, expected: Option<&str>) -> Result<Value, String> {
        let mut element = match expected {
            Some(signature) => Some(signature.strip_prefix('a').ok_or("it is no array")?.to_owned()),
            None => None,
        };
        self.eat('[');
        let mut values = Vec::new();
        while !self.eat(']') {
            if !values.is_empty() && !self.eat(',') {
                return Err(self.unexpected());
            }
            let value = self.value(element.as_deref())?;
            element.get_or_insert_with(|| value.signature());
            values.push(value);
        }
        match element {
            Some(element) => Ok(Value::Array(element, values)),
            None => Err("an empty array needs its type before it: @as []".into()),
        }
    }

    fn tuple(&mut self, expected: Option<&str>) -> Result<Value, String> {
        let mut types = match expected {
            Some(signature) => {
                Some(signature.strip_prefix('(').and_then(|s| s.strip_suffix(')')).ok_or("it is no tuple")?)
            }
            None => None,
        };
        self.eat('(');
        let mut values = Vec::new();
        while !self.eat(')') {
            if !values.is_empty() && !self.eat(',') {
                return Err(self.unexpected());
            }
            if !values.is_empty() && self.eat(')') {
                break;
            }
            let wanted = types.map(|types| first_type(types).unwrap_or("")).map(str::to_owned);
            types = types.map(|types| &types[wanted.as_ref().map_or(0, String::len)..]);
            values.push(self.value(wanted.as_deref())?);
        }
        if values.is_empty() { Err("a tuple cannot be empty".into()) } else { Ok(Value::Struct(values)) }
    }

    /// A keyword and its value, true, false, or a number.
    fn word(&mut self, expected: Option<&str>) -> Result<Value, String> {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "+-.".contains(c))).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        if word.is_empty() {
            return Err(self.unexpected());
        }
        self.rest = &self.rest[end..];
        if let Some((_, signature)) = KEYWORDS.iter().find(|(keyword, _)| *keyword == word) {
            return self.value(Some(signature));
        }
        match word {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => {}
        }
        let looks_like_a_double = word.contains('.') || word == "inf" || word == "nan";
        number(word, expected.unwrap_or(if looks_like_a_double { "d" } else { "i" }))
            .ok_or_else(|| format!("{word:?} is neither true, false, a number in range nor a known type"))
    }
}

fn number(word: &str, signature: &str) -> Option<Value> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let integer = || -> Option<i128> {
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
            None => i128::from(digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())??),
        };
        Some(if negative { -value } else { value })
    };
    Some(match signature {
        "y" => Value::Byte(integer()?.try_into().ok()?),
        "n" => Value::I16(integer()?.try_into().ok()?),
        "q" => Value::U16(integer()?.try_into().ok()?),
        "i" => Value::I32(integer()?.try_into().ok()?),
        "u" => Value::U32(integer()?.try_into().ok()?),
        "x" => Value::I64(integer()?.try_into().ok()?),
        "t" => Value::U64(integer()?.try_into().ok()?),
        "d" => Value::F64(word.parse().ok()?),
        _ => return None,
    })
}

/// The first complete type of a signature.
fn first_type(signature: &str) -> Option<&str> {
    let mut bytes = signature.bytes();
    let length = match bytes.next()? {
        b'y' | b'b' | b'n' | b'q' | b'i' | b'u' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => 1,
        b'a' => 1 + first_type(&signature[1..])?.len(),
        b'(' => {
            let mut at = 1;
            while !signature[at..].starts_with(')') {
                at += first_type(&signature[at..])?.len();
            }
            if at == 1 {
                return None;
            }
            at + 1
        }
        _ => return None,
    };
    if length > 255 { None } else { Some(&signature[..length]) }
}

/// The text form again, without the types that it can do without.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[Value]| {
            values.iter().enumerate().try_for_each(|(index, value)| {
                let comma = if index > 0 { ", " } else { "" };
                write!(f, "{comma}{value}")
            })
        };
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Byte(value) => write!(f, "{value}"),
            Value::I16(value) => write!(f, "{value}"),
            Value::U16(value) => write!(f, "{value}"),
            Value::I32(value) => write!(f, "{value}"),
            Value::U32(value) => write!(f, "{value}"),
            Value::I64(value) => write!(f, "{value}"),
            Value::U64(u64::MAX) => f.write_str("infinity"),
            Value::U64(value) => write!(f, "{value}"),
            Value::F64(value) => write!(f, "{value}"),
            Value::Text(value) | Value::Path(value) | Value::Signature(value) => write!(f, "{value:?}"),
            Value::Variant(value) => write!(f, "<{value}>"),
            Value::Array(_, values) => {
                f.write_str("[")?;
                list(f, values)?;
                f.write_str("]")
            }
            Value::Struct(values) => {
                f.write_str("(")?;
                list(f, values)?;
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_in_annotations() {
        for (text, expected) in [
            ("true", Value::Bool(true)),
            ("uint64 10000000", Value::U64(10_000_000)),
            ("@t 5", Value::U64(5)),
            (" 5 ", Value::I32(5)),
            ("-5", Value::I32(-5)),
            ("byte 0xff", Value::Byte(255)),
            ("int64 -9", Value::I64(-9)),
            ("1.5", Value::F64(1.5)),
            ("double 2", Value::F64(2.0)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            (r#""it\'s \"so\"""#, Value::text("it's \"so\"")),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("<'x'>", Value::Variant(Box::new(Value::text("x")))),
            ("['a', 'b']", Value::Array("s".into(), vec![Value::text("a"), Value::text("b")])),
            ("@as []", Value::Array("s".into(), vec![])),
            ("[uint32 1, 2]", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
            (
                "[('/dev/null', 'rw')]",
                Value::Array("(ss)".into(), vec![Value::Struct(vec![Value::text("/dev/null"), Value::text("rw")])]),
            ),
            ("@(st) ('a', 7)", Value::Struct(vec![Value::text("a"), Value::U64(7)])),
            ("(1,)", Value::Struct(vec![Value::I32(1)])),
        ] {
            assert_eq!(Value::parse(text), Ok(expected.clone()), "{text}");
            assert_eq!(first_type(&expected.signature()), Some(expected.signature().as_str()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_value() {
        for text in [
            "",
            "maybe",
            "uint64 -1",
            "byte 256",
            "99999999999",
            "'open",
            "[1, 'a']",
            "[]",
            "()",
            "(",
            "[1",
            "[1 2]",
            "@z 5",
            "@ 5",
            "@aa [1]",
            "uint64 'x'",
            "string 5",
            "5 6",
            "<5",
            r"'\q'",
            "@(st) ('a')",
            "@s 5",
            "1e",
            "é",
        ] {
            assert!(Value::parse(text).is_err(), "{text}: {:?}", Value::parse(text));
        }
        assert!(Value::parse(&"[".repeat(100_000)).is_err());
    }
}
