//! The container's process, or one that `exec` adds: everything that its `process` object asks for, ready to apply.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;

use nix::sys::resource::{Resource, rlim_t};
use oci_spec::runtime::{PosixRlimitType, Process, Spec};

use crate::error::Faults;
use crate::host::Host;

pub mod capabilities;
mod explain;
pub mod memory_policy;
pub mod personality;
pub mod scheduling;

use capabilities::Capabilities;
use memory_policy::MemoryPolicy;
use scheduling::{CpuSet, IoPriority, SchedulerPlan};

/// The umask where the configuration says none: that of runc, not of whoever calls rt.
const UMASK: u32 = 0o022;

/// What a process is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPlan {
    /// argv; never empty.
    pub args: Vec<CString>,
    /// The environment; each name once. HOME is added when applied, if absent: see `confine::home`.
    pub env: Vec<CString>,
    /// The working directory in the container, absolute.
    pub cwd: PathBuf,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Rows and columns of the terminal.
    pub console_size: Option<(u16, u16)>,
    /// User id in the container.
    pub uid: u32,
    /// Group id in the container.
    pub gid: u32,
    /// Supplementary groups in the container.
    pub additional_gids: Vec<u32>,
    /// File mode creation mask; 0022 when absent.
    pub umask: u32,
    /// The five sets; empty when absent.
    pub capabilities: Capabilities,
    /// Resource limits: each resource at most once.
    pub rlimits: Vec<Rlimit>,
    /// Whether execve can raise privileges no more.
    pub no_new_privileges: bool,
    /// -1000 to 1000; untouched when absent.
    pub oom_score_adj: Option<i32>,
    /// Scheduling policy; inherited when absent.
    pub scheduler: Option<SchedulerPlan>,
    /// I/O priority; inherited when absent.
    pub io_priority: Option<IoPriority>,
    /// The CPUs of `exec` before it joins the container's cgroup.
    pub exec_cpus_initial: Option<CpuSet>,
    /// The CPUs of `exec` once it has joined.
    pub exec_cpus_final: Option<CpuSet>,
    /// AppArmor profile to change to on exec.
    pub apparmor_profile: Option<String>,
    /// SELinux label to change to on exec.
    pub selinux_label: Option<String>,
    /// Of the container: the argument of personality(2).
    pub personality: Option<u32>,
    /// Of the container.
    pub memory_policy: Option<MemoryPolicy>,
    /// Of the container: the caller's supplementary groups stay, for files that only they may use.
    pub keep_groups: bool,
}

/// crun's annotation for `ProcessPlan::keep_groups`; podman sets it for `--group-add keep-groups`, buildah too.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// One resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// Its name in the OCI spec, for messages.
    pub typ: PosixRlimitType,
    /// The limit in force.
    pub soft: rlim_t,
    /// How far the process itself can raise the limit.
    pub hard: rlim_t,
}

/// Plans `process`, which stands at `pointer` of its document and was checked by `spec`.
///
/// The pointers of faults say config.json: for another document, call `Faults::of_file` after it.
pub fn plan_process(process: &Process, _host: &Host, pointer: &str, faults: &mut Faults) -> ProcessPlan {
    let user = process.user();
    let affinity = process.exec_cpu_affinity().as_ref();
    ProcessPlan {
        args: plan_args(process, pointer, faults),
        env: plan_env(process.env().as_deref().unwrap_or_default(), pointer, faults),
        cwd: process.cwd().clone(),
        terminal: process.terminal().unwrap_or(false),
        console_size: plan_console_size(process),
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask().unwrap_or(UMASK) & 0o777,
        capabilities: capabilities::plan_capabilities(process.capabilities().as_ref(), user.uid(), pointer, faults),
        rlimits: plan_rlimits(process),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
        scheduler: process.scheduler().as_ref().map(scheduling::plan_scheduler),
        io_priority: process.io_priority().as_ref().map(scheduling::plan_io_priority),
        exec_cpus_initial: scheduling::plan_cpus(affinity.and_then(|a| a.initial().as_deref())),
        exec_cpus_final: scheduling::plan_cpus(affinity.and_then(|a| a.cpu_affinity_final().as_deref())),
        apparmor_profile: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        selinux_label: plan_selinux_label(process),
        personality: None,
        memory_policy: None,
        keep_groups: false,
    }
}

/// The kernel does not count a line feed at its end, with which /proc/PID/attr and files have it.
fn plan_selinux_label(process: &Process) -> Option<String> {
    let label = process.selinux_label().as_deref().unwrap_or_default().trim_end_matches('\n');
    (!label.is_empty()).then(|| label.to_owned())
}

fn plan_args(process: &Process, pointer: &str, faults: &mut Faults) -> Vec<CString> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.is_empty() {
        faults.error(format!("{pointer}/args"), "args must not be empty");
    }
    let mut planned = Vec::with_capacity(args.len());
    for (index, arg) in args.iter().enumerate() {
        match CString::new(arg.as_str()) {
            Ok(arg) => planned.push(arg),
            Err(_) => faults.error(format!("{pointer}/args/{index}"), "contains a NUL character"),
        }
    }
    planned
}

