//! The container's device rules: lines on v1, a program on v2.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::Context;

use super::{Cgroup, file};
use crate::plan::cgroup::{DeviceForm, DevicePlan};
use crate::sys::bpf;

/// By this name an update finds our program among those of others, systemd's for example.
const PROGRAM_NAME: &CStr = c"rt_devices";

/// Writes v1's lines, if the plan has some; each file is opened once.
pub fn apply_lines(directory: &Path, plan: &DevicePlan) -> anyhow::Result<bool> {
    let DeviceForm::Lines(lines) = &plan.form else { return Ok(false) };
    let mut open = None;
    for (allow, line) in lines {
        let name = if *allow { "devices.allow" } else { "devices.deny" };
        let path = || directory.join(name);
        if open.as_ref().is_none_or(|(is_allow, _)| is_allow != allow) {
            let fd = file::open_for_writing(&path()).with_context(|| format!("open {}", path().display()))?;
            open = Some((*allow, fd));
        }
        if let Some((_, fd)) = &open {
            file::write_to(fd, line).with_context(|| format!("write {line:?} to {}", path().display()))?;
        }
    }
    Ok(true)
}

/// Attaches the program, if the plan has one, in place of an earlier one of ours.
pub fn apply_program(cgroup: &Cgroup, plan: &DevicePlan) -> anyhow::Result<()> {
    let (DeviceForm::Program(instructions), Some(directory)) = (&plan.form, cgroup.paths.v2_limits()) else {
        return Ok(());
    };
    if let Some(open) = cgroup.v2_fd() {
        return attach(open, directory, instructions);
    }
    let open = file::open_directory(directory).with_context(|| format!("open {}", directory.display()))?;
    attach(open.as_fd(), directory, instructions)
}

fn attach(cgroup: BorrowedFd<'_>, directory: &Path, instructions: &[u64]) -> anyhow::Result<()> {
    let at = || format!("cgroup {}", directory.display());
    let program = bpf::load_device_program(instructions, PROGRAM_NAME)
        .with_context(|| format!("load the device program of {}", at()))?;
    let mut ours = Vec::new();
    for attached in bpf::device_programs(cgroup).with_context(|| format!("list the device programs of {}", at()))? {
        if bpf::is_named(attached.as_fd(), PROGRAM_NAME)? {
            ours.push(attached);
        }
    }
    bpf::attach_device_program(cgroup, program.as_fd(), ours.first().map(AsFd::as_fd))
        .with_context(|| format!("attach the device program to {}", at()))?;
    for older in ours.iter().skip(1) {
        bpf::detach_device_program(cgroup, older.as_fd())
            .with_context(|| format!("detach an old device program from {}", at()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testbed::{Testbed, skip};
    use super::*;
    use crate::host::cgroup::Version;

    /// 7 is /dev/kmsg's absence or whatever else: only "operation not permitted" counts as denied.
    const OPEN_KMSG: &str =
        "LC_ALL=C; export LC_ALL; (: < /dev/kmsg) 2>&1 | grep -qi 'not permitted' && exit 1; exit 0";
    const OPEN_DEFAULTS: &str =
        "for d in null zero full random urandom; do : < /dev/$d || exit 1; : > /dev/$d || exit 2; done";

    #[test]
    fn only_the_default_devices_can_be_opened() {
        let Some(mut testbed) = Testbed::new("{}") else { return };
        assert_eq!(testbed.run(OPEN_DEFAULTS), 0);
        assert_eq!(testbed.run(OPEN_KMSG), 1, "/dev/kmsg could be opened");
        // Making nodes is allowed, opening them is not.
        let node = format!("/dev/shm/rt-test-node-{}", std::process::id());
        let script = format!("mknod {node} b 7 0 && ! (: < {node}) 2>/dev/null; code=$?; rm -f {node}; exit $code");
        assert_eq!(testbed.run(&script), 0);
    }

    #[test]
    fn a_rule_allows_and_an_update_takes_it_back() {
        let Some(mut testbed) = Testbed::new(
            r#"{"devices":[{"allow":false},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#,
        ) else {
            return;
        };
        assert_eq!(testbed.run(OPEN_KMSG), 0);
        testbed.update(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#).unwrap();
        assert_eq!(testbed.run(OPEN_KMSG), 1);
        testbed.update(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).unwrap();
        assert_eq!(testbed.run(OPEN_KMSG), 0);
        assert_eq!(testbed.run(OPEN_DEFAULTS), 0);
    }

    #[test]
    fn an_update_replaces_our_program_and_leaves_others() {
        let Some(testbed) = Testbed::new("{}") else { return };
        let Some(directory) = testbed.paths().v2.clone() else { return skip("no cgroup v2") };
        let rule = r#"[{"allow":true,"type":"c","major":7}]"#;
        let rules: Vec<oci_spec::runtime::LinuxDeviceCgroup> = serde_json::from_str(rule).unwrap();
        let resources = oci_spec::runtime::LinuxResourcesBuilder::default().devices(rules).build().unwrap();
        let tree = testbed.layout.unified().unwrap().clone();
        let layout = crate::host::cgroup::Layout::Unified(tree);
        let mut faults = crate::error::Faults::default();
        let plan = crate::plan::cgroup::plan_resources(&resources, &layout, "x", "", &mut faults).devices.unwrap();
        let DeviceForm::Program(instructions) = &plan.form else { panic!("no program") };

        let cgroup = file::open_directory(&directory).unwrap();
        let count = || bpf::device_programs(cgroup.as_fd()).unwrap().len();
        let own = usize::from(testbed.layout.version_of("devices") != Some(Version::V1));
        assert_eq!(count(), own);
        let other = bpf::load_device_program(instructions, c"someone_else").unwrap();
        bpf::attach_device_program(cgroup.as_fd(), other.as_fd(), None).unwrap();
        for _ in 0..3 {
            attach(cgroup.as_fd(), &directory, instructions).unwrap();
            assert_eq!(count(), 2);
        }
        bpf::detach_device_program(cgroup.as_fd(), other.as_fd()).unwrap();
        assert_eq!(count(), 1);
    }
}
