//! Enabling controllers of cgroup2 down to the container's directory.

use std::path::Path;

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::file;
use crate::plan::cgroup::{ResourcePlan, UnifiedPlan};

/// Enables the controllers from the tree's root down to the parent of `directory`.
///
/// # Errors
/// A controller that a limit needs cannot be enabled.
pub fn enable(directory: &Path, unified: &UnifiedPlan, resources: &ResourcePlan) -> anyhow::Result<()> {
    let missing = |directory: &Path| -> Result<Vec<&str>, Errno> {
        let enabled = file::read_value(&directory.join("cgroup.controllers"))?;
        let is_enabled = |name: &str| enabled.split_whitespace().any(|e| e == name);
        Ok(unified.controllers.iter().map(String::as_str).filter(|c| !is_enabled(c)).collect())
    };
    let read = || format!("read {}/cgroup.controllers", directory.display());
    if unified.controllers.is_empty() || missing(directory).with_context(read)?.is_empty() {
        return Ok(());
    }
    let mut refusals = Vec::new();
    let mut above: Vec<&Path> = directory.ancestors().skip(1).take_while(|a| a.starts_with(&unified.mount)).collect();
    above.reverse();
    for &parent in &above {
        if has_own_processes(parent) {
            refusals.push((parent, Errno::EBUSY));
            continue;
        }
        let control = parent.join("cgroup.subtree_control");
        let all: String = unified.controllers.iter().map(|c| format!("+{c} ")).collect();
        match file::write(&control, all.trim_end()) {
            Ok(()) => {}
            Err(errno @ (Errno::EBUSY | Errno::EOPNOTSUPP)) => refusals.push((parent, errno)),
            // One that cannot be enabled must not keep the others away: cpu, while there are real-time processes.
            Err(_) => {
                for controller in &unified.controllers {
                    if let Err(errno) = file::write(&control, &format!("+{controller}"))
                        && resources.needs_v2(controller)
                    {
                        refusals.push((parent, errno));
                    }
                }
            }
        }
    }
    let Some(controller) = missing(directory).with_context(read)?.into_iter().find(|c| resources.needs_v2(c)) else {
        return Ok(());
    };
    // Above it may be refused where somebody has enabled it already, and below nobody can have it.
    let is_culprit = |parent: &&Path| {
        let enabled = file::read(&parent.join("cgroup.subtree_control")).unwrap_or_default();
        enabled.split_whitespace().all(|name| name != controller)
    };
    let culprit = above.iter().copied().find(is_culprit);
    match refusals.into_iter().find(|(parent, _)| Some(*parent) == culprit) {
        Some((parent, errno)) => {
            let hint = match errno {
                Errno::EBUSY => " (it has processes of its own: cgroup v2 wants them in a child)",
                _ => "",
            };
            Err(errno)
                .with_context(|| format!("enable cgroup controller {controller} below {}{hint}", parent.display()))
        }
        None => bail!("cgroup {}: the {controller} controller cannot be enabled", directory.display()),
    }
}

/// Whether a cgroup other than the machine's root has processes, and so cannot have controllers for its children.
///
/// The kernel would take cpu and pids all the same, but that makes it the root of a threaded tree, in which the
/// container's directory is invalid: clone3 says EOPNOTSUPP. A user's scope, in which their shell runs, is such a one.
fn has_own_processes(directory: &Path) -> bool {
    // The machine's root has no type, and may have processes.
    directory.join("cgroup.type").exists()
        && file::read(&directory.join("cgroup.procs")).is_ok_and(|procs| !procs.trim().is_empty())
}

/// Whether processes can be put there: not into a threaded cgroup, nor below one, but into the root of such a tree.
pub fn takes_processes(directory: &Path) -> bool {
    file::read_value(&directory.join("cgroup.type"))
        .map_or(true, |kind| kind.starts_with("domain") && !kind.contains("invalid"))
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Testbed, skip};
    use super::super::{Cgroup, remove};
    use super::*;
    use crate::host::cgroup::{Layout, Version};

    #[test]
    fn never_makes_a_threaded_tree_of_a_cgroup_with_processes() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let Layout::Unified(_) = testbed.layout else { return skip("not on cgroup v2") };
        let above = testbed.paths().v2.clone().unwrap();
        testbed.spawn("exec sleep 100");
        let mut plan = testbed.plan.clone();
        plan.paths.v2 = Some(above.join("inner"));
        // As for a user's session: cpu cannot be enabled, so the kernel is asked for each one by itself.
        plan.unified.as_mut().unwrap().controllers = vec!["nonsense".into(), "pids".into()];
        let cgroup = Cgroup::create(&plan).unwrap();
        assert_eq!(file::read(&above.join("cgroup.subtree_control")).unwrap().trim(), "");
        assert_eq!(file::read(&above.join("inner/cgroup.type")).unwrap().trim(), "domain");
        remove(cgroup.paths()).unwrap();
    }

    #[test]
    fn a_rootless_container_goes_without_a_cgroup_that_takes_no_processes() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let Layout::Unified(_) = testbed.layout else { return skip("not on cgroup v2") };
        let above = testbed.paths().v2.clone().unwrap();
        testbed.spawn("exec sleep 100");
        file::write(&above.join("cgroup.subtree_control"), "+pids").unwrap();
        let mut plan = testbed.plan.clone();
        plan.paths.v2 = Some(above.join("inner"));
        plan.optional = true;
        let cgroup = Cgroup::create(&plan).unwrap();
        assert!(cgroup.paths().is_empty() && cgroup.v2_fd().is_none());
        assert!(!above.join("inner").exists());
    }

    #[test]
    fn a_controller_that_cannot_be_enabled_is_named() {
        let Some(mut testbed) = Testbed::new(r#"{"memory":{"limit":67108864}}"#) else { return };
        if testbed.layout.version_of("memory") != Some(Version::V2) {
            return skip("memory is not on cgroup v2");
        }
        let above = testbed.paths().v2.clone().unwrap();
        testbed.spawn("exec sleep 100");
        let mut plan = testbed.plan.clone();
        plan.paths.v2 = Some(above.join("middle/inner"));
        let error = format!("{:#}", Cgroup::create(&plan).unwrap_err());
        let expected = format!("enable cgroup controller memory below {} (it has processes", above.display());
        assert!(error.starts_with(&expected) && error.contains("EBUSY"), "{error}");
        assert!(!above.join("middle").exists());
    }
}
