//! The few messages of rtnetlink(7) that moving a device takes.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// Length of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
/// IFA_PROTO of linux/if_addr.h: who made the address.
const IFA_PROTO: u16 = 11;
/// IFA_RT_PRIORITY of linux/if_addr.h: the metric of its route.
const IFA_RT_PRIORITY: u16 = 9;

/// A network device as its namespace knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number, unique in the namespace.
    pub index: i32,
    /// Whether it is up.
    pub is_up: bool,
}

/// An address of a device, as the kernel told it: what we do not understand is given back unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix_length: u8,
    scope: u8,
    flags: u32,
    /// IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_LABEL, IFA_CACHEINFO and others.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Whether it stays until somebody takes it away.
    pub fn is_permanent(&self) -> bool {
        self.flags & libc::IFA_F_PERMANENT != 0
    }

    /// Whether it is valid everywhere, not on this machine or this link alone.
    pub fn is_global(&self) -> bool {
        self.scope == libc::RT_SCOPE_UNIVERSE
    }

    /// The same for a device with another name: labels of IPv4 begin with it.
    pub fn renamed(mut self, from: &str, to: &str) -> Address {
        let length = libc::IF_NAMESIZE;
        for (_, label) in self.attributes.iter_mut().filter(|(kind, _)| *kind == libc::IFA_LABEL) {
            let suffix = label.strip_prefix(from.as_bytes()).unwrap_or_default();
            if suffix.first().is_none_or(|next| matches!(next, b':' | 0)) && to.len() + suffix.len() <= length {
                *label = [to.as_bytes(), suffix].concat();
            }
        }
        // Too long now: the kernel takes the device's name then.
        self.attributes.retain(|(kind, value)| *kind != libc::IFA_LABEL || value.starts_with(to.as_bytes()));
        self
    }

    fn parse(message: &[u8]) -> Option<(u32, Address)> {
        let (head, rest) = message.split_at_checked(ADDRESS_HEADER)?;
        let index = u32::from_ne_bytes(head[4..8].try_into().ok()?);
        let attributes = attributes(rest);
        let flags = attributes.iter().find(|(kind, _)| *kind == libc::IFA_FLAGS);
        let flags = flags.and_then(|(_, value)| Some(u32::from_ne_bytes(value.as_slice().try_into().ok()?)));
        let address = Address {
            family: head[0],
            prefix_length: head[1],
            scope: head[3],
            flags: flags.unwrap_or(u32::from(head[2])),
            attributes,
        };
        Some((index, address))
    }

    /// The message that makes it again.
    fn message(&self, index: i32) -> Vec<u8> {
        // What the kernel finds out by itself.
        let of_the_kernel =
            libc::IFA_F_SECONDARY | libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED | libc::IFA_F_PERMANENT;
        let flags = self.flags & !of_the_kernel;
        let mut text = vec![self.family, self.prefix_length, flags as u8, self.scope];
        text.extend(index.to_ne_bytes());
        for (kind, value) in &self.attributes {
            let is_ours = matches!(
                *kind,
                libc::IFA_ADDRESS
                    | libc::IFA_LOCAL
                    | libc::IFA_BROADCAST
                    | libc::IFA_LABEL
                    | libc::IFA_CACHEINFO
                    | IFA_RT_PRIORITY
                    | IFA_PROTO
            );
            if is_ours {
                push_attribute(&mut text, *kind, value);
            }
        }
        push_attribute(&mut text, libc::IFA_FLAGS, &flags.to_ne_bytes());
        text
    }
}

/// `10.0.0.2/24`
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_kind = |wanted: u16| self.attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let bytes = of_kind(libc::IFA_LOCAL).or(of_kind(libc::IFA_ADDRESS)).map(Vec::as_slice).unwrap_or_default();
        let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        match four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)) {
            Ok(address) => write!(f, "{address}/{}", self.prefix_length),
            Err(_) => write!(f, "of family {}", self.family),
        }
    }
}

