//! crun's annotations: those that managers and users write, and what becomes of each.

use oci_spec::runtime::Spec;

/// The socket of a seccomp agent, where the profile has no `listenerPath`.
pub const SECCOMP_RECEIVER: &str = "run.oci.seccomp.receiver";
/// A filter that takes the profile's place, as it is.
pub const SECCOMP_BPF_DATA: &str = "run.oci.seccomp_bpf_data";
/// A system call's name that `rt` does not know is an error.
pub const SECCOMP_FAIL_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";
/// Libraries that crun would load to answer `SCMP_ACT_NOTIFY` itself.
pub const SECCOMP_PLUGINS: &str = "run.oci.seccomp.plugins";

/// The value of an annotation.
pub fn annotation<'s>(container: &'s Spec, name: &str) -> Option<&'s str> {
    container.annotations().as_ref()?.get(name).map(String::as_str)
}

/// Where config.json has an annotation.
pub fn pointer(name: &str) -> String {
    format!("/annotations/{name}")
}
