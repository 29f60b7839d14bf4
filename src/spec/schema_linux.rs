//! The shape of config.json's `linux` object.
//!
//! <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md>

use super::schema::{I64, U32, U64};
use super::shape::{Presence, Property, Shape, Shape::*, optional, required};

/// Lines of uid_map or gid_map.
pub const ID_MAPPINGS: Shape =
    List(&Object(&[required("containerID", U32), required("hostID", U32), required("size", U32)]));

/// `linux`
pub const LINUX: &[Property] = &[
    optional("uidMappings", ID_MAPPINGS),
    optional("gidMappings", ID_MAPPINGS),
    optional("sysctl", Map(&Text)),
    optional("resources", Object(RESOURCES)),
    optional("cgroupsPath", Text),
    optional("namespaces", List(&Object(&[required("type", Word(NAMESPACES)), optional("path", Absolute)]))),
    optional("devices", List(&Object(DEVICE))),
    optional("netDevices", Map(&Object(&[optional("name", Text)]))),
    optional("seccomp", Object(SECCOMP)),
    optional("rootfsPropagation", Word(PROPAGATIONS)),
    optional("maskedPaths", List(&Absolute)),
    optional("readonlyPaths", List(&Absolute)),
    optional("mountLabel", Text),
    optional("intelRdt", Object(INTEL_RDT)),
    optional("memoryPolicy", Object(MEMORY_POLICY)),
    optional("personality", Object(&[required("domain", Word(&["LINUX", "LINUX32"])), optional("flags", List(&Text))])),
    optional("timeOffsets", Map(&Object(&[optional("secs", I64), optional("nanosecs", Int(0, 999_999_999))]))),
];

const NAMESPACES: &[&str] = &["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"];

const PROPAGATIONS: &[&str] =
    &["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"];

// The kernel cuts larger numbers down silently: 12 bits of major, 20 bits of minor.
const DEVICE: &[Property] = &[
    required("path", Absolute),
    required("type", DeviceType(&["c", "b", "u", "p"])),
    Property { name: "major", shape: Int(0, 0xfff), presence: Presence::RequiredUnlessFifo },
    Property { name: "minor", shape: Int(0, 0xf_ffff), presence: Presence::RequiredUnlessFifo },
    optional("fileMode", U32),
    optional("uid", U32),
    optional("gid", U32),
];

const MEMORY_POLICY: &[Property] = &[
    required(
        "mode",
        Word(&[
            "MPOL_DEFAULT",
            "MPOL_BIND",
            "MPOL_INTERLEAVE",
            "MPOL_WEIGHTED_INTERLEAVE",
            "MPOL_PREFERRED",
            "MPOL_PREFERRED_MANY",
            "MPOL_LOCAL",
        ]),
    ),
    optional("nodes", NumberList),
    optional("flags", List(&Word(&["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]))),
];

const INTEL_RDT: &[Property] = &[
    optional("closID", Text),
    optional("schemata", List(&Text)),
    optional("l3CacheSchema", Text),
    optional("memBwSchema", Text),
    optional("enableMonitoring", Bool),
    // These two are in the typed model only.
    optional("enableCmt", Foreign),
    optional("enableMbm", Foreign),
];

/// `linux.resources`, which is also the whole document of `update --resources`.
pub const RESOURCES: &[Property] = &[
    optional("devices", List(&Object(DEVICE_RULE))),
    optional("memory", Object(MEMORY)),
    optional("cpu", Object(CPU)),
    optional("pids", Optional(&[optional("limit", I64)])),
    optional("blockIO", Object(BLOCK_IO)),
    optional("hugepageLimits", List(&Object(&[required("pageSize", Text), required("limit", HugeLimit)]))),
    optional(
        "network",
        Object(&[
            optional("classID", U32),
            optional("priorities", List(&Object(&[required("name", Text), required("priority", U32)]))),
        ]),
    ),
    optional("rdma", Map(&Object(&[optional("hcaHandles", U32), optional("hcaObjects", U32)]))),
    optional("unified", Map(&Text)),
];

// -1 stands for every number.
const NUMBER_OR_ALL: Shape = Int(-1, u32::MAX as i128);

const DEVICE_RULE: &[Property] = &[
    required("allow", Bool),
    optional("type", Word(&["a", "b", "c"])),
    optional("major", NUMBER_OR_ALL),
    optional("minor", NUMBER_OR_ALL),
    optional("access", Text),
];

// -1 stands for no limit.
const BYTES: Shape = Int(-1, i64::MAX as i128);

const MEMORY: &[Property] = &[
    optional("limit", BYTES),
    optional("reservation", BYTES),
    optional("swap", BYTES),
    optional("kernel", BYTES),
    optional("kernelTCP", BYTES),
    optional("swappiness", U64),
    optional("disableOOMKiller", Bool),
    optional("useHierarchy", Bool),
    optional("checkBeforeUpdate", Bool),
];

const CPU: &[Property] = &[
    optional("shares", U64),
    optional("quota", I64),
    optional("burst", U64),
    optional("period", U64),
    optional("realtimeRuntime", I64),
    optional("realtimePeriod", U64),
    optional("cpus", Text),
    optional("mems", Text),
    optional("idle", I64),
];

const U16: Shape = Int(0, u16::MAX as i128);

const BLOCK_IO: &[Property] = &[
    optional("weight", U16),
    optional("leafWeight", U16),
    optional(
        "weightDevice",
        List(&Object(&[
            required("major", U32),
            required("minor", U32),
            optional("weight", U16),
            optional("leafWeight", U16),
        ])),
    ),
    optional("throttleReadBpsDevice", THROTTLES),
    optional("throttleWriteBpsDevice", THROTTLES),
    optional("throttleReadIOPSDevice", THROTTLES),
    optional("throttleWriteIOPSDevice", THROTTLES),
];

const THROTTLES: Shape = List(&Object(&[required("major", U32), required("minor", U32), required("rate", U64)]));

const SECCOMP: &[Property] = &[
    required("defaultAction", Word(ACTIONS)),
    optional("defaultErrnoRet", U32),
    optional("architectures", List(&Word(ARCHITECTURES))),
    optional(
        "flags",
        List(&Word(&[
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ])),
    ),
    optional("listenerPath", Text),
    optional("listenerMetadata", Cargo),
    optional("syscalls", List(&Object(SYSCALL))),
];

const SYSCALL: &[Property] = &[
    required("names", List(&Text)),
    required("action", Word(ACTIONS)),
    optional("errnoRet", U32),
    optional("args", List(&Object(SYSCALL_ARG))),
];

const SYSCALL_ARG: &[Property] = &[
    required("index", Int(0, 5)),
    required("value", U64),
    optional("valueTwo", U64),
    required(
        "op",
        Word(&[
            "SCMP_CMP_NE",
            "SCMP_CMP_LT",
            "SCMP_CMP_LE",
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_MASKED_EQ",
        ]),
    ),
];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_NATIVE",
];