/// A socket to the kernel, for one network namespace: the one in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one for the caller's network namespace.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` where the kernel has no networks.
    pub fn open() -> Result<Netlink, Errno> {
        let (raw, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        let socket = socket(AddressFamily::Netlink, raw, flags, SockProtocol::NetlinkRoute)?;
        // Only the kernel may answer.
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// The device of this name.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn link(&mut self, name: &str) -> Result<Link, Errno> {
        let mut text = link_header(0, 0, 0);
        push_attribute(&mut text, libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        self.one_link(&text)
    }

    /// Whether a device has this name.
    ///
    /// # Errors
    /// What the kernel says beside `ENODEV`.
    pub fn has_link(&mut self, name: &str) -> Result<bool, Errno> {
        match self.link(name) {
            Ok(_) => Ok(true),
            Err(Errno::ENODEV) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Whether a device has this number.
    ///
    /// # Errors
    /// What the kernel says beside `ENODEV`.
    pub fn has_index(&mut self, index: i32) -> Result<bool, Errno> {
        match self.one_link(&link_header(index, 0, 0)) {
            Ok(_) => Ok(true),
            Err(Errno::ENODEV) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn one_link(&mut self, text: &[u8]) -> Result<Link, Errno> {
        let answer = self.ask(libc::RTM_GETLINK, 0, text)?;
        let found = answer.first().and_then(|message| {
            let number = |from: usize| message.get(from..from + 4)?.try_into().ok();
            let (index, flags) = (i32::from_ne_bytes(number(4)?), u32::from_ne_bytes(number(8)?));
            Some(Link { index, is_up: flags & libc::IFF_UP as u32 != 0 })
        });
        found.ok_or(Errno::EPROTO)
    }

    /// Moves a device into another network namespace, where it has `name`. All of its addresses are lost, and it is
    /// down.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken there, `EINVAL` for a device that cannot be moved, `EPERM`. The kernel moves
    /// first and renames then: the device may be there all the same, under its old name.
    pub fn move_link(&mut self, index: i32, namespace: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        let mut text = link_header(index, 0, 0);
        push_attribute(&mut text, libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        push_attribute(&mut text, libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        self.ask(libc::RTM_NEWLINK, 0, &text).map(drop)
    }

    /// Sets a device up.
    ///
    /// # Errors
    /// What its driver says.
    pub fn set_up(&mut self, index: i32) -> Result<(), Errno> {
        let up = libc::IFF_UP as u32;
        self.ask(libc::RTM_NEWLINK, 0, &link_header(index, up, up)).map(drop)
    }

    /// All addresses of a device, of every family.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn addresses(&mut self, index: i32) -> Result<Vec<Address>, Errno> {
        let all = self.ask(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS_HEADER])?;
        let parsed = all.iter().filter_map(|message| Address::parse(message));
        Ok(parsed.filter(|(of, _)| i64::from(*of) == i64::from(index)).map(|(_, address)| address).collect())
    }

    /// Gives a device an address.
    ///
    /// # Errors
    /// `EEXIST` when it has it, `EACCES` for IPv6 where it is disabled.
    pub fn add_address(&mut self, index: i32, address: &Address) -> Result<(), Errno> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.ask(libc::RTM_NEWADDR, flags, &address.message(index)).map(drop)
    }

    /// Sends one request and gives the bodies of all answers.
    fn ask(&mut self, kind: u16, flags: libc::c_int, body: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.sequence += 1;
        let is_dump = flags & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
        let acknowledged = if is_dump { 0 } else { libc::NLM_F_ACK };
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | acknowledged).map_err(|_| Errno::EINVAL)?;
        let length = u32::try_from(HEADER + body.len()).map_err(|_| Errno::EMSGSIZE)?;
        let mut text = Vec::with_capacity(HEADER + body.len());
        text.extend(length.to_ne_bytes());
        text.extend(kind.to_ne_bytes());
        text.extend(flags.to_ne_bytes());
        text.extend(self.sequence.to_ne_bytes());
        text.extend(0_u32.to_ne_bytes());
        text.extend(body);
        while let Err(errno) = send(self.socket.as_raw_fd(), &text, MsgFlags::empty()) {
            if errno != Errno::EINTR {
                return Err(errno);
            }
        }
        self.hear()
    }

    /// Collects answers up to the last one, which is an acknowledgement or an error.
    fn hear(&mut self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut answers = Vec::new();
        // More than the kernel ever puts into one datagram.
        let mut piece = vec![0; 64 << 10];
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            for message in messages(&piece[..length]).filter(|message| message.sequence == self.sequence) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                        let code = message.body.get(..4).and_then(|code| code.try_into().ok());
                        return match code.map_or(0, i32::from_ne_bytes) {
                            0 => Ok(answers),
                            code => Err(Errno::from_raw(-code)),
                        };
                    }
                    _ => answers.push(message.body.to_vec()),
                }
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of one datagram.
fn messages(mut text: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(text.get(..4)?.try_into().ok()?) as usize;
        let message = text.get(..length).filter(|message| message.len() >= HEADER)?;
        text = text.get(aligned(length)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes(message[4..6].try_into().ok()?),
            sequence: u32::from_ne_bytes(message[8..12].try_into().ok()?),
            body: &message[HEADER..],
        })
    })
}

