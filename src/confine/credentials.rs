//! Users, groups, capabilities, no_new_privs, umask, session keyring.
//!
//! In this order: `drop_bounding` (needs CAP_SETPCAP), `set_ids` (needs CAP_SETUID and CAP_SETGID, keeps the permitted
//! set), `restrict_effective` and `regain_effective` as it is needed, `set_capabilities`, `set_no_new_privileges`.

use std::ffi::CString;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::plan::process::ProcessPlan;
use crate::plan::process::capabilities::List;
use crate::sys::credentials as sys;

/// What to do about supplementary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// They become those of the plan.
    Set,
    /// The same, but a user namespace may deny it where the plan has none: then the caller's stay.
    SetUnlessDenied,
    /// The caller's stay: annotation `run.oci.keep_original_groups`.
    Keep,
}

/// Drops from the bounding set all that is not asked for, also what rt does not know by name.
///
/// # Errors
/// When a capability stays that was not asked for.
pub fn drop_bounding(plan: &ProcessPlan) -> Result<()> {
    for capability in (0..64).filter(|number| plan.capabilities.bounding & 1 << number == 0) {
        match sys::bounding_drop(capability) {
            Ok(()) => {}
            // The kernel knows no more.
            Err(Errno::EINVAL) => break,
            // Without CAP_SETPCAP it is right if there is nothing to drop.
            Err(Errno::EPERM) if sys::bounding_has(capability) == Ok(false) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("drop {} from the bounding set", List(1 << capability)));
            }
        }
    }
    Ok(())
}

/// Becomes the plan's user and groups. Keeps the permitted capabilities for `set_capabilities`, which must follow.
/// Clears the parent-death signal and the dumpable flag where the user changes: the caller sets them again.
///
/// # Errors
/// When the kernel refuses, for example an id that the user namespace does not map (EINVAL).
pub fn set_ids(plan: &ProcessPlan, groups: Groups) -> Result<()> {
    if groups != Groups::Keep {
        let gids: Vec<Gid> = plan.additional_gids.iter().copied().map(Gid::from_raw).collect();
        match setgroups(&gids) {
            Err(Errno::EPERM) if groups == Groups::SetUnlessDenied && gids.is_empty() => {}
            Err(Errno::EPERM) if groups == Groups::SetUnlessDenied => {
                return Err(Errno::EPERM).context("set additional groups: this user namespace denies setgroups(2)");
            }
            result => result.map_err(explain_group).with_context(|| {
                format!("set additional groups {:?} (/process/user/additionalGids)", plan.additional_gids)
            })?,
        }
    }
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    setresgid(gid, gid, gid).map_err(explain_id).with_context(|| format!("set group {gid}"))?;
    if !uid.is_root() {
        prctl::set_keepcaps(true).context("keep capabilities")?;
    }
    setresuid(uid, uid, uid).map_err(explain_id).with_context(|| format!("set user {uid}"))
}

fn explain_group(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::EINVAL => anyhow::Error::from(errno).context("this user namespace does not map all of them"),
        _ => errno.into(),
    }
}

/// What the kernel's "invalid argument" means for an id.
fn explain_id(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::EINVAL => anyhow::Error::from(errno).context("this user namespace does not map it"),
        _ => errno.into(),
    }
}

/// Leaves only those capabilities effective that the plan's program will have, and gives the caller's own, for the two
/// steps that follow.
///
/// # Errors
/// None in practice.
pub fn restrict_effective(plan: &ProcessPlan) -> Result<sys::CapabilitySets> {
    let own = sys::capget().context("read capabilities")?;
    let effective = plan.capabilities.effective & own.permitted;
    sys::capset(sys::CapabilitySets { effective, ..own }).context("make capabilities ineffective")?;
    Ok(own)
}

/// Makes all permitted capabilities effective: setresuid(2) to a user other than root leaves them permitted only.
///
/// # Errors
/// None in practice.
pub fn regain_effective(own: sys::CapabilitySets) -> Result<()> {
    sys::capset(sys::CapabilitySets { effective: own.permitted, ..own }).context("make capabilities effective")
}

