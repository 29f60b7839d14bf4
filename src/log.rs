//! Where messages go: stderr, and the file of `--log` in the form that managers parse.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `--log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// stderr alone.
    #[default]
    Stderr,
    /// A file, appended to, made with mode 0644.
    File(PathBuf),
    /// systemd's journal, under this identifier.
    Journal(String),
    /// syslog, under this identifier.
    Syslog(String),
}

impl Target {
    /// Reads the value of `--log`: a file, `file:FILE`, `journald:ID` or `syslog:ID`.
    ///
    /// A relative file is made absolute now: it is opened when there is something to say, maybe from elsewhere.
    pub fn of(value: &Path) -> Target {
        let bytes = value.as_os_str().as_bytes();
        let identifier = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(id) = bytes.strip_prefix(b"journald:") {
            return Target::Journal(identifier(id));
        }
        if let Some(id) = bytes.strip_prefix(b"syslog:") {
            return Target::Syslog(identifier(id));
        }
        let file = Path::new(std::ffi::OsStr::from_bytes(bytes.strip_prefix(b"file:").unwrap_or(bytes)));
        match std::path::absolute(file) {
            Ok(file) => Target::File(file),
            Err(_) => Target::Stderr,
        }
    }
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One line of `time=… level=… msg=…`.
    #[default]
    Text,
    /// One JSON document in one line.
    Json,
}

/// `--log-level`: what is worth saying.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Why the command did not do what was asked.
    Error,
    /// What went on nevertheless.
    #[default]
    Warning,
    /// What is being done.
    Debug,
}

impl Level {
    fn syslog_severity(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Debug => 7,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Debug => "debug",
        }
    }
}

/// Says things, each in one write.
///
/// With a `--log` file, stderr is silent unless the command fails: under a manager it may be the container's own. And
/// where a command fails the file gets its error alone: podman takes the whole file as one JSON document.
#[derive(Debug, Clone)]
pub struct Log {
    /// Where errors go besides stderr.
    pub target: Target,
    /// In which form.
    pub format: Format,
    /// What is worth saying.
    pub level: Level,
    name: &'static str,
    /// What was tolerated, for the file; lost when the command fails.
    pending: RefCell<String>,
}

impl Default for Log {
    fn default() -> Log {
        Log::new("rt")
    }
}

impl Log {
    /// A log to stderr, whose lines begin with the program's `name`.
    pub fn new(name: &'static str) -> Log {
        Log {
            target: Target::default(),
            format: Format::default(),
            level: Level::default(),
            name,
            pending: RefCell::default(),
        }
    }

    /// Says why the command failed. To be called once, by `main`.
    pub fn error(&self, message: &str) {
        let message = line_of(message);
        let now = SystemTime::now();
        let reported = match &self.target {
            Target::Stderr => Ok(()),
            Target::File(file) => append(file, &self.document(Level::Error, &message, now)),
            Target::Journal(id) => to_journal(id, Level::Error, &message),
            Target::Syslog(id) => to_syslog(id, Level::Error, &message),
        };
        // Whoever asks for JSON without a file reads it here.
        if self.target == Target::Stderr && self.format == Format::Json {
            return say(&self.document(Level::Error, &message, now));
        }
        match reported {
            Ok(()) => say(&format!("{}: {message}\n", self.name)),
            Err(cause) => say(&format!("{}: {message} (not in the log: {})\n", self.name, describe_io(&cause))),
        }
    }

    /// Says what was tolerated.
    pub fn warn(&self, message: &str) {
        self.aside(Level::Warning, message);
    }

    /// Says what is going to be done, under `--debug`: a line for each operation.
    pub fn debug(&self, lines: impl FnOnce() -> Vec<String>) {
        if self.level >= Level::Debug {
            lines().iter().for_each(|line| self.aside(Level::Debug, line));
        }
    }

    fn aside(&self, level: Level, message: &str) {
        if self.level < level {
            return;
        }
        let message = line_of(message);
        let sent = match &self.target {
            Target::File(_) => {
                self.pending.borrow_mut().push_str(&self.document(level, &message, SystemTime::now()));
                Ok(())
            }
            Target::Journal(id) => to_journal(id, level, &message),
            Target::Syslog(id) => to_syslog(id, level, &message),
            Target::Stderr if self.format == Format::Json => {
                say(&self.document(level, &message, SystemTime::now()));
                Ok(())
            }
            Target::Stderr => {
                say(&format!("{}: {}: {message}\n", self.name, level.word()));
                Ok(())
            }
        };
        // A warning that cannot be logged is not worth another one.
        drop(sent);
    }

    /// Writes what was tolerated to the file. To be called once, by `main`, when the command has worked.
    pub fn finish(&self) {
        let pending = self.pending.take();
        if let (Target::File(file), false) = (&self.target, pending.is_empty()) {
            let _ = append(file, &pending);
        }
    }

    fn document(&self, level: Level, message: &str, now: SystemTime) -> String {
        let (level, time) = (level.word(), rfc3339(now));
        let message = quoted(message);
        match self.format {
            Format::Text => format!("time=\"{time}\" level={level} msg={message}\n"),
            Format::Json => format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n"),
        }
    }
}

