//! Kernels and sandboxes that lack a system call: each gets the documented fallback or an error that names the call.
//!
//! The call is refused by a seccomp filter around the runtime, as an older kernel or another container would.

use std::io::{Read, Seek};
use std::process::Command;

use libseccomp::{ScmpAction, ScmpFilterContext, ScmpSyscall};
use serde_json::json;

use crate::harness::runtime::outcome;
use crate::harness::{Bundle, Container, Mode, Outcome, mode, runtime};

/// `command` on a kernel that does not know `call`.
fn without(call: &str, command: Command) -> Outcome {
    refusing(call, nix::libc::ENOSYS, command)
}

/// `command` below a filter that refuses `call` with that error.
fn refusing(call: &str, errno: i32, mut command: Command) -> Outcome {
    let program = filter(call, errno);
    #[allow(unsafe_code)]
    // SAFETY: between fork and exec it makes one system call, on memory that was prepared before.
    unsafe {
        use std::os::unix::process::CommandExt;
        command.pre_exec(move || load(&program));
    }
    outcome(command)
}

/// BPF that answers one call with an error.
fn filter(call: &str, errno: i32) -> Vec<nix::libc::sock_filter> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Allow).unwrap();
    let call = ScmpSyscall::from_name(call).unwrap();
    filter.add_rule(ScmpAction::Errno(errno), call).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    filter.export_bpf(&file).unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let word = |bytes: &[u8]| u16::from_ne_bytes(bytes.try_into().unwrap());
    let instructions = bytes.chunks_exact(8).map(|bytes| nix::libc::sock_filter {
        code: word(&bytes[..2]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes(bytes[4..].try_into().unwrap()),
    });
    instructions.collect()
}

