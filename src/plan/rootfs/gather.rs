//! What the options of one mount add up to.

use std::ffi::{CStr, CString};

use super::mount::{Attributes, Propagation, SuperblockOption};
use super::options::{self, Effect, attribute};
use crate::error::Faults;

/// Everything that the options of one mount add up to.
#[derive(Default)]
pub(super) struct Gathered {
    pub attributes: Attributes,
    pub recursive_attributes: Attributes,
    pub propagation: Option<Propagation>,
    pub superblock: Vec<SuperblockOption>,
    pub data: Vec<SuperblockOption>,
    pub bind: Option<bool>,
    pub idmap: Option<bool>,
    pub idmap_text: Option<String>,
    pub remount: bool,
    pub copy_up: bool,
    pub copy_symlink: bool,
    pub source_nofollow: bool,
    pub destination_nofollow: bool,
}

/// Adds up the options of one mount.
pub(super) fn gather(index: usize, names: &[String], faults: &mut Faults) -> Option<Gathered> {
    let mut sum = Gathered::default();
    for (position, name) in names.iter().enumerate() {
        let pointer = || format!("/mounts/{index}/options/{position}");
        let Some(option) = options::find(name) else {
            if let Some(mapping) = name.strip_prefix("idmap=").or_else(|| name.strip_prefix("ridmap=")) {
                sum.idmap = Some(name.starts_with('r'));
                sum.idmap_text = Some(mapping.to_owned());
            } else if !name.is_empty() {
                add_data(&mut sum.data, name, &pointer(), faults)?;
            }
            continue;
        };
        let attributes = if option.recursive { &mut sum.recursive_attributes } else { &mut sum.attributes };
        attributes.apply(option.effect);
        match option.effect {
            Effect::Superblock(key) => choose(&mut sum.superblock, flag(key, false)),
            Effect::SuperblockIfKnown(key) => choose(&mut sum.superblock, flag(key, true)),
            Effect::Propagation(kind) => sum.propagation = Some(Propagation { kind, recursive: option.recursive }),
            Effect::Bind => sum.bind = Some(sum.bind.unwrap_or(false) || option.recursive),
            Effect::Idmap => sum.idmap = Some(sum.idmap.unwrap_or(false) || option.recursive),
            Effect::Remount => sum.remount = true,
            Effect::TmpCopyUp => sum.copy_up = true,
            Effect::CopySymlink => sum.copy_symlink = true,
            Effect::SourceNofollow => sum.source_nofollow = true,
            Effect::DestinationNofollow => sum.destination_nofollow = true,
            Effect::Nothing | Effect::Set(_) | Effect::Clear(_) | Effect::Atime(_) | Effect::NotAtime(_) => {}
        }
    }
    Some(sum)
}

impl Attributes {
    /// Adds one option's effect; the last one wins.
    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(bits) => {
                self.set |= bits;
                self.clear &= !bits;
            }
            Effect::Clear(bits) => {
                self.set &= !bits;
                self.clear |= bits;
            }
            Effect::Atime(value) => {
                self.set = self.set & !attribute::ATIME | value;
                self.clear |= attribute::ATIME;
            }
            Effect::NotAtime(value) => {
                let is_chosen = self.clear & attribute::ATIME != 0;
                if !is_chosen || self.set & attribute::ATIME == value {
                    self.apply(Effect::Atime(0));
                }
            }
            _ => {}
        }
    }
}

/// Flags of the superblock that say the contrary of each other.
const CONTRARIES: &[(&CStr, &CStr)] = &[
    (c"acl", c"noacl"),
    (c"iversion", c"noiversion"),
    (c"lazytime", c"nolazytime"),
    (c"mand", c"nomand"),
    (c"silent", c"loud"),
    (c"sync", c"async"),
];

/// Adds a flag of the superblock; the last one wins.
fn choose(superblock: &mut Vec<SuperblockOption>, new: SuperblockOption) {
    let says_contrary = |old: &SuperblockOption| {
        CONTRARIES.iter().any(|(on, off)| {
            let pair = (old.key.as_c_str(), new.key.as_c_str());
            pair == (*on, *off) || pair == (*off, *on)
        })
    };
    superblock.retain(|old| old.key != new.key && !says_contrary(old));
    superblock.push(new);
}

/// A flag of the superblock.
pub(super) fn flag(key: &CStr, if_known: bool) -> SuperblockOption {
    SuperblockOption { key: key.to_owned(), value: None, if_known }
}

/// Takes `key=value` or `key`; several may stand in one string, as in fstab.
fn add_data(data: &mut Vec<SuperblockOption>, option: &str, pointer: &str, faults: &mut Faults) -> Option<()> {
    for part in split_outside_quotes(option) {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        let value = match value {
            // The kernel's own option parser takes the quotes off security contexts; fsconfig does not.
            Some(value) => Some(text(unquote(value).as_bytes(), pointer, faults)?),
            None => None,
        };
        data.push(SuperblockOption { key: text(key.as_bytes(), pointer, faults)?, value, if_known: false });
    }
    Some(())
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

fn split_outside_quotes(option: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    option
        .split(move |letter| {
            quoted ^= letter == '"';
            letter == ',' && !quoted
        })
        .filter(|part| !part.is_empty())
}

/// Text of config.json for the kernel.
pub(super) fn text(bytes: &[u8], pointer: &str, faults: &mut Faults) -> Option<CString> {
    let text = CString::new(bytes).ok();
    if text.is_none() {
        faults.error(pointer, "has a NUL byte");
    }
    text
}
