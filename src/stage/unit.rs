//! The container's unit of systemd, between RUNTIME and INIT.

use anyhow::Context;

use super::runtime::Runtime;
use super::sync::Message;

impl Runtime<'_> {
    /// Has systemd start the unit with `pid` in it, where it is systemd who makes the cgroup.
    ///
    /// The state names it before: whoever kills us while systemd is at work leaves something that can be found.
    pub(super) fn start_unit(&mut self, pid: i32) -> anyhow::Result<()> {
        if self.plan.cgroup.scope.is_none() {
            return Ok(());
        }
        let cgroup = self.cgroup.as_mut().context("the cgroup is not made")?;
        let description = format!("container {} of {}", self.state.id, self.state.created);
        cgroup.ask_for_unit(&self.plan.cgroup, description);
        self.state.cgroup = cgroup.paths().clone();
        self.container()?.save(&self.state)?;
        let cgroup = self.cgroup.as_mut().context("the cgroup is not made")?;
        let started = cgroup.start_unit(&self.plan.cgroup, pid, &self.host.cgroup);
        self.state.cgroup = cgroup.paths().clone();
        started.map_err(|error| self.hear_out(error))?;
        self.container()?.save(&self.state)
    }

    /// Tells INIT where its cgroup is: only now may it make a cgroup namespace.
    pub(super) fn report_unit(&self) -> anyhow::Result<()> {
        if self.plan.cgroup.scope.is_none() {
            return Ok(());
        }
        let ready = Message::CgroupReady { paths: self.state.cgroup.to_bytes() };
        self.channel()?.send(&ready).map_err(|error| self.hear_out(error))
    }
}
