//! CRIU's log: kept where the caller wants it, its first errors in ours.

use std::path::{Path, PathBuf};

/// How many of CRIU's errors ours quotes: the first is the cause, the next ones tell where it happened.
const QUOTED: usize = 3;

/// The log of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFile {
    /// Of a checkpoint.
    Dump,
    /// Of a restore.
    Restore,
}

impl LogFile {
    /// Its name in the work directory: managers look for these two.
    pub fn name(self) -> &'static str {
        match self {
            LogFile::Dump => "dump.log",
            LogFile::Restore => "restore.log",
        }
    }
}

/// What CRIU says of its failure, on one line, with the place of the whole log.
pub fn explain(work: &Path, log: LogFile, message: Option<&str>) -> String {
    let path: PathBuf = work.join(log.name());
    let text = std::fs::read(&path).unwrap_or_default();
    let mut errors = first_errors(&String::from_utf8_lossy(&text));
    if errors.is_empty() {
        errors.extend(message.map(str::to_owned));
    }
    if errors.is_empty() {
        errors.push("it failed without a word".to_owned());
    }
    format!("criu: {} (its log: {})", errors.join("; "), path.display())
}

/// `(00.012345) Error (criu/mount.c:1230): mnt: …`, without time and place.
///
/// That it may not raise its own limit of open files is an error to CRIU and stops it from nothing.
fn first_errors(text: &str) -> Vec<String> {
    let error = |line: &str| {
        let (_, rest) = line.split_once("Error (")?;
        let (_, what) = rest.split_once("): ")?;
        Some(what.trim().to_owned()).filter(|what| !what.is_empty() && !what.starts_with("rlimit: "))
    };
    text.lines().filter_map(error).take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_errors_are_quoted_without_time_and_place() {
        let log = "(00.000001) Version: 4.1.1\n(00.005) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE\n(00.011) Warn  (criu/x.c:1): no matter\n\
                   (00.012345) Error (criu/mount.c:1230): mnt: 26:/data doesn't have a proper root mount\n\
                   (00.02)   pid 4: Error (criu/a.c:2): two\nError (criu/b.c:3): three\nError (criu/c.c:4): four\n";
        assert_eq!(first_errors(log), ["mnt: 26:/data doesn't have a proper root mount", "two", "three"]);
        assert!(first_errors("all is well\n").is_empty());
    }

    #[test]
    fn without_a_log_the_answer_must_do() {
        let nowhere = Path::new("/nonexistent");
        let text = explain(nowhere, LogFile::Dump, Some("bad options"));
        assert_eq!(text, "criu: bad options (its log: /nonexistent/dump.log)");
        assert!(explain(nowhere, LogFile::Restore, None).contains("without a word"));
    }
}
