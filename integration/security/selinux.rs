//! "`selinuxLabel` specifies the SELinux label for the process", "`mountLabel` will set the Selinux context for the
//! mounts in the container."
//!
//! The guest's policy is Debian's; its `container_t` may read `container_file_t`, and little else when it is enforced.

use std::process::Command;

use serde_json::json;

use crate::harness::program::compile;
use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container};

const PROCESS: &str = "system_u:system_r:container_t:s0:c1,c2";
const OTHER: &str = "system_u:system_r:container_t:s0:c3,c4";
const FILES: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn is_enabled() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok()
}

fn is_enforcing() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|text| text.trim() == "1")
}

macro_rules! need_selinux {
    () => {
        if !is_enabled() {
            skip!("no SELinux here");
        }
    };
}

/// A container of `container_t`, whose root file system it may use. What it prints goes to /out: the policy gives it
/// no right to the descriptors of a service, which the tests are.
fn labelled(script: &str) -> Bundle {
    let bundle = Bundle::sh(&format!("exec > /out 2>&1; {script}"))
        .set("/process/selinuxLabel", json!(PROCESS))
        .set("/linux/mountLabel", json!(FILES));
    let done = Command::new("chcon").args(["-R", FILES]).arg(bundle.rootfs("")).status();
    assert!(done.unwrap().success(), "chcon");
    bundle
}

fn printed(container: &Container) -> String {
    std::fs::read_to_string(container.bundle.rootfs("/out")).unwrap_or_default().trim_end_matches('\0').to_owned()
}

const SHOW: &str = "cat /proc/self/attr/current > /out";

/// It is on the program.
#[test]
fn the_label_is_on_the_program() {
    need_selinux!();
    let container = Container::new(labelled(SHOW));
    container.run().ok();
    assert_eq!(printed(&container), PROCESS);
}

/// exec has the label of the config, or that of `--process-label`.
#[test]
fn exec_has_the_label_of_the_config_or_its_own() {
    need_selinux!();
    let container = Container::new(labelled("exec sleep 1000"));
    container.launch();
    container.exec_sh(SHOW).ok();
    assert_eq!(printed(&container), PROCESS);
    let own = container.call(&["exec", "--process-label", OTHER, &container.id, "sh", "-c", SHOW]);
    if is_enforcing() {
        // The files are those of c1,c2: whoever is c3,c4 cannot even be executed from them.
        assert_ne!(own.code, 0, "{own:#?}");
        assert_eq!(printed(&container), PROCESS);
    } else {
        own.ok();
        assert_eq!(printed(&container), OTHER);
    }
}

/// The session keyring is the program's: with the runtime's own label it could not even look at it.
#[test]
fn the_session_keyring_has_the_label_of_the_program() {
    need_selinux!();
    let bundle = labelled("/keyring; exec sleep 1000");
    compile("integration/security/keyring.c", &bundle.rootfs("/keyring"));
    let done = Command::new("chcon").arg(FILES).arg(bundle.rootfs("/keyring")).status();
    assert!(done.unwrap().success(), "chcon");
    let container = Container::new(bundle);
    container.launch();
    eventually("the program has looked", || printed(&container) == PROCESS.to_owned() + "\n");
    container.exec_sh("exec > /out 2>&1; echo exec; /keyring").ok();
    assert_eq!(printed(&container), format!("exec\n{PROCESS}\n"));
}

/// What is enforced is refused, and what is only watched is not.
#[test]
fn the_policy_is_enforced_or_not() {
    need_selinux!();
    let bundle = labelled("cat /secret > /dev/null && echo read || echo refused").file("/secret", "secret", 0o644);
    let done = Command::new("chcon").args(["-t", "shadow_t"]).arg(bundle.rootfs("/secret")).status();
    assert!(done.unwrap().success(), "chcon");
    let wanted = if is_enforcing() { "refused" } else { "read" };
    let container = Container::new(bundle);
    container.run().ok();
    assert_eq!(printed(&container).lines().last(), Some(wanted));
}

/// A label that the policy does not know is an error of create, before the program runs; so is one of a mount.
#[test]
fn a_bad_label_is_refused() {
    need_selinux!();
    let bad = "system_u:system_r:no_such_type_t:s0";
    let container = Container::new(labelled("echo ran").set("/process/selinuxLabel", json!(bad)));
    container.create().refused_with(&["selinux", bad]);
    container.assert_nothing_left();
    let container = Container::new(labelled("echo ran").set("/linux/mountLabel", json!("nonsense")));
    container.create().refused_with(&["nonsense"]);
    container.assert_nothing_left();

    let container = Container::new(labelled("exec sleep 1000"));
    container.launch();
    let exec = ["exec", "--process-label", bad, &container.id, "sh", "-c", "echo ran > /out"];
    container.call(&exec).refused_with(&[bad]);
    assert_eq!((printed(&container).as_str(), container.status().as_str()), ("", "running"));
}

