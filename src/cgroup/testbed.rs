//! Cgroups and processes for tests, below /rt-test, cleaned up by Drop.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Cgroup, CgroupPaths, JoinFds, file, kill_all, remove};
use crate::error::Faults;
use crate::host::Host;
use crate::host::cgroup::{Layout, Version};
use crate::plan::cgroup::{CgroupPlan, Driver, plan_cgroup};
use crate::spec::Spec;
use crate::sys::process::{self, Side};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A container's cgroups without a container.
pub struct Testbed {
    pub layout: Layout,
    pub plan: CgroupPlan,
    pub cgroup: Cgroup,
    children: Vec<Pid>,
}

/// Says on stdout why a test does nothing on this machine.
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Whether this process may make cgroups, and which ones.
pub fn layout() -> Option<Layout> {
    let layout = Layout::read().unwrap();
    if !nix::unistd::geteuid().is_root() {
        skip("needs root");
        return None;
    }
    if layout == Layout::None {
        skip("no cgroups are mounted");
        return None;
    }
    Some(layout)
}

/// A path for `cgroupsPath` that no other test has.
pub fn unique_path() -> String {
    format!("/rt-test/unit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The plan for a container at `path` with these resources.
pub fn plan(layout: &Layout, path: &str, resources: &str) -> CgroupPlan {
    let mut linux = oci_spec::runtime::Linux::default();
    linux.set_cgroups_path(Some(path.into())).set_resources(Some(serde_json::from_str(resources).unwrap()));
    let mut oci = oci_spec::runtime::Spec::default();
    oci.set_linux(Some(linux));
    let spec = Spec { oci, bundle: "/".into(), text: vec![], warnings: Faults::default() };
    let host = Host {
        kernel: (6, 0),
        euid: 0,
        egid: 0,
        capabilities: !0,
        in_user_namespace: false,
        rootless: false,
        cgroup: layout.clone(),
        seccomp_receiver: None,
    };
    let mut faults = Faults::default();
    let plan = plan_cgroup(&spec, &host, "test", Driver::Cgroupfs, &mut faults);
    assert_eq!(faults.errors, []);
    plan
}

impl Testbed {
    /// Makes cgroups with these limits written; none where the machine cannot.
    pub fn new(resources: &str) -> Option<Testbed> {
        let layout = layout()?;
        let plan = plan(&layout, &unique_path(), resources);
        let cgroup = Cgroup::create(&plan).unwrap();
        let testbed = Testbed { layout, plan, cgroup, children: Vec::new() };
        testbed.cgroup.apply_resources(&testbed.plan.resources).unwrap();
        Some(testbed)
    }

    pub fn paths(&self) -> &CgroupPaths {
        self.cgroup.paths()
    }

    /// Writes other limits, as `rt update` would.
    pub fn update(&self, resources: &str) -> anyhow::Result<()> {
        let parsed = serde_json::from_str(resources).unwrap();
        let mut faults = Faults::default();
        let plan = crate::plan::cgroup::plan_resources(&parsed, &self.layout, "--resources", "", &mut faults);
        assert_eq!(faults.errors, []);
        Cgroup::open_existing(self.paths()).apply_resources(&plan)
    }

    /// The container's directory for a controller.
    pub fn directory(&self, controller: &str) -> Option<PathBuf> {
        match self.layout.version_of(controller)? {
            Version::V1 => self.paths().v1_directory(controller).map(Path::to_owned),
            Version::V2 => self.paths().v2.clone(),
        }
    }

    /// A file of the container's, trimmed.
    pub fn read(&self, controller: &str, name: &str) -> String {
        let path = self.directory(controller).unwrap().join(name);
        file::read(&path).unwrap_or_else(|errno| panic!("{}: {errno}", path.display())).trim().to_owned()
    }

    /// Runs a shell script in the container's cgroups, entered as init enters them.
    pub fn spawn(&mut self, script: &str) -> Pid {
        let joins = JoinFds::open(self.paths()).unwrap();
        self.spawn_through(&joins, script).unwrap()
    }

    /// The same through doors that were opened before.
    pub fn spawn_through(&mut self, joins: &JoinFds, script: &str) -> nix::Result<Pid> {
        // The writing end is closed by exec: then the child has joined everything.
        let (exec_notice, at_exec) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let argv = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        // The child makes system calls only until it execs.
        let Side::Parent { pid, .. } = process::clone3(0, joins.v2_fd())? else {
            match joins.join_self() {
                Ok(()) => drop(nix::unistd::execv(c"/bin/sh", &argv)),
                Err(error) => eprintln!("{error:#}"),
            }
            process::exit_now(99)
        };
        let pid = Pid::from_raw(pid);
        self.children.push(pid);
        drop(at_exec);
        assert_eq!(nix::unistd::read(&exec_notice, &mut [0]), Ok(0));
        Ok(pid)
    }

    /// The exit code of a script; 128 and the signal's number when it was killed.
    pub fn wait(&mut self, pid: Pid) -> i32 {
        self.children.retain(|child| *child != pid);
        match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            status => panic!("{status:?}"),
        }
    }

    /// Runs a script to its end.
    pub fn run(&mut self, script: &str) -> i32 {
        let pid = self.spawn(script);
        self.wait(pid)
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let killed = kill_all(self.cgroup.paths(), Signal::SIGKILL);
        for pid in &self.children {
            let _ = kill(*pid, Signal::SIGKILL);
            let _ = waitpid(*pid, None);
        }
        let removed = remove(self.cgroup.paths());
        remove_parents(self.cgroup.paths());
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
        }
    }
}

/// Removes /rt-test where no other test needs it.
pub fn remove_parents(paths: &CgroupPaths) {
    for directory in paths.directories() {
        for parent in directory.ancestors().skip(1).take_while(|p| p.to_string_lossy().contains("/rt-test")) {
            let _ = std::fs::remove_dir(parent);
        }
    }
}