/// The attributes behind the fixed part of a message.
fn attributes(mut text: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (number(text, 0), number(text, 2)) {
        let Some(value) = text.get(4..usize::from(length)) else { break };
        // The two highest bits say how it is written.
        found.push((kind & 0x3fff, value.to_vec()));
        text = text.get(aligned(usize::from(length))..).unwrap_or_default();
    }
    found
}

fn number(text: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(text.get(at..at + 2)?.try_into().ok()?))
}

/// `struct ifinfomsg`: of any family and type.
fn link_header(index: i32, flags: u32, change: u32) -> Vec<u8> {
    let mut text = Vec::with_capacity(LINK_HEADER);
    text.extend([0; 4]);
    text.extend(index.to_ne_bytes());
    text.extend(flags.to_ne_bytes());
    text.extend(change.to_ne_bytes());
    text
}

fn push_attribute(text: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("names and addresses are short");
    text.extend(length.to_ne_bytes());
    text.extend(kind.to_ne_bytes());
    text.extend(value);
    text.resize(aligned(text.len()), 0);
}

/// Everything begins at a multiple of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Address {
        Address {
            family: libc::AF_INET as u8,
            prefix_length: 24,
            scope: 0,
            flags: libc::IFA_F_PERMANENT | libc::IFA_F_SECONDARY | libc::IFA_F_NOPREFIXROUTE,
            attributes: vec![
                (libc::IFA_ADDRESS, vec![10, 0, 0, 2]),
                (libc::IFA_LABEL, b"veth0:1\0".to_vec()),
                (0x77, vec![1]),
            ],
        }
    }

    #[test]
    fn an_address_is_written_as_it_was_read() {
        let text = sample().message(7);
        assert_eq!(sample().to_string(), "10.0.0.2/24");
        let (index, again) = Address::parse(&text).unwrap();
        assert_eq!(index, 7);
        let expected = Address {
            flags: libc::IFA_F_NOPREFIXROUTE,
            attributes: vec![
                sample().attributes[0].clone(),
                sample().attributes[1].clone(),
                (libc::IFA_FLAGS, libc::IFA_F_NOPREFIXROUTE.to_ne_bytes().to_vec()),
            ],
            ..sample()
        };
        assert_eq!(again, expected);
    }

    #[test]
    fn a_label_follows_the_name_of_the_device() {
        let label = |address: Address| {
            let found = address.attributes.into_iter().find(|(kind, _)| *kind == libc::IFA_LABEL);
            found.map(|(_, label)| String::from_utf8(label).unwrap())
        };
        assert_eq!(label(sample().renamed("veth0", "eth1")).as_deref(), Some("eth1:1\0"));
        assert_eq!(label(sample().renamed("veth0", "a-longer-name-0")), None);
        assert_eq!(label(sample().renamed("veth", "eth1")), None, "of another device");
    }

    #[test]
    fn broken_answers_are_read_to_their_break() {
        let mut text = Vec::new();
        push_attribute(&mut text, 3, b"lo\0");
        assert_eq!(attributes(&text), [(3, b"lo\0".to_vec())]);
        for cut in 0..text.len() - 1 {
            assert_eq!(attributes(&text[..cut]), [], "{cut}");
        }
        assert_eq!(attributes(&[1, 0, 3, 0, 0, 0]), []);
        assert_eq!(messages(&[3, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(messages(&[200; 40]).count(), 0);
    }

    #[test]
    fn the_loopback_is_found_and_others_are_not() {
        let mut netlink = Netlink::open().unwrap();
        let lo = netlink.link("lo").unwrap();
        assert_eq!(lo.index, 1);
        assert!(netlink.has_index(1).unwrap());
        assert!(!netlink.has_link("rt-none").unwrap());
        assert_eq!(netlink.link("rt-none"), Err(Errno::ENODEV));
        let addresses = netlink.addresses(1).unwrap();
        assert!(addresses.iter().all(|address| address.is_permanent()), "{addresses:?}");
    }
}
