//! From the profile in `config.json` to a seccomp filter: pure, no system call is made here.
//!
//! How rules combine, and where that differs from libseccomp on purpose, is written in docs/seccomp.md.

mod action;
mod arch;
mod bpf;
mod condition;
mod explain;
mod flags;
#[cfg(test)]
mod model;
#[cfg(test)]
mod oracle;
#[cfg(test)]
pub(super) mod random;
mod raw;
mod rules;
mod syscalls;
mod table;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};

pub use action::ACTIONS;
pub use arch::native_arch;
pub use bpf::SockFilter;
pub use explain::explain_profile;
#[cfg(test)]
pub use flags::FLAGS;
pub use flags::SeccompFlags;
pub use raw::plan_raw;

use action::plan_action;
use arch::Architecture;
use condition::Condition;
use rules::{Entry, Rules, Verdict};
use syscalls::Call;

/// What the compiler must know of the machine and of `rt` itself.
#[derive(Clone, Copy, Debug)]
pub struct SeccompHost<'a> {
    /// The architecture of the container's processes, see [`native_arch`]; it is always part of the filter.
    pub native: Arch,
    /// The flags that the kernel supports.
    pub flags: SeccompFlags,
    /// The actions that the kernel supports.
    pub actions: &'a [LinuxSeccompAction],
    /// The system calls that `rt` makes after the filter is loaded; see [`SeccompPlan::obstacles`].
    pub still_needed: &'a [&'a str],
    /// The agent's socket, if it is another than the profile's `listenerPath` says.
    pub receiver: Option<&'a Path>,
    /// Whether a name that no known kernel has is a fault, and not a warning.
    pub refuses_unknown: bool,
}

/// A filter, ready to be loaded.
#[derive(Clone, Debug)]
pub struct SeccompPlan {
    /// The program for seccomp(2), 1 to 4096 instructions.
    pub program: Vec<SockFilter>,
    /// The flags for seccomp(2), `NEW_LISTENER` included where there is a listener.
    pub flags: SeccompFlags,
    /// Who answers `SCMP_ACT_NOTIFY`; `None` if no rule uses it.
    pub listener: Option<Listener>,
    /// The system calls of [`SeccompHost::still_needed`] that the filter does not simply let pass.
    pub obstacles: Vec<Obstacle>,
    /// What was left out.
    pub warnings: Vec<SeccompFault>,
}

/// The seccomp agent.
///
/// [Runtime spec](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// An `AF_UNIX` stream socket on the host.
    pub path: PathBuf,
    /// Passed on to the agent as it is.
    pub metadata: Option<String>,
}

/// A system call that `rt` still has to make under the filter, and may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The name of the call.
    pub syscall: String,
    /// What the filter says, as the profile writes it: `NOTIFY`, `ERRNO(1)`.
    pub action: String,
    /// Its value, see seccomp(2).
    pub value: u32,
    /// Only for some arguments.
    pub conditional: bool,
    /// Where config.json says so.
    pub pointer: String,
}

/// A profile that cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompFault {
    /// The place in config.json: `/linux/seccomp/syscalls/3/args/0/index`.
    pub pointer: String,
    /// Why, in lower case.
    pub reason: String,
}

impl SeccompFault {
    fn new(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason: reason.into() }
    }
}

impl fmt::Display for SeccompFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.reason)
    }
}

impl std::error::Error for SeccompFault {}

/// Compiles a profile.
///
/// [Runtime spec](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp)
///
/// # Errors
/// What the spec forbids, what the kernel cannot do, and a program that would be too long.
pub fn plan_seccomp(seccomp: &LinuxSeccomp, host: &SeccompHost<'_>) -> Result<SeccompPlan, SeccompFault> {
    let compiled = Compiled::new(seccomp, host)?;
    let program = tree::compile(&compiled.architectures, compiled.default);
    if program.len() > bpf::MAX_INSTRUCTIONS {
        let (most, is) = (bpf::MAX_INSTRUCTIONS, program.len());
        let reason = format!("the filter needs {is} instructions, the kernel takes at most {most}");
        return Err(SeccompFault::new("/linux/seccomp/syscalls", reason));
    }
    let obstacles = compiled.obstacles(host.still_needed);
    let Compiled { mut warnings, notifies, .. } = compiled;
    let flags = flags::plan_flags(seccomp, host.flags, notifies, &mut warnings)?;
    let listener = plan_listener(seccomp, notifies, host.receiver)?;
    Ok(SeccompPlan { program, flags, listener, obstacles, warnings })
}

