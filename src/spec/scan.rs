//! Reads JSON text against a `Shape` without building anything: finds every fault, with its JSON pointer.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::capability;
use super::shape::{Presence, Property, Shape, model_scheduler_flag};
use crate::error::{Fault, Faults};

/// What is said of a property that must be there and is not.
pub const MISSING: &str = "missing";

/// So many faults of one document are told; a file with more of them is not a configuration.
const MOST_FAULTS: usize = 100;

/// What a scan found.
#[derive(Debug)]
pub struct Scanned {
    /// What is wrong with the document's shape.
    pub faults: Faults,
    /// Whether the typed model would refuse or misread the text, so that `normalise` must go first.
    pub needs_normalising: bool,
}

/// Scans a whole document, called `file` in its faults.
pub fn scan(text: &[u8], shape: &'static Shape, file: &'static str) -> Scanned {
    let mut scan =
        Scan { file, path: Vec::new(), faults: Faults::default(), needs_normalising: false, needs_numbers: false };
    let mut json = serde_json::Deserializer::from_slice(text);
    let ended = Seed { shape, scan: &mut scan }.deserialize(&mut json).and_then(|()| {
        scan.path.clear();
        json.end()
    });
    if let Err(broken) = ended {
        scan.error(format!("not JSON: {broken}"));
    }
    Scanned { faults: scan.faults, needs_normalising: scan.needs_normalising }
}

struct Scan {
    file: &'static str,
    /// Where the scan is. Strings are made of it for faults only: a good document costs no allocation.
    path: Vec<Step>,
    faults: Faults,
    needs_normalising: bool,
    /// The device that is being read has another type than "p".
    needs_numbers: bool,
}

enum Step {
    Property(&'static str),
    Key(String),
    Index(usize),
}

impl Scan {
    fn error(&mut self, reason: impl Into<String>) {
        if self.faults.errors.len() < MOST_FAULTS {
            let fault = Fault { file: self.file, pointer: self.pointer(), reason: reason.into() };
            self.faults.errors.push(fault);
        }
    }

    fn warn(&mut self, reason: impl Into<String>) {
        if self.faults.warnings.len() < MOST_FAULTS {
            let fault = Fault { file: self.file, pointer: self.pointer(), reason: reason.into() };
            self.faults.warnings.push(fault);
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Property(name) => pointer.push_str(name),
                Step::Key(key) => pointer.push_str(&super::escape(key)),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    /// Runs `read` one step deeper. The step stays after an error of syntax: it tells where that is.
    fn under<T, E>(&mut self, step: Step, read: impl FnOnce(&mut Scan) -> Result<T, E>) -> Result<T, E> {
        self.path.push(step);
        let result = read(self)?;
        self.path.pop();
        Ok(result)
    }
}

/// Reads one value of a shape.
struct Seed<'s> {
    shape: &'static Shape,
    scan: &'s mut Scan,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Shape::Foreign | Shape::Ignored(_) => {
                self.scan.needs_normalising = true;
                if let Shape::Ignored(why) = self.shape {
                    self.scan.warn(*why);
                }
                deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Seed<'_> {
    fn integer(self, number: i128) {
        match self.shape {
            Shape::Int(least, most) if number < *least || number > *most => {
                self.scan.error(format!("{number} is not between {least} and {most}"));
            }
            Shape::Int(..) => {}
            Shape::HugeLimit if number < 0 => {
                self.scan.error(format!("{number} is not between 0 and {}", u64::MAX));
            }
            Shape::HugeLimit => self.scan.needs_normalising |= number > i128::from(i64::MAX),
            _ => self.mismatch(&format!("the number {number}")),
        }
    }

    fn mismatch(self, found: &str) {
        let wanted = match self.shape {
            Shape::Foreign | Shape::Ignored(_) => "anything",
            Shape::Bool => "true or false",
            Shape::Int(..) | Shape::HugeLimit => "an integer",
            Shape::Text | Shape::Cargo | Shape::Absolute | Shape::Capability | Shape::Variable | Shape::NumberList => {
                "a string"
            }
            Shape::Word(_) | Shape::DeviceType(_) | Shape::SchedulerFlag(_) => "a string",
            Shape::List(_) => "an array",
            Shape::Map(_) | Shape::Object(_) | Shape::Optional(_) => "an object",
        };
        self.scan.error(format!("must be {wanted}, not {found}"));
    }

    fn string(self, text: &str) {
        let scan = self.scan;
        match self.shape {
            Shape::Cargo | Shape::Foreign | Shape::Ignored(_) => {}
            Shape::Text => refuse_nul(scan, text),
            Shape::Absolute => {
                refuse_nul(scan, text);
                if !text.starts_with('/') {
                    scan.error(format!("{} is not an absolute path", quote(text)));
                }
            }
            Shape::Word(words) => refuse_unknown(scan, text, words),
            Shape::DeviceType(words) => {
                scan.needs_numbers = text != "p";
                refuse_unknown(scan, text, words);
            }
            Shape::Capability => {
                if !capability::is_known(text) {
                    scan.needs_normalising = true;
                    scan.warn(format!("{} is unknown, and ignored", quote(text)));
                }
            }
            Shape::SchedulerFlag(words) => {
                refuse_unknown(scan, text, words);
                scan.needs_normalising |= model_scheduler_flag(text).is_some();
            }
            Shape::Variable => {
                refuse_nul(scan, text);
                match text.find('=') {
                    None => scan.error(format!("{} is not of the form NAME=VALUE", quote(text))),
                    Some(0) => scan.error(format!("{} has no name before the =", quote(text))),
                    Some(_) => {}
                }
            }
            Shape::NumberList => {
                scan.needs_normalising |= text.contains(' ');
                if let Err(why) = super::number_list::parse(text) {
                    scan.error(format!("{}: {why}", quote(text)));
                }
            }
            _ => Seed { shape: self.shape, scan }.mismatch(&format!("the string {}", quote(text))),
        }
    }
}

fn refuse_nul(scan: &mut Scan, text: &str) {
    if text.contains('\0') {
        scan.error(format!("{} contains a NUL character", quote(text)));
    }
}

fn refuse_unknown(scan: &mut Scan, text: &str, words: &[&str]) {
    if !words.contains(&text) {
        scan.error(format!("{} is not one of {}", quote(text), words.join(", ")));
    }
}

/// A user's string within a message: quoted, escaped, cut.
fn quote(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.shape, Shape::Bool) {
            self.mismatch(if value { "true" } else { "false" });
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into());
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.mismatch(&format!("the number {value}"));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.string(value);
        Ok(())
    }

