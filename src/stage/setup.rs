//! SETUP: the rare process between RUNTIME and INIT, for what one clone3 cannot do.
//!
//! It is needed when a user namespace is joined and others are wanted inside it (every Kubernetes pod with user
//! namespaces), when namespaces are joined under a new user namespace that has no power over them, and when clocks
//! are set under a new user namespace. INIT is cloned with `CLONE_PARENT`: it is RUNTIME's child all the same.

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use super::init::{self, Init};
use super::namespaces::{JoinFd, make_time};
use super::sync::{Channel, Message};
use super::{failure, runtime};
use crate::sys::process::{self, Side};

impl<'a> Setup<'a> {
    /// The order of things.
    const STEPS: &'a [super::Step<Self>] = &[
        ("signals", Self::reset_signals),
        // A privileged runtime joins all others before the user namespace: inside it has no power over the host's.
        ("join namespaces", Self::join_with_privilege),
        ("user namespace", Self::enter_user_namespace),
        // An unprivileged one has power only now.
        ("join namespaces inside", Self::join_inside),
        ("clocks", Self::set_clocks),
        ("clone", Self::clone_init),
    ];
}

/// What SETUP works with.
pub struct Setup<'a> {
    /// To RUNTIME; INIT has its own, or it could speak up before `Cloned`.
    pub channel: Option<Channel>,
    /// INIT as it will be.
    pub init: Init<'a>,
}

/// Runs all steps in the process that was cloned for them.
pub fn main(mut setup: Setup<'_>) -> ! {
    for (name, step) in Setup::STEPS {
        if let Err(error) = step(&mut setup) {
            let _ = setup.channel().and_then(|channel| channel.send(&failure::message(name, &error)));
            process::exit_now(1);
        }
    }
    process::exit_now(0)
}

impl Setup<'_> {
    fn channel(&self) -> anyhow::Result<&Channel> {
        self.channel.as_ref().context("SETUP has no channel")
    }

    fn reset_signals(&mut self) -> anyhow::Result<()> {
        process::reset_signals().context("reset signals")?;
        process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
    }

    fn join_with_privilege(&mut self) -> anyhow::Result<()> {
        if !self.init.host.is_privileged() {
            return Ok(());
        }
        let (user, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.init.joins).into_iter().partition(JoinFd::is_user);
        others.iter().try_for_each(JoinFd::join)?;
        self.init.joins = user;
        Ok(())
    }

    fn enter_user_namespace(&mut self) -> anyhow::Result<()> {
        let plan = self.init.plan;
        let (user, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.init.joins).into_iter().partition(JoinFd::is_user);
        self.init.joins = others;
        user.iter().try_for_each(JoinFd::join)?;
        if plan.namespaces.user.is_new() && !plan.namespaces.time_offsets.is_empty() {
            unshare(CloneFlags::CLONE_NEWUSER).context("unshare the user namespace")?;
            self.channel()?.send(&Message::IdMapPlease)?;
            match self.channel()?.receive()? {
                // It is INIT that becomes root: a change of credentials would take away our own timens_offsets.
                Some(Message::IdMapDone) => {}
                other => bail!("the runtime answered {other:?} to IdMapPlease"),
            }
        }
        process::die_with_parent(Some(Signal::SIGKILL)).context("prctl PR_SET_PDEATHSIG")
    }

    fn join_inside(&mut self) -> anyhow::Result<()> {
        std::mem::take(&mut self.init.joins).iter().try_for_each(JoinFd::join)
    }

    fn set_clocks(&mut self) -> anyhow::Result<()> {
        match self.init.plan.namespaces.time_offsets.as_slice() {
            [] => Ok(()),
            offsets => make_time(offsets),
        }
    }

    fn clone_init(&mut self) -> anyhow::Result<()> {
        let mut flags = runtime::clone_flags(self.init.plan, self.init.host) | CloneFlags::CLONE_PARENT;
        let has_made_user =
            self.init.plan.namespaces.user.is_new() && !self.init.plan.namespaces.time_offsets.is_empty();
        if has_made_user {
            flags.remove(CloneFlags::CLONE_NEWUSER);
        }
        self.init.awaits_id_maps = self.init.plan.namespaces.user.is_new() && !has_made_user;
        match runtime::clone(flags, None)? {
            Side::Parent { pid, .. } => self.channel()?.send(&Message::Cloned { pid }),
            Side::Child => init::main(&mut self.init),
        }
    }
}
