//! The pid file: digits only, there at once or not at all.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;

/// Writes a file beside it and renames that: whoever polls never reads half a number.
///
/// # Errors
/// What the file system says, with the path.
pub fn write(path: &Path, pid: i32) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| format!("--pid-file {} names no file", path.display()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(hidden);
    // Never through a link that somebody has planted.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let written = options
        .open(&beside)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .map_err(errno_of)
        .with_context(|| format!("write {}", beside.display()))
        .and_then(|()| {
            std::fs::rename(&beside, path)
                .map_err(errno_of)
                .with_context(|| format!("rename {} to {}", beside.display(), path.display()))
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_digits_only_and_leaves_nothing_beside_it() {
        let directory = std::env::temp_dir().join(format!("rt-pid-file-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("pid");
        write(&path, 4711).unwrap();
        write(&path, 12).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"12");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_path_without_a_name_is_an_error() {
        assert!(write(Path::new("/"), 1).is_err());
    }
}
