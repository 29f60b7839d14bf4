//! The youngest system calls that `rt` cannot do without, and what to say where one of them is refused.

use crate::sys::process::is_refused;

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

/// What ENOSYS means here: which call it is that is not there, and since when Linux has it. Empty for other errors.
pub fn explain(errno: i32) -> String {
    if errno != libc::ENOSYS {
        return String::new();
    }
    let missing: Vec<_> = NEEDED.iter().filter(|(_, number, _)| is_refused(*number)).collect();
    let since = missing.last().map_or("5.12", |(_, _, since)| since);
    let names: Vec<_> = missing.iter().map(|(name, ..)| *name).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(": rt needs {} of Linux {since}, which this kernel or a filter refuses", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_refuses_none_of_them() {
        for (name, number, _) in NEEDED {
            assert!(!is_refused(*number), "{name}");
        }
        assert_eq!(explain(libc::ENOSYS), "");
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
        assert_eq!(explain(libc::EPERM), "");
    }
}
