//! Finds the program to execute, and says what managers expect where there is none.
//!
//! dockerd and podman choose their exit code (126, 127) by these phrases, which are runc's:
//! `executable file not found in $PATH`, `no such file or directory`, `permission denied`, `is a directory`.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FileStat, SFlag, stat};
use nix::unistd::{AccessFlags, access, faccessat};

/// Where execvp(3) looks when there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Finds the program `args0` as execvp(3) would: by `path` (the value of the container's PATH) when it has no slash.
/// With the container's root, working directory and ids: what cannot be executed by that user is not found.
///
/// # Errors
/// One of the phrases above.
pub fn find(args0: &CStr, path: Option<&[u8]>) -> Result<CString> {
    if args0.to_bytes().contains(&b'/') {
        return examine(args0).map(|()| args0.to_owned()).map_err(|errno| explain(args0, errno));
    }
    let mut denied = args0.is_empty().then_some(Errno::ENOENT);
    for directory in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        // An empty entry is the working directory; `./` keeps a name without slash a path.
        let directory = if directory.is_empty() { b"." } else { directory };
        let Ok(candidate) = CString::new([directory, b"/", args0.to_bytes()].concat()) else { continue };
        match examine(&candidate) {
            Ok(()) if !args0.is_empty() => return Ok(candidate),
            Err(Errno::EACCES) => denied = denied.or(Some(Errno::EACCES)),
            Ok(()) | Err(_) => {}
        }
    }
    match denied {
        Some(Errno::EACCES) => Err(Errno::EACCES).with_context(|| name(args0)),
        _ => Err(anyhow!("{}: executable file not found in $PATH", name(args0))),
    }
}

/// What managers expect for an execve that failed although `find` was content.
pub fn exec_error(path: &CStr, errno: Errno) -> anyhow::Error {
    match errno {
        // The file is there: `find` saw it. Its interpreter is not.
        Errno::ENOENT => anyhow::Error::from(errno)
            .context(format!("{}: the interpreter of its #! line, or its dynamic loader", name(path))),
        _ => anyhow::Error::from(errno).context(name(path)),
    }
}

/// Whether the caller could execute this file.
fn examine(path: &CStr) -> nix::Result<()> {
    let file: FileStat = stat(path)?;
    match SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => {}
        SFlag::S_IFDIR => return Err(Errno::EISDIR),
        _ => return Err(Errno::EACCES),
    }
    // For root the kernel wants at least one x bit, which access(2) knows.
    match faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        // A filter that is older than faccessat2(2); access(2) asks for the real ids, which are the same.
        Err(Errno::EPERM) => access(path, AccessFlags::X_OK),
        result => result,
    }
}

fn explain(args0: &CStr, errno: Errno) -> anyhow::Error {
    match errno {
        // What execve(2) itself says is added: older dockers know these words alone.
        Errno::EISDIR => anyhow::Error::from(Errno::EACCES).context(format!("{}: is a directory", name(args0))),
        Errno::EACCES => anyhow::Error::from(errno).context(name(args0)),
        _ => anyhow::Error::from(errno).context(format!("{}: stat {}", name(args0), display(args0))),
    }
}

fn name(args0: &CStr) -> String {
    format!("exec: {:?}", OsStr::from_bytes(args0.to_bytes()))
}

fn display(path: &CStr) -> std::path::Display<'_> {
    Path::new(OsStr::from_bytes(path.to_bytes())).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(args0: &str, path: Option<&str>) -> String {
        let args0 = CString::new(args0).expect("no NUL");
        match find(&args0, path.map(str::as_bytes)) {
            Ok(path) => path.into_string().expect("UTF-8"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn says_the_phrases_that_managers_look_for() {
        let cases = [
            ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
            ("", "exec: \"\": executable file not found in $PATH"),
            ("/nosuch", "exec: \"/nosuch\": stat /nosuch: ENOENT: No such file or directory"),
            ("/etc/passwd/x", "exec: \"/etc/passwd/x\": stat /etc/passwd/x: ENOTDIR: Not a directory"),
            ("/etc", "exec: \"/etc\": is a directory: EACCES: Permission denied"),
            ("/etc/passwd", "exec: \"/etc/passwd\": EACCES: Permission denied"),
            ("/dev/null", "exec: \"/dev/null\": EACCES: Permission denied"),
        ];
        for (args0, expected) in cases {
            assert_eq!(text(args0, Some("/usr/bin:/bin")), expected);
        }
    }

    #[test]
    fn looks_along_the_path_of_the_container() {
        assert_eq!(text("sh", Some("/nosuch:/bin")), "/bin/sh");
        assert_eq!(text("sh", None), "/bin/sh");
        assert_eq!(text("sh", Some("/nosuch")), "exec: \"sh\": executable file not found in $PATH");
        assert_eq!(text("passwd", Some("/etc")), "exec: \"passwd\": EACCES: Permission denied");
        assert_eq!(text("etc", Some("/")), "exec: \"etc\": executable file not found in $PATH");
        assert_eq!(text("sh", Some("")), "exec: \"sh\": executable file not found in $PATH");
    }
}