/// Sets effective, permitted, inheritable and ambient capabilities, as far as they are among the `own`.
///
/// Gives a warning for each set of which something cannot be granted: the OCI spec wants no error there.
///
/// # Errors
/// When the kernel refuses what it should grant.
pub fn set_capabilities(plan: &ProcessPlan, own: sys::CapabilitySets) -> Result<Vec<String>> {
    let asked = plan.capabilities;
    let bounding = own_bounding(asked.bounding, own);
    let sets = sys::CapabilitySets {
        permitted: asked.permitted & own.permitted,
        effective: asked.effective & own.permitted,
        // The kernel lets inheritable grow within permitted, or, with CAP_SETPCAP, within bounding.
        inheritable: asked.inheritable & (own.inheritable | own.permitted) & (own.inheritable | bounding),
    };
    let ambient = asked.ambient & sets.permitted & sets.inheritable;
    sys::ambient_clear().context("clear ambient capabilities")?;
    sys::capset(sets).context("set capabilities")?;
    for capability in (0..64).filter(|number| ambient & 1 << number != 0) {
        sys::ambient_raise(capability).with_context(|| format!("raise ambient {}", List(1 << capability)))?;
    }
    let refused = [
        ("bounding", asked.bounding & !bounding),
        ("permitted", asked.permitted & !sets.permitted),
        ("effective", asked.effective & !sets.effective),
        ("inheritable", asked.inheritable & !sets.inheritable),
        ("ambient", asked.ambient & !ambient),
    ];
    Ok(refused
        .into_iter()
        .filter(|(_, refused)| *refused != 0)
        .map(|(set, refused)| format!("capabilities {set}: {} cannot be granted: rt does not have it", List(refused)))
        .collect())
}

/// What of `asked` is in the caller's bounding set. May leave inheritable capabilities, which the caller sets anyhow.
fn own_bounding(asked: u64, own: sys::CapabilitySets) -> u64 {
    // One call in place of one for each: inheritable grows within bounding only.
    let grown = sys::CapabilitySets { inheritable: own.inheritable | asked, ..own };
    if own.inheritable & asked == 0 && sys::capset(grown).is_ok() {
        return asked;
    }
    (0..64)
        .filter(|number| asked & 1 << number != 0 && sys::bounding_has(*number) == Ok(true))
        .fold(0, |set, number| set | 1 << number)
}

/// Forbids execve to raise privileges, where the plan says so.
///
/// # Errors
/// The kernel's.
pub fn set_no_new_privileges(plan: &ProcessPlan) -> Result<()> {
    if plan.no_new_privileges {
        prctl::set_no_new_privs().context("set no_new_privs")?;
    }
    Ok(())
}

/// Sets the file mode creation mask. Last of all that creates files for the container.
pub fn set_umask(plan: &ProcessPlan) {
    umask(Mode::from_bits_truncate(plan.umask));
}

