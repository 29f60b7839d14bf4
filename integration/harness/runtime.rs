//! The runtime under test, and what one call of it gave back.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// No call of a runtime takes this long; a test that hangs ends here instead of never. A guest has one CPU, and shares it
/// with whatever else the machine does; but others than `rt` hang there in earnest.
pub fn patience() -> Duration {
    static SLOW: OnceLock<bool> = OnceLock::new();
    let is_slow = *SLOW.get_or_init(|| is_guest() && runtime().kind == Kind::Rt);
    Duration::from_secs(if is_slow { 60 } else { 20 })
}

/// Which runtime is under test, for the promises that only `rt` makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Rt,
    Crun,
    Runc,
    Other,
}

/// The runtime under test: `$RUNTIME`, or the `rt` that cargo just built.
pub struct Runtime {
    pub path: PathBuf,
    pub kind: Kind,
}

/// The runtime under test, looked up once.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        refuse_outside_containment();
        let path = match std::env::var_os("RUNTIME").filter(|value| !value.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(env!("CARGO_BIN_EXE_rt")),
        };
        let kind = match path.file_name().and_then(|name| name.to_str()) {
            Some("rt") => Kind::Rt,
            Some("crun") => Kind::Crun,
            Some("runc") => Kind::Runc,
            _ => Kind::Other,
        };
        Runtime { path, kind }
    })
}

/// A runtime under test has root's hands and may follow a path to the machine's own `/etc`: one has. So nothing runs
/// unless the machine around it was made read-only by `integration/contained.sh`, whatever the environment claims, or
/// is the guest of `integration/vm`, which its kernel's command line tells: the guest's disk is thrown away.
fn refuse_outside_containment() {
    const HOW: &str =
        "these tests run as root and may harm the machine: use `make integration` or integration/contained.sh";
    assert!(std::env::var_os("RT_CONTAINED").is_some(), "{HOW}");
    let places: &[&str] = if is_guest() { &[] } else { &["/", "/etc"] };
    for place in places.iter().chain([&env!("CARGO_MANIFEST_DIR")]) {
        let probe = File::create(Path::new(place).join(".contained-probe"));
        let error = probe.expect_err("not contained: a file was made where nothing may be written").raw_os_error();
        assert_eq!(error, Some(nix::libc::EROFS), "{place} is not read-only. {HOW}");
    }
}

/// Whether this is the guest that integration/vm/boot.sh has booted.
fn is_guest() -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split_whitespace().any(|word| word == "rt.guest=1"))
}

/// Prints why a test does not run and appends the line to `$RT_SKIP_LOG`.
pub fn record_skip(why: &str) {
    println!("skipped: {why}");
    if let Some(log) = std::env::var_os("RT_SKIP_LOG") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let log = File::options().append(true).create(true).open(log);
        // One write, or the lines of two tests mix.
        let line = format!("{name}: {why}\n");
        log.expect("open RT_SKIP_LOG").write_all(line.as_bytes()).expect("write RT_SKIP_LOG");
    }
}

/// What a finished command left: its exit code (128+N for a signal) and its two streams.
#[derive(Debug)]
#[allow(dead_code)] // `line` is read by Debug alone
pub struct Outcome {
    pub line: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Panics, showing both streams, unless the command exited with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Panics unless the command failed with an error of its own and said why.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert_ne!(self.code, 0, "was accepted: {self:#?}");
        assert!(self.code < 128 || self.code == 255, "ended by a signal: {self:#?}");
        assert!(!self.stderr.trim().is_empty(), "said nothing: {self:#?}");
        assert!(!self.stderr.contains("panicked at"), "{self:#?}");
        self
    }

    /// As `refused`; `rt` says it in exactly one line that holds all of `words`.
    #[track_caller]
    pub fn refused_with(self, words: &[&str]) -> Self {
        let outcome = self.refused();
        if runtime().kind == Kind::Rt {
            let lines = outcome.stderr.lines().count();
            assert_eq!(lines, 1, "one clear line is promised: {outcome:#?}");
            for word in words {
                assert!(outcome.stderr.contains(word), "{word:?} is missing: {outcome:#?}");
            }
        }
        outcome
    }
}

/// Runs a command to its end. Its streams go to files, so a container that outlives it blocks nobody.
#[track_caller]
pub fn outcome(mut command: Command) -> Outcome {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap());
    let line = format!("{command:?}");
    let child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let code = wait(child, &line);
    let read =
        |file: &tempfile::NamedTempFile| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned();
    Outcome { line, code, stdout: read(&out), stderr: read(&err) }
}

/// As `outcome`, with text on the standard input.
#[track_caller]
pub fn outcome_with_stdin(mut command: Command, text: &str) -> Outcome {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut stdin).unwrap();
    command.stdin(Stdio::from(stdin));
    outcome(command)
}

/// Waits for a child that this test started; ends it when it hangs.
#[track_caller]
pub fn wait(mut child: Child, line: &str) -> i32 {
    let deadline = Instant::now() + patience();
    // Most calls end soon; who asks too often takes the time of those that it waits for.
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > deadline {
            child.kill().ok();
            child.wait().ok();
            panic!("hangs: {line}");
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(10));
    }
}

/// Asks again and again until it is so; panics with `what` when it never is.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
