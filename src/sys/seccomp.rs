//! seccomp(2): to load a filter, and to ask what the kernel supports.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
#[cfg(test)]
use std::ptr;

use libc::{c_int, c_long, c_uint, sock_filter, sock_fprog};

const SET_MODE_FILTER: c_uint = 1;
#[cfg(test)]
const GET_ACTION_AVAIL: c_uint = 2;

const NEW_LISTENER: u32 = 1 << 3;
#[cfg(test)]
const TSYNC_ESRCH: u32 = 1 << 4;

/// Loads a filter into the calling process; there is no way back.
///
/// ```c
/// int syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, unsigned int flags, const struct sock_fprog *program);
/// ```
/// [seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)
///
/// `flags` are the kernel's `SECCOMP_FILTER_FLAG_` bits. With `NEW_LISTENER` the result is the descriptor that
/// answers `SECCOMP_RET_USER_NOTIF`; the kernel makes it close-on-exec.
///
/// # Errors
/// - `EACCES`: neither `no_new_privs` nor CAP_SYS_ADMIN in the user namespace
/// - `EBUSY`: a listener is wanted, and an earlier filter of this process has one
/// - `EINVAL`: a flag that the kernel does not know, flags that exclude each other, an invalid program, or more
///   than 4096 instructions
/// - `ENOMEM`: also when all filters of the process together exceed 32768 instructions
/// - `ENOSYS`: a kernel without seccomp filters
/// - `ESRCH`: TSYNC, and a thread has a filter that is no ancestor of ours
pub fn load_filter(program: &[sock_filter], flags: u32) -> io::Result<Option<OwnedFd>> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // The kernel only reads the filter, though the field is not const.
    let argument = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let result = seccomp(SET_MODE_FILTER, flags, (&raw const argument).cast())?;
    if flags & NEW_LISTENER != 0 {
        // SAFETY: with this flag the result is a new descriptor, and nobody else knows its number.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(result as c_int) }));
    }
    match result {
        0 => Ok(None),
        // TSYNC without TSYNC_ESRCH returns the thread that could not be synchronized.
        _thread => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Whether the kernel has an action (`SECCOMP_RET_` without its data); false before Linux 4.14, which cannot say.
///
/// ```c
/// int syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, const uint32_t *action);
/// ```
/// [seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)
#[cfg(test)]
pub fn has_action(action: u32) -> bool {
    seccomp(GET_ACTION_AVAIL, 0, (&raw const action).cast()).is_ok()
}

/// Those of the `SECCOMP_FILTER_FLAG_` bits that the kernel knows. Nothing is loaded.
///
/// [seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html): without a program the kernel gets as far as
/// EFAULT if it likes the flags.
#[cfg(test)]
pub fn supported_flags() -> u32 {
    let known = |flags: u32| match seccomp(SET_MODE_FILTER, flags, ptr::null()) {
        Err(error) => error.raw_os_error() == Some(libc::EFAULT),
        Ok(_) => false,
    };
    (0..6)
        .map(|bit| 1 << bit)
        // WAIT_KILLABLE_RECV is refused without NEW_LISTENER.
        .filter(|flag| known(if *flag > TSYNC_ESRCH { flag | NEW_LISTENER } else { *flag }))
        .sum()
}

fn seccomp(operation: c_uint, flags: u32, argument: *const c_void) -> io::Result<c_long> {
    // SAFETY: the callers pass what the operation reads, alive for the call, or null for EFAULT.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::seccomp::{ACTIONS, SeccompFlags, SeccompHost, SeccompPlan, native_arch, plan_seccomp};
    use std::os::fd::AsRawFd;

    /// How a forked process ended.
    #[derive(Debug, PartialEq, Eq)]
    enum End {
        Exit(c_int),
        Signal(c_int),
    }

    /// Exit statuses of the probe.
    const CALLED: c_int = 100;
    const TRAPPED: c_int = 101;
    const NO_FILTER: c_int = 102;

    /// A filter that lets everything pass but `getppid`, and `setpriority` for one argument.
    fn plan(action: &str) -> SeccompPlan {
        let errno = if action == "SCMP_ACT_ERRNO" { 77.into() } else { serde_json::Value::Null };
        let profile = serde_json::from_value(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/nobody/listens",
            "syscalls": [
                { "names": ["getppid"], "action": action, "errnoRet": errno },
                { "names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78,
                  "args": [{ "index": 0, "value": 0x1_0000_0000u64, "op": "SCMP_CMP_GT" }] },
            ],
        }));
        let host = SeccompHost {
            native: native_arch().expect("tests run where seccomp is"),
            flags: SeccompFlags::from_bits(supported_flags()),
            actions: &ACTIONS.map(|row| row.0),
            still_needed: &[],
            receiver: None,
            refuses_unknown: false,
        };
        plan_seccomp(&profile.expect("a profile"), &host).expect("a plan")
    }

    extern "C" fn trapped(_: c_int) {
        // SAFETY: _exit is safe in a signal handler.
        unsafe { libc::_exit(TRAPPED) }
    }

    /// Forks; the child loads the filter and makes a call, and exits with the errno or [`CALLED`].
    fn probe(plan: &SeccompPlan, call: impl Fn() -> c_long) -> libc::pid_t {
        let flags = plan.flags.bits();
        // SAFETY: the child only makes system calls, none of which need a lock, and leaves with _exit.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::signal(libc::SIGSYS, trapped as *const () as libc::sighandler_t);
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                match load_filter(&plan.program, flags) {
                    Ok(listener) => std::mem::forget(listener),
                    Err(_) => libc::_exit(NO_FILTER),
                }
                let result = call();
                libc::_exit(if result < 0 { *libc::__errno_location() } else { CALLED });
            }
            pid
        }
    }

    fn end(pid: libc::pid_t) -> End {
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        match libc::WIFSIGNALED(status) {
            true => End::Signal(libc::WTERMSIG(status)),
            false => End::Exit(libc::WEXITSTATUS(status)),
        }
    }

    fn getppid() -> c_long {
        // SAFETY: no arguments.
        unsafe { libc::syscall(libc::SYS_getppid) }
    }

    #[test]
    fn every_action_really_happens() {
        for (action, wanted) in [
            ("SCMP_ACT_ALLOW", End::Exit(CALLED)),
            ("SCMP_ACT_LOG", End::Exit(CALLED)),
            ("SCMP_ACT_ERRNO", End::Exit(77)),
            ("SCMP_ACT_TRACE", End::Exit(libc::ENOSYS)), // Nobody traces.
            ("SCMP_ACT_TRAP", End::Exit(TRAPPED)),
            ("SCMP_ACT_KILL", End::Signal(libc::SIGSYS)),
            ("SCMP_ACT_KILL_THREAD", End::Signal(libc::SIGSYS)),
            ("SCMP_ACT_KILL_PROCESS", End::Signal(libc::SIGSYS)),
        ] {
            assert_eq!(end(probe(&plan(action), getppid)), wanted, "{action}");
        }
    }

    #[test]
    fn both_halves_of_an_argument_are_compared() {
        let plan = plan("SCMP_ACT_LOG");
        for (argument, wanted) in [
            (0xffff_ffffu64, CALLED),
            (0x1_0000_0000, CALLED),
            (0x1_0000_0001, 78),
            (0x2_0000_0000, 78),
            (u64::MAX, 78),
        ] {
            // SAFETY: an integer argument.
            let call = || unsafe { libc::syscall(libc::SYS_personality, argument) };
            assert_eq!(end(probe(&plan, call)), End::Exit(wanted), "{argument:#x}");
        }
    }

    #[test]
    fn an_agent_answers_for_the_kernel() {
        let plan = plan("SCMP_ACT_NOTIFY");
        assert!(plan.flags.contains(SeccompFlags::NEW_LISTENER));
        // The process finds the number of its listener by its own account: the lowest free one.
        let pid = probe(&plan, getppid);
        let listener = (3..64).find_map(|fd| steal_listener(pid, fd)).expect("the listener");
        answer(&listener, 79);
        assert_eq!(end(pid), End::Exit(79));
    }

    /// Takes a descriptor of another process if it is a seccomp listener; waits for one to appear.
    fn steal_listener(pid: libc::pid_t, fd: c_int) -> Option<OwnedFd> {
        let link = format!("/proc/{pid}/fd/{fd}");
        for _ in 0..40 {
            match std::fs::read_link(&link) {
                Ok(to) if to.as_os_str() == "anon_inode:seccomp notify" => break,
                Ok(_) => return None,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
        // SAFETY: both calls make descriptors that are ours alone.
        unsafe {
            let pidfd = OwnedFd::from_raw_fd(libc::syscall(libc::SYS_pidfd_open, pid, 0) as c_int);
            let copy = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0);
            (copy >= 0).then(|| OwnedFd::from_raw_fd(copy as c_int))
        }
    }

    /// Answers one notification with an errno: `struct seccomp_notif` has 80 bytes, the response 24.
    fn answer(listener: &OwnedFd, errno: i32) {
        let mut notification = [0u64; 10];
        // SAFETY: SECCOMP_IOCTL_NOTIF_RECV writes 80 bytes.
        let received = unsafe { libc::ioctl(listener.as_raw_fd(), 0xc050_2100, notification.as_mut_ptr()) };
        assert_eq!(received, 0, "{}", io::Error::last_os_error());
        // id, val, error and flags
        let response = [notification[0], 0, u64::from((-errno) as u32)];
        // SAFETY: SECCOMP_IOCTL_NOTIF_SEND reads 24 bytes.
        let sent = unsafe { libc::ioctl(listener.as_raw_fd(), 0xc018_2101, response.as_ptr()) };
        assert_eq!(sent, 0, "{}", io::Error::last_os_error());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_call_of_another_architecture_kills() {
        let plan = plan("SCMP_ACT_ALLOW");
        let compat = || {
            let result: c_long;
            // SAFETY: getpid (20) of i386 touches no memory.
            unsafe {
                std::arch::asm!("int 0x80", inlateout("rax") 20 as c_long => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
            };
            result
        };
        assert_eq!(end(probe(&plan, compat)), End::Signal(libc::SIGSYS));
        // SAFETY: getpid of x32 has no arguments.
        let x32 = || unsafe { libc::syscall(0x4000_0000 + libc::SYS_getpid) };
        assert_eq!(end(probe(&plan, x32)), End::Signal(libc::SIGSYS));
    }

    #[test]
    fn the_kernel_says_what_it_supports() {
        assert!(has_action(0x7fff_0000) && has_action(0x8000_0000));
        assert!(!has_action(0x1234_0000));
        assert_eq!(supported_flags() & 0b1111, 0b1111, "Linux 5.0 has them");
        assert_eq!(supported_flags() & !0b11_1111, 0);
    }
}
