//! AppArmor profile and SELinux label, taken on by the next execve.

use anyhow::{Context, Result, bail};

use crate::plan::process::ProcessPlan;

/// Since Linux 5.8; attr/exec belongs to whichever module is first.
const APPARMOR: &str = "thread-self/attr/apparmor/exec";
const SELINUX: &str = "thread-self/attr/exec";
const SELINUX_KEYS: &str = "thread-self/attr/keycreate";

/// Writes the labels through a verified /proc (CVE-2019-16884 and its kin: a container that puts its own file there
/// would run unconfined), of which `read` and `write` take a path. After no_new_privs is fine, before seccomp.
///
/// # Errors
/// When the kernel has no such security module or profile: a label that is asked for is never ignored.
pub fn apply_labels(
    plan: &ProcessPlan,
    read: impl Fn(&str) -> Result<Vec<u8>>,
    write: impl Fn(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    // podman knows a path between backticks for that of a security attribute.
    let set = |path: &str, text: &str| write(path, text.as_bytes()).with_context(|| format!("write `/proc/{path}`"));
    if let Some(profile) = &plan.apparmor_profile {
        set(APPARMOR, &format!("exec {profile}"))
            .map_err(|error| match read("thread-self/attr/apparmor/current") {
                Ok(_) => error,
                Err(_) => error.context("AppArmor is not enabled on this machine"),
            })
            .with_context(|| format!("apparmor profile {profile:?} (/process/apparmorProfile)"))?;
    }
    apply_selinux(SELINUX, plan, read, write)
}

/// Labels the keys that are made from here on until the next execve: the session keyring is the program's, which may
/// have no right to those of the runtime. `read` and `write` as above.
///
/// # Errors
/// When the kernel has no SELinux or no such label.
pub fn apply_key_label(
    plan: &ProcessPlan,
    read: impl Fn(&str) -> Result<Vec<u8>>,
    write: impl Fn(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    apply_selinux(SELINUX_KEYS, plan, read, write)
}

fn apply_selinux(
    path: &str,
    plan: &ProcessPlan,
    read: impl Fn(&str) -> Result<Vec<u8>>,
    write: impl Fn(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    let Some(label) = &plan.selinux_label else { return Ok(()) };
    // Else another module would take the label for a command of its own.
    let filesystems = read("filesystems").context("read /proc/filesystems")?;
    if !is_selinux_in(&String::from_utf8_lossy(&filesystems)) {
        bail!("selinux label {label:?} (/process/selinuxLabel): SELinux is not enabled on this machine");
    }
    write(path, label.as_bytes())
        .with_context(|| format!("write `/proc/{path}`"))
        .with_context(|| format!("selinux label {label:?} (/process/selinuxLabel)"))
}

fn is_selinux_in(filesystems: &str) -> bool {
    filesystems.split_whitespace().any(|word| word == "selinuxfs")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use nix::errno::Errno;

    use super::*;
    use crate::plan::process::tests::plan_of;

    /// A kernel with these modules.
    struct Kernel {
        apparmor: bool,
        selinux: bool,
        written: RefCell<Vec<(String, String)>>,
    }

    impl Kernel {
        fn read(&self, path: &str) -> Result<Vec<u8>> {
            match path {
                "filesystems" if self.selinux => Ok(b"nodev\tselinuxfs\nnodev\tproc\n".to_vec()),
                "filesystems" => Ok(b"nodev\tproc\n".to_vec()),
                "thread-self/attr/apparmor/current" if self.apparmor => Ok(b"unconfined\n".to_vec()),
                _ => Err(Errno::EINVAL.into()),
            }
        }

        fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
            if (path == APPARMOR && !self.apparmor) || bytes == b"exec missing" {
                return Err(Errno::ENOENT.into());
            }
            self.written.borrow_mut().push((path.to_owned(), String::from_utf8_lossy(bytes).into_owned()));
            Ok(())
        }
    }

    fn apply(kernel: &Kernel, config: serde_json::Value) -> Result<()> {
        apply_labels(&plan_of(config), |path| kernel.read(path), |path, bytes| kernel.write(path, bytes))
    }

    fn kernel(apparmor: bool, selinux: bool) -> Kernel {
        Kernel { apparmor, selinux, written: RefCell::default() }
    }

    fn error_of(kernel: &Kernel, config: serde_json::Value) -> String {
        format!("{:#}", apply(kernel, config).expect_err("no such label"))
    }

    #[test]
    fn writes_nothing_unless_asked() {
        let kernel = kernel(true, true);
        apply(&kernel, serde_json::json!({})).expect("nothing to do");
        assert!(kernel.written.borrow().is_empty());
    }

    #[test]
    fn writes_each_label_to_its_module() {
        let kernel = kernel(true, true);
        apply(&kernel, serde_json::json!({"apparmorProfile": "box", "selinuxLabel": "u:r:t:s0"})).expect("written");
        let pair = |path: &str, text: &str| (path.to_string(), text.to_string());
        assert_eq!(*kernel.written.borrow(), [pair(APPARMOR, "exec box"), pair(SELINUX, "u:r:t:s0")]);
    }

    #[test]
    fn keys_have_the_label_of_the_program() {
        let kernel = kernel(false, true);
        let plan = plan_of(serde_json::json!({"selinuxLabel": "u:r:t:s0\n", "apparmorProfile": "box"}));
        apply_key_label(&plan, |path| kernel.read(path), |path, bytes| kernel.write(path, bytes)).expect("written");
        assert_eq!(*kernel.written.borrow(), [(SELINUX_KEYS.to_owned(), "u:r:t:s0".to_owned())]);
    }

    #[test]
    fn says_whether_it_is_the_module_that_is_missing() {
        let missing = serde_json::json!({"apparmorProfile": "missing"});
        assert_eq!(
            error_of(&kernel(false, false), missing.clone()),
            "apparmor profile \"missing\" (/process/apparmorProfile): AppArmor is not enabled on this machine: \
             write `/proc/thread-self/attr/apparmor/exec`: ENOENT: No such file or directory"
        );
        assert!(!error_of(&kernel(true, false), missing).contains("enabled"));
    }

    #[test]
    fn a_label_of_selinux_is_no_command_for_another_module() {
        let kernel = kernel(true, false);
        let error = error_of(&kernel, serde_json::json!({"selinuxLabel": "exec box"}));
        assert_eq!(error, "selinux label \"exec box\" (/process/selinuxLabel): SELinux is not enabled on this machine");
        assert!(kernel.written.borrow().is_empty());
    }
}
