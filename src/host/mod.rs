//! Facts about the machine and the caller, read once; `plan` decides by them.

pub mod calls;
pub mod cgroup;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::sys::credentials::capget;

/// The oldest kernel that has every call `rt` cannot do without: `mount_setattr` is the youngest of them.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// What `plan` may know about the machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Kernel version, major and minor.
    pub kernel: (u32, u32),
    /// Effective user id of the runtime.
    pub euid: u32,
    /// Effective group id of the runtime.
    pub egid: u32,
    /// Effective capabilities of the runtime, one bit each.
    pub capabilities: u64,
    /// Whether the runtime itself runs in a user namespace other than the first.
    pub in_user_namespace: bool,
    /// Whether cgroups are those of a caller without privilege: found out, or said by `--rootless`.
    pub rootless: bool,
    /// How cgroups are mounted.
    pub cgroup: cgroup::Layout,
    /// The caller's `RUN_OCI_SECCOMP_RECEIVER`: the socket of a seccomp agent for profiles that name none.
    pub seccomp_receiver: Option<PathBuf>,
}

impl Host {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When the kernel is older than 5.12, or /proc is not there to be read.
    pub fn read() -> anyhow::Result<Host> {
        let kernel = kernel_version(&nix::sys::utsname::uname().context("uname")?.release().to_string_lossy())
            .context("the kernel's version is not a number")?;
        if kernel < OLDEST_KERNEL {
            bail!("this is Linux {}.{}: rt needs Linux {}.{}", kernel.0, kernel.1, OLDEST_KERNEL.0, OLDEST_KERNEL.1);
        }
        let in_user_namespace = in_user_namespace()?;
        let euid = nix::unistd::geteuid().as_raw();
        let capabilities = capget().context("capget")?.effective;
        let host = Host {
            kernel,
            euid,
            egid: nix::unistd::getegid().as_raw(),
            capabilities,
            in_user_namespace,
            rootless: euid != 0 || in_user_namespace,
            cgroup: cgroup::Layout::read()?,
            seccomp_receiver: std::env::var_os("RUN_OCI_SECCOMP_RECEIVER").map(PathBuf::from),
        };
        // Root of a container that is not privileged has no more power over cgroups than a user.
        Ok(Host { rootless: host.rootless || !host.is_privileged(), ..host })
    }

    /// Whether the runtime has the capability with this number.
    pub fn has_capability(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }

    /// Whether the runtime may make namespaces and mounts without a new user namespace.
    pub fn is_privileged(&self) -> bool {
        const CAP_SYS_ADMIN: u32 = 21;
        self.has_capability(CAP_SYS_ADMIN)
    }
}

/// Whether the caller is in a user namespace other than the first, as its map of ids tells.
///
/// # Errors
/// /proc is not there to be read.
pub fn in_user_namespace() -> anyhow::Result<bool> {
    Ok(!is_initial_map(&cgroup::read_file("/proc/self/uid_map")?))
}

/// Where the caller's files of this boot belong: `$XDG_RUNTIME_DIR`, unless it is relative ("consider the path invalid
/// and ignore it", says the XDG Base Directory Specification), or the directory that a login gives, where it is
/// there and theirs. It outlives the variable: `su`, `sudo -u`, cron and setpriv drop that.
pub fn runtime_directory() -> Option<PathBuf> {
    let variable = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    variable.or_else(|| own_directory(Path::new("/run/user")))
}

fn own_directory(of_all: &Path) -> Option<PathBuf> {
    let euid = nix::unistd::geteuid();
    if euid.is_root() {
        return None;
    }
    let directory = of_all.join(euid.to_string());
    let metadata = std::fs::symlink_metadata(&directory).ok()?;
    (metadata.is_dir() && metadata.uid() == euid.as_raw()).then_some(directory)
}

/// Reads `6.18.44-fc-v669` as (6, 18).
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a uid_map is the identity over all ids, as the first user namespace has it.
fn is_initial_map(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kernel_versions() {
        for (release, version) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.12.0", Some((5, 12))),
            ("7.2-rc1", Some((7, 2))),
            ("6.1+deb", Some((6, 1))),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(kernel_version(release), version, "{release}");
        }
    }

    #[test]
    fn tells_the_first_user_namespace_by_its_map() {
        assert!(is_initial_map("         0          0 4294967295\n"));
        assert!(!is_initial_map("         0       1000          1\n"));
        assert!(!is_initial_map(""));
    }
}
