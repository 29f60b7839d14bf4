//! The mount API of Linux 5.2 and later, which works on file descriptors instead of paths.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// `AT_RECURSIVE` of open_tree and mount_setattr; libc has it with another type on some targets.
pub const AT_RECURSIVE: u32 = 0x8000;
/// The object is the descriptor itself, the path is empty.
pub const AT_EMPTY_PATH: u32 = 0x1000;
/// A symlink at the end of the path is opened itself.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// open_tree makes a detached copy instead of opening what is there.
pub const OPEN_TREE_CLONE: u32 = 1;
/// `attr_set` gives the mount the ids of `userns_fd`.
pub const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSPICK_CLOEXEC: u32 = 1;
const FSPICK_EMPTY_PATH: u32 = 8;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub attr_set: u64,
    /// `MOUNT_ATTR_*` to clear first.
    pub attr_clr: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to keep it.
    pub propagation: u64,
    /// The user namespace for `MOUNT_ATTR_IDMAP`.
    pub userns_fd: u64,
}

/// Takes a new descriptor from a system call's result.
fn descriptor(result: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// `int open_tree(int dirfd, const char *path, unsigned flags)`: [open_tree(2)](https://man7.org/linux/man-pages/man2/open_tree.2.html).
///
/// # Errors
/// EINVAL when `OPEN_TREE_CLONE` meets a mount of another mount namespace or an unbindable one; EPERM without CAP_SYS_ADMIN.
pub fn open_tree(dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the path is a NUL-terminated string that lives during the call.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags | OPEN_TREE_CLOEXEC) })
}

/// `int move_mount(int from, const char *, int to, const char *, unsigned flags)` between two descriptors:
/// [move_mount(2)](https://man7.org/linux/man-pages/man2/move_mount.2.html).
///
/// # Errors
/// ENOTDIR or EINVAL when one is a directory and the other is not.
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> nix::Result<()> {
    move_mount_at(mount, target, c"", MOVE_MOUNT_T_EMPTY_PATH)
}

/// As [`move_mount`], with the target as a path; symlinks in it are followed.
///
/// # Errors
/// Those of the path besides those of `move_mount`.
pub fn move_mount_to_path(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr) -> nix::Result<()> {
    move_mount_at(mount, dir, path, MOVE_MOUNT_T_SYMLINKS)
}

fn move_mount_at(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> nix::Result<()> {
    // SAFETY: both paths are NUL-terminated strings that live during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            dir.as_raw_fd(),
            path.as_ptr(),
            flags | MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop)
}