/// The profile, sorted out by architecture and number.
struct Compiled {
    default: u32,
    /// Native first.
    architectures: Vec<Rules>,
    notifies: bool,
    warnings: Vec<SeccompFault>,
}

impl Compiled {
    fn new(seccomp: &LinuxSeccomp, host: &SeccompHost<'_>) -> Result<Self, SeccompFault> {
        let default = plan_default(seccomp, host)?;
        let architectures = list_architectures(seccomp, host.native)?;
        let rules = architectures.into_iter().map(|arch| Rules::new(arch, default)).collect();
        let notifies = default == action::NOTIFY;
        let mut compiled = Self { default, architectures: rules, notifies, warnings: Vec::new() };
        for (index, syscall) in seccomp.syscalls().iter().flatten().enumerate() {
            compiled.add(index, syscall, host)?;
        }
        compiled.architectures.iter_mut().for_each(Rules::settle);
        Ok(compiled)
    }

    /// Adds one of the profile's `syscalls`.
    fn add(&mut self, index: usize, syscall: &LinuxSyscall, host: &SeccompHost<'_>) -> Result<(), SeccompFault> {
        let pointer = |rest: &str| format!("/linux/seccomp/syscalls/{index}/{rest}");
        let action = plan_action(syscall.action(), syscall.errno_ret(), &|| pointer("errnoRet"))?;
        check_available(syscall.action(), host.actions, &|| pointer("action"))?;
        if syscall.names().is_empty() {
            return Err(SeccompFault::new(pointer("names"), "must name at least one system call"));
        }
        let args = syscall.args().as_deref().unwrap_or_default();
        if let Some(at) = args.iter().position(|arg| arg.index() > 5) {
            let reason = format!("{} is not an argument: a system call has arguments 0 to 5", args[at].index());
            return Err(SeccompFault::new(pointer(&format!("args/{at}/index")), reason));
        }
        let groups = alternatives(args);
        if groups.len() > 1 {
            let reason = "compares an argument more than once, so any one of its comparisons is enough";
            self.warnings.push(SeccompFault::new(pointer("args"), reason));
        }
        if action == self.default && !args.is_empty() {
            let reason = "is the default action anyway, the rule has no effect";
            self.warnings.push(SeccompFault::new(pointer("action"), reason));
        }
        let entry = |wide| Entry {
            index,
            action,
            alternatives: groups
                .iter()
                .map(|group| group.iter().filter_map(|arg| Condition::new(arg, wide)).collect())
                .collect(),
        };
        let (narrow, wide) = (entry(false), entry(true));
        for name in syscall.names() {
            let Some(call) = Call::find(name) else {
                let reason = format!("no system call is named {name:?}");
                if host.refuses_unknown {
                    return Err(SeccompFault::new(pointer("names"), reason));
                }
                self.warnings.push(SeccompFault::new(pointer("names"), format!("{reason}, skipped")));
                continue;
            };
            self.notifies |= action == action::NOTIFY;
            for rules in &mut self.architectures {
                rules.add(call, if rules.arch.wide { &wide } else { &narrow });
            }
        }
        Ok(())
    }

