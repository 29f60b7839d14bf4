//! Whose manners are asked for: called as `runc` or `crun`, `rt` speaks as they do.
//!
//! Tools know those two by name and match their words. The name in `argv[0]` decides once; what depends on it is here:
//! the phrases of errors, the exit codes, the lines of `--version`. The messages of `rt` itself stay where they arise.

use std::ffi::OsStr;
use std::path::Path;

/// The dialects that `rt` speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Our own.
    #[default]
    Rt,
    /// Called as `runc`.
    Runc,
    /// Called as `crun`.
    Crun,
}

/// One thing in three dialects. `X` is whatever stands there: a program, an id, a flag.
struct Phrase {
    /// A message of ours begins with this.
    rt: &'static str,
    /// What is said instead.
    runc: &'static str,
    /// What is said instead.
    crun: &'static str,
}

const fn phrase(rt: &'static str, runc: &'static str, crun: &'static str) -> Phrase {
    Phrase { rt, runc, crun }
}

/// The first that fits is taken.
const PHRASES: &[Phrase] = &[
    phrase(
        "exec: \"X\": executable file not found in $PATH",
        "exec: \"X\": executable file not found in $PATH",
        "executable file `X` not found in $PATH: No such file or directory",
    ),
    phrase(
        "exec: \"X\": stat X: no such file or directory",
        "exec: \"X\": stat X: no such file or directory",
        "executable file `X` not found: No such file or directory",
    ),
    phrase(
        "exec: \"X\": stat X: not a directory",
        "exec: \"X\": stat X: not a directory",
        "open executable: Not a directory",
    ),
    phrase("exec: \"X\": permission denied", "exec: \"X\": permission denied", "open executable: Permission denied"),
    phrase(
        "exec: \"X\": is a directory",
        "exec: \"X\": is a directory: permission denied",
        "the path `X` is not a regular file: Operation not permitted",
    ),
    phrase(
        "exec: \"X\": the interpreter",
        "exec X: no such file or directory",
        "exec container process (missing dynamic library?) `X`: No such file or directory",
    ),
    phrase(
        "exec: \"X\": exec format error",
        "exec X: exec format error",
        "exec container process `X`: Exec format error",
    ),
    phrase(
        "\"X\": container does not exist",
        "container does not exist",
        "container `X` does not exist: No such file or directory",
    ),
    phrase(
        "\"X\": container with this id already exists",
        "container with given ID already exists",
        "container `X` already exists",
    ),
    phrase("\"X\": container not running", "container not running", "container `X` is not running: No such process"),
    phrase("\"X\": container is not paused", "container not paused", "container `X` is not paused"),
    phrase(
        "\"X\": container is running: stop",
        "cannot delete container X that is not stopped: running",
        "the container `X` is not in `created` or `stopped` state",
    ),
    phrase(
        "cannot start container \"X\": it is already running",
        "cannot start an already running container",
        "container `X` is already running",
    ),
    phrase(
        "cannot start container \"X\": it has stopped",
        "cannot start a container that has stopped",
        "container `X` is not running",
    ),
    phrase("flag --X requires an argument", "flag needs an argument: -X", "option '--X' requires an argument"),
    phrase("unknown flag --X", "flag provided but not defined: -X", "unrecognized option '--X'"),
];

impl Dialect {
    /// The dialect that belongs to `argv[0]`.
    pub fn of(program: &OsStr) -> Dialect {
        match Path::new(program).file_name().and_then(|name| name.to_str()) {
            Some("runc") => Dialect::Runc,
            Some("crun") => Dialect::Crun,
            _ => Dialect::Rt,
        }
    }

    /// The name that messages and `--version` begin with, and that the place of the state ends in.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Rt => "rt",
            Dialect::Runc => "runc",
            Dialect::Crun => "crun",
        }
    }

    /// The exit code of our own errors: exec's must not look like its program's, except to callers of crun.
    pub fn failure_code(self, verb: Option<&str>) -> u8 {
        match (verb, self) {
            (Some("exec"), Dialect::Rt | Dialect::Runc) => 255,
            _ => 1,
        }
    }

    /// Whether `delete` needs no force for a container that is only created. The spec wants it to; buildah, which deletes
    /// what it could not start, knows runc and crun.
    pub fn deletes_created(self) -> bool {
        self != Dialect::Rt
    }

    /// The last line of `--version`.
    pub fn features_line(self) -> &'static str {
        match self {
            Dialect::Rt | Dialect::Runc => "",
            Dialect::Crun => "rundir: /run/crun\n+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU\n",
        }
    }

    /// An error of `verb`, as this dialect says it.
    pub fn say(self, verb: Option<&str>, message: &str) -> String {
        if self == Dialect::Rt {
            return message.to_owned();
        }
        let verb = verb.unwrap_or_default();
        // A misuse names the verb first.
        let misuse = message.strip_prefix(verb).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message);
        // An empty program is a fault of the configuration, and has the place of one.
        let program = message.split_once("/args/0: ").map_or(message, |(_, reason)| reason);
        let said = PHRASES.iter().find_map(|phrase| {
            let found = [message, misuse, program].into_iter().find_map(|text| hole(phrase.rt, text))?;
            Some(match self {
                Dialect::Crun => phrase.crun.replace('X', found),
                _ => phrase.runc.replace('X', found),
            })
        });
        let said = said.unwrap_or_else(|| message.to_owned());
        let cause = if said.starts_with("exec: ") { "unable to start container process: " } else { "" };
        match (self, verb) {
            (Dialect::Runc, "create" | "run") => format!("runc {verb} failed: {cause}{said}"),
            (Dialect::Runc, "exec") => format!("exec failed: {cause}{said}"),
            _ => said,
        }
    }
}