    /// `null`, which objects take for "unset" before it comes here.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.mismatch("null");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Shape::List(items) = self.shape else {
            self.mismatch("an array");
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        self.scan.path.push(Step::Index(0));
        let depth = self.scan.path.len();
        while seq.next_element_seed(Seed { shape: items, scan: self.scan })?.is_some() {
            if let Some(Step::Index(index)) = self.scan.path.get_mut(depth - 1) {
                *index += 1;
            }
        }
        self.scan.path.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.shape {
            Shape::Map(values) => {
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    self.scan
                        .under(Step::Key(key.into_owned()), |scan| map.next_value_seed(Seed { shape: values, scan }))?;
                }
                Ok(())
            }
            Shape::Object(properties) => self.scan.object(properties, map).map(|_| ()),
            Shape::Optional(properties) => {
                let seen = self.scan.object(properties, map)?;
                self.scan.needs_normalising |= seen & 1 == 0;
                Ok(())
            }
            _ => {
                self.mismatch("an object");
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
    }
}

impl Scan {
    /// Reads an object, and gives a bit for each property that is there and not null.
    fn object<'de, A: MapAccess<'de>>(&mut self, properties: &'static [Property], mut map: A) -> Result<u32, A::Error> {
        debug_assert!(properties.len() <= 32);
        self.needs_numbers = false;
        let (mut met, mut seen) = (0_u32, 0_u32);
        while let Some(known) = map.next_key_seed(Key { properties })? {
            let Some(index) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let property = &properties[index];
            self.under(Step::Property(property.name), |scan| {
                if met & 1 << index != 0 {
                    scan.needs_normalising = true;
                    scan.warn("appears more than once: the last one counts");
                }
                met |= 1 << index;
                if map.next_value_seed(Unless { property, scan })? {
                    seen |= 1 << index;
                } else {
                    seen &= !(1 << index);
                    scan.needs_normalising = true;
                }
                Ok(())
            })?;
        }
        for (index, property) in properties.iter().enumerate() {
            if seen & 1 << index != 0 {
                continue;
            }
            let is_missing = match property.presence {
                Presence::Optional => false,
                Presence::Required => true,
                Presence::RequiredUnlessFifo => self.needs_numbers,
            };
            if is_missing {
                self.path.push(Step::Property(property.name));
                self.error(MISSING);
                self.path.pop();
            }
        }
        Ok(seen)
    }
}

/// Finds a key among the properties.
struct Key {
    properties: &'static [Property],
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.properties.iter().position(|property| property.name == key))
    }
}

/// Reads a property's value, unless it is null or an empty string that means "unset": then gives false.
struct Unless<'s> {
    property: &'static Property,
    scan: &'s mut Scan,
}

impl<'de> DeserializeSeed<'de> for Unless<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        match self.property.shape {
            Shape::Foreign | Shape::Ignored(_) => {
                Seed { shape: &self.property.shape, scan: self.scan }.deserialize(deserializer).map(|()| true)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'s> Unless<'s> {
    fn seed(self) -> Seed<'s> {
        Seed { shape: &self.property.shape, scan: self.scan }
    }
}

impl<'de> Visitor<'de> for Unless<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.seed().visit_bool(value).map(|()| true)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.seed().visit_u64(value).map(|()| true)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.seed().visit_i64(value).map(|()| true)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.seed().visit_f64(value).map(|()| true)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        let is_unset =
            value.is_empty() && self.property.presence == Presence::Optional && self.property.shape.empty_is_unset();
        if is_unset { Ok(false) } else { self.seed().visit_str(value).map(|()| true) }
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        self.seed().visit_seq(seq).map(|()| true)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        self.seed().visit_map(map).map(|()| true)
    }
}
