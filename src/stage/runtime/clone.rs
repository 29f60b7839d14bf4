//! How RUNTIME makes INIT: directly, or by way of SETUP.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::sched::CloneFlags;

use super::{Runtime, wait_for_end};
use crate::cgroup::Cgroup;
use crate::host::Host;
use crate::plan::Plan;
use crate::stage::namespaces::{self, JoinFd, Return};
use crate::stage::setup::{self, Setup};
use crate::stage::sync::{Channel, Message};
use crate::stage::{failure, id_map, init};
use crate::sys::process::{self, Side};

/// The namespaces that clone3 makes for INIT.
pub fn clone_flags(plan: &Plan, host: &Host) -> CloneFlags {
    let mut flags = plan.namespaces.new_flags();
    if !plan.namespaces.time_offsets.is_empty() {
        flags.remove(crate::plan::namespaces::CLONE_NEWTIME);
    }
    if plan.unshares_cgroup_in_init(host) {
        flags.remove(CloneFlags::CLONE_NEWCGROUP);
    }
    flags
}

/// clone3, with the cgroup v2 directory that the child starts in.
pub fn clone(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> anyhow::Result<Side> {
    process::clone3(flags.bits() as u32 as u64, cgroup)
        .map_err(|errno| namespaces::explain(errno, flags))
        .with_context(|| format!("clone3 with {flags:?}"))
}

impl Runtime<'_> {
    pub(super) fn clone_directly(&mut self, theirs: Channel) -> anyhow::Result<(i32, OwnedFd)> {
        let back = self.enter_for_children()?;
        let side = clone(clone_flags(self.plan, self.host), self.cgroup.as_ref().and_then(Cgroup::v2_fd));
        if let Ok(Side::Child) = side {
            init::main(&mut self.take_init(theirs))
        }
        back.iter().try_for_each(Return::go)?;
        let Side::Parent { pid, pidfd } = side? else { unreachable!("the child has gone its own way") };
        Ok((pid, pidfd))
    }

    /// SETUP has a socket of its own: INIT may have something to say before SETUP has told its pid.
    pub(super) fn clone_setup(&mut self, theirs: Channel) -> anyhow::Result<(i32, OwnedFd)> {
        let (ours, of_setup) = Channel::pair()?;
        // INIT inherits the cgroup: inside another cgroup namespace nobody could enter it.
        let cgroup = self.cgroup.as_ref().and_then(Cgroup::v2_fd);
        let Side::Parent { pid: setup, pidfd } = clone(CloneFlags::empty(), cgroup)? else {
            drop(ours);
            setup::main(Setup { channel: Some(of_setup), init: self.take_init(theirs) })
        };
        drop(of_setup);
        let cloned = self.adjust_oom_score(setup).and_then(|()| self.serve_setup(setup, &ours));
        if cloned.is_err() {
            // ESRCH: it has ended by itself.
            let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        wait_for_end(pidfd.as_fd()).context("wait for the setup process")?;
        let pid = cloned?;
        Ok((pid, process::pidfd_open(pid).context("pidfd_open of the container's init")?))
    }

    /// Does what SETUP asks for until it has cloned INIT, whose pid it tells.
    fn serve_setup(&self, setup: i32, channel: &Channel) -> anyhow::Result<i32> {
        loop {
            match channel.receive()? {
                Some(Message::IdMapPlease) => {
                    id_map::write(setup, &self.plan.namespaces, self.host)?;
                    channel.send(&Message::IdMapDone)?;
                }
                Some(Message::Cloned { pid }) => return Ok(pid),
                other => return Err(failure::from_answer(other, "clone")),
            }
        }
    }

    /// What takes hold of children only: the joined pid namespace and the clocks.
    fn enter_for_children(&mut self) -> anyhow::Result<Vec<Return>> {
        let mut back = Vec::new();
        if let Some(place) = self.joins.iter().position(JoinFd::is_pid) {
            back.push(Return::to_pid()?);
            self.joins.remove(place).join()?;
        }
        if !self.plan.namespaces.time_offsets.is_empty() {
            back.push(Return::to_time()?);
            namespaces::make_time(&self.plan.namespaces.time_offsets)?;
        }
        Ok(back)
    }
}
