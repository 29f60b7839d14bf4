//! Where a bus listens.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};

/// A Unix socket, by path or by name in the abstract namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:path=…`
    Path(PathBuf),
    /// `unix:abstract=…`
    Abstract(Vec<u8>),
}

impl Address {
    /// Reads the first address of a [list] that is a Unix socket, such as `unix:path=/run/user/1000/bus,guid=…;…`.
    ///
    /// [list]: https://dbus.freedesktop.org/doc/dbus-specification.html#addresses
    ///
    /// # Errors
    /// There is none.
    pub fn parse(list: &str) -> anyhow::Result<Address> {
        for address in list.split(';') {
            let Some(parameters) = address.strip_prefix("unix:") else { continue };
            for (key, value) in parameters.split(',').filter_map(|pair| pair.split_once('=')) {
                let Some(value) = unescape(value) else { continue };
                match key {
                    "path" => {
                        use std::os::unix::ffi::OsStringExt;
                        return Ok(Address::Path(std::ffi::OsString::from_vec(value).into()));
                    }
                    "abstract" => return Ok(Address::Abstract(value)),
                    _ => {}
                }
            }
        }
        bail!("{list:?} is not the address of a D-Bus socket")
    }

    /// The socket, not connected yet, and its address for connect(2).
    pub(super) fn socket(&self) -> anyhow::Result<(OwnedFd, UnixAddr)> {
        let address = match self {
            Address::Path(path) => UnixAddr::new(path.as_path()),
            Address::Abstract(name) => UnixAddr::new_abstract(name),
        };
        let address = address.with_context(|| self.to_string())?;
        // Not blocking: a server whose queue is full would hold us for as long as it likes.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).context("socket for D-Bus")?;
        Ok((socket, address))
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Path(path.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Path(path) => write!(f, "{}", path.display()),
            Address::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// `%2f` as `/`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_addresses_that_sessions_have() {
        for (list, expected) in [
            ("unix:path=/run/user/1000/bus", Address::Path("/run/user/1000/bus".into())),
            ("unix:guid=ab,path=/a%20b,x=y", Address::Path("/a b".into())),
            ("tcp:host=localhost;unix:abstract=/tmp/dbus-x", Address::Abstract(b"/tmp/dbus-x".to_vec())),
        ] {
            assert_eq!(Address::parse(list).unwrap(), expected);
        }
        for bad in ["", "/run/bus", "tcp:host=localhost", "unix:path=%zz", "unix:path=%2", "unix:tmpdir=/tmp"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
