//! `rt update`: new limits for a container that exists.

use std::path::PathBuf;

use anyhow::bail;
use clap::ArgMatches;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPidsBuilder, LinuxResources};

use super::creation::host;
use super::size::bytes_of;
use crate::cgroup::{self, Undo};
use crate::cli::Globals;
use crate::error::{Fault, Faults};
use crate::host::Host;
use crate::plan::cgroup::{UpdatePlan, merge, plan_update};
use crate::plan::rdt::SchemaLine;
use crate::rdt;
use crate::spec::{self, Spec};
use crate::state::{Boot, Container, State, Status};

/// Each flag that stands for a field of the document, and where that is.
const FLAGS: &[(&str, &str)] = &[
    ("--blkio-weight", "/blockIO/weight"),
    ("--cpu-burst", "/cpu/burst"),
    ("--cpu-idle", "/cpu/idle"),
    ("--cpu-period", "/cpu/period"),
    ("--cpu-quota", "/cpu/quota"),
    ("--cpu-rt-period", "/cpu/realtimePeriod"),
    ("--cpu-rt-runtime", "/cpu/realtimeRuntime"),
    ("--cpu-share", "/cpu/shares"),
    ("--cpuset-cpus", "/cpu/cpus"),
    ("--cpuset-mems", "/cpu/mems"),
    ("--memory", "/memory/limit"),
    ("--memory-reservation", "/memory/reservation"),
    ("--memory-swap", "/memory/swap"),
    ("--pids-limit", "/pids/limit"),
];

/// Changes the limits that are given, in the document or by flags, which win; all others stay.
///
/// # Errors
/// When the container is not there any more, or a limit is wrong or refused: then nothing is changed.
pub fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<i32> {
    let (given, warnings) = load_given(matches)?;
    let schema = load_schema(matches);
    let container = super::container(globals, matches)?;
    super::lock_created(&container)?;
    let mut state = container.load()?;
    let id = container.id().as_str();
    match container.status(&state, &Boot::default())? {
        Status::Created | Status::Running | Status::Paused => {}
        Status::Stopped => bail!("{id:?}: container not running"),
        Status::Creating => bail!("{id:?}: container is still being created"),
    }
    let host = host(globals)?;
    let base = limits_of(&container, &state)?;
    let (plan, mut faults) = examine(&base, &given, &host, matches);
    faults.warnings.extend(warnings.warnings);
    faults.warnings.iter().for_each(|warning| globals.log.warn(&warning.to_string()));
    let plan = faults.into_result(plan)?;
    if state.cgroup.is_empty() && (!plan.resources.writes.is_empty() || plan.resources.devices.is_some()) {
        bail!("{id:?}: container has no cgroup of its own, and so no limits");
    }
    let place = match (&state.rdt, schema.first()) {
        (None, Some(line)) => bail!("{}: config.json has no /linux/intelRdt", line.pointer),
        (place, _) => place.clone(),
    };
    let undo = cgroup::update(&state.cgroup, &host.cgroup, &plan)?;
    state.resources = Some(merge(&state.resources.unwrap_or_default(), &given));
    let rest = place.map_or(Ok(()), |place| rdt::write_schemata(&place, &schema));
    rest.and_then(|()| container.save(&state)).map_err(|error| Undo::explain(undo, error))?;
    Ok(0)
}

/// What is asked for: the document, and the flags over it.
fn load_given(matches: &ArgMatches) -> anyhow::Result<(LinuxResources, Faults)> {
    let (document, warnings) = match matches.get_one::<PathBuf>("resources") {
        Some(path) => spec::load_resources(path)?,
        None => (LinuxResources::default(), Faults::default()),
    };
    Ok((merge(&document, &flags(matches)?), warnings))
}

/// The flags as a document.
fn flags(matches: &ArgMatches) -> anyhow::Result<LinuxResources> {
    let given = Given(matches);
    let mut resources = LinuxResources::default();
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(given.bytes("memory")?)
        .set_reservation(given.bytes("memory-reservation")?)
        .set_swap(given.bytes("memory-swap")?);
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(given.number("cpu-share")?)
        .set_quota(given.number("cpu-quota")?)
        .set_period(given.number("cpu-period")?)
        .set_burst(given.number("cpu-burst")?)
        .set_idle(given.number("cpu-idle")?)
        .set_realtime_period(given.number("cpu-rt-period")?)
        .set_realtime_runtime(given.number("cpu-rt-runtime")?)
        .set_cpus(given.text("cpuset-cpus").map(str::to_owned))
        .set_mems(given.text("cpuset-mems").map(str::to_owned));
    let mut block_io = LinuxBlockIo::default();
    block_io.set_weight(given.number("blkio-weight")?);
    resources
        .set_memory(Some(memory).filter(|memory| *memory != LinuxMemory::default()))
        .set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
        .set_block_io(Some(block_io).filter(|block_io| *block_io != LinuxBlockIo::default()));
    if let Some(limit) = given.number::<i64>("pids-limit")? {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build()?));
    }
    Ok(resources)
}

/// The flags that were given; an empty value counts as none, as with runc.
struct Given<'a>(&'a ArgMatches);

impl<'a> Given<'a> {
    fn text(&self, flag: &str) -> Option<&'a str> {
        self.0.get_one::<String>(flag).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn number<T: std::str::FromStr>(&self, flag: &str) -> anyhow::Result<Option<T>> {
        let Some(text) = self.text(flag) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("--{flag}: {text:?} is not a number in its range"),
        }
    }

    fn bytes(&self, flag: &str) -> anyhow::Result<Option<i64>> {
        let Some(text) = self.text(flag) else { return Ok(None) };
        match bytes_of(text) {
            Some(bytes) => Ok(Some(bytes)),
            None => bail!("--{flag}: {text:?} is not a number of bytes like 4194304, 64m or 1.5g, nor -1"),
        }
    }
}