fn to_journal(id: &str, level: Level, message: &str) -> io::Result<()> {
    let (priority, id) = (level.syslog_severity(), without_newlines(id));
    send("/run/systemd/journal/socket", &format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={id}\nMESSAGE={message}\n"))
}

fn to_syslog(id: &str, level: Level, message: &str) -> io::Result<()> {
    const DAEMON: u8 = 3 << 3;
    send("/dev/log", &format!("<{}>{}: {message}", DAEMON | level.syslog_severity(), without_newlines(id)))
}

/// An error and its causes as one line: `operation object: cause`.
///
/// The words of the kernel are put in lower case, with the name of the errno behind: `permission denied (EACCES)`.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = if let Some(errno) = cause.downcast_ref::<nix::errno::Errno>() {
            describe_errno(*errno)
        } else if let Some(io) = cause.downcast_ref::<io::Error>() {
            describe_io(io)
        } else {
            cause.to_string()
        };
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{part}");
    }
    line_of(&text)
}

/// `permission denied (EACCES)`.
pub fn describe_errno(errno: nix::errno::Errno) -> String {
    let words = errno.desc();
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase()).into_iter();
    // `I/O error` stays as it is.
    let keep = words.chars().nth(1).is_none_or(|second| !second.is_ascii_lowercase() && second != ' ');
    let words: String = if keep { words.to_owned() } else { first.chain(letters).collect() };
    format!("{words} ({errno:?})")
}

fn describe_io(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => describe_errno(nix::errno::Errno::from_raw(code)),
        None => error.to_string(),
    }
}

/// A moment in UTC with nanoseconds, as Go's time.RFC3339Nano: `2026-11-21T10:00:00.012345678Z`.
pub fn rfc3339(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        secs / 3_600,
        secs / 60 % 60,
        secs % 60,
        since.subsec_nanos()
    )
}

/// One read of conmon's takes 8191 bytes; a longer message would come without its end.
const LONGEST_MESSAGE_BYTES: usize = 4096;

/// A message as it is said: one line, cut in its middle where it is too long. Its beginning names the operation, and
/// its end the cause, which managers match.
fn line_of(text: &str) -> String {
    const ELLIPSIS: &str = " … ";
    let line = without_newlines(text);
    if line.len() <= LONGEST_MESSAGE_BYTES {
        return line;
    }
    let half = (LONGEST_MESSAGE_BYTES - ELLIPSIS.len()) / 2;
    let first = (0..=half).rfind(|end| line.is_char_boundary(*end)).unwrap_or(0);
    let last = (line.len() - half..line.len()).find(|start| line.is_char_boundary(*start)).unwrap_or(line.len());
    format!("{}{ELLIPSIS}{}", &line[..first], &line[last..])
}

fn without_newlines(text: &str) -> String {
    text.trim_end().replace('\n', " ")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn append(file: &Path, document: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(file)?.write_all(document.as_bytes())
}

fn send(socket: &str, text: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(text.as_bytes(), socket).map(drop)
}

/// conmon reads the message with one read(2). When stderr is gone there is nobody to tell.
fn say(line: &str) {
    let _ = io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_rfc3339_with_nanoseconds() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 5, "2000-02-29T00:00:00.000000005Z"),
            (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_795_255_445, 12_345_678, "2026-11-21T10:04:05.012345678Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ];
        for (secs, nanos, expected) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(secs, nanos)), expected);
        }
    }

    #[test]
    fn the_words_of_the_kernel_are_kept_with_the_name_of_the_errno() {
        use nix::errno::Errno;
        assert_eq!(describe_errno(Errno::EPERM), "operation not permitted (EPERM)");
        assert_eq!(describe_errno(Errno::ENOENT), "no such file or directory (ENOENT)");
        assert_eq!(describe_errno(Errno::EIO), "I/O error (EIO)");
        let error = anyhow::Error::new(Errno::EACCES).context("open \"x\"").context("create");
        assert_eq!(one_line(&error), "create: open \"x\": permission denied (EACCES)");
        // Between the container's init and the runtime it travels in one message.
        assert!(one_line(&anyhow::anyhow!("x".repeat(1 << 20))).len() <= LONGEST_MESSAGE_BYTES);
        let io = anyhow::Error::new(io::Error::from_raw_os_error(2)).context("read f");
        assert_eq!(one_line(&io), "read f: no such file or directory (ENOENT)");
    }

    #[test]
    fn the_log_file_gets_exactly_one_json_document_for_an_error_and_none_for_warnings() {
        let file = std::env::temp_dir().join(format!("rt-log-{}", std::process::id()));
        let log = Log { target: Target::of(&file), format: Format::Json, level: Level::Debug, ..Log::new("rt") };
        log.warn("this is tolerated");
        log.debug(|| vec!["this will be done".to_owned(), "and this".to_owned()]);
        log.error("mount \"proc\": it is\nbroken \u{1}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["level"], "error");
        assert_eq!(document["msg"], "mount \"proc\": it is broken \u{1}");
        assert!(document["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn a_long_message_loses_its_middle_between_letters() {
        let long = "ü".repeat(100_000);
        for start in ["", "a", "ab"] {
            let line = line_of(&format!("{start}{long}: the cause"));
            assert!((4080..=4096).contains(&line.len()), "{}", line.len());
            assert!(line.starts_with(start) && line.contains("ü … ü") && line.ends_with("ü: the cause"));
        }
        assert_eq!(line_of("short\nlines\n"), "short lines");
    }

    #[test]
    fn the_value_of_log_may_begin_with_a_scheme() {
        let cases = [
            ("/a/b", Target::File("/a/b".into())),
            ("file:/a/b", Target::File("/a/b".into())),
            ("journald:c1", Target::Journal("c1".into())),
            ("syslog:c1", Target::Syslog("c1".into())),
            ("", Target::Stderr),
        ];
        for (value, expected) in cases {
            assert_eq!(Target::of(Path::new(value)), expected, "{value}");
        }
    }
}
