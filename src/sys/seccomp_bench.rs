//! What a seccomp profile costs: instructions, the compiler's time, the kernel's. `make bench-seccomp` prints it.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use oci_spec::runtime::LinuxSeccomp;

use super::seccomp::{load_filter, supported_flags};
use crate::plan::seccomp::{ACTIONS, SeccompFlags, SeccompHost, SeccompPlan, native_arch, plan_seccomp};

/// How many processes compile a profile for the first time in their lives.
const FRESH: usize = 200;

fn profile(name: &str) -> LinuxSeccomp {
    let path = format!("{}/src/plan/seccomp/testdata/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the profile")).expect("a profile")
}

fn compile(profile: &LinuxSeccomp, flags: SeccompFlags) -> SeccompPlan {
    let host = SeccompHost {
        native: native_arch().expect("tests run where seccomp is"),
        flags,
        actions: &ACTIONS.map(|row| row.0),
        still_needed: &["execve"],
        receiver: None,
        refuses_unknown: false,
    };
    plan_seccomp(profile, &host).expect("a plan")
}

/// `cargo test --release --bin rt -- --ignored --nocapture --test-threads 1 bench_seccomp`
#[test]
#[ignore = "a measurement, of use in a release build"]
fn bench_seccomp() {
    for name in ["docker", "podman"] {
        let profile = profile(name);
        let flags = SeccompFlags::from_bits(supported_flags());
        let plan = compile(&profile, flags);
        let cold = sorted(FRESH, || cold_nanos(name));
        let warm = sorted(1000, || nanos(|| drop(black_box(compile(&profile, flags)))));
        let load = sorted(300, || load_nanos(&plan));
        let us = |list: &[u64], part: usize| list[list.len() * part / 100] as f64 / 1000.0;
        println!(
            "{name}: {} instructions; compile {:.1} us in a fresh process (p10 {:.1} us, of {FRESH}), {:.1} us warm; \
             load {:.1} us (p10 {:.1} us)",
            plan.program.len(),
            us(&cold, 50),
            us(&cold, 10),
            us(&warm, 50),
            us(&load, 50),
            us(&load, 10),
        );
    }
}

/// One of the fresh processes; alone it says little.
#[test]
#[ignore = "is started by bench_seccomp"]
fn compile_once_in_a_fresh_process() {
    let name = std::env::var("RT_PROFILE").unwrap_or_else(|_| "docker".to_owned());
    let profile = profile(&name);
    let flags = SeccompFlags::from_bits(supported_flags());
    println!("nanoseconds {}", nanos(|| drop(black_box(compile(&profile, flags)))));
}

fn cold_nanos(name: &str) -> u64 {
    let words = ["--ignored", "--exact", "--nocapture", "--test-threads", "1"];
    let mut command = Command::new(std::env::current_exe().expect("/proc is mounted"));
    command.args(words).arg("sys::seccomp_bench::compile_once_in_a_fresh_process").env("RT_PROFILE", name);
    let output = command.output().expect("the test's own executable");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = text.split_once("nanoseconds ").expect("the fresh process prints its time");
    rest.split_whitespace().next().and_then(|digits| digits.parse().ok()).expect("a number")
}

fn nanos(what: impl FnOnce()) -> u64 {
    let start = Instant::now();
    what();
    start.elapsed().as_nanos() as u64
}

fn sorted(times: usize, measure: impl Fn() -> u64) -> Vec<u64> {
    let mut nanos: Vec<_> = (0..times).map(|_| measure()).collect();
    nanos.sort_unstable();
    nanos
}

/// How long a forked process takes to load the filter.
fn load_nanos(plan: &SeccompPlan) -> u64 {
    const LOADED: i32 = 100;
    let mut pipe = [0; 2];
    // SAFETY: the child only makes system calls, and leaves with _exit; both sides write and read 8 bytes.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let pid = libc::fork();
        if pid == 0 {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let start = Instant::now();
            let loaded = load_filter(&plan.program, plan.flags.bits()).is_ok();
            let nanos = start.elapsed().as_nanos() as u64;
            libc::write(pipe[1], (&raw const nanos).cast(), 8);
            libc::_exit(if loaded { LOADED } else { 0 });
        }
        let mut nanos = 0u64;
        assert_eq!(libc::read(pipe[0], (&raw mut nanos).cast(), 8), 8);
        libc::close(pipe[0]);
        libc::close(pipe[1]);
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert_eq!(libc::WEXITSTATUS(status), LOADED);
        nanos
    }
}
