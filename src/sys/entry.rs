//! Where the process begins: C's `main`, in place of the start-up of Rust's standard library.
//!
//! That one makes 14 system calls, twice in each `run`: among them it reads /proc/self/maps and sets up a signal
//! stack, to tell of a stack overflow in words. Here a stack overflow is a plain SIGSEGV. What must stay, stays.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Makes `$run`, which gives the exit code, the program's beginning: `int main(int argc, char *argv[]);`
///
/// The words of the command line are read by `std::env`, which the C library has told of them.
macro_rules! begin_with {
    ($run:path) => {
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main(_argc: std::ffi::c_int, _argv: *const *const std::ffi::c_char) -> std::ffi::c_int {
            $crate::sys::entry::prepare();
            std::ffi::c_int::from($run())
        }
    };
}
pub(crate) use begin_with;

/// What of Rust's start-up must stay.
pub fn prepare() {
    open_standard_streams();
    // SAFETY: no handler function is installed; writing to a closed pipe is an error from now on, and not our end.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// A descriptor of ours that got the number of a closed standard stream would be written to as one: `/dev/null` goes
/// there first.
fn open_standard_streams() {
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    loop {
        // SAFETY: pointer and length are those of one array, which outlives the call.
        let polled = unsafe { libc::poll(streams.as_mut_ptr(), streams.len() as libc::nfds_t, 0) };
        match Errno::result(polled) {
            Err(Errno::EINTR) => {}
            _ => break,
        }
    }
    for stream in streams.iter().filter(|stream| stream.revents & libc::POLLNVAL != 0) {
        // SAFETY: the path ends with NUL. The lowest free number is this stream's, as they are opened in order.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != stream.fd {
            super::process::exit_now(1);
        }
    }
}