/// What is written to the schemata of the container's resctrl group.
fn load_schema(matches: &ArgMatches) -> Vec<SchemaLine> {
    let flags = ["l3-cache-schema", "mem-bw-schema"].into_iter();
    let lines = flags.filter_map(|flag| Some((flag, Given(matches).text(flag)?)));
    lines
        .map(|(flag, text)| SchemaLine { text: text.to_owned(), pointer: format!("--{flag}"), is_compared: false })
        .collect()
}

/// The limits that the container has: those of its config.json, and of every update since.
fn limits_of(container: &Container, state: &State) -> anyhow::Result<LinuxResources> {
    let spec = Spec::from_text(state.bundle.clone(), container.config_text()?)?;
    let configured = spec.oci.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    Ok(state.resources.as_ref().map_or(configured.clone(), |updated| merge(&configured, updated)))
}

/// Decides what is written. A fault of what a flag has said is told of the flag.
fn examine(base: &LinuxResources, given: &LinuxResources, host: &Host, matches: &ArgMatches) -> (UpdatePlan, Faults) {
    let mut faults = Faults::default();
    let mut plan = plan_update(base, given, &host.cgroup, spec::RESOURCES, &mut faults);
    if host.rootless {
        // As in create: neither devices.allow nor bpf(2) is open to a user namespace.
        (plan.resources.devices, plan.devices_before) = (None, None);
    }
    let flag_of = |pointer: &str| {
        let (flag, _) = FLAGS.iter().find(|(_, field)| *field == pointer)?;
        Given(matches).text(flag.trim_start_matches("--")).map(|_| *flag)
    };
    for Fault { file, pointer, .. } in faults.errors.iter_mut().chain(&mut faults.warnings) {
        if let Some(flag) = flag_of(pointer) {
            (*file, *pointer) = (flag, String::new());
        }
    }
    for write in &mut plan.resources.writes {
        if let Some(flag) = flag_of(&write.pointer) {
            write.pointer = flag.to_owned();
        }
    }
    (plan, faults)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::host::cgroup::{Layout, Unified};

    fn matches(words: &[&str]) -> ArgMatches {
        let command = crate::cli::flags::update(Command::new("update").no_binary_name(true));
        command.try_get_matches_from(words).unwrap()
    }

    fn given(words: &[&str]) -> Result<LinuxResources, String> {
        load_given(&matches(words)).map(|(given, _)| given).map_err(|error| error.to_string())
    }

    fn host() -> Host {
        let controllers = ["cpu", "memory", "io", "cpuset", "pids"].map(str::to_owned).to_vec();
        let cgroup = Layout::Unified(Unified { mount: "/cg".into(), own: "/".into(), controllers });
        Host { cgroup, ..crate::plan::rootfs::tests::host() }
    }

    #[test]
    fn every_flag_fills_its_field() {
        for (flag, pointer) in FLAGS {
            let value = if flag.starts_with("--cpuset") { "0-1" } else { "10" };
            let resources = given(&[&format!("{flag}={value}"), "ID"]).unwrap();
            let document = serde_json::to_value(&resources).unwrap();
            let found = document.pointer(pointer).unwrap_or_else(|| panic!("{flag} fills no {pointer}"));
            assert_eq!(found.to_string().trim_matches('"'), value, "{flag}");
            assert_eq!(given(&[&format!("{flag}="), "ID"]).unwrap(), LinuxResources::default(), "{flag} empty");
        }
    }

    #[test]
    fn flags_win_over_the_document() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"memory":{"limit":1,"swap":2},"pids":{"limit":3}}"#).unwrap();
        let path = format!("--resources={}", file.path().display());
        let expected = r#"{"memory":{"limit":1073741824,"swap":2},"pids":{"limit":3}}"#;
        assert_eq!(given(&[&path, "--memory=1g", "ID"]).unwrap(), serde_json::from_str(expected).unwrap());
    }

    #[test]
    fn what_is_wrong_with_a_flag_names_it() {
        for (words, expected) in [
            (["--memory=x", "ID"], "--memory: \"x\" is not a number of bytes"),
            (["--cpu-period=-1", "ID"], "--cpu-period: \"-1\" is not a number in its range"),
            (["--blkio-weight=65536", "ID"], "--blkio-weight: \"65536\" is not"),
        ] {
            let error = given(&words).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        for (words, expected) in [
            (["--pids-limit=-2", "ID"], "--pids-limit: must be a number of tasks, or -1 for no limit"),
            (["--memory-swap=4096", "ID"], "--memory-swap: limits memory and swap together"),
            (["--cpu-rt-period=1000", "ID"], "--cpu-rt-period: cgroup v2 has no real-time limits"),
        ] {
            let given = given(&words).unwrap();
            let (_, faults) = examine(&LinuxResources::default(), &given, &host(), &matches(&words));
            assert!(faults.to_string().starts_with(expected), "{faults}");
        }
        let words = ["--cpu-quota=1000", "ID"];
        let (plan, _) = examine(&LinuxResources::default(), &given(&words).unwrap(), &host(), &matches(&words));
        assert_eq!(plan.resources.writes[0].pointer, "--cpu-quota");
    }
}
