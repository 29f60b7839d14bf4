//! The home directory of a user, from the container's own /etc/passwd.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

use crate::plan::process::ProcessPlan;

/// Adds HOME to the environment where it is absent: from /etc/passwd, or `/` when the user is not there.
/// In the container's root.
pub fn add_home(plan: &ProcessPlan, env: &mut Vec<CString>) {
    if plan.variable("HOME").is_none() {
        let mut variable = b"HOME=".to_vec();
        variable.extend(home_of(plan.uid).unwrap_or_else(|| b"/".to_vec()));
        env.extend(CString::new(variable));
    }
}

/// Larger files are not looked at to their end.
const LARGEST_PASSWD: u64 = 1 << 20;

/// The home directory of `uid` in /etc/passwd, read as a hostile file: it may be a fifo, a device, endless, or a
/// magic link to what rt has open.
pub fn home_of(uid: u32) -> Option<Vec<u8>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let fd: OwnedFd = openat2(AT_FDCWD, "/etc/passwd", how).ok()?;
    let mode = SFlag::from_bits_truncate(fstat(fd.as_fd()).ok()?.st_mode);
    if mode & SFlag::S_IFMT != SFlag::S_IFREG {
        return None;
    }
    let mut text = Vec::new();
    File::from(fd).take(LARGEST_PASSWD).read_to_end(&mut text).ok()?;
    home_in(&text, uid)
}

/// Finds the sixth field of the first line with this uid.
fn home_in(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let is_user = fields.next()? == uid.as_bytes();
        let home = fields.nth(2)?;
        (is_user && home.starts_with(b"/") && !home.contains(&0)).then(|| home.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use serde_json::json;

    use super::*;
    use crate::confine::cwd::tests::enter_empty_root;
    use crate::plan::process::tests::plan_of;
    use crate::sys::testing::{can_change_root, in_child};

    #[test]
    fn a_hostile_passwd_file_neither_hangs_rt_nor_leads_out() {
        if !can_change_root() {
            return;
        }
        let told = in_child(|| {
            let host = File::open("/etc/passwd")?;
            enter_empty_root()?;
            let mut homes = vec![home_of(0)];
            std::os::unix::fs::symlink(format!("/proc/self/fd/{}", host.as_raw_fd()), "/etc/passwd")?;
            homes.push(home_of(0));
            std::fs::remove_file("/etc/passwd")?;
            mkfifo("/etc/passwd", Mode::S_IRWXU)?;
            homes.push(home_of(0));
            std::fs::remove_file("/etc/passwd")?;
            std::fs::write("/etc/elsewhere", "r:x:0:0::/r:/bin/sh")?;
            std::os::unix::fs::symlink("elsewhere", "/etc/passwd")?;
            homes.push(home_of(0));
            Ok(format!("{homes:?}"))
        });
        assert_eq!(told.as_deref(), Ok("[None, None, None, Some([47, 114])]"));
    }

    #[test]
    fn adds_home_where_it_is_absent() {
        let mut env = Vec::new();
        add_home(&plan_of(json!({"env": ["HOME="]})), &mut env);
        assert_eq!(env, Vec::<CString>::new());
        add_home(&plan_of(json!({"env": ["HOMER=/x"], "user": {"uid": 4_000_000_000_u32, "gid": 0}})), &mut env);
        assert_eq!(env, [c"HOME=/".to_owned()]);
    }

    #[test]
    fn finds_the_home_of_a_user() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\n\n:::\napp:x:1000:1000::/home/app:\nlast:x:7:7::/l";
        assert_eq!(home_in(passwd, 0), Some(b"/root".to_vec()));
        assert_eq!(home_in(passwd, 1000), Some(b"/home/app".to_vec()));
        assert_eq!(home_in(passwd, 7), Some(b"/l".to_vec()));
        assert_eq!(home_in(passwd, 1), None);
        assert_eq!(home_in(b"a:x:1:1::relative:\na:x:01:1::/x:", 1), None);
    }
}