/// What stands for `X` where `message` begins as `pattern` says.
fn hole<'m>(pattern: &str, message: &'m str) -> Option<&'m str> {
    let (before, after) = pattern.split_once('X')?;
    let rest = message.strip_prefix(before)?;
    // A second X is the same again.
    let end = if after.is_empty() {
        rest.find([' ', ';']).unwrap_or(rest.len())
    } else {
        rest.find(after.split('X').next().unwrap_or(after))?
    };
    let found = &rest[..end];
    rest[end..].starts_with(&after.replace('X', found)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_comes_from_the_name_of_the_program() {
        for (program, dialect) in
            [("rt", Dialect::Rt), ("/usr/bin/runc", Dialect::Runc), ("./crun", Dialect::Crun), ("x/crun2", Dialect::Rt)]
        {
            assert_eq!(Dialect::of(program.as_ref()), dialect, "{program}");
        }
    }

    #[test]
    fn each_thing_is_said_in_the_words_of_the_dialect() {
        let cases = [
            (
                "run",
                "exec: \"no:such\": executable file not found in $PATH",
                "runc run failed: unable to start container process: exec: \"no:such\": executable file not found in $PATH",
                "executable file `no:such` not found in $PATH: No such file or directory",
            ),
            (
                "create",
                "config.json: /process/args/0: exec: \"\": executable file not found in $PATH",
                "runc create failed: unable to start container process: exec: \"\": executable file not found in $PATH",
                "executable file `` not found in $PATH: No such file or directory",
            ),
            (
                "exec",
                "exec: \"/a\": stat /a: no such file or directory (ENOENT)",
                "exec failed: unable to start container process: exec: \"/a\": stat /a: no such file or directory",
                "executable file `/a` not found: No such file or directory",
            ),
            (
                "create",
                "exec: \"/etc\": is a directory: permission denied (EACCES)",
                "runc create failed: unable to start container process: exec: \"/etc\": is a directory: permission denied",
                "the path `/etc` is not a regular file: Operation not permitted",
            ),
            (
                "start",
                "exec: \"/a\": exec format error (ENOEXEC)",
                "exec /a: exec format error",
                "exec container process `/a`: Exec format error",
            ),
            (
                "delete",
                "\"c\": container does not exist",
                "container does not exist",
                "container `c` does not exist: No such file or directory",
            ),
            (
                "exec",
                "\"c\": container does not exist",
                "exec failed: container does not exist",
                "container `c` does not exist: No such file or directory",
            ),
            (
                "kill",
                "\"c\": container not running",
                "container not running",
                "container `c` is not running: No such process",
            ),
            (
                "state",
                "state: unknown flag --x; did you mean --y?",
                "flag provided but not defined: -x",
                "unrecognized option '--x'",
            ),
            (
                "restore",
                "restore: flag --lsm-mount-context requires an argument",
                "flag needs an argument: -lsm-mount-context",
                "option '--lsm-mount-context' requires an argument",
            ),
            (
                "create",
                "mount \"a\" on b: no such device (ENODEV)",
                "runc create failed: mount \"a\" on b: no such device (ENODEV)",
                "mount \"a\" on b: no such device (ENODEV)",
            ),
        ];
        for (verb, rt, runc, crun) in cases {
            assert_eq!(Dialect::Rt.say(Some(verb), rt), rt);
            assert_eq!(Dialect::Runc.say(Some(verb), rt), runc);
            assert_eq!(Dialect::Crun.say(Some(verb), rt), crun);
        }
    }

    #[test]
    fn only_exec_fails_with_255_and_not_for_callers_of_crun() {
        for (dialect, exec) in [(Dialect::Rt, 255), (Dialect::Runc, 255), (Dialect::Crun, 1)] {
            assert_eq!(dialect.failure_code(Some("exec")), exec);
            for verb in [None, Some("create"), Some("run"), Some("kill")] {
                assert_eq!(dialect.failure_code(verb), 1);
            }
        }
    }
}
