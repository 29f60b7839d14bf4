//! crun's annotations: those that managers and users write, and what becomes of each.

use std::path::Path;

use oci_spec::runtime::Spec;

use crate::error::Faults;

/// The socket of a seccomp agent, where the profile has no `listenerPath`.
pub const SECCOMP_RECEIVER: &str = "run.oci.seccomp.receiver";
/// A filter that takes the profile's place, as it is.
pub const SECCOMP_BPF_DATA: &str = "run.oci.seccomp_bpf_data";
/// A system call's name that `rt` does not know is an error.
pub const SECCOMP_FAIL_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";
/// Libraries that crun would load to answer `SCMP_ACT_NOTIFY` itself.
pub const SECCOMP_PLUGINS: &str = "run.oci.seccomp.plugins";

/// A file that the hooks' standard output is appended to.
pub const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
/// The same for their standard error.
pub const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
/// A socket that gets the init's pidfd, as `--pidfd-socket`.
pub const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
/// Another way to run the program than execve: a virtual machine, an interpreter of WebAssembly.
const HANDLER: &str = "run.oci.handler";

/// Refuses what cannot be honoured. What is about one part of the plan is looked at there; `krun.*` and `module.wasm.*`
/// are settings of handlers, and mean nothing without one.
pub fn check(container: &Spec, faults: &mut Faults) {
    if let Some(handler) = annotation(container, HANDLER).filter(|handler| !handler.is_empty()) {
        faults
            .error(pointer(HANDLER), format!("{handler:?} is not supported: rt has no handlers, it executes programs"));
    }
    for name in [HOOKS_STDOUT, HOOKS_STDERR, PIDFD_RECEIVER] {
        if let Some(path) = annotation(container, name).filter(|path| !Path::new(path).is_absolute()) {
            faults.error(pointer(name), format!("{path:?} is not an absolute path"));
        }
    }
}

/// The value of an annotation.
pub fn annotation<'s>(container: &'s Spec, name: &str) -> Option<&'s str> {
    container.annotations().as_ref()?.get(name).map(String::as_str)
}

/// Where config.json has an annotation.
pub fn pointer(name: &str) -> String {
    format!("/annotations/{name}")
}