/// Without CAP_SYS_ADMIN no_new_privs has to be set before; newuidmap is no use then.
#[allow(unsafe_code)]
fn load(program: &[nix::libc::sock_filter]) -> std::io::Result<()> {
    if mode() == Mode::Rootless {
        nix::sys::prctl::set_no_new_privs()?;
    }
    let program = nix::libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program lives over the call and is as long as it says.
    let result = unsafe {
        nix::libc::prctl(nix::libc::PR_SET_SECCOMP, nix::libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A container that needs no program to map its ids.
fn single(bundle: Bundle) -> Bundle {
    if mode() != Mode::Rootless {
        return bundle;
    }
    let own = json!([{ "containerID": 0, "hostID": nix::unistd::geteuid().as_raw(), "size": 1 }]);
    bundle.set("/linux/uidMappings", own.clone()).set("/linux/gidMappings", own).without_mount("/dev/pts")
}

fn run_without(call: &str, errno: i32) -> (Container, Outcome) {
    run_bundle_without(Bundle::args(&["echo", "ran"]), call, errno)
}

/// The same of one that uses every call: a file system with a propagation of its own is more than mount(2) can say.
fn run_all_without(call: &str, errno: i32) -> (Container, Outcome) {
    let own = json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/own", "options": ["private"] });
    run_bundle_without(Bundle::args(&["echo", "ran"]).push("/mounts", own), call, errno)
}

fn run_bundle_without(bundle: Bundle, call: &str, errno: i32) -> (Container, Outcome) {
    let container = Container::new(single(bundle));
    let outcome = refusing(call, errno, container.verb("run", &[]));
    (container, outcome)
}

/// What rt cannot do without, once all is asked of it.
const NEEDED: &[&str] = &[
    "clone3",
    "openat2",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "mount_setattr",
    "close_range",
    "execveat",
];

/// What cannot be done without the call is not done: the error names it, and nothing is left.
#[test]
fn a_call_that_is_needed_is_named() {
    only_rt!();
    for call in NEEDED {
        let (container, outcome) = run_all_without(call, nix::libc::ENOSYS);
        outcome.refused_with(&["(ENOSYS)", &format!("rt needs {call} of Linux ")]);
        container.assert_nothing_left();
    }
}

/// Container engines of before 2021 refuse what they do not know with EPERM: that is no lack of privilege, and said so.
#[test]
fn a_call_that_a_filter_refuses_is_named() {
    only_rt!();
    for call in NEEDED {
        // To whoever has no privilege outside of the container the kernel itself says so to some of them.
        let is_told = mode() != Mode::Rootless || !["move_mount", "fsopen", "fsmount"].contains(call);
        let (container, outcome) = run_all_without(call, nix::libc::EPERM);
        let why = format!("rt needs {call}, which a filter around it refuses");
        outcome.refused_with(&["(EPERM)", if is_told { &why } else { "" }]);
        container.assert_nothing_left();
    }
}

/// Nothing needs these: what they are used for is done in another way, or not at all on such a kernel.
#[test]
fn other_calls_have_a_fallback() {
    for call in ["statx", "faccessat2", "memfd_create", "fchmodat2", "pidfd_open", "pidfd_send_signal", "keyctl"] {
        if call == "memfd_create" && mode() == Mode::Rootless {
            continue; // without privilege the copy in memory is the one protection of the binary that there is
        }
        for errno in [nix::libc::ENOSYS, nix::libc::EPERM] {
            assert_eq!(run_without(call, errno).1.ok().stdout, "ran\n", "{call} {errno}");
        }
    }
}

/// exec needs no mount of its own: where the binary's cannot be cloned, a copy in memory protects it.
#[test]
fn exec_works_without_the_mount_calls() {
    let container = Container::new(single(Bundle::sleeping()));
    container.launch();
    for call in ["open_tree", "mount_setattr", "fsopen", "move_mount", "openat2", "faccessat2", "keyctl"] {
        for errno in [nix::libc::ENOSYS, nix::libc::EPERM] {
            let mut command = container.command();
            command.args(["exec", &container.id, "echo", "ran"]);
            assert_eq!(refusing(call, errno, command).ok().stdout, "ran\n", "{call} {errno}");
        }
    }
}

/// Signals go by pidfd alone: without it the container stays as it is, and can be deleted where the call is there.
#[test]
fn without_pidfds_nothing_is_killed() {
    only_rt!();
    let container = Container::new(single(Bundle::sleeping()));
    container.launch();
    for call in ["pidfd_open", "pidfd_send_signal"] {
        for verb in [&["kill"][..], &["delete", "--force"]] {
            let mut command = container.command();
            command.args(verb).arg(&container.id);
            without(call, command).refused_with(&[&format!("rt needs {call} of Linux 5.")]);
        }
    }
    assert_eq!(container.status(), "running");
    container.delete_force().ok();
    container.assert_nothing_left();
}

/// A kernel that is too old altogether is not tried: setarch(8) makes ours look like one.
#[test]
fn an_old_kernel_is_refused() {
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]));
    let mut command = Command::new("setarch");
    command.args(["--uname-2.6", "--"]).arg(&runtime().path).arg("--root").arg(container.root());
    command.arg("run").arg("--bundle").arg(container.bundle.dir.path()).arg(&container.id);
    outcome(command).refused_with(&["this is Linux 2.6: rt needs Linux 5.12"]);
    container.assert_nothing_left();
}

/// "No space left on device" is what the kernel says where there may be no more namespaces.
#[test]
fn a_limit_of_namespaces_is_named() {
    only_rt!();
    let container = Container::new(Bundle::args(&["true"]).without("/linux/cgroupsPath"));
    let script = "echo 0 > /proc/sys/user/max_uts_namespaces; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&runtime().path);
    command.arg("--root").arg(container.root()).arg("run").arg("--bundle").arg(container.bundle.dir.path());
    command.arg(&container.id);
    outcome(command).refused_with(&["no more namespaces here", "/proc/sys/user/max_", "(ENOSPC)"]);
    container.assert_nothing_left();
}

/// Ids of its own for a mount of a file system that can have none, on this kernel or at all.
#[test]
fn a_file_system_that_cannot_map_ids_is_named() {
    only_rt!();
    if mode() == Mode::Rootless {
        skip!("a user cannot give a mount ids of its own");
    }
    let bundle = Bundle::args(&["true"]).user_namespace(100_000).bind("/proc/sys", "/mnt", &["bind", "idmap"]);
    let container = Container::new(bundle);
    container.run().refused_with(&["/mnt (idmap)", "its file system cannot map ids on this kernel", "(EINVAL)"]);
    container.assert_nothing_left();
}
