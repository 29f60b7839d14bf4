//! Hooks: the programs that config.json wants to run at points of the life cycle.
//!
//! <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-hooks>

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use oci_spec::runtime::Hook;

use crate::plan::annotations::{HOOKS_STDERR, HOOKS_STDOUT};
use crate::sys::process::{self, pidfd_open};

/// How much of a failed hook's output its error quotes.
const QUOTED_OUTPUT_BYTES: u64 = 2048;

/// Where the output of hooks goes: into files that annotations name, or nowhere but into the error of a failed hook.
#[derive(Debug, Default)]
pub struct Output {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Output {
    /// Opens the files of crun's annotations, if a container has them.
    ///
    /// # Errors
    /// What open(2) says, with the annotation and the path.
    pub fn open(annotations: &BTreeMap<String, String>) -> anyhow::Result<Output> {
        let open = |name: &str| {
            let Some(path) = annotations.get(name) else { return Ok(None) };
            let file = File::options().append(true).create(true).mode(0o644).open(path);
            let file = file.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
            file.map(Some).with_context(|| format!("annotation {name}: open {path}"))
        };
        Ok(Output { stdout: open(HOOKS_STDOUT)?, stderr: open(HOOKS_STDERR)? })
    }

    /// The descriptors, for whoever closes all others.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.stdout.iter().chain(&self.stderr).map(AsFd::as_fd)
    }
}

/// Runs all hooks of one kind, in the order of config.json, with the container's state as JSON on their stdin.
///
/// # Errors
/// The first one that cannot be run, ends with another status than 0, or takes longer than its timeout.
pub fn run_all(kind: &str, hooks: &[Hook], state: &[u8], output: &Output) -> anyhow::Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        run(hook, state, output).with_context(|| format!("{kind} hook {index} ({})", hook.path().display()))?;
    }
    Ok(())
}

/// Runs all hooks of one kind in spite of failures, which it gives back.
///
/// # Errors
/// None: a failed poststop hook is only worth a warning, by the spec.
pub fn run_all_tolerantly(kind: &str, hooks: &[Hook], state: &[u8], output: &Output) -> Vec<anyhow::Error> {
    let attempt = |(index, hook): (usize, &Hook)| {
        run(hook, state, output).with_context(|| format!("{kind} hook {index} ({})", hook.path().display())).err()
    };
    hooks.iter().enumerate().filter_map(attempt).collect()
}

/// Runs one hook to its end.
///
/// Its stdin and its output are memory files: a hook that reads nothing, writes much or leaves a daemon behind
/// cannot make the runtime wait.
fn run(hook: &Hook, state: &[u8], to: &Output) -> anyhow::Result<()> {
    let mut input = memory_file(c"hook-state")?;
    input.write_all(state).context("write the state for the hook")?;
    input.seek(SeekFrom::Start(0)).context("rewind the state for the hook")?;
    let mut output = memory_file(c"hook-output")?;

    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    if let Some(env) = hook.env() {
        command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    } else {
        command.env_remove(super::protect::MARKER);
    }
    command.stdin(Stdio::from(input)).process_group(0);
    let stdout = to.stdout.as_ref().unwrap_or(&output).try_clone().context("dup")?;
    let stderr = to.stderr.as_ref().unwrap_or(&output).try_clone().context("dup")?;
    command.stdout(stdout).stderr(stderr);

    // Not the mask of a `run` in the foreground, which holds all signals back.
    process::reset_signals_of(&mut command);
    let mut child = command.spawn().map_err(|error| match error.raw_os_error() {
        Some(errno) => anyhow!(Errno::from_raw(errno)),
        None => anyhow!(error),
    })?;
    let status = wait(&mut child, hook.timeout())?;
    if status.success() {
        return Ok(());
    }
    output.seek(SeekFrom::Start(0)).context("rewind the hook's output")?;
    let mut quoted = Vec::new();
    output.take(QUOTED_OUTPUT_BYTES).read_to_end(&mut quoted).context("read the hook's output")?;
    bail!("{}{}", ending(status), quote(&quoted));
}

