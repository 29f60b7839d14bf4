//! Making processes and holding on to them: clone3, pidfds, close_range, execveat.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// From linux/sched.h; libc declares it too narrow.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Which side of `clone3` the caller woke up on.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The process that called: the child's pid as seen from here, and a pidfd for it.
    Parent {
        /// Pid in the caller's pid namespace.
        pid: i32,
        /// Refers to the child even after its pid was reused.
        pidfd: OwnedFd,
    },
}

/// `long clone3(struct clone_args *args, size_t size);` — <https://man7.org/linux/man-pages/man2/clone3.2.html>
///
/// Always with `CLONE_PIDFD`. With `cgroup`, the child starts in that cgroup v2 directory (`CLONE_INTO_CGROUP`).
/// `CLONE_PARENT` wants no exit signal: it is left out then.
///
/// # Errors
/// `EPERM` without privilege for a namespace, `ENOSPC`/`EUSERS` at a namespace limit, `EAGAIN` at a process limit,
/// `EBUSY` for a cgroup that is an inner node, `EOPNOTSUPP` for one that is `domain invalid`, `ENOSYS` before 5.3.
///
/// The child gets a copy of one thread only: `rt` never starts another (clippy.toml forbids it).
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which zero is the documented "absent".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    if flags & libc::CLONE_PARENT as u64 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` lives over the call; without CLONE_VM the child has its own copy of the stack and the heap, and
    // no other thread can have left a lock taken in it.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Side::Child),
        // SAFETY: the kernel stored a new descriptor that nobody else owns.
        pid => Ok(Side::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// `int pidfd_open(pid_t pid, unsigned int flags);` — <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
///
/// # Errors
/// `ESRCH` when there is no such process, `EINVAL` for a thread that is no leader.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: a successful call returns a new descriptor.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `int pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned int flags);`
/// — <https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html>
///
/// `signal` is a number, because real-time signals have no name in `Signal`; 0 only checks.
///
/// # Errors
/// `ESRCH` when the process has ended, `EPERM`, `EINVAL` for a number that is no signal.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let none = std::ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: a null siginfo is documented to mean "as kill(2) does".
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    Errno::result(result).map(drop)
}

/// `int close_range(unsigned int first, unsigned int last, int flags);` with `CLOSE_RANGE_CLOEXEC`
/// — <https://man7.org/linux/man-pages/man2/close_range.2.html>
///
/// Every descriptor from `first` on is closed by the next exec.
///
/// # Errors
/// `ENOSYS` before 5.9, `EINVAL` before 5.11.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: no pointers; marking descriptors close-on-exec invalidates none.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(result).map(drop)
}

/// `int close_range(unsigned int first, unsigned int last, 0);`
/// — <https://man7.org/linux/man-pages/man2/close_range.2.html>
///
/// Closes every descriptor from `first` on, except those to keep. For a process on its way to execve: whoever else
/// owns one of them must neither use nor drop it afterwards.
///
/// # Errors
/// `ENOSYS` before 5.9.
pub fn close_from_except(first: u32, keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for kept in keep.into_iter().chain([u32::MAX]) {
        if from < kept {
            // SAFETY: no pointers; the owners of what is closed were named above.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, from, kept - 1, 0) })?;
        }
        from = kept.saturating_add(1);
    }
    Ok(())
}

/// `long syscall(long number, ...);` — <https://man7.org/linux/man-pages/man2/syscall.2.html>
///
/// What the kernel, or a filter, says to the call. Only for calls that refuse -1 in all their arguments.
pub fn refusal(number: libc::c_long) -> Option<Errno> {
    // SAFETY: -1 is no descriptor, no address, no size and no set of flags that any of these calls takes.
    let result = unsafe { libc::syscall(number, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64) };
    Errno::result(result).err()
}

/// `int execveat(int dirfd, const char *pathname, char *const argv[], char *const envp[], int flags);` with
/// `AT_EMPTY_PATH` — <https://man7.org/linux/man-pages/man2/execveat.2.html>
///
/// Returns only when it did not work.
pub fn exec_fd(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Errno {
    match nix::unistd::execveat(file, c"", args, env, nix::fcntl::AtFlags::AT_EMPTY_PATH) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// `int execve(const char *pathname, char *const argv[], char *const envp[]);`
/// — <https://man7.org/linux/man-pages/man2/execve.2.html>
///
/// Never falls back to a shell as execvp does for ENOEXEC. Returns only when it did not work.
pub fn exec(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    match nix::unistd::execve(path, args, env) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// The environment as it was given, for a re-exec.
pub fn environment() -> Vec<CString> {
    use std::os::unix::ffi::OsStringExt;
    std::env::vars_os()
        .filter_map(|(key, value)| {
            let mut line = key.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            CString::new(line).ok()
        })
        .collect()
}

/// `void _exit(int status);` — <https://man7.org/linux/man-pages/man2/_exit.2.html>
///
/// Runs no exit handlers: those belong to the process that was copied.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without touching memory.
    unsafe { libc::_exit(code) }
}

/// `int prctl(PR_SET_PDEATHSIG, sig);` — <https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html>
///
/// # Errors
/// None that a valid signal could meet.
pub fn die_with_parent(signal: Option<Signal>) -> Result<(), Errno> {
    nix::sys::prctl::set_pdeathsig(signal)
}

/// `int sigaction(int signum, …);` for every signal: back to the default, and an empty signal mask
/// — <https://man7.org/linux/man-pages/man2/sigaction.2.html>
///
/// `rt` ignores only SIGPIPE (Rust's start-up does); a caller may have ignored others: these stay, as after a
/// plain exec, except SIGPIPE and SIGCHLD.
///
/// # Errors
/// None in practice.
pub fn reset_signals() -> Result<(), Errno> {
    use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, signal, sigprocmask};
    // SAFETY: no handler function is installed.
    unsafe {
        signal(Signal::SIGPIPE, SigHandler::SigDfl)?;
        signal(Signal::SIGCHLD, SigHandler::SigDfl)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// `sighandler_t signal(int signum, sighandler_t handler);` — <https://man7.org/linux/man-pages/man7/pid_namespaces.7.html>
///
/// Lets this process end by the signals that ask for it, with 128 and the signal's number, also where it is the first of
/// its pid namespace: there the kernel passes over what has no handler. Those that the caller ignores stay ignored;
/// execve takes the handlers away.
///
/// # Errors
/// None in practice.
pub fn end_by_signals() -> Result<(), Errno> {
    use nix::sys::signal::{SigHandler, signal};
    extern "C" fn end(number: libc::c_int) {
        exit_now(128 + number);
    }
    for number in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler does nothing but _exit(2).
        unsafe {
            if matches!(signal(number, SigHandler::Handler(end))?, SigHandler::SigIgn) {
                signal(number, SigHandler::SigIgn)?;
            }
        }
    }
    Ok(())
}

/// `int ioctl(int fd, TIOCSCTTY, 0);` — <https://man7.org/linux/man-pages/man2/TIOCSCTTY.2const.html>
///
/// Makes the terminal the controlling one of this session.
///
/// # Errors
/// `EPERM` unless the caller leads a session without a terminal.
pub fn set_controlling_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the third argument is an integer.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// `int ioctl(int fd, TIOCGWINSZ, struct winsize *argp);`
/// — <https://man7.org/linux/man-pages/man2/TIOCGWINSZ.2const.html>
///
/// # Errors
/// `ENOTTY`.
pub fn window_size(terminal: BorrowedFd<'_>) -> Result<libc::winsize, Errno> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a winsize that the kernel fills.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(size)
}

/// `int ioctl(int fd, TIOCSWINSZ, const struct winsize *argp);`
/// — <https://man7.org/linux/man-pages/man2/TIOCSWINSZ.2const.html>
///
/// # Errors
/// `ENOTTY`.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: &libc::winsize) -> Result<(), Errno> {
    // SAFETY: `size` is only read.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, size) }).map(drop)
}

/// `reset_signals` between fork and exec of a program that is about to be spawned.
pub fn reset_signals_of(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: signal(2) and sigprocmask(2) may be called after fork, and allocate nothing.
    unsafe { command.pre_exec(|| reset_signals().map_err(std::io::Error::from)) };
}

/// `sighandler_t signal(SIGCHLD, SIG_DFL);` — <https://man7.org/linux/man-pages/man2/signal.2.html>
///
/// A caller that ignores SIGCHLD would leave us no child to wait for.
pub fn keep_children() {
    // SAFETY: no handler function is installed; the call cannot fail for this signal.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGCHLD, nix::sys::signal::SigHandler::SigDfl) };
}

/// `int setdomainname(const char *name, size_t len);` — <https://man7.org/linux/man-pages/man2/setdomainname.2.html>
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN over the UTS namespace, `EINVAL` for more than 64 bytes.
pub fn set_domain_name(name: &str) -> Result<(), Errno> {
    // SAFETY: pointer and length are those of one string.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// `extern char **environ;` — <https://man7.org/linux/man-pages/man7/environ.7.html>
///
/// Overwrites the environment of this process with zeros, and leaves it empty. Since Linux 6.16 whoever has
/// CAP_SYS_ADMIN may read /proc/PID/environ of a process that is not dumpable: that of the runtime is its caller's.
pub fn wipe_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: one thread only, and nobody holds a reference into the environment; its strings are writable, and the
    // list ends with a null pointer.
    unsafe {
        if environ.is_null() {
            return;
        }
        let mut entry = environ;
        while !(*entry).is_null() {
            std::ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            entry = entry.add(1);
        }
        *environ = std::ptr::null_mut();
    }
}
