//! config.json as written: loaded, tolerated where the OCI spec says so, every fault reported with its JSON pointer.
//!
//! A text goes through three sieves. `scan` holds it against the `schema` and finds every fault of shape at once;
//! serde makes the typed model of it (after `normalise`, when the model is narrower than the OCI spec);
//! `check` looks at what fields mean together. None of them looks at the machine.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use oci_spec::runtime::{LinuxResources, Process};
use serde::de::DeserializeOwned;

use crate::error::{Fault, Faults};
use shape::Shape;

pub mod capability;
#[cfg(test)]
pub mod captured;
mod check;
mod check_linux;
mod check_process;
mod normalise;
pub mod number_list;
mod scan;
mod schema;
mod schema_linux;
mod shape;
mod template;
pub mod user;

pub use template::template;

/// What was asked: a bundle's configuration, checked for everything that needs no host.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The typed model.
    pub oci: oci_spec::runtime::Spec,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The text as read: the state directory keeps it, because later changes of the file have no effect.
    pub text: Vec<u8>,
    /// What the OCI spec says to tolerate.
    pub warnings: Faults,
}

impl Spec {
    /// Loads `bundle`/config.json, or the file `config` when it is given, with every fault of the document, each with
    /// its JSON pointer. Gives the model of a faulty document too, where there is one: what comes later may find more
    /// faults in it.
    pub fn examine(bundle: &Path, config: Option<&Path>) -> (Option<Spec>, Faults) {
        let text = absolute(bundle).and_then(|bundle| {
            let path = config.map_or_else(|| Cow::Owned(bundle.join("config.json")), Cow::Borrowed);
            let text = read(&path, CONFIG)?;
            Ok((bundle, text))
        });
        match text {
            Ok((bundle, text)) => Spec::examine_text(bundle, text),
            Err(faults) => (None, faults),
        }
    }

    /// Makes a spec of a configuration that was read before, as the state directory keeps it.
    ///
    /// # Errors
    /// Every fault of the document, each with its JSON pointer.
    pub fn from_text(bundle: PathBuf, text: Vec<u8>) -> Result<Spec, Faults> {
        let (spec, faults) = Spec::examine_text(bundle, text);
        finish(spec, faults)
    }

    /// As `examine`, of a text that was read before.
    pub fn examine_text(bundle: PathBuf, text: Vec<u8>) -> (Option<Spec>, Faults) {
        let (oci, mut faults) = parse::<oci_spec::runtime::Spec>(&text, &schema::CONFIG, CONFIG);
        let Some(oci) = oci else { return (None, faults) };
        let mut found = Faults::default();
        check::check(&oci, &mut found);
        faults.absorb(found);
        let warnings = faults.only_warnings();
        (Some(Spec { oci, bundle, text, warnings }), faults)
    }
}

/// Loads the document of `exec --process`, with its warnings.
///
/// # Errors
/// Every fault of the document, each with its JSON pointer.
pub fn load_process(path: &Path) -> Result<(Process, Faults), Faults> {
    process_from_text(&read(path, PROCESS)?)
}

fn process_from_text(text: &[u8]) -> Result<(Process, Faults), Faults> {
    static SHAPE: Shape = Shape::Object(schema::PROCESS);
    let (process, mut faults) = parse::<Process>(text, &SHAPE, PROCESS);
    let mut found = Faults::default();
    process.iter().for_each(|process| check_process::check(process, "", &mut found));
    faults.absorb(found.of_file(PROCESS));
    let warnings = faults.only_warnings();
    finish(process, faults).map(|process| (process, warnings))
}

/// Loads the document of `update --resources`, `-` being the standard input, with its warnings. Its meaning is checked
/// by `plan`.
///
/// # Errors
/// Every fault of the document, each with its JSON pointer.
pub fn load_resources(path: &Path) -> Result<(LinuxResources, Faults), Faults> {
    resources_from_text(&read_or_stdin(path, RESOURCES)?)
}

fn resources_from_text(text: &[u8]) -> Result<(LinuxResources, Faults), Faults> {
    static SHAPE: Shape = Shape::Object(schema_linux::RESOURCES);
    let (resources, faults) = parse(text, &SHAPE, RESOURCES);
    let warnings = faults.only_warnings();
    finish(resources, faults).map(|resources| (resources, warnings))
}

