//! Writing the limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::patience::Patience;
use super::{Cgroup, devices, file, unit};
use crate::host::cgroup::Version;
use crate::plan::cgroup::{CpuMax, MemoryCheck, OnMissing, ResourcePlan, ResourceWrite, properties_of};
use crate::sys::fd::Spent;

/// How long the memory in use may stay above a new limit.
const BUSY_LIMIT: Duration = Duration::from_millis(5);

/// Applies a plan to the container's cgroups, in its order.
///
/// Where there is a unit, systemd is told as well: it writes what it knows of again whenever it likes. The files are
/// written in spite of that, because systemd only logs what the kernel refuses, and because of what it rounds.
pub fn apply(cgroup: &Cgroup, resources: &ResourcePlan) -> anyhow::Result<()> {
    if let Some(check) = &resources.memory_check
        && let Some(directory) = cgroup.paths.v2_limits()
    {
        check_memory(directory, check)?;
    }
    let properties = match &cgroup.paths.unit {
        Some(_) if !cgroup.unit_has_limits => properties_of(&resources.writes, cpu_max(cgroup)),
        _ => Vec::new(),
    };
    if let Some(plan) = &resources.devices {
        devices::apply_program(cgroup, plan)?;
        if !cgroup.device_lines_stand
            && let Some(directory) = cgroup.paths.v1_directory("devices")
        {
            devices::apply_lines(directory, plan)?;
        }
    }
    apply_writes(cgroup, resources)?;
    match &cgroup.paths.unit {
        Some(unit) if !properties.is_empty() => {
            // What the kernel refuses, systemd is not told at all; what systemd rounds is written again.
            let before = Before::read(cgroup);
            unit::update(unit, &properties)?;
            before.restore()?;
            apply_writes(cgroup, resources)
        }
        _ => Ok(()),
    }
}

/// The files that systemd writes, all of them with each change of one property: what it was not told of, or has no
/// words for (a fraction of a percent, a period without a quota), would be lost.
struct Before(Vec<(PathBuf, String)>);

impl Before {
    const FILES: [&str; 16] = [
        "cpu.max",
        "cpu.weight",
        "memory.min",
        "memory.low",
        "memory.high",
        "memory.max",
        "memory.swap.max",
        "memory.zswap.max",
        "memory.oom.group",
        "pids.max",
        "cpuset.cpus",
        "cpuset.mems",
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
        "cpu.shares",
        "memory.limit_in_bytes",
    ];

    fn read(cgroup: &Cgroup) -> Before {
        let v1 = ["cpu", "memory", "pids"].into_iter().filter_map(|name| cgroup.paths.v1_directory(name));
        let directories: Vec<&Path> = cgroup.paths.v2_limits().into_iter().chain(v1).collect();
        let paths = directories.iter().flat_map(|directory| Self::FILES.iter().map(|name| directory.join(name)));
        Before(paths.filter_map(|path| file::read_value(&path).ok().map(|value| (path, value))).collect())
    }