/// As files and /proc/PID/attr have it.
#[test]
fn a_line_feed_at_the_end_of_a_label_does_not_count() {
    need_selinux!();
    let container = Container::new(labelled(SHOW).set("/process/selinuxLabel", json!(format!("{PROCESS}\n"))));
    container.run().ok();
    assert_eq!(printed(&container), PROCESS);
}

/// Without SELinux a label is refused, even one that AppArmor would understand as a command.
#[test]
fn without_selinux_a_label_is_refused() {
    only_rt!();
    if is_enabled() {
        skip!("SELinux is here");
    }
    for label in [PROCESS, "exec unconfined"] {
        let container = Container::new(Bundle::args(&["true"]).set("/process/selinuxLabel", json!(label)));
        container.run().refused_with(&["selinux", "SELinux is not enabled"]);
        container.assert_nothing_left();
    }
    let container = Container::new(Bundle::args(&["true"]).set("/linux/mountLabel", json!(FILES)));
    container.run().refused_with(&["/mounts/", "SELinux is not enabled", "/linux/mountLabel"]);
    container.assert_nothing_left();
    // The cover of a masked directory has it, too.
    let bundle = Bundle::args(&["true"]).set("/mounts", json!([])).set("/linux/mountLabel", json!(FILES));
    let container = Container::new(bundle.set("/linux/maskedPaths", json!(["/bin"])));
    container.run().refused_with(&["mask /bin", "SELinux is not enabled", "/linux/mountLabel"]);
    container.assert_nothing_left();
}

/// The label of a mount is on everything in it; categories have commas, which no other option has.
#[test]
fn the_mount_label_is_on_the_mounts() {
    need_selinux!();
    let bundle = labelled("exec sleep 1000").mount("tmpfs", "tmpfs", "/mnt", &["size=1m", "mode=700"]);
    let bundle = bundle.without_mount("/dev/mqueue").mount("mqueue", "mqueue", "/dev/mqueue", &["ro"]);
    let bundle = bundle.set("/linux/maskedPaths", json!(["/sys/firmware"]));
    let container = Container::new(bundle);
    container.launch();
    for place in ["/mnt", "/dev/shm", "/dev/mqueue", "/dev", "/dev/null", "/dev/pts", "/sys/firmware"] {
        assert_eq!(label_of(&container, place), FILES, "{place}");
    }
    // The kernel's own keep theirs.
    for place in ["/proc", "/sys"] {
        assert_ne!(label_of(&container, place), FILES, "{place}");
    }
    assert_eq!(container.exec_sh("ls /sys/firmware /dev/shm > /out; echo $? >> /out").code, 0);
    assert!(printed(&container).ends_with("\n0\n"), "{}", printed(&container));
}

/// A mount that says its label itself has that one.
#[test]
fn a_mount_may_have_a_label_of_its_own() {
    need_selinux!();
    let own = "system_u:object_r:container_file_t:s0:c3";
    let bundle = labelled("exec sleep 1000");
    let bundle = bundle.mount("tmpfs", "tmpfs", "/mnt", &[&format!("context={own}")]);
    let container = Container::new(bundle);
    only_rt!(); // the others give both to the kernel, which refuses them
    container.launch();
    assert_eq!(label_of(&container, "/mnt"), own);
    assert_eq!(label_of(&container, "/dev/shm"), FILES);
}

/// crun's annotation, as podman sets it: only the root of the mount is labelled, the rest can be labelled by others.
#[test]
fn the_mount_label_may_be_that_of_the_root_alone() {
    need_selinux!();
    let bundle = labelled("exec sleep 1000").mount("tmpfs", "tmpfs", "/mnt", &[]);
    let bundle = bundle.set("/annotations/run.oci.mount_context_type", json!("rootcontext"));
    let container = Container::new(bundle);
    container.launch();
    assert_eq!(label_of(&container, "/mnt"), FILES);
    let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    let line = table.lines().find(|line| line.contains(" /mnt ")).unwrap();
    assert!(line.contains("rootcontext=") || !line.contains("context="), "{line}");
}

/// Looked at from outside, with all rights.
fn label_of(container: &Container, place: &str) -> String {
    let path = format!("/proc/{}/root{place}", container.pid());
    let output = Command::new("stat").args(["--format", "%C", &path]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
