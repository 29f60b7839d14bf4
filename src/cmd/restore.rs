//! `rt restore`: a container out of the files of `rt checkpoint`.

use std::os::fd::AsFd;

use anyhow::{Context, bail};
use clap::ArgMatches;

use super::checkpoint::{image_settings, require_root};
use super::creation::Request;
use super::run::{finish, socket_pair};
use crate::cli::Globals;
use crate::stage::foreground::Foreground;
use crate::stage::restore::RestoreSettings;
use crate::stage::runtime::Restored;
use crate::sys::fd;

/// Restores a container from the images and the bundle; in the foreground it stays until the end, and deletes it.
///
/// # Errors
/// Whatever keeps it from running; nothing of it is left then.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let request = Request::load(globals, matches, None)?;
    require_root(&request.host)?;
    let images = image_settings(matches)?;
    if !images.images.join("inventory.img").exists() {
        bail!("--image-path {}: there is no checkpoint in it", images.images.display());
    }
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let settings = RestoreSettings {
        tcp_close: matches.get_flag("tcp-close"),
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    };
    let detach = matches.get_flag("detach");
    let owns_terminal = request.wants_terminal() && !request.has_console_socket() && !detach;
    let (ours, theirs) = if owns_terminal { Some(socket_pair()?) } else { None }.unzip();
    let foreground = if detach { None } else { Some(Foreground::prepare()?) };

    let Restored { container, state, init } = request.restore(globals, theirs, &images, &settings)?;
    let master = ours.map(|socket| fd::receive(socket.as_fd())).transpose().context("receive the terminal")?;
    match foreground {
        Some(foreground) => finish(globals, matches, container, &state, &foreground, init.as_fd(), master),
        None => Ok(0),
    }
}
