//! Extended attributes by file descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `ssize_t flistxattr(int fd, char *list, size_t size)`: every attribute's name.
///
/// # Errors
/// ENOTSUP when the filesystem has none; E2BIG above 64 KiB.
pub fn list(file: BorrowedFd<'_>) -> nix::Result<Vec<CString>> {
    let mut names = vec![0u8; 65536];
    // SAFETY: the buffer is as long as we say.
    let length = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(Errno::result(length)? as usize);
    let text = names.split_inclusive(|byte| *byte == 0);
    Ok(text.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).map(CStr::to_owned).collect())
}

/// `ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)`.
///
/// # Errors
/// ENODATA when it is not there.
pub fn get(file: BorrowedFd<'_>, name: &CStr) -> nix::Result<Vec<u8>> {
    let mut value = vec![0u8; 65536];
    // SAFETY: the buffer is as long as we say, the name is NUL-terminated.
    let length = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::result(length)? as usize);
    Ok(value)
}

/// `int fsetxattr(int fd, const char *name, const void *value, size_t size, 0)`.
///
/// # Errors
/// EPERM for a name that the caller may not set; ENOTSUP when the filesystem has none.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: name and value live during the call, and the length is the value's.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}
