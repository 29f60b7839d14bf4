//! RUNTIME's undo log: what a creation has made is taken back when it fails.

use std::os::fd::AsFd;

use anyhow::Context;

use super::runtime::{Runtime, wait_for_end};
use super::{failure, hooks};
use crate::state::Status;
use crate::sys::process;

/// What has been made so far, to be taken back in reverse order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The directory below the state root.
    StateDirectory,
    /// The container's cgroups.
    Cgroup,
    /// The group in resctrl.
    Rdt,
    /// In the runtime's mount namespace, when the container has none of its own.
    Mounts,
    /// The process itself.
    Init,
    /// Undone before INIT is killed: its network namespace may end with it.
    NetDevices,
    /// `--pid-file`
    PidFile,
}

impl Runtime<'_> {
    /// Takes everything back; the first error stays the one that is told.
    pub(super) fn unwind(&mut self, error: anyhow::Error) -> anyhow::Error {
        let mut causes = Vec::new();
        for made in std::mem::take(&mut self.made).into_iter().rev() {
            causes.extend(self.take_back(made).err());
        }
        if self.hooks_have_begun {
            let hooks = self.plan.hooks.poststop().as_deref().unwrap_or_default();
            let output = hooks::Output::open(&self.state.annotations).unwrap_or_default();
            causes.extend(hooks::run_all_tolerantly("poststop", hooks, &self.hook_state(Status::Stopped), &output));
        }
        failure::with_causes(error, &causes)
    }

    fn take_back(&mut self, made: Made) -> anyhow::Result<()> {
        match made {
            Made::Mounts => super::teardown::detach_root(&self.state),
            Made::Init => match self.init.take() {
                None => Ok(()),
                Some((_, pidfd)) => {
                    // ESRCH: it has ended by itself, which is why we are here.
                    let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                    wait_for_end(pidfd.as_fd()).map(drop).context("wait for the container's init")
                }
            },
            Made::Cgroup => match self.cgroup.take() {
                Some(mut cgroup) => cgroup.undo(),
                None => Ok(()),
            },
            Made::Rdt => self.rdt.take().map_or(Ok(()), |mut rdt| rdt.undo()),
            Made::NetDevices => self.net_devices.take().map_or(Ok(()), |mut devices| devices.undo()),
            Made::PidFile => self.settings.pid_file.as_ref().map_or(Ok(()), |path| {
                std::fs::remove_file(path).with_context(|| format!("remove {}", path.display()))
            }),
            Made::StateDirectory => match self.container.take() {
                Some(container) => container.remove(),
                None => Ok(()),
            },
        }
    }
}
