//! The vocabulary in which the shape of a JSON document is written down: see `schema` for the words said with it.

/// What one JSON value must look like.
#[derive(Debug)]
pub enum Shape {
    /// Belongs to another platform, or to nobody: ignored, and kept away from the typed model.
    Foreign,
    /// The same, with a warning that says why.
    Ignored(&'static str),
    /// `true` or `false`.
    Bool,
    /// An integer in this range.
    Int(i128, i128),
    /// The limit of huge pages: a uint64, of which the typed model holds half.
    HugeLimit,
    /// A string without NUL.
    Text,
    /// Any string at all: annotations and other cargo.
    Cargo,
    /// An absolute path.
    Absolute,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The type of a device: one of these words; "p" needs no numbers.
    DeviceType(&'static [&'static str]),
    /// The name of a capability: an unknown one is a warning.
    Capability,
    /// A flag of sched_setattr(2): the typed model spells three of them in its own way.
    SchedulerFlag(&'static [&'static str]),
    /// `NAME=value`, the name not empty.
    Variable,
    /// A list like `0-3,7`; spaces are dropped.
    NumberList,
    /// An array.
    List(&'static Shape),
    /// An object with keys of the user's choice.
    Map(&'static Shape),
    /// An object with these properties; others are ignored.
    Object(&'static [Property]),
    /// An object that is as good as absent without its first property.
    Optional(&'static [Property]),
}

/// One property of an object.
#[derive(Debug)]
pub struct Property {
    /// The key, as the OCI spec spells it.
    pub name: &'static str,
    /// The value.
    pub shape: Shape,
    /// Whether the object must have it.
    pub presence: Presence,
}

/// Whether an object must have a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Missing is an error.
    Required,
    /// Missing is an error, except beside `"type": "p"`.
    RequiredUnlessFifo,
    /// May be missing, `null`, or an empty string (which Go's tools write for "unset").
    Optional,
}

/// A property that an object must have.
pub const fn required(name: &'static str, shape: Shape) -> Property {
    Property { name, shape, presence: Presence::Required }
}

/// A property that an object may have.
pub const fn optional(name: &'static str, shape: Shape) -> Property {
    Property { name, shape, presence: Presence::Optional }
}

impl Shape {
    /// Whether an empty string in an optional property of this shape means that it is unset.
    pub fn empty_is_unset(&self) -> bool {
        matches!(
            self,
            Shape::Text | Shape::Absolute | Shape::Word(_) | Shape::DeviceType(_) | Shape::Variable | Shape::NumberList
        )
    }
}

/// The name in the typed model of a scheduler flag that it spells in its own way.
pub fn model_scheduler_flag(flag: &str) -> Option<&'static str> {
    match flag {
        "SCHED_FLAG_RESET_ON_FORK" => Some("SCHED_RESET_ON_FORK"),
        "SCHED_FLAG_DL_OVERRUN" => Some("SCHED_FLAG_D_L_OVERRUN"),
        _ => None,
    }
}
