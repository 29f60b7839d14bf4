//! Programs that tests put somewhere: small ones in C, for what busybox cannot do, scripts, and copies.
//!
//! A file that is open for writing cannot be executed (ETXTBSY), and whatever this process has open, each child that
//! another thread has just forked has too, until it executes. So programs are written by processes of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::runtime::outcome;

/// Compiles `source`, a path within the project, to `target`, static. The guest has no compiler: there the program lies
/// beside its source already (integration/vm/files.sh).
#[track_caller]
pub fn compile(source: &str, target: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let made = source.with_extension("");
    if made.exists() {
        copy(&made, target);
        return;
    }
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O1", "-pthread", "-o"]).arg(target).arg(source);
    outcome(compiler).ok();
}

/// Copies a program, or puts a new one in the place of another.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg("--remove-destination").arg(from).arg(to);
    outcome(cp).ok();
}

/// Writes a script with these permissions.
#[track_caller]
pub fn script(path: &Path, text: &str, mode: u32) {
    let draft = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(draft.path(), text).unwrap();
    copy(draft.path(), path);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
