//! Small programs in C that tests put into a container, for what busybox cannot do.

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
        std::fs::copy(made, target).unwrap();
        return;
    }
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O1", "-pthread", "-o"]).arg(target).arg(source);
    outcome(compiler).ok();
}
