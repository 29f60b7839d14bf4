//! `rt checkpoint`: a running container into files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ArgMatches;

use super::creation::driver;
use crate::cli::Globals;
use crate::criu::{CgroupMode, NetworkLock, PageServer};
use crate::host::Host;
use crate::plan::Plan;
use crate::spec::Spec;
use crate::stage::checkpoint::{DumpSettings, ImageSettings, dump, parse_empty_namespaces};
use crate::stage::teardown::destroy;
use crate::state::{Boot, Status};

/// Where images are, when nobody says.
const IMAGES: &str = "checkpoint";

/// Dumps a container. Unless it is left running, it is gone afterwards, as if it had been deleted.
///
/// # Errors
/// When it does not run, or CRIU refuses; the container runs on then.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let container = super::container(globals, matches)?;
    container.lock()?;
    let state = container.load()?;
    let id = container.id().as_str();
    match container.status(&state, &Boot::default())? {
        Status::Running | Status::Paused => {}
        Status::Created => bail!("{id:?}: container is created: there is nothing to checkpoint before it is started"),
        Status::Stopped => bail!("{id:?}: container not running"),
        Status::Creating => bail!("{id:?}: container is still being created"),
    }
    let host = Host::read()?;
    require_root(&host)?;
    let images = image_settings(matches)?;
    let settings = dump_settings(matches)?;
    let spec = Spec::from_text(state.bundle.clone(), container.config_text()?)?;
    // The faults were found when it was created.
    let (plan, _) = Plan::examine(&spec, &host, id, driver(globals, &host));
    dump(&state, &plan, &images, &settings).with_context(|| format!("checkpoint {id:?}"))?;
    if !settings.leave_running && !settings.pre_dump {
        destroy(&globals.log, container, &state, None)?;
    }
    Ok(0)
}

/// CRIU reads and makes processes of others.
///
/// # Errors
/// When the caller is not root on this machine.
pub fn require_root(host: &Host) -> anyhow::Result<()> {
    if host.euid != 0 || host.in_user_namespace {
        bail!("checkpoint and restore need root, outside of every user namespace: CRIU does");
    }
    Ok(())
}

/// The flags that checkpoint and restore share.
///
/// # Errors
/// A path that cannot be made absolute, a namespace that is none.
pub fn image_settings(matches: &ArgMatches) -> anyhow::Result<ImageSettings> {
    let images = absolute(matches.get_one::<PathBuf>("image-path").map_or(Path::new(IMAGES), PathBuf::as_path))?;
    let work = matches.get_one::<PathBuf>("work-path").map(|path| absolute(path)).transpose()?;
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    Ok(ImageSettings {
        work: work.unwrap_or_else(|| images.clone()),
        images,
        tcp_established: matches.get_flag("tcp-established"),
        ext_unix_sockets: matches.get_flag("ext-unix-sk"),
        shell_job: matches.get_flag("shell-job"),
        file_locks: matches.get_flag("file-locks"),
        link_remap: matches.get_flag("link-remap"),
        auto_dedup: matches.get_flag("auto-dedup"),
        lazy_pages: matches.get_flag("lazy-pages"),
        cgroup_mode: word("manage-cgroups-mode").and_then(CgroupMode::from_word).unwrap_or_default(),
        empty_namespaces: parse_empty_namespaces(matches.get_many::<String>("empty-ns").into_iter().flatten())?,
        network_lock: word("network-lock").and_then(NetworkLock::from_word),
    })
}

fn dump_settings(matches: &ArgMatches) -> anyhow::Result<DumpSettings> {
    let parent = matches.get_one::<PathBuf>("parent-path").cloned();
    if parent.as_deref().is_some_and(Path::is_absolute) {
        bail!("--parent-path must be relative to --image-path: the images keep it as it is");
    }
    let page_server = match matches.get_one::<String>("page-server") {
        Some(text) => {
            Some(PageServer::parse(text).with_context(|| format!("--page-server {text:?} is not ADDRESS:PORT"))?)
        }
        None => None,
    };
    Ok(DumpSettings {
        leave_running: matches.get_flag("leave-running"),
        pre_dump: matches.get_flag("pre-dump"),
        parent,
        tcp_skip_in_flight: matches.get_flag("tcp-skip-in-flight"),
        page_server,
        status_fd: matches.get_one::<i32>("status-fd").copied(),
    })
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}
