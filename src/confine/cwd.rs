//! The working directory: entered, and proven to be inside the root (CVE-2024-21626).

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::{chdir, getcwd};

use crate::plan::process::ProcessPlan;

/// Enters the working directory; false when permission is denied, and the same is to be tried again with the
/// user's own ids. (As root first: Docker users rely on a cwd that their user cannot read; again as the user:
/// the directory may be on a file system that trusts no root.)
///
/// # Errors
/// When there is no such directory, or it is not inside the root.
pub fn try_enter_cwd(plan: &ProcessPlan) -> Result<bool> {
    match chdir(&plan.cwd) {
        Err(Errno::EACCES | Errno::EPERM) => Ok(false),
        result => {
            result.with_context(|| format!("chdir {} (/process/cwd)", plan.cwd.display()))?;
            verify_cwd(plan).map(|()| true)
        }
    }
}

/// Enters the working directory, or says why not.
///
/// # Errors
/// When there is no such directory, no permission, or it is not inside the root.
pub fn enter_cwd(plan: &ProcessPlan) -> Result<()> {
    chdir(&plan.cwd).with_context(|| format!("chdir {} (/process/cwd)", plan.cwd.display()))?;
    verify_cwd(plan)
}

/// A descriptor of the host that leaked, say /proc/self/fd/7, leads out of the root: the kernel calls such a place
/// "(unreachable)", and the C library ENOENT.
fn verify_cwd(plan: &ProcessPlan) -> Result<()> {
    match getcwd() {
        Ok(cwd) if cwd.is_absolute() => Ok(()),
        Ok(_) | Err(Errno::ENOENT) => {
            bail!(
                "chdir {} (/process/cwd): the directory is outside of the container's root, or removed",
                plan.cwd.display()
            )
        }
        Err(errno) => Err(errno).with_context(|| format!("getcwd in {}", plan.cwd.display())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::AsRawFd;

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::chroot;
    use serde_json::json;

    use super::*;
    use crate::plan::process::tests::plan_of;
    use crate::sys::testing::{can_change_root, in_child};

    /// A root of its own for this child: an empty tmpfs with /proc, in a private mount namespace.
    pub(crate) fn enter_empty_root() -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("tmpfs"), "/mnt", Some("tmpfs"), MsFlags::empty(), none)?;
        std::fs::create_dir_all("/mnt/proc")?;
        std::fs::create_dir_all("/mnt/etc")?;
        mount(Some("/proc"), "/mnt/proc", none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
        chroot("/mnt")?;
        chdir("/").map_err(Into::into)
    }

    #[test]
    fn a_descriptor_of_the_host_is_no_way_out() {
        if !can_change_root() {
            return;
        }
        let told = in_child(|| {
            let host = std::fs::File::open("/usr")?;
            enter_empty_root()?;
            let plan = plan_of(json!({"cwd": format!("/proc/self/fd/{}", host.as_raw_fd())}));
            let tried = try_enter_cwd(&plan).map_err(|error| format!("{error:#}"));
            let entered = enter_cwd(&plan).is_err();
            Ok(format!("{} {entered}", tried.expect_err("refused").contains("outside of the container's root")))
        });
        assert_eq!(told.as_deref(), Ok("true true"));
    }

    #[test]
    fn enters_a_directory() {
        if !can_change_root() {
            return;
        }
        let told = in_child(|| {
            enter_empty_root()?;
            let plan = plan_of(json!({"cwd": "/a/../b/c"}));
            std::fs::create_dir_all("/b/c")?;
            std::fs::create_dir("/a")?;
            Ok(format!("{} {}", try_enter_cwd(&plan)?, getcwd()?.display()))
        });
        assert_eq!(told.as_deref(), Ok("true /b/c"));
    }

    #[test]
    fn says_why_a_directory_cannot_be_entered() {
        let plan = plan_of(json!({"cwd": "/etc/passwd"}));
        let told = in_child(|| try_enter_cwd(&plan).map(|entered| entered.to_string()));
        assert_eq!(told, Err("chdir /etc/passwd (/process/cwd): ENOTDIR: Not a directory".into()));
    }
}
