//! A process that does nothing but hold a new user namespace.

use nix::errno::Errno;
use nix::unistd::Pid;

/// Starts a child in a user namespace of its own; it sleeps until it is killed, or its starter dies.
///
/// # Errors
/// EPERM or ENOSPC when the caller may have no (further) user namespace.
pub fn spawn_holder() -> nix::Result<Pid> {
    // SAFETY: no pointers.
    let starter = unsafe { libc::getpid() };
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork; the child makes system calls only.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) })?;
    if pid == 0 {
        // SAFETY: system calls without pointers.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            // The starter may have died before prctl: then nobody would ever kill us.
            if libc::getppid() != starter {
                libc::_exit(1);
            }
            loop {
                libc::pause();
            }
        }
    }
    Ok(Pid::from_raw(pid as libc::pid_t))
}