    /// What the filter holds against calls that `rt` still has to make on the native architecture.
    fn obstacles(&self, needed: &[&str]) -> Vec<Obstacle> {
        let native = &self.architectures[0];
        // Whoever holds the listener answers: at first that is `rt`.
        let harmless = |value: u32| [action::ALLOW, action::LOG, action::NOTIFY].contains(&value);
        let mut obstacles = Vec::new();
        for name in needed {
            let Some(number) = Call::find(name).and_then(|call| call.number(native.arch.column)) else { continue };
            let entry = |index: usize| format!("/linux/seccomp/syscalls/{index}/action");
            let default = (self.default, "/linux/seccomp/defaultAction".to_owned());
            let (conditional, found) = match native.verdict(number) {
                Verdict::Unnamed | Verdict::Default => (false, vec![default]),
                Verdict::Action { action, entry: index } => (false, vec![(action, entry(index))]),
                Verdict::Conditional(at) => {
                    let rules = native.conditional[at].iter().map(|rule| (rule.action, entry(rule.entry)));
                    (true, rules.chain([default]).collect())
                }
            };
            let against = found.into_iter().filter(|(value, _)| !harmless(*value));
            obstacles.extend(against.map(|(value, pointer)| Obstacle {
                syscall: (*name).to_owned(),
                action: action::describe(value),
                value,
                conditional,
                pointer,
            }));
        }
        obstacles
    }
}

fn plan_default(seccomp: &LinuxSeccomp, host: &SeccompHost<'_>) -> Result<u32, SeccompFault> {
    const ACTION: &str = "/linux/seccomp/defaultAction";
    let errno_pointer = || "/linux/seccomp/defaultErrnoRet".to_owned();
    let default = plan_action(seccomp.default_action(), seccomp.default_errno_ret(), &errno_pointer)?;
    check_available(seccomp.default_action(), host.actions, &|| ACTION.to_owned())?;
    Ok(default)
}

fn check_available(
    action: LinuxSeccompAction,
    available: &[LinuxSeccompAction],
    pointer: &dyn Fn() -> String,
) -> Result<(), SeccompFault> {
    if available.contains(&action) {
        return Ok(());
    }
    Err(SeccompFault::new(pointer(), "the kernel does not have this action"))
}

/// The native architecture, then those of the profile, each once.
fn list_architectures(seccomp: &LinuxSeccomp, native: Arch) -> Result<Vec<&'static Architecture>, SeccompFault> {
    const POINTER: &str = "/linux/seccomp/architectures";
    let native = Architecture::find(native)
        .ok_or_else(|| SeccompFault::new("/linux/seccomp", "this machine's architecture has no seccomp filter"))?;
    let mut list = vec![native];
    for (index, arch) in seccomp.architectures().iter().flatten().enumerate() {
        if *arch == Arch::ScmpArchNative {
            continue;
        }
        let arch = Architecture::find(*arch)
            .ok_or_else(|| SeccompFault::new(format!("{POINTER}/{index}"), "is not an architecture"))?;
        if !list.iter().any(|known| known.arch == arch.arch) {
            list.push(arch);
        }
    }
    Ok(list)
}

/// The lists of conditions of which one must hold, each sorted by argument. An entry that compares an argument
/// twice is satisfied by any one comparison: what runc made of it has become the custom.
fn alternatives(args: &[LinuxSeccompArg]) -> Vec<Vec<LinuxSeccompArg>> {
    let mut sorted = args.to_vec();
    sorted.sort_by_key(|arg| arg.index());
    if sorted.is_empty() {
        Vec::new()
    } else if sorted.windows(2).any(|pair| pair[0].index() == pair[1].index()) {
        args.iter().map(|arg| vec![*arg]).collect()
    } else {
        vec![sorted]
    }
}

/// Who will answer, if anyone is asked.
fn plan_listener(
    seccomp: &LinuxSeccomp,
    notifies: bool,
    receiver: Option<&Path>,
) -> Result<Option<Listener>, SeccompFault> {
    let own = seccomp.listener_path().as_deref().filter(|path| !path.as_os_str().is_empty());
    let path = receiver.or(own);
    let metadata = seccomp.listener_metadata().clone().filter(|metadata| !metadata.is_empty());
    match path {
        None if metadata.is_some() => {
            Err(SeccompFault::new("/linux/seccomp/listenerMetadata", "must not be set without listenerPath"))
        }
        None if notifies => {
            Err(SeccompFault::new("/linux/seccomp/listenerPath", "must be set where SCMP_ACT_NOTIFY is used"))
        }
        Some(path) if notifies => Ok(Some(Listener { path: path.to_owned(), metadata })),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod theirs;
