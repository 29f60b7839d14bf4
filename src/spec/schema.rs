//! The shape of config.json as the OCI runtime spec 1.3.0 defines it, for Linux.
//!
//! <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md>

use super::schema_linux::{ID_MAPPINGS, LINUX};
use super::shape::{Property, Shape, Shape::*, optional, required};

/// An unsigned 32-bit integer.
pub const U32: Shape = Int(0, u32::MAX as i128);
/// A signed 32-bit integer.
pub const I32: Shape = Int(i32::MIN as i128, i32::MAX as i128);
/// An unsigned 64-bit integer.
pub const U64: Shape = Int(0, u64::MAX as i128);
/// A signed 64-bit integer.
pub const I64: Shape = Int(i64::MIN as i128, i64::MAX as i128);

/// The whole of config.json.
pub const CONFIG: Shape = Object(&[
    required("ociVersion", Text),
    optional("process", Object(PROCESS)),
    required("root", Object(&[required("path", Text), optional("readonly", Bool)])),
    optional("hostname", Text),
    optional("domainname", Text),
    optional("mounts", List(&Object(MOUNT))),
    optional("hooks", Object(HOOKS)),
    optional("annotations", Map(&Cargo)),
    optional("linux", Object(LINUX)),
    optional("solaris", Foreign),
    optional("windows", Foreign),
    optional("vm", Ignored("is ignored: rt runs no virtual machines")),
    optional("zos", Foreign),
    optional("freebsd", Foreign),
    // These two are in the typed model only.
    optional("uidMappings", Foreign),
    optional("gidMappings", Foreign),
]);

/// `process`, which is also the whole document of `exec --process`.
pub const PROCESS: &[Property] = &[
    optional("terminal", Bool),
    optional("consoleSize", Object(&[required("height", U64), required("width", U64)])),
    required("user", Object(USER)),
    optional("args", List(&Text)),
    optional("commandLine", Foreign),
    optional("env", List(&Variable)),
    required("cwd", Absolute),
    optional("capabilities", Object(CAPABILITIES)),
    optional("rlimits", List(&Object(RLIMIT))),
    optional("noNewPrivileges", Bool),
    optional("apparmorProfile", Text),
    optional("oomScoreAdj", Int(-1000, 1000)),
    optional("selinuxLabel", Text),
    optional("ioPriority", Object(&[required("class", Word(IO_CLASSES)), required("priority", Int(0, 7))])),
    optional("scheduler", Object(SCHEDULER)),
    optional("execCPUAffinity", Object(&[optional("initial", NumberList), optional("final", NumberList)])),
];

const USER: &[Property] = &[
    required("uid", U32),
    required("gid", U32),
    optional("umask", Int(0, 0o777)),
    optional("additionalGids", List(&U32)),
    optional("username", Text),
];

const CAPABILITIES: &[Property] = &[
    optional("bounding", List(&Capability)),
    optional("effective", List(&Capability)),
    optional("permitted", List(&Capability)),
    optional("inheritable", List(&Capability)),
    optional("ambient", List(&Capability)),
];

const RLIMIT: &[Property] = &[required("type", Word(RLIMITS)), required("hard", U64), required("soft", U64)];

const RLIMITS: &[&str] = &[
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

const IO_CLASSES: &[&str] = &["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

const SCHEDULER: &[Property] = &[
    required("policy", Word(SCHEDULER_POLICIES)),
    optional("nice", I32),
    optional("priority", I32),
    optional("flags", List(&SchedulerFlag(SCHEDULER_FLAGS))),
    optional("runtime", U64),
    optional("deadline", U64),
    optional("period", U64),
];

const SCHEDULER_POLICIES: &[&str] =
    &["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

const SCHEDULER_FLAGS: &[&str] = &[
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

const MOUNT: &[Property] = &[
    required("destination", Text),
    optional("type", Text),
    optional("source", Text),
    optional("options", List(&Text)),
    optional("uidMappings", ID_MAPPINGS),
    optional("gidMappings", ID_MAPPINGS),
];

const HOOKS: &[Property] = &[
    optional("prestart", List(&Object(HOOK))),
    optional("createRuntime", List(&Object(HOOK))),
    optional("createContainer", List(&Object(HOOK))),
    optional("startContainer", List(&Object(HOOK))),
    optional("poststart", List(&Object(HOOK))),
    optional("poststop", List(&Object(HOOK))),
];

const HOOK: &[Property] = &[
    required("path", Absolute),
    optional("args", List(&Text)),
    optional("env", List(&Variable)),
    optional("timeout", Int(1, i64::MAX as i128)),
];