/// Loads the document of `mounts add`, `-` being the standard input: the mounts of a config.json, in an object or by
/// themselves. They take the place of those in `config`, the text that the container was created from.
///
/// # Errors
/// Every fault of the mounts, each with its JSON pointer.
pub fn load_mounts(path: &Path, bundle: PathBuf, config: &[u8]) -> Result<Spec, Faults> {
    let text = read_or_stdin(path, MOUNTS)?;
    let broken = |error: serde_json::Error| fault(MOUNTS, format!("not JSON: {error}"));
    let mut document: serde_json::Value = serde_json::from_slice(&text).map_err(broken)?;
    if let Some(mounts) = document.get_mut("mounts") {
        document = mounts.take();
    }
    if !document.is_array() {
        return Err(fault(MOUNTS, "must be an array of mounts, or an object that has one as \"mounts\"".to_owned()));
    }
    let mut whole: serde_json::Value =
        serde_json::from_slice(config).map_err(|error| fault(CONFIG, error.to_string()))?;
    whole["mounts"] = document;
    let (spec, faults) = Spec::examine_text(bundle, whole.to_string().into_bytes());
    finish(spec, faults.of_file(MOUNTS))
}

/// A value that nothing is wrong with, or all that is wrong.
fn finish<T>(value: Option<T>, faults: Faults) -> Result<T, Faults> {
    match value {
        Some(value) => faults.into_result(value),
        None => Err(faults),
    }
}

const CONFIG: &str = "config.json";
const PROCESS: &str = "process.json";
/// What faults of the document of `mounts` are said of.
pub const MOUNTS: &str = "mounts.json";
/// What faults of the document of `update` are said of.
pub const RESOURCES: &str = "resources.json";

/// Text to typed model, with all that is wrong with its shape: a relative path keeps nobody from making the model.
fn parse<T: DeserializeOwned>(text: &[u8], shape: &'static Shape, file: &'static str) -> (Option<T>, Faults) {
    let scanned = scan::scan(text, shape, file);
    if scanned.faults.errors.iter().any(|fault| fault.reason == scan::MISSING) {
        // The model would have made-up values, and faults that follow from them.
        return (None, scanned.faults);
    }
    let typed = if scanned.needs_normalising {
        serde_json::from_slice(text).and_then(|mut value| {
            normalise::normalise(&mut value, shape);
            // By way of text: a second set of deserializers, for values, is 0.3 MB of code for the rarer documents.
            serde_json::to_vec(&value).and_then(|text| serde_json::from_slice(&text))
        })
    } else {
        serde_json::from_slice(text)
    };
    match typed {
        Ok(typed) => (Some(typed), scanned.faults),
        Err(_) if !scanned.faults.errors.is_empty() => (None, scanned.faults),
        // A gap between our schema and the typed model; no document is known that comes here.
        Err(error) => (None, fault(file, error.to_string())),
    }
}

/// More than a configuration ever has: a guard against reading /dev/zero.
const LARGEST_FILE: u64 = 64 << 20;

fn read(path: &Path, file: &'static str) -> Result<Vec<u8>, Faults> {
    let open = File::open(path).map_err(|error| fault(file, format!("open {}: {}", path.display(), cause(&error))))?;
    read_open(open, path, file)
}

fn read_or_stdin(path: &Path, file: &'static str) -> Result<Vec<u8>, Faults> {
    if path != Path::new("-") {
        return read(path, file);
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.map_err(|error| fault(file, cause(&error))).and_then(|stdin| read_open(stdin, path, file))
}

fn read_open(open: File, path: &Path, file: &'static str) -> Result<Vec<u8>, Faults> {
    let mut text = Vec::new();
    let size = open.metadata().map_or(0, |metadata| metadata.len().min(LARGEST_FILE));
    text.reserve_exact(size as usize + 1);
    open.take(LARGEST_FILE + 1)
        .read_to_end(&mut text)
        .map_err(|error| fault(file, format!("open {}: {}", path.display(), cause(&error))))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(fault(file, format!("{} is larger than {} MiB", path.display(), LARGEST_FILE >> 20)));
    }
    Ok(text)
}

/// The bundle as the state shows it: absolute, symlinks kept, `..` resolved as the kernel does.
fn absolute(bundle: &Path) -> Result<PathBuf, Faults> {
    let has_parent = bundle.components().any(|part| part == std::path::Component::ParentDir);
    let absolute = if has_parent { std::fs::canonicalize(bundle) } else { std::path::absolute(bundle) };
    let absolute =
        absolute.map_err(|error| fault(CONFIG, format!("bundle {}: {}", bundle.display(), cause(&error))))?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(fault(CONFIG, format!("bundle {absolute:?}: is not UTF-8, as the state of a container has to be"))),
    }
}

fn fault(file: &'static str, reason: String) -> Faults {
    Faults { errors: vec![Fault { file, pointer: String::new(), reason }], warnings: Vec::new() }
}

/// The kernel's words: `no such file or directory (ENOENT)`.
fn cause(error: &std::io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => format!("{} ({errno:?})", errno.desc().to_lowercase()),
        None => error.to_string(),
    }
}

/// A key as a part of a JSON pointer.
fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod everywhere;
#[cfg(test)]
mod tests;