/// A name that comes twice has its last value, at the place of the first.
pub fn plan_env(env: &[String], pointer: &str, faults: &mut Faults) -> Vec<CString> {
    let mut planned: Vec<CString> = Vec::with_capacity(env.len() + 1);
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, variable) in env.iter().enumerate() {
        let Some((name, _)) = variable.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            faults.error(format!("{pointer}/env/{index}"), format!("{variable:?} is not of the form NAME=VALUE"));
            continue;
        };
        let Ok(variable) = CString::new(variable.as_str()) else {
            faults.error(format!("{pointer}/env/{index}"), "contains a NUL character");
            continue;
        };
        match known.get(name) {
            Some(earlier) => planned[*earlier] = variable,
            None => {
                known.insert(name, planned.len());
                planned.push(variable);
            }
        }
    }
    planned
}

/// The kernel's rows and columns have 16 bits; nobody's screen has more.
fn plan_console_size(process: &Process) -> Option<(u16, u16)> {
    let clamp = |size: u64| u16::try_from(size).unwrap_or(u16::MAX);
    process
        .console_size()
        .filter(|_| process.terminal() == Some(true))
        .map(|size| (clamp(size.height()), clamp(size.width())))
}

fn plan_rlimits(process: &Process) -> Vec<Rlimit> {
    process
        .rlimits()
        .iter()
        .flatten()
        .map(|rlimit| Rlimit {
            resource: resource(rlimit.typ()),
            typ: rlimit.typ(),
            soft: rlimit.soft(),
            hard: rlimit.hard(),
        })
        .collect()
}

fn resource(typ: PosixRlimitType) -> Resource {
    match typ {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}

impl ProcessPlan {
    /// Adds what the container asks for, for every process in it: `exec` takes it from the container's config.json.
    pub fn add_containers(&mut self, container: &Spec, faults: &mut Faults) {
        let linux = container.linux().as_ref();
        let personality = linux.and_then(|linux| linux.personality().as_ref());
        self.personality = personality.map(|asked| personality::plan_personality(asked, faults));
        let policy = linux.and_then(|linux| linux.memory_policy().as_ref());
        self.memory_policy = policy.map(memory_policy::plan_memory_policy);
        let annotation = container.annotations().as_ref().and_then(|annotations| annotations.get(KEEP_GROUPS));
        self.keep_groups = annotation.is_some_and(|value| value == "1");
    }

    /// Hands sockets of systemd's socket activation on: descriptors from 3 on, to pid 1.
    /// <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>
    pub fn pass_listen_fds(&mut self, count: u32) {
        let variables = [format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()];
        self.env.extend(variables.into_iter().map(|variable| CString::new(variable).expect("digits have no NUL")));
    }

    /// The value of a variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.env.iter().find_map(|variable| variable.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The plan of a process with these properties, for tests of other rooms.
    pub(crate) fn plan_of(mut properties: serde_json::Value) -> ProcessPlan {
        for (key, value) in [
            ("user", serde_json::json!({"uid": 0, "gid": 0})),
            ("args", serde_json::json!(["true"])),
            ("cwd", "/".into()),
        ] {
            if properties.get(key).is_none() {
                properties[key] = value;
            }
        }
        let process = serde_json::from_value(properties).expect("of the model's shape");
        let mut faults = Faults::default();
        let plan = plan_process(&process, &host(), "/process", &mut faults);
        assert_eq!(faults.errors, []);
        plan
    }

    fn host() -> Host {
        Host {
            kernel: (6, 18),
            euid: 0,
            egid: 0,
            capabilities: capabilities::ALL,
            in_user_namespace: false,
            rootless: false,
            cgroup: crate::host::cgroup::Layout::None,
            seccomp_receiver: None,
        }
    }

    fn plan(env: &[&str]) -> (Vec<String>, Faults) {
        let mut faults = Faults::default();
        let env: Vec<String> = env.iter().map(ToString::to_string).collect();
        let planned = plan_env(&env, "/process", &mut faults);
        (planned.into_iter().map(|v| v.into_string().expect("made of strings")).collect(), faults)
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let (env, faults) = plan(&["A=1", "AB=2", "A=3=4", "B="]);
        assert_eq!(env, ["A=3=4", "AB=2", "B="]);
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn every_rlimit_of_the_spec_has_its_own_resource() {
        let all = (0..16).map(|number| {
            let names = [
                "CPU",
                "FSIZE",
                "DATA",
                "STACK",
                "CORE",
                "RSS",
                "NPROC",
                "NOFILE",
                "MEMLOCK",
                "AS",
                "LOCKS",
                "SIGPENDING",
                "MSGQUEUE",
                "NICE",
                "RTPRIO",
                "RTTIME",
            ];
            let typ = format!("RLIMIT_{}", names[number]).parse().expect("in the model");
            (number as i64, resource(typ) as i64)
        });
        for (number, resource) in all {
            assert_eq!(number, resource);
        }
    }
}
