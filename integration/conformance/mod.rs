//! The validation programs of opencontainers/runtime-tools: `make conformance RUNTIME_TOOLS=DIR`, a checkout that you
//! have built. docs/conformance.md says what each of them comes to, and why.

mod documented;
mod tap;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::harness::{Kind, runtime};
use documented::Documented;
use tap::{Result, Verdict, judge};

/// The slowest takes 20 s, most of it asleep.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs all of them, prints a table and a sum, and fails where docs/conformance.md promises more of `rt`.
#[test]
#[ignore = "needs runtime-tools: make conformance RUNTIME_TOOLS=DIR"]
fn the_validation_programs_of_runtime_tools() {
    let checkout = PathBuf::from(std::env::var_os("RUNTIME_TOOLS").expect("RUNTIME_TOOLS, a checkout that was built"));
    // $CONFORMANCE names the one program to run.
    let programs = programs(&checkout);
    let view = documented::view();
    println!("\n{} on cgroup {view}", runtime().path.display());
    println!("{:<32} {:<6} {:>4} {:>6} {:>4}  first fault", "program", "result", "ok", "not ok", "skip");
    let mut results = Vec::new();
    for (name, path) in &programs {
        let verdict = run(&checkout, path, &runtime().path);
        // What also passes when every call of the runtime fails has proven nothing.
        let is_empty =
            verdict.result == Result::Pass && run(&checkout, path, Path::new("/bin/false")).result == Result::Pass;
        println!("{}", row(name, &verdict, is_empty));
        results.push((name.as_str(), verdict.result, is_empty));
        clean_up();
    }
    println!("{}", sum(&results));
    if runtime().kind == Kind::Rt {
        let worse = Documented::load().worse(view, &results);
        assert!(worse.is_empty(), "docs/conformance.md says otherwise: {worse:#?}");
    }
}

fn row(name: &str, verdict: &Verdict, is_empty: bool) -> String {
    let Verdict { result, passed, failed, skipped, why } = verdict;
    let why = if is_empty { "(with /bin/false too)" } else { why };
    let why: String = why.chars().take(200).collect();
    format!("{name:<32} {result:<6} {passed:>4} {failed:>6} {skipped:>4}  {why}").trim_end().to_owned()
}

fn sum(results: &[(&str, Result, bool)]) -> String {
    let count = |wanted: Result| results.iter().filter(|(_, result, _)| *result == wanted).count();
    let empty = results.iter().filter(|(.., is_empty)| *is_empty).count();
    format!(
        "{} of {} pass ({empty} of them with /bin/false too), {} fail, {} skip",
        count(Result::Pass),
        results.len(),
        count(Result::Fail),
        count(Result::Skip)
    )
}

/// The programs that `make validation-executables` has built: validation/NAME/NAME.t.
fn programs(checkout: &Path) -> Vec<(String, PathBuf)> {
    const BUILD: &str = "build it first: make runtimetest validation-executables";
    let folder = checkout.join("validation");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().expect("UTF-8"));
    let mut found: Vec<_> = names.map(|name| (name.clone(), folder.join(&name).join(name + ".t"))).collect();
    found.retain(|(_, path)| path.is_file());
    assert!(!found.is_empty() && checkout.join("runtimetest").is_file(), "{}: {BUILD}", checkout.display());
    if let Some(wanted) = std::env::var("CONFORMANCE").ok().filter(|wanted| !wanted.is_empty()) {
        found.retain(|(name, _)| *name == wanted);
    }
    found.sort();
    found
}

/// Runs one program, in the folder where it finds runtimetest and the archive of the root file system.
fn run(checkout: &Path, program: &Path, runtime: &Path) -> Verdict {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let stream = |file: &tempfile::NamedTempFile| -> File { file.reopen().unwrap() };
    let mut command = Command::new(program);
    command.current_dir(checkout).env("RUNTIME", runtime).stdin(Stdio::null());
    // A group of its own: what it starts ends with it.
    let mut child = command.stdout(stream(&out)).stderr(stream(&err)).process_group(0).spawn().unwrap();
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).ok();
    child.wait().unwrap();
    let text =
        |file: &tempfile::NamedTempFile| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned();
    judge(&text(&out), &text(&err), status.map(|status| status.code().unwrap_or(-1)))
}

/// A program that fails may leave a container; the next one wants the same cgroup.
fn clean_up() {
    let listed = Command::new(&runtime().path).args(["list", "--quiet"]).output();
    let ids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for id in ids.lines() {
        Command::new(&runtime().path).args(["delete", "--force", id]).stderr(Stdio::null()).status().ok();
    }
}
