//! The actions: their names, and the values that a filter returns for them.

use oci_spec::runtime::LinuxSeccompAction;

use super::SeccompFault;

/// `EPERM`, the spec's default for `errnoRet` and `defaultErrnoRet`.
const EPERM: u32 = 1;
/// `ENOSYS`, the answer to system calls that are newer than the profile.
pub(super) const ENOSYS: u32 = 38;
/// `MAX_ERRNO` of the kernel: it makes larger values this one.
const MAX_ERRNO: u32 = 4095;
/// The bits of a return value that carry the errno or the tracer's value.
const DATA: u32 = 0xffff;

pub(super) const KILL_THREAD: u32 = 0;
pub(super) const ERRNO: u32 = 0x0005_0000;
pub(super) const NOTIFY: u32 = 0x7fc0_0000;
pub(super) const LOG: u32 = 0x7ffc_0000;
pub(super) const ALLOW: u32 = 0x7fff_0000;

/// A row for every action of the runtime spec: its value for the kernel, and whether it takes an `errnoRet`.
pub const ACTIONS: [(LinuxSeccompAction, &str, u32, bool); 9] = {
    use LinuxSeccompAction::*;
    [
        (ScmpActKillProcess, "SCMP_ACT_KILL_PROCESS", 0x8000_0000, false),
        (ScmpActKillThread, "SCMP_ACT_KILL_THREAD", KILL_THREAD, false),
        (ScmpActKill, "SCMP_ACT_KILL", KILL_THREAD, false),
        (ScmpActTrap, "SCMP_ACT_TRAP", 0x0003_0000, false),
        (ScmpActErrno, "SCMP_ACT_ERRNO", ERRNO, true),
        (ScmpActNotify, "SCMP_ACT_NOTIFY", NOTIFY, false),
        (ScmpActTrace, "SCMP_ACT_TRACE", 0x7ff0_0000, true),
        (ScmpActLog, "SCMP_ACT_LOG", LOG, false),
        (ScmpActAllow, "SCMP_ACT_ALLOW", ALLOW, false),
    ]
};

/// The value that a filter returns for an action.
///
/// # Errors
/// An errno for an action that takes none, which the spec forbids, and one that the kernel would change.
pub(super) fn plan_action(
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    pointer: &dyn Fn() -> String,
) -> Result<u32, SeccompFault> {
    let (_, name, value, takes_errno) =
        ACTIONS.into_iter().find(|row| row.0 == action).expect("the table has every action");
    let limit = if value == ERRNO { MAX_ERRNO } else { DATA };
    match errno_ret {
        Some(_) if !takes_errno => Err(SeccompFault::new(pointer(), format!("{name} takes no errno"))),
        Some(errno) if errno > limit => {
            Err(SeccompFault::new(pointer(), format!("{errno} is more than {limit}, the most that {name} takes")))
        }
        Some(errno) => Ok(value | errno),
        None if takes_errno => Ok(value | EPERM),
        None => Ok(value),
    }
}

/// Whether the kernel would let `one` win over `other` if two filters disagreed.
pub(super) fn is_stricter(one: u32, other: u32) -> bool {
    ((one & !DATA) as i32) < ((other & !DATA) as i32)
}

/// A return value in words: `ERRNO(38)`, `ALLOW`.
pub(super) fn describe(value: u32) -> String {
    let data = value & DATA;
    match ACTIONS.iter().find(|row| row.2 == value & !DATA) {
        Some((_, name, _, true)) => format!("{}({data})", name.trim_start_matches("SCMP_ACT_")),
        Some((_, name, _, false)) => name.trim_start_matches("SCMP_ACT_").to_owned(),
        None => format!("{value:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSeccompAction::*;

    #[test]
    fn the_strictest_action_comes_first_in_the_table() {
        assert!(ACTIONS.windows(2).all(|pair| !is_stricter(pair[1].2, pair[0].2)));
        assert!(is_stricter(0x8000_0000, KILL_THREAD));
        assert!(!is_stricter(ERRNO | 1, ERRNO | 2));
    }

    #[test]
    fn an_errno_goes_only_with_actions_that_take_one() {
        let at = || "/here".to_owned();
        assert_eq!(plan_action(ScmpActErrno, None, &at).expect("EPERM"), ERRNO | 1);
        assert_eq!(plan_action(ScmpActErrno, Some(0), &at).expect("success"), ERRNO);
        assert_eq!(plan_action(ScmpActTrace, Some(0xffff), &at).expect("16 bits"), 0x7ff0_ffff);
        for (action, errno, reason) in [
            (ScmpActAllow, 1, "SCMP_ACT_ALLOW takes no errno"),
            (ScmpActKill, 0, "SCMP_ACT_KILL takes no errno"),
            (ScmpActErrno, 4096, "4096 is more than 4095, the most that SCMP_ACT_ERRNO takes"),
            (ScmpActTrace, 65536, "65536 is more than 65535, the most that SCMP_ACT_TRACE takes"),
        ] {
            let fault = plan_action(action, Some(errno), &at).expect_err(reason);
            assert_eq!((fault.pointer.as_str(), fault.reason.as_str()), ("/here", reason));
        }
    }

    #[test]
    fn a_value_is_described_as_the_profile_wrote_it() {
        assert_eq!(describe(ERRNO | 38), "ERRNO(38)");
        assert_eq!(describe(0x8000_0000), "KILL_PROCESS");
        assert_eq!(describe(0x1234_0000), "0x12340000");
    }
}
