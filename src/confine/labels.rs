//! AppArmor profile and SELinux label, taken on by the next execve.

use anyhow::{Context, Result};

use crate::plan::process::ProcessPlan;

/// Writes the labels with `write_proc`, which takes a path within a verified /proc (CVE-2019-16884 and its kin:
/// a container that puts its own file there would run unconfined). After no_new_privs is fine, before seccomp.
///
/// # Errors
/// When the kernel has no such security module or profile: a label that is asked for is never ignored.
pub fn apply_labels(plan: &ProcessPlan, mut write_proc: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    if let Some(profile) = &plan.apparmor_profile {
        // Since Linux 5.8; attr/exec belongs to whichever module is first.
        write_proc("thread-self/attr/apparmor/exec", format!("exec {profile}").as_bytes())
            .with_context(|| format!("apparmor profile {profile:?}"))?;
    }
    if let Some(label) = &plan.selinux_label {
        write_proc("thread-self/attr/exec", label.as_bytes()).with_context(|| format!("selinux label {label:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::process::tests::plan_of;

    #[test]
    fn writes_nothing_unless_asked() {
        let plan = plan_of(serde_json::json!({}));
        apply_labels(&plan, |path, _| panic!("wrote {path}")).expect("nothing to do");
    }

    #[test]
    fn writes_each_label_to_its_module() {
        let plan = plan_of(serde_json::json!({"apparmorProfile": "box", "selinuxLabel": "u:r:t:s0"}));
        let mut written = Vec::new();
        apply_labels(&plan, |path, bytes| {
            written.push((path.to_string(), String::from_utf8_lossy(bytes).into_owned()));
            Ok(())
        })
        .expect("written");
        let pair = |path: &str, text: &str| (path.to_string(), text.to_string());
        assert_eq!(
            written,
            [pair("thread-self/attr/apparmor/exec", "exec box"), pair("thread-self/attr/exec", "u:r:t:s0")]
        );
    }
}