/// Joins a new session keyring, so that the container cannot use the caller's keys. Before the ids change.
/// Not called with `--no-new-keyring`.
///
/// # Errors
/// The kernel's, except that a kernel without keyrings is good, and so is a filter around us that forbids keyctl(2): it
/// is the container's, too.
pub fn apply_session_keyring(id: &str) -> Result<()> {
    let Ok(name) = CString::new(format!("_ses.{id}")) else { bail!("session keyring {id:?}: contains NUL") };
    match sys::join_session_keyring(&name) {
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        result => result.with_context(|| format!("join session keyring {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use serde_json::json;

    use super::*;
    use crate::plan::process::tests::plan_of;
    use crate::sys::testing::{in_child, is_root};

    fn status(keys: &[&str]) -> Result<String> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let lines = status.lines().filter(|line| keys.iter().any(|key| line.split(':').next() == Some(*key)));
        Ok(lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect())
    }

    fn become_plan(plan: &ProcessPlan) -> Result<Vec<String>> {
        drop_bounding(plan)?;
        set_ids(plan, Groups::Set)?;
        let warnings = set_capabilities(plan, restrict_effective(plan)?)?;
        set_no_new_privileges(plan)?;
        Ok(warnings)
    }

    #[test]
    fn becomes_a_user_with_exactly_the_capabilities_of_the_plan() {
        if !is_root() {
            return;
        }
        let plan = plan_of(json!({
            "user": {"uid": 1000, "gid": 1001, "additionalGids": [7, 5]},
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_CHOWN"],
                "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
            },
        }));
        let told = in_child(|| {
            let warnings = become_plan(&plan)?;
            Ok(status(&["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"])?
                + &warnings.join("\n"))
        });
        let expected = "Uid: 1000 1000 1000 1000\nGid: 1001 1001 1001 1001\nGroups: 5 7\n\
            CapInh: 0000000000000020\nCapPrm: 0000000000000021\nCapEff: 0000000000000001\nCapBnd: 0000000000000021\n\
            CapAmb: 0000000000000020\nNoNewPrivs: 1\n";
        assert_eq!(told.as_deref(), Ok(expected));
    }

    /// Whoever is hidden once the ids are set stays so: no later step sets the flag again.
    #[test]
    fn giving_capabilities_up_leaves_a_process_hidden_and_bound_to_its_parent() {
        if !is_root() {
            return;
        }
        let plan = plan_of(json!({
            "user": {"uid": 1000, "gid": 1000},
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
                "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
            },
        }));
        let told = in_child(|| {
            drop_bounding(&plan)?;
            set_ids(&plan, Groups::Set)?;
            prctl::set_dumpable(false)?;
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            let own = restrict_effective(&plan)?;
            regain_effective(own)?;
            set_capabilities(&plan, own)?;
            set_no_new_privileges(&plan)?;
            Ok(format!("{} {:?}", prctl::get_dumpable()?, prctl::get_pdeathsig()?))
        });
        assert_eq!(told.as_deref(), Ok("false Some(SIGKILL)"));
    }

    #[test]
    fn without_capabilities_root_has_none() {
        if !is_root() {
            return;
        }
        let plan = plan_of(json!({}));
        let told = in_child(|| {
            become_plan(&plan)?;
            status(&["Uid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
        });
        let none = "0000000000000000";
        let expected = format!(
            "Uid: 0 0 0 0\nGroups:\nCapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\n"
        );
        assert_eq!(told, Ok(expected));
    }

    #[test]
    fn what_cannot_be_granted_is_a_warning() {
        if !is_root() {
            return;
        }
        let all_three = json!(["CAP_KILL", "CAP_SETUID"]);
        let plan = plan_of(json!({"capabilities": {
            "bounding": all_three, "permitted": all_three, "effective": all_three, "inheritable": ["CAP_KILL"],
            "ambient": ["CAP_KILL"],
        }}));
        let told = in_child(|| {
            let mut own = sys::capget()?;
            own.permitted &= !(1 << 5);
            own.effective = own.permitted;
            own.inheritable = 0;
            sys::bounding_drop(5)?;
            sys::capset(own)?;
            Ok(become_plan(&plan)?.join("\n") + "\n" + &status(&["CapEff"])?)
        });
        let sets = ["bounding", "permitted", "effective", "inheritable", "ambient"];
        let mut expected: String = sets
            .iter()
            .map(|set| format!("capabilities {set}: CAP_KILL cannot be granted: rt does not have it\n"))
            .collect();
        expected.push_str("CapEff: 0000000000000080\n");
        assert_eq!(told, Ok(expected));
    }

    #[test]
    fn a_capability_that_cannot_be_dropped_is_an_error() {
        if !is_root() {
            return;
        }
        let plan = plan_of(json!({}));
        let told = in_child(|| {
            sys::capset(sys::CapabilitySets::default())?;
            drop_bounding(&plan).map(|()| String::new())
        });
        assert_eq!(told, Err("drop CAP_CHOWN from the bounding set: EPERM: Operation not permitted".into()));
    }

    #[test]
    fn joins_a_keyring_of_its_own() {
        let told = in_child(|| apply_session_keyring("test").map(|()| "joined".into()));
        assert_eq!(told, Ok("joined".into()));
    }
}
