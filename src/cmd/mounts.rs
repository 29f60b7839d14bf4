//! `rt mounts`: the mount tree of a container that runs, changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ArgMatches;

use crate::cli::Globals;
use crate::error::Faults;
use crate::host::Host;
use crate::plan::namespaces::plan_namespaces;
use crate::plan::rootfs::{MountKind, RootfsPlan, plan_rootfs};
use crate::rootfs::{MountContext, prepare_all};
use crate::spec::{self, MOUNTS, Spec};
use crate::stage::mounts::{Change, change};
use crate::state::{Boot, InitHandle};

/// Adds the mounts of a file to a container, all or none; or takes away what is mounted on their destinations.
///
/// As crun's command; it adds bind mounts only, `rt` all that `create` knows.
///
/// # Errors
/// When the container does not run or has no mount namespace of its own, or a mount is wrong or refused.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let adds = match matches.get_one::<String>("action").map_or("", String::as_str) {
        "add" => true,
        "remove" => false,
        other => bail!("mounts: {other:?} is neither add nor remove"),
    };
    let file = matches.get_one::<PathBuf>("file").context("no file is given")?;
    let container = super::container(globals, matches)?;
    super::lock_created(&container)?;
    let state = container.load()?;
    let id = container.id().as_str();
    let Some(init) = InitHandle::open(&state, &Boot::default())? else { bail!("{id:?}: container not running") };
    if !state.own_mount_namespace {
        bail!("{id:?}: container has no mount namespace of its own");
    }
    let host = Host::read()?;
    if !host.is_privileged() {
        bail!("mounts: needs root privilege");
    }
    let spec = spec::load_mounts(file, state.bundle.clone(), &container.config_text()?)?;
    let namespaces = plan_namespaces(&spec, &host, &mut Faults::default());
    if !adds {
        let destinations = destinations_of(&spec)?;
        change(init.as_fd(), &namespaces, Change::Remove(&destinations))?;
        return Ok(0);
    }
    let mut faults = Faults::default();
    let mut plan = plan_rootfs(&spec, &host, &namespaces, &mut faults);
    plan.readonly = false;
    check(&plan, &mut faults);
    // The rest of the configuration is what the container was created from.
    faults.errors.retain(|fault| fault.pointer.starts_with("/mounts"));
    faults.warnings.retain(|fault| fault.pointer.starts_with("/mounts"));
    let faults = faults.of_file(MOUNTS);
    faults.warnings.iter().for_each(|warning| globals.log.warn(&warning.to_string()));
    faults.into_result(())?;
    let context = MountContext { cgroup: &state.cgroup, layout: &host.cgroup };
    change(init.as_fd(), &namespaces, Change::Add(&plan, prepare_all(&plan)?, context))?;
    Ok(0)
}

/// What can be added to a tree that is in use, and taken back.
fn check(plan: &RootfsPlan, faults: &mut Faults) {
    for mount in &plan.mounts {
        let pointer = |field: &str| format!("/mounts/{}/{field}", mount.index);
        if mount.destination == Path::new("/") || mount.destination.as_os_str().is_empty() {
            faults.error(pointer("destination"), "is the root of the container");
        }
        match &mount.kind {
            MountKind::Remount { .. } => faults.error(pointer("options"), "remount adds nothing"),
            MountKind::Bind(bind) if bind.copy_symlink => {
                faults.error(pointer("options"), "copy-symlink is for containers that are created");
            }
            _ => {}
        }
    }
}

fn destinations_of(spec: &Spec) -> anyhow::Result<Vec<PathBuf>> {
    let mut destinations = Vec::new();
    for (index, mount) in spec.oci.mounts().iter().flatten().enumerate() {
        match crate::plan::rootfs::clean_destination(mount.destination()) {
            Some(path) if path != Path::new("/") && !path.as_os_str().is_empty() => destinations.push(path),
            _ => bail!("{MOUNTS}: /mounts/{index}/destination: is no place in the container"),
        }
    }
    Ok(destinations)
}