    fn restore(self) -> anyhow::Result<()> {
        for (path, before) in self.0 {
            if file::read_value(&path).is_ok_and(|now| now != before) {
                file::write(&path, before.trim()).with_context(|| format!("write {}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn apply_writes(cgroup: &Cgroup, resources: &ResourcePlan) -> anyhow::Result<()> {
    let mut later = Vec::new();
    let mut spent = Spent::default();
    for write in &resources.writes {
        match apply_write(cgroup, write, &mut spent) {
            Err((_, Errno::EINVAL)) if write.again_at_the_end => later.push(write),
            result => explain(cgroup, write, result)?,
        }
    }
    later.into_iter().try_for_each(|write| explain(cgroup, write, apply_write(cgroup, write, &mut spent)))
}

/// What systemd's unit of measure is made of.
fn cpu_max(cgroup: &Cgroup) -> CpuMax {
    let read = |directory: Option<&Path>, name: &str| file::read_value(&directory?.join(name)).ok();
    match cgroup.paths.v1_directory("cpu") {
        None => CpuMax::default().and(&read(cgroup.paths.v2_limits(), "cpu.max").unwrap_or_default()),
        Some(directory) => {
            let [quota, period] = ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
                .map(|name| read(Some(directory), name).unwrap_or_default().trim().replace("-1", "max"));
            CpuMax::default().and(&format!("{quota} {period}"))
        }
    }
}

/// A limit below what is in use kills on v2; who asked for the check wants v1's refusal.
fn check_memory(directory: &Path, check: &MemoryCheck) -> anyhow::Result<()> {
    let path = directory.join("memory.current");
    let text = file::read(&path).with_context(|| format!("read {}", path.display()))?;
    match text.trim().parse::<u64>() {
        Ok(current) if current > check.limit_bytes => {
            bail!("{}: the new limit {} is below the current usage {current}", check.pointer, check.limit_bytes)
        }
        _ => Ok(()),
    }
}

/// Where a value is written.
pub fn directory_of<'a>(cgroup: &'a Cgroup, write: &ResourceWrite) -> Option<&'a Path> {
    match write.version {
        Version::V1 => cgroup.paths.v1_directory(&write.controller),
        Version::V2 => cgroup.paths.v2_limits(),
    }
}

/// Writes one value, or the other one where the first file does not exist; a fault says which file it was.
fn apply_write<'a>(cgroup: &Cgroup, write: &'a ResourceWrite, spent: &mut Spent) -> Result<(), (&'a str, Errno)> {
    let first = write.file.as_ref();
    let directory = directory_of(cgroup, write).ok_or((first, Errno::ENOENT))?;
    match (write_patiently(&directory.join(first), write, spent), &write.otherwise) {
        // BFQ is there, but not the scheduler of this device.
        (Err(Errno::EOPNOTSUPP), Some((file, value))) => {
            write_lines(&directory.join(file), value, false, spent).map_err(|_| (first, Errno::EOPNOTSUPP))
        }
        (Err(Errno::ENOENT), Some((file, value))) => match write_lines(&directory.join(file), value, false, spent) {
            Err(Errno::ENOENT) if write.on_missing == OnMissing::Prefer => Ok(()),
            result => result.map_err(|errno| (*file, errno)),
        },
        (Err(Errno::ENOENT), None) if write.on_missing == OnMissing::Prefer => Ok(()),
        (result, _) => result.map_err(|errno| (first, errno)),
    }
}

/// A memory limit of v1 is refused while more is charged, and charges are counted in batches: a process that has just
/// joined, as init has, may give most of them back in a moment.
fn write_patiently(path: &Path, write: &ResourceWrite, spent: &mut Spent) -> Result<(), Errno> {
    let mut patience = Patience::new(BUSY_LIMIT);
    loop {
        match write_lines(path, &write.value, write.after_first_word, spent) {
            Err(Errno::EBUSY) if write.controller == "memory" && patience.pause() => {}
            result => return result,
        }
    }
}

fn write_lines(path: &Path, value: &str, after_first_word: bool, spent: &mut Spent) -> Result<(), Errno> {
    if after_first_word {
        let now = file::read(path)?;
        let first = now.split_whitespace().next().unwrap_or("max");
        return file::write(path, &format!("{first} {value}"));
    }
    let fd = file::open_for_writing(path)?;
    // An empty line is a value too: that of an empty cpuset.
    if !value.contains('\n') || value.trim().is_empty() {
        file::write_to(&fd, value)?;
    } else {
        // Files such as io.max take one device with each write.
        value.split('\n').filter(|line| !line.trim().is_empty()).try_for_each(|line| file::write_to(&fd, line))?;
    }
    spent.push(fd);
    Ok(())
}

/// `write "1" to /sys/fs/cgroup/…/pids.max (/linux/resources/pids/limit): EINVAL`, and what is known beyond.
fn explain(cgroup: &Cgroup, write: &ResourceWrite, result: Result<(), (&str, Errno)>) -> anyhow::Result<()> {
    let Err((file, errno)) = result else { return Ok(()) };
    let directory = directory_of(cgroup, write);
    let path = directory.map_or_else(|| file.into(), |d| d.join(file));
    let hint = match errno {
        Errno::ENOENT if file.contains(".memsw.") || file.contains(".swap.") => {
            " (the kernel does not account swap)".into()
        }
        Errno::ENOENT if directory.is_some_and(Path::exists) => " (the kernel or the machine does not have it)".into(),
        Errno::EOPNOTSUPP if file.contains("weight") => {
            " (neither BFQ nor io.cost gives weights to this device: see its queue/scheduler)".into()
        }
        Errno::EBUSY if write.controller == "memory" => directory
            .and_then(|d| file::read(&d.join("memory.usage_in_bytes")).ok())
            .map_or_else(String::new, |usage| format!(" (in use: {})", usage.trim())),
        _ => String::new(),
    };
    Err(errno).with_context(|| format!("write {:?} to {} ({}){hint}", write.value, path.display(), write.pointer))
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Testbed, layout, skip};
    use super::*;

    /// Controller, resources, and the file and value expected on v1 and on v2.
    type Row = (&'static str, &'static str, (&'static str, &'static str), (&'static str, &'static str));

    const ROWS: &[Row] = &[
        (
            "memory",
            r#"{"memory":{"limit":33554432}}"#,
            ("memory.limit_in_bytes", "33554432"),
            ("memory.max", "33554432"),
        ),
        (
            "memory",
            r#"{"memory":{"limit":33554432,"swap":50331648}}"#,
            ("memory.memsw.limit_in_bytes", "50331648"),
            ("memory.swap.max", "16777216"),
        ),
        (
            "memory",
            r#"{"memory":{"reservation":16777216}}"#,
            ("memory.soft_limit_in_bytes", "16777216"),
            ("memory.low", "16777216"),
        ),
        ("cpu", r#"{"cpu":{"shares":2048}}"#, ("cpu.shares", "2048"), ("cpu.weight", "174")),
        (
            "cpu",
            r#"{"cpu":{"quota":50000,"period":200000}}"#,
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.max", "50000 200000"),
        ),
        ("cpu", r#"{"cpu":{"period":50000}}"#, ("cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000")),
        ("cpu", r#"{"cpu":{"quota":50000,"burst":20000}}"#, ("cpu.cfs_burst_us", "20000"), ("cpu.max.burst", "20000")),
        ("cpu", r#"{"cpu":{"idle":1}}"#, ("cpu.idle", "1"), ("cpu.idle", "1")),
        ("cpuset", r#"{"cpu":{"cpus":"0","mems":"0"}}"#, ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
        ("pids", r#"{"pids":{"limit":17}}"#, ("pids.max", "17"), ("pids.max", "17")),
        ("pids", r#"{"pids":{"limit":-1}}"#, ("pids.max", "max"), ("pids.max", "max")),
        ("pids", r#"{"pids":{"limit":0}}"#, ("pids.max", "0"), ("pids.max", "0")),
    ];

    #[test]
    fn limits_are_read_back_as_they_were_asked() {
        let Some(layout) = layout() else { return };
        for (controller, resources, v1, v2) in ROWS {
            let (file, expected) = match layout.version_of(controller) {
                Some(Version::V1) => v1,
                Some(Version::V2) => v2,
                None => {
                    skip(&format!("{resources}: no {controller} controller"));
                    continue;
                }
            };
            let testbed = Testbed::new(resources).unwrap();
            if !testbed.directory(controller).unwrap().join(file).exists() {
                skip(&format!("no {file}"));
                continue;
            }
            assert_eq!(testbed.read(controller, file), *expected, "{resources}");
        }
    }

    #[test]
    fn limits_can_be_raised_and_lowered_in_any_order() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let has = |controller| testbed.layout.version_of(controller).is_some();
        for (limit, swap) in [(64, 128), (256, 512), (32, 64), (-1, -1), (16, 16), (128, 128)] {
            let bytes = |value: i64| if value < 0 { value } else { value << 20 };
            if has("memory") {
                let update = format!(r#"{{"memory":{{"limit":{},"swap":{}}}}}"#, bytes(limit), bytes(swap));
                testbed.update(&update).unwrap();
            }
        }
        for (quota, period, burst) in [(10_000, 20_000, 5_000), (90_000, 100_000, 80_000), (2_000, 10_000, 1_000)] {
            if has("cpu") {
                let update = format!(r#"{{"cpu":{{"quota":{quota},"period":{period},"burst":{burst}}}}}"#);
                testbed.update(&update).unwrap();
            }
        }
        if testbed.layout.version_of("cpu") == Some(Version::V2) {
            assert_eq!(testbed.read("cpu", "cpu.max"), "2000 10000");
            testbed.update(r#"{"cpu":{"period":20000}}"#).unwrap();
            assert_eq!(testbed.read("cpu", "cpu.max"), "2000 20000");
            testbed.update(r#"{"cpu":{"quota":5000}}"#).unwrap();
            assert_eq!(testbed.read("cpu", "cpu.max"), "5000 20000");
        }
    }

    #[test]
    fn huge_pages_are_limited_where_their_controller_is() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        let Some(version) = testbed.layout.version_of("hugetlb") else { return skip("no hugetlb controller") };
        drop(testbed);
        testbed = Testbed::new(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#).unwrap();
        for name in ["", "rsvd."] {
            let file = if version == Version::V1 { "limit_in_bytes" } else { "max" };
            assert_eq!(testbed.read("hugetlb", &format!("hugetlb.2MB.{name}{file}")), "4194304");
        }
        let error = testbed.update(r#"{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}"#).unwrap_err();
        assert!(format!("{error:#}").contains("hugetlb.3MB.max (/hugepageLimits/0) (the kernel"), "{error:#}");
    }

    #[test]
    fn throttles_a_device() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let name = ["vda", "sda", "nvme0n1", "ubda"]
            .iter()
            .find_map(|disk| std::fs::read_to_string(format!("/sys/block/{disk}/dev")).ok());
        let (Some(device), Some(version)) =
            (name, testbed.layout.version_of("blkio").or(testbed.layout.version_of("io")))
        else {
            return skip("no disk, or no controller for it");
        };
        let device = device.trim();
        let (major, minor) = device.split_once(':').unwrap();
        let throttle = |rate| format!(r#"[{{"major":{major},"minor":{minor},"rate":{rate}}}]"#);
        let all = |rate: u64| {
            format!(r#"{{"blockIO":{{"throttleReadBpsDevice":{0},"throttleWriteIOPSDevice":{0}}}}}"#, throttle(rate))
        };
        testbed.update(&all(1_048_576)).unwrap();
        match version {
            Version::V1 => {
                assert_eq!(testbed.read("blkio", "blkio.throttle.read_bps_device"), format!("{device} 1048576"));
            }
            Version::V2 => {
                let expected = format!("{device} rbps=1048576 wbps=max riops=max wiops=1048576");
                assert_eq!(testbed.read("io", "io.max"), expected);
            }
        }
        testbed.update(&all(0)).unwrap();
        let (controller, file) = match version {
            Version::V1 => ("blkio", "blkio.throttle.read_bps_device"),
            Version::V2 => ("io", "io.max"),
        };
        assert_eq!(testbed.read(controller, file), "");
    }

    #[test]
    fn weights_go_to_bfq_where_it_is_built_in() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(directory) = testbed.directory("blkio").or(testbed.directory("io")) else {
            return skip("no controller for block devices");
        };
        let result = testbed.update(r#"{"blockIO":{"weight":500}}"#);
        let files = ["blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"];
        match files.iter().find(|f| directory.join(f).exists()) {
            Some(file) => assert!(file::read(&directory.join(file)).unwrap().contains("50"), "{file}"),
            None => assert!(result.is_err()),
        }
    }

    #[test]
    fn unified_writes_each_line_by_itself() {
        let Some(testbed) = Testbed::new("{}") else { return };
        if testbed.layout.version_of("memory") != Some(Version::V2) {
            return skip("memory is not on cgroup v2");
        }
        testbed.update(r#"{"unified":{"memory.high":"8388608\n","cgroup.max.depth":"3"}}"#).unwrap();
        assert_eq!(testbed.read("memory", "memory.high"), "8388608");
        assert_eq!(testbed.read("memory", "cgroup.max.depth"), "3");
        let error = format!("{:#}", testbed.update(r#"{"unified":{"memory.nonsense":"1"}}"#).unwrap_err());
        assert!(error.contains("memory.nonsense (/unified/memory.nonsense) (the kernel"), "{error}");
    }

    #[test]
    fn a_checked_limit_is_refused_below_what_is_in_use() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        if testbed.layout.version_of("memory") != Some(Version::V2) {
            return skip("memory is not on cgroup v2");
        }
        let pid = testbed.spawn("kill -STOP $$; exit 5");
        nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).unwrap();
        let update = r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#;
        let error = testbed.update(update).unwrap_err().to_string();
        assert!(error.starts_with("/memory/limit: the new limit 4096 is below the current usage"), "{error}");
        assert_eq!(testbed.read("memory", "memory.max"), "max");
    }

    #[test]
    fn the_kernels_refusal_says_file_value_and_pointer() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(directory) = testbed.directory("cpu") else { return skip("no cpu controller") };
        let error = testbed.update(r#"{"cpu":{"quota":1}}"#).unwrap_err();
        let start = format!("write \"1\" to {}", directory.display());
        let text = format!("{error:#}");
        assert!(text.starts_with(&start) && text.contains("(/cpu/quota): EINVAL"), "{text}");
        assert_eq!(error.root_cause().downcast_ref::<Errno>(), Some(&Errno::EINVAL));
    }

    #[test]
    fn a_memory_limit_kills() {
        let Some(mut testbed) = Testbed::new(r#"{"memory":{"limit":8388608,"swap":8388608}}"#) else { return };
        if testbed.layout.version_of("memory").is_none() {
            return skip("no memory controller");
        }
        assert_eq!(testbed.run("exec 2>/dev/null; head -c 64M /dev/zero | (exec tail -c 64M >/dev/null)"), 128 + 9);
    }
}
