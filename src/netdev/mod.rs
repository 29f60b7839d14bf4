//! Network devices: from the runtime's network namespace into the container's, and back when the creation fails.

mod netlink;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::fstat;

use crate::plan::net_devices::NetDevice;
use netlink::{Address, Netlink};

/// As many numbers as are tried for a name with `%d`.
const NUMBERS: u32 = 32_768;

/// The devices that were moved; they can be taken back as long as this lives.
#[derive(Debug)]
pub struct NetDevices {
    /// The runtime's network namespace.
    outside: Netlink,
    /// The container's.
    inside: Netlink,
    outside_namespace: OwnedFd,
    inside_namespace: OwnedFd,
    moved: Vec<Moved>,
}

/// What it takes to move a device back.
#[derive(Debug)]
struct Moved {
    host_name: String,
    name: String,
    index_inside: i32,
    was_up: bool,
    addresses: Vec<Address>,
}

/// Looks for a device, for `rt check` and before anything is made.
///
/// # Errors
/// `ENODEV`.
pub fn look_at(device: &NetDevice) -> Result<(), Errno> {
    nix::net::if_::if_nametoindex(device.host_name.as_str()).map(drop)
}

impl NetDevices {
    /// Takes hold of both namespaces. `inside` keeps the container's alive when its last process has ended: devices
    /// would be destroyed with it.
    ///
    /// # Errors
    /// When it is the runtime's own, or the runtime may not enter it.
    pub fn open(inside: OwnedFd) -> anyhow::Result<NetDevices> {
        const OWN: &str = "/proc/self/ns/net";
        let outside_namespace: OwnedFd = File::open(OWN).with_context(|| format!("open {OWN}"))?.into();
        let number = |namespace: &OwnedFd| fstat(namespace).map(|stat| (stat.st_dev, stat.st_ino));
        if number(&outside_namespace).context("fstat")? == number(&inside).context("fstat")? {
            bail!("config.json: /linux/netDevices: the container's network namespace is the runtime's own");
        }
        let outside = Netlink::open().context("open a netlink socket")?;
        // A socket belongs to the namespace in which it was opened.
        setns(&inside, CloneFlags::CLONE_NEWNET).context("enter the container's network namespace")?;
        let inside_socket = Netlink::open().context("open a netlink socket in the container's network namespace");
        setns(&outside_namespace, CloneFlags::CLONE_NEWNET).context("leave the container's network namespace")?;
        let (inside_namespace, inside) = (inside, inside_socket?);
        Ok(NetDevices { outside, inside, outside_namespace, inside_namespace, moved: Vec::new() })
    }

    /// Moves one device, gives it the name and the addresses that it shall have, and sets it up.
    ///
    /// # Errors
    /// The device's JSON pointer and what the kernel says. The devices before it have been moved.
    pub fn take(&mut self, device: &NetDevice) -> anyhow::Result<()> {
        let NetDevice { host_name, .. } = device;
        let place = || format!("config.json: {}", device.pointer());
        let link = self.outside.link(host_name).with_context(place)?;
        let name = self.name_inside(device).with_context(place)?;
        // They are lost when it is moved.
        let addresses = self.outside.addresses(link.index).context("read its addresses").with_context(place)?;
        if let Err(errno) = self.outside.move_link(link.index, self.inside_namespace.as_fd(), &name) {
            let error = anyhow::Error::from(errno).context(format!("move it as {name}")).context(place());
            return Err(self.repair(host_name, link.index, error));
        }
        let index = self.inside.link(&name).with_context(place)?.index;
        self.moved.push(Moved {
            host_name: host_name.clone(),
            name: name.clone(),
            index_inside: index,
            was_up: link.is_up,
            addresses: addresses.clone(),
        });
        for address in addresses.into_iter().filter(|address| address.is_permanent() && address.is_global()) {
            let text = format!("add the address {address}");
            self.inside.add_address(index, &address.renamed(host_name, &name)).context(text).with_context(place)?;
        }
        self.inside.set_up(index).context("set it up").with_context(place)
    }

    /// The name, with a number in place of `%d`; one that is taken is refused, because the kernel moves first and
    /// renames then.
    fn name_inside(&mut self, device: &NetDevice) -> anyhow::Result<String> {
        if !device.is_template() {
            if self.inside.has_link(&device.name)? {
                return Err(Errno::EEXIST)
                    .with_context(|| format!("the container's network namespace has {} already", device.name));
            }
            return Ok(device.name.clone());
        }
        for number in 0..NUMBERS {
            let name = device.name.replace("%d", &number.to_string());
            if name.len() < libc::IF_NAMESIZE && !self.inside.has_link(&name)? {
                return Ok(name);
            }
        }
        Err(Errno::ENFILE).with_context(|| format!("no number is free for {}", device.name))
    }

    /// A device that was moved but not renamed goes back at once.
    fn repair(&mut self, host_name: &str, index: i32, error: anyhow::Error) -> anyhow::Error {
        let back = self.outside.has_index(index).and_then(|is_there| {
            if is_there {
                return Ok(());
            }
            let index = self.inside.link(host_name)?.index;
            self.inside.move_link(index, self.outside_namespace.as_fd(), host_name)
        });
        match back {
            Ok(()) => error,
            Err(errno) => error.context(format!("(and back: {errno})")),
        }
    }

    /// Takes all devices back to where they were: name, addresses, up or down.
    ///
    /// # Errors
    /// Everything that could not be taken back.
    pub fn undo(&mut self) -> anyhow::Result<()> {
        let mut causes = Vec::new();
        for moved in std::mem::take(&mut self.moved).into_iter().rev() {
            if let Err(error) = self.take_back(&moved) {
                causes.push(format!("take network device {} back: {error:#}", moved.host_name));
            }
        }
        if causes.is_empty() { Ok(()) } else { bail!(causes.join("; ")) }
    }

    fn take_back(&mut self, moved: &Moved) -> anyhow::Result<()> {
        let outside = self.outside_namespace.as_fd();
        self.inside.move_link(moved.index_inside, outside, &moved.host_name).with_context(|| moved.name.clone())?;
        let index = self.outside.link(&moved.host_name)?.index;
        for address in moved.addresses.iter().filter(|address| address.is_permanent()) {
            match self.outside.add_address(index, address) {
                // The kernel makes link-local ones by itself.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno).context(format!("add the address {address}")),
            }
        }
        if moved.was_up {
            self.outside.set_up(index).context("set it up")?;
        }
        Ok(())
    }
}
