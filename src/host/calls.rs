//! The youngest system calls that `rt` cannot do without, and what to say where one of them is refused.

use nix::errno::Errno;

use crate::sys::credentials::capget;
use crate::sys::process::refusal;

/// Name, number and the first kernel that has it.
const NEEDED: &[(&str, libc::c_long, &str)] = &[
    ("execveat", libc::SYS_execveat, "3.19"),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, "5.1"),
    ("open_tree", libc::SYS_open_tree, "5.2"),
    ("move_mount", libc::SYS_move_mount, "5.2"),
    ("fsopen", libc::SYS_fsopen, "5.2"),
    ("fsconfig", libc::SYS_fsconfig, "5.2"),
    ("fsmount", libc::SYS_fsmount, "5.2"),
    ("clone3", libc::SYS_clone3, "5.3"),
    ("pidfd_open", libc::SYS_pidfd_open, "5.3"),
    ("openat2", libc::SYS_openat2, "5.6"),
    ("close_range", libc::SYS_close_range, "5.9"),
    ("mount_setattr", libc::SYS_mount_setattr, "5.12"),
];

/// Those that say EPERM to whoever may not mount, whatever they are asked.
const PRIVILEGED: &[&str] = &["move_mount", "fsopen", "fsmount"];

/// What ENOSYS or EPERM means here: which call it is that is not there, and since when Linux has it, or which one a
/// filter refuses. Empty for other errors.
pub fn explain(errno: i32) -> String {
    match Errno::from_raw(errno) {
        errno @ (Errno::ENOSYS | Errno::EPERM) => explain_by(errno, refusal, is_privileged()),
        _ => String::new(),
    }
}

fn is_privileged() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    capget().is_ok_and(|own| own.effective & 1 << CAP_SYS_ADMIN != 0)
}

fn explain_by(errno: Errno, ask: impl Fn(libc::c_long) -> Option<Errno>, is_privileged: bool) -> String {
    // Without privilege EPERM is what the kernel itself says.
    let is_telling = |name: &str| errno == Errno::ENOSYS || is_privileged || !PRIVILEGED.contains(&name);
    let refused = NEEDED.iter().filter(|(name, number, _)| is_telling(name) && ask(*number) == Some(errno));
    let refused: Vec<_> = refused.collect();
    let Some((.., since)) = refused.last() else { return String::new() };
    let names = refused.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    match errno {
        Errno::ENOSYS => format!(": rt needs {names} of Linux {since}, which this kernel or a filter refuses"),
        _ => format!(": rt needs {names}, which a filter around it refuses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_refuses_none_of_them() {
        for (name, number, _) in NEEDED {
            let refusal = refusal(*number).expect("-1 is nothing");
            assert_ne!(refusal, Errno::ENOSYS, "{name}");
            assert!(refusal != Errno::EPERM || PRIVILEGED.contains(name) && !is_privileged(), "{name}");
        }
        assert_eq!(explain(libc::ENOSYS) + &explain(libc::EPERM), "");
    }

    #[test]
    fn says_who_refuses_and_what() {
        let without = |refused: &'static [&str], with: Errno| {
            move |number| {
                let name = NEEDED.iter().find(|(_, other, _)| *other == number).map(|(name, ..)| *name);
                Some(if name.is_some_and(|name| refused.contains(&name)) { with } else { Errno::EINVAL })
            }
        };
        let old = without(&["close_range", "mount_setattr"], Errno::ENOSYS);
        let wanted = ": rt needs close_range, mount_setattr of Linux 5.12, which this kernel or a filter refuses";
        assert_eq!(explain_by(Errno::ENOSYS, old, true), wanted);
        assert_eq!(explain_by(Errno::EPERM, old, true), "");
        let filter = without(&["fsopen", "clone3"], Errno::EPERM);
        let wanted = ": rt needs fsopen, clone3, which a filter around it refuses";
        assert_eq!(explain_by(Errno::EPERM, filter, true), wanted);
        assert_eq!(explain_by(Errno::EPERM, filter, false), ": rt needs clone3, which a filter around it refuses");
        assert_eq!(explain_by(Errno::EPERM, |_| Some(Errno::EINVAL), false), "");
    }

    #[test]
    fn the_youngest_is_last() {
        let versions = NEEDED.iter().map(|(_, _, since)| {
            let (major, minor) = since.split_once('.').unwrap();
            (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap())
        });
        assert!(versions.clone().is_sorted());
        assert_eq!(versions.max(), Some(crate::host::OLDEST_KERNEL));
    }

    #[test]
    fn another_error_needs_no_such_words() {
        assert_eq!(explain(libc::EACCES) + &explain(0), "");
    }
}