/// `int mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *, size_t)`:
/// [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html).
///
/// # Errors
/// EPERM when an attribute is locked by a more privileged user namespace; EINVAL when the kernel does not know one,
/// or `path` is not the root of a mount.
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, flags: u32, attr: &MountAttr) -> nix::Result<()> {
    // SAFETY: path and attr live during the call, and the size is that of attr.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// A filesystem that is being configured: [fsopen(2)](https://man7.org/linux/man-pages/man2/fsopen.2.html).
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// `int fsopen(const char *fsname, unsigned flags)`.
    ///
    /// # Errors
    /// ENODEV when the kernel does not know the filesystem; EPERM without CAP_SYS_ADMIN.
    pub fn open(name: &CStr) -> nix::Result<FsContext> {
        // SAFETY: the name is a NUL-terminated string that lives during the call.
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) }).map(FsContext)
    }

    /// `int fspick(int dirfd, const char *path, unsigned flags)`, for the superblock below `mount`, to reconfigure it.
    ///
    /// # Errors
    /// EINVAL when `mount` is not the root of a mount.
    pub fn pick(mount: BorrowedFd<'_>) -> nix::Result<FsContext> {
        // SAFETY: the path is a static string.
        descriptor(unsafe {
            libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)
        })
        .map(FsContext)
    }

    /// Sets `key`, or `key=value`.
    ///
    /// # Errors
    /// EINVAL for an unknown key, a bad value, and a value of more than 255 bytes.
    pub fn set(&self, key: &CStr, value: Option<&CStr>) -> nix::Result<()> {
        match value {
            Some(value) => self.config(FSCONFIG_SET_STRING, Some(key), Some(value)),
            None => self.config(FSCONFIG_SET_FLAG, Some(key), None),
        }
    }

    /// Makes the superblock.
    ///
    /// # Errors
    /// As mount(2).
    pub fn create(&self) -> nix::Result<()> {
        self.config(FSCONFIG_CMD_CREATE, None, None)
    }

    /// Applies what was set to the superblock that was picked.
    ///
    /// # Errors
    /// As mount(2) with `MS_REMOUNT`.
    pub fn reconfigure(&self) -> nix::Result<()> {
        self.config(FSCONFIG_CMD_RECONFIGURE, None, None)
    }

    fn config(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> nix::Result<()> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: key and value are NULL or NUL-terminated strings that live during the call.
        let result =
            unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, pointer(key), pointer(value), 0) };
        Errno::result(result).map(drop)
    }

    /// `int fsmount(int fsfd, unsigned flags, unsigned attr_flags)`: a detached mount with `MOUNT_ATTR_*`.
    ///
    /// # Errors
    /// EPERM when a user namespace would see more of a proc or sysfs than it does already.
    pub fn mount(&self, attributes: u64) -> nix::Result<OwnedFd> {
        // SAFETY: no pointers.
        descriptor(unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes as libc::c_uint)
        })
    }

    /// What the filesystem itself says about the last error, without the level before it.
    pub fn message(&self) -> Option<String> {
        let mut text = [0u8; 512];
        let mut last = None;
        while let Ok(length @ 1..) = nix::unistd::read(self.0.as_fd(), &mut text) {
            let line = String::from_utf8_lossy(&text[..length]);
            // "e tmpfs: Bad value for 'size'": e, w or i, and a space
            if line.starts_with("e ") || last.is_none() {
                last = Some(line.get(2..).unwrap_or("").trim_end().to_owned());
            }
        }
        last.filter(|text| !text.is_empty())
    }
}

/// Whether the object is the root of a mount.
///
/// # Errors
/// As statx(2).
pub fn is_mount_root(object: BorrowedFd<'_>) -> nix::Result<bool> {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let mut status = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is a static string and the buffer a whole struct statx.
    let result = unsafe { libc::statx(object.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, 0, status.as_mut_ptr()) };
    Errno::result(result)?;
    // SAFETY: zeroed is a valid value, and the kernel has filled it.
    Ok(unsafe { status.assume_init() }.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0)
}

/// `int statx(int dirfd, const char *pathname, int flags, unsigned int mask, struct statx *statxbuf);` with
/// `STATX_MNT_ID` — <https://man7.org/linux/man-pages/man2/statx.2.html>
///
/// The id of the mount that a path leads to.
///
/// # Errors
/// Those of the path.
pub fn mount_id(path: &std::path::Path) -> nix::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| nix::errno::Errno::EINVAL)?;
    let mut status = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is NUL-terminated and the buffer a whole struct statx.
    let result = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, libc::STATX_MNT_ID, status.as_mut_ptr()) };
    nix::errno::Errno::result(result)?;
    // SAFETY: zeroed before, and filled by a successful call.
    Ok(unsafe { status.assume_init() }.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_is_wrong_with_an_option() {
        let Ok(tmpfs) = FsContext::open(c"tmpfs") else { return };
        assert_eq!(tmpfs.set(c"size", Some(c"much")), Err(Errno::EINVAL));
        assert!(tmpfs.message().expect("a message").contains("size"));
        assert_eq!(tmpfs.message(), None);
    }

    #[test]
    fn mount_attr_has_the_size_of_the_first_version() {
        assert_eq!(size_of::<MountAttr>(), 32);
    }
}
