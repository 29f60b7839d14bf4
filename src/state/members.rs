//! The processes of a container: those in its cgroups, or, where it has none, those in its pid namespace.

use std::path::PathBuf;

use super::{Boot, State, init};
use crate::cgroup;

/// Their pids, as the caller's pid namespace counts.
///
/// Without a cgroup and a pid namespace of the container's own only init is known for sure. Nobody who is not in the
/// container can make himself one of them.
///
/// # Errors
/// When /proc or the cgroups cannot be read.
pub fn pids(state: &State, boot: &Boot) -> anyhow::Result<Vec<i32>> {
    let pids = cgroup::pids(&state.cgroup)?;
    if !pids.is_empty() || !init::is_alive(state, boot)? {
        return Ok(pids);
    }
    let namespace = |pid: i32| std::fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/pid"))).ok();
    match namespace(state.pid).filter(|_| state.own_pid_namespace) {
        Some(own) => Ok(all().filter(|pid| *pid == state.pid || namespace(*pid).as_ref() == Some(&own)).collect()),
        None => Ok(vec![state.pid]),
    }
}

/// Every process that is seen from here.
fn all() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::init::start_time;

    fn state(own_pid_namespace: bool) -> State {
        let pid = std::process::id().cast_signed();
        let boot_id = Boot::default().id().unwrap().to_owned();
        State { pid, start_time: start_time(pid).unwrap(), boot_id, own_pid_namespace, ..State::default() }
    }

    #[test]
    fn without_a_cgroup_they_are_those_of_the_pid_namespace() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let found = pids(&state(true), &Boot::default()).unwrap();
        let alone = pids(&state(false), &Boot::default()).unwrap();
        let stopped = State { start_time: 1, ..state(true) };
        let none = pids(&stopped, &Boot::default()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id().cast_signed()) && found.contains(&state(true).pid), "{found:?}");
        assert_eq!(alone, [state(false).pid]);
        assert!(none.is_empty());
    }
}