/// Waits for the hook, and kills its process group when it takes longer than its timeout in seconds.
fn wait(child: &mut Child, timeout_secs: Option<i64>) -> anyhow::Result<ExitStatus> {
    let Some(timeout_secs) = timeout_secs.filter(|secs| *secs > 0) else {
        return child.wait().context("wait for the hook");
    };
    let pidfd = pidfd_open(child.id() as i32).context("pidfd_open of the hook")?;
    let deadline = Instant::now() + Duration::from_secs(timeout_secs.unsigned_abs());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if Instant::now() >= deadline => break,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return child.wait().context("wait for the hook"),
            Err(errno) => return Err(errno).context("poll for the hook"),
        }
    }
    // The group, because a shell's children would live on; the hook itself leads it.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    child.wait().context("wait for the killed hook")?;
    bail!("took longer than its timeout of {timeout_secs} s and was killed");
}

fn memory_file(name: &std::ffi::CStr) -> anyhow::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC).context("memfd_create")?))
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, None) => "ended without a status".to_owned(),
    }
}

/// What the hook said, on one line.
fn quote(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { String::new() } else { format!(", it said: {}", lines.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::HookBuilder;

    fn shell(script: &str) -> Hook {
        let args = ["sh", "-c", script].map(String::from);
        HookBuilder::default().path("/bin/sh").args(args).build().unwrap()
    }

    #[test]
    fn a_hook_reads_the_state_on_stdin_and_gets_its_own_environment() {
        let mut hook = shell(r#"[ "$(cat)" = '{"id":"x"}' ] && [ "$A" = 1=2 ] && [ -z "$HOME" ]"#);
        hook.set_env(Some(vec!["A=1=2".into()]));
        run_all("prestart", &[hook], br#"{"id":"x"}"#, &Output::default()).unwrap();
    }

    #[test]
    fn a_failing_hook_is_named_with_its_status_and_words() {
        let hooks = [shell("true"), shell("echo one; echo two >&2; exit 3"), shell("exit 9")];
        let error = run_all("createRuntime", &hooks, b"", &Output::default()).unwrap_err();
        assert_eq!(format!("{error:#}"), "createRuntime hook 1 (/bin/sh): exit status 3, it said: one | two");
        assert_eq!(run_all_tolerantly("poststop", &hooks, b"", &Output::default()).len(), 2);
    }

    #[test]
    fn a_hook_that_hangs_is_killed_with_its_children() {
        let mut hook = shell("sleep 1000 & sleep 1000");
        hook.set_timeout(Some(1));
        let error = run_all("prestart", &[hook], b"", &Output::default()).unwrap_err();
        assert!(format!("{error:#}").contains("timeout of 1 s"), "{error:#}");
    }

    #[test]
    fn a_hook_that_is_missing_says_so_in_the_kernels_words() {
        let hook = HookBuilder::default().path("/nonexistent/hook").build().unwrap();
        let error = run_all("poststart", &[hook], b"", &Output::default()).unwrap_err();
        assert_eq!(error.root_cause().downcast_ref::<Errno>(), Some(&Errno::ENOENT));
    }

    #[test]
    fn a_hook_may_ignore_a_large_state() {
        run_all("prestart", &[shell("true")], &vec![b' '; 1 << 20], &Output::default()).unwrap();
    }

    #[test]
    fn annotations_name_the_files_that_the_output_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let (out, err) = (directory.path().join("out"), directory.path().join("err"));
        std::fs::write(&out, "before\n").unwrap();
        let annotations = BTreeMap::from([
            (HOOKS_STDOUT.to_owned(), out.display().to_string()),
            (HOOKS_STDERR.to_owned(), err.display().to_string()),
        ]);
        let output = Output::open(&annotations).unwrap();
        let hooks = [shell("echo one"), shell("echo two; echo three >&2; exit 1")];
        let error = run_all("prestart", &hooks, b"", &output).unwrap_err();
        assert_eq!(format!("{error:#}"), "prestart hook 1 (/bin/sh): exit status 1");
        assert_eq!(std::fs::read_to_string(out).unwrap(), "before\none\ntwo\n");
        assert_eq!(std::fs::read_to_string(err).unwrap(), "three\n");
        let missing = BTreeMap::from([(HOOKS_STDERR.to_owned(), "/nonexistent/file".to_owned())]);
        let error = Output::open(&missing).unwrap_err();
        assert_eq!(
            format!("{error:#}").split(": ENOENT").next(),
            Some("annotation run.oci.hooks.stderr: open /nonexistent/file")
        );
    }
}
