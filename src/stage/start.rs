//! The start of a created container, from outside: the message, its answer, the poststart hooks.

use std::os::fd::BorrowedFd;

use super::failure::{self, StageError};
use super::sync::{Channel, Message};
use super::teardown::destroy;
use super::{hooks, init};
use crate::log::Log;
use crate::state::{Container, State, Status};

/// What becomes of a container whose start does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It stays, stopped, unless a hook has failed: the spec wants it destroyed then.
    Keep,
    /// It goes: `rt run` leaves nothing behind.
    Destroy,
}

/// Tells INIT to run the program, and waits until it runs.
///
/// Implements steps 6 to 9 of <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#lifecycle>.
///
/// # Errors
/// What INIT says, or the hook.
pub fn start(
    log: &Log,
    container: Container,
    state: &State,
    channel: &Channel,
    init: BorrowedFd<'_>,
    on_failure: OnFailure,
) -> anyhow::Result<Container> {
    let (error, is_hook) = match tell(state, channel) {
        Ok(()) => match run_poststart(state) {
            Ok(()) => return Ok(container),
            Err(error) => (error, true),
        },
        Err(error) => {
            let step = error.downcast_ref::<StageError>().map(|error| error.step.as_str());
            let is_hook = step == Some(init::START_HOOKS);
            (error, is_hook)
        }
    };
    if !is_hook && on_failure == OnFailure::Keep {
        return Err(error);
    }
    let causes: Vec<_> = destroy(log, container, state, Some(init)).err().into_iter().collect();
    Err(failure::with_causes(error, &causes))
}

fn tell(state: &State, channel: &Channel) -> anyhow::Result<()> {
    // A state may be large: it goes only where a hook reads it.
    let seen = if state.has_start_hooks { state.for_hook(Status::Created, state.pid_inside) } else { Vec::new() };
    channel.send(&Message::Start { state: seen })?;
    match channel.receive()? {
        Some(Message::Executing) => {}
        answer => return Err(failure::from_answer(answer, "start")),
    }
    // The socket closes when the program is executed.
    match channel.receive()? {
        None => Ok(()),
        answer => Err(failure::from_answer(answer, "start")),
    }
}

fn run_poststart(state: &State) -> anyhow::Result<()> {
    if state.poststart.is_empty() {
        return Ok(());
    }
    let output = hooks::Output::open(&state.annotations)?;
    hooks::run_all("poststart", &state.poststart, &state.for_hook(Status::Running, state.pid), &output)
}
