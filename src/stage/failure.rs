//! How an error travels from a stage to the process that prints it.

use anyhow::anyhow;
use nix::errno::Errno;

use super::sync::Message;

/// An error of another stage: its step and errno, for the JSON log, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    /// Name of the step that failed.
    pub step: String,
    /// The kernel's error number, or 0.
    pub errno: i32,
    /// Operation, object, cause.
    pub text: String,
}

impl std::error::Error for StageError {}

impl std::fmt::Display for StageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Packs an error for the socket.
pub fn message(step: &str, error: &anyhow::Error) -> Message {
    Message::Failed { step: step.to_owned(), errno: errno_of(error), text: crate::log::one_line(error) }
}

/// What the other side's answer means, when it is not the one that was hoped for.
///
/// `last_step` is what the other side was doing: end of file is an error too.
pub fn from_answer(message: Option<Message>, last_step: &str) -> anyhow::Error {
    match message {
        Some(Message::Failed { step, errno, text }) => StageError { step, errno, text }.into(),
        Some(other) => anyhow!("{last_step}: the container's init sent {other:?} out of turn"),
        None => anyhow!("{last_step}: the container's init ended without a word (killed, perhaps for lack of memory)"),
    }
}

/// The kernel's number behind an error, or 0.
pub fn errno_of(error: &anyhow::Error) -> i32 {
    error
        .chain()
        .find_map(|cause| {
            let stage = cause.downcast_ref::<StageError>().map(|stage| stage.errno);
            stage.or_else(|| cause.downcast_ref::<Errno>().map(|errno| *errno as i32))
        })
        .unwrap_or(0)
}

/// Adds what went wrong while cleaning up after an error.
pub fn with_causes(error: anyhow::Error, causes: &[anyhow::Error]) -> anyhow::Error {
    if causes.is_empty() {
        return error;
    }
    let more: Vec<_> = causes.iter().map(crate::log::one_line).collect();
    let stage = StageError {
        step: error.downcast_ref::<StageError>().map(|stage| stage.step.clone()).unwrap_or_default(),
        errno: errno_of(&error),
        text: format!("{} (and while cleaning up: {})", crate::log::one_line(&error), more.join("; ")),
    };
    stage.into()
}
