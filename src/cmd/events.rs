//! `rt events`: what a container uses, from time to time, and when it runs out of memory.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ArgMatches;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::duration::duration_of;
use crate::cgroup::{OomWatch, Stats};
use crate::cli::Globals;
use crate::rdt::RdtStats;
use crate::state::{Boot, InitHandle, State};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// One line of output.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    cgroup: Stats,
    intel_rdt: RdtStats,
    /// runc has the key; nobody fills it, nor do we know which devices are the container's.
    network_interfaces: Option<()>,
}

/// Prints statistics at each interval and every lack of memory, one JSON document a line, until the container ends;
/// with `--stats` the statistics once.
///
/// # Errors
/// When the container is not running.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let interval = match matches.get_one::<String>("interval").map(String::as_str) {
        None | Some("") => DEFAULT_INTERVAL,
        Some(text) => match duration_of(text) {
            Some(interval) if !interval.is_zero() => interval,
            Some(_) => bail!("--interval {text}: must be greater than 0"),
            None => bail!("--interval: {text:?} is not a length of time like 5s or 1m30s"),
        },
    };
    let container = super::container(globals, matches)?;
    let state = container.load()?;
    let Some(init) = InitHandle::open(&state, &Boot::default())? else {
        bail!("{:?}: container not running", container.id().as_str());
    };
    if matches.get_flag("stats") {
        print_stats(&state)?;
        return Ok(0);
    }
    let mut watch = OomWatch::begin(&state.cgroup)?;
    let mut next = Instant::now() + interval;
    loop {
        let mut fds = vec![PollFd::new(init.as_fd(), PollFlags::POLLIN)];
        fds.extend(watch.as_ref().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
        // Rounded up: to wake up early would be to poll twice.
        let left = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let has_happened =
            |place: usize| fds.get(place).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        let (has_ended, is_told) = (has_happened(0), has_happened(1));
        // Also when it has ended: that may be why.
        if let Some(watch) = watch.as_mut().filter(|_| is_told || has_ended) {
            for _ in 0..watch.take() {
                print(&Event { kind: "oom", id: &state.id, data: None })?;
            }
        }
        if has_ended {
            return Ok(0);
        }
        if Instant::now() >= next {
            print_stats(&state)?;
            next = Instant::now() + interval;
        }
    }
}

fn print_stats(state: &State) -> anyhow::Result<()> {
    let intel_rdt = state.rdt.as_ref().map(RdtStats::read).unwrap_or_default();
    let data = Data { cgroup: Stats::read(&state.cgroup), intel_rdt, network_interfaces: None };
    print(&Event { kind: "stats", id: &state.id, data: Some(data) })
}

fn print(event: &Event<'_>) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("write to standard output")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_form_is_that_of_runc() {
        let data = Data { cgroup: Stats::default(), intel_rdt: RdtStats::default(), network_interfaces: None };
        let event: Value = serde_json::to_value(Event { kind: "stats", id: "c", data: Some(data) }).unwrap();
        // What runc 1.1 prints for a container, its numbers set to 0.
        let expected = json!({"type": "stats", "id": "c", "data": {
            "cpu": {"usage": {"total": 0, "kernel": 0, "user": 0},
                "throttling": {"periods": 0, "throttledPeriods": 0, "throttledTime": 0}},
            "cpuset": {"cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
                "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0,
                "sched_relax_domain_level": 0},
            "memory": {"cache": 0,
                "usage": {"limit": 0, "usage": 0, "max": 0, "failcnt": 0},
                "swap": {"limit": 0, "usage": 0, "max": 0, "failcnt": 0},
                "kernel": {"limit": 0, "usage": 0, "max": 0, "failcnt": 0},
                "kernelTCP": {"limit": 0, "usage": 0, "max": 0, "failcnt": 0}},
            "pids": {"current": 0, "limit": 0}, "blkio": {}, "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null,
        }});
        assert_eq!(event, expected);
        let event = serde_json::to_string(&Event { kind: "oom", id: "c", data: None }).unwrap();
        assert_eq!(event, r#"{"type":"oom","id":"c"}"#);
    }
}
