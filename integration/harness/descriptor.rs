//! A descriptor that comes over a socket, as terminals and listeners of filters do.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// Takes one message, of 64 KiB at most: its bytes and its one descriptor. None at the end of the stream.
#[track_caller]
pub fn receive(stream: &UnixStream) -> Option<(Vec<u8>, OwnedFd)> {
    let mut bytes = vec![0; 1 << 16];
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
    let mut descriptors = Vec::new();
    for control in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(list) = control {
            descriptors.extend(list.into_iter().map(adopt));
        }
    }
    let length = message.bytes;
    if length == 0 {
        return None;
    }
    bytes.truncate(length);
    let one: [OwnedFd; 1] = descriptors.try_into().expect("exactly one descriptor");
    Some((bytes, one.into_iter().next()?))
}

#[allow(unsafe_code)]
fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: recvmsg made this descriptor for us a moment ago and nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
