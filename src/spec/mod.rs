//! config.json as written: loaded, tolerated where the OCI spec says so, every fault reported with its JSON pointer.

use std::path::{Path, PathBuf};

use crate::error::Faults;

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
    /// Loads `bundle`/config.json, or the file `config` when it is given.
    ///
    /// # Errors
    /// Every fault of the document, each with its JSON pointer.
    pub fn load(_bundle: &Path, _config: Option<&Path>) -> Result<Spec, Faults> {
        unimplemented!("the spec room")
    }
}
