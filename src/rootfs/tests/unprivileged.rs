//! In a user namespace, whose mounts the kernel locks, and which may not make everything.

use std::process::Command;

use nix::sys::stat::makedev;

use super::features::typical;
use super::*;
use crate::plan::namespaces::{Namespace, NamespacePlan};
use crate::plan::rootfs::tests::plan_with;

/// Started again by the next test, in a user namespace.
#[test]
fn inner_part_of_locked_attributes() {
    let Some(bundle) = inner_bundle() else { return };
    let plan_rw = plan(
        &bundle,
        json!({"mounts": [
            {"destination": "/rw", "source": "victim", "options": ["bind", "rw", "dev"]},
            {"destination": "/nosuid", "source": "victim", "options": ["bind", "nosuid"]},
        ]}),
    );
    let root = build(&plan_rw).unwrap();
    let rootfs = bundle.join("rootfs");
    assert!(flags(rootfs.join("rw")).contains(FsFlags::ST_RDONLY | FsFlags::ST_NODEV));
    assert!(flags(rootfs.join("nosuid")).contains(FsFlags::ST_RDONLY | FsFlags::ST_NOSUID));
    drop(root);
    let order = json!({"mounts": [{"destination": "/rw", "source": "victim", "options": ["rbind", "rrw"]}]});
    assert!(error_of(build(&plan(&bundle, order))).contains("EPERM"));
    println!("{DONE}");
}

#[test]
fn locked_attributes_stay_and_are_no_error() {
    in_bundle(|bundle| {
        for name in ["rw", "nosuid"] {
            fs::create_dir(bundle.join("rootfs").join(name)).unwrap();
        }
        let locked = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
        mount(Some("x"), &bundle.join("victim"), Some("tmpfs"), locked, None::<&str>).unwrap();
        in_user_namespace(bundle, &[], "inner_part_of_locked_attributes");
    });
}

/// Started again by the next test, in a user namespace with pid and ipc namespaces of its own.
#[test]
fn inner_part_of_a_container_without_privilege() {
    let Some(bundle) = inner_bundle() else { return };
    // The network is the host's: the kernel refuses a sysfs of our own.
    let namespaces = NamespacePlan { user: Namespace::New, network: Namespace::Inherit, ..namespaces() };
    let mut document = typical();
    let pts = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    document["mounts"][2]["options"] = pts;
    document["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/data", "source": "victim", "options": ["rbind", "ro"]}
    ));
    let (plan, faults) = plan_with(&bundle, &namespaces, document);
    assert!(faults.errors.is_empty(), "{faults}");
    assert!(plan.devices.bind);
    let mut prepared = prepare(&plan, &namespaces).unwrap();
    let mut root = Root::open(&plan).unwrap();
    let context = MountContext { cgroup: &CgroupPaths::default(), layout: &Layout::None };
    root.apply_mounts(&plan, &mut prepared, &context).unwrap();
    root.apply_devices(&plan).unwrap();
    let console = root.open_console(0, None).unwrap();
    root.bind_console(console.slave.as_fd()).unwrap();
    root.pivot(false).unwrap();
    root.apply_readonly_paths(&plan).unwrap();
    root.apply_masked_paths(&plan).unwrap();
    root.apply_readonly_root(&plan).unwrap();
    let both = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID;
    assert!(flags("/sys").contains(both) && flags("/data").contains(FsFlags::ST_RDONLY));
    assert!(Path::new("/sys/class/net").is_dir());
    assert_eq!(fs::metadata("/dev/null").unwrap().rdev(), makedev(1, 3));
    fs::write("/dev/null", "x").unwrap();
    assert!(fs::read("/proc/keys").unwrap().is_empty());
    assert!(flags("/").contains(FsFlags::ST_RDONLY));
    println!("{DONE}");
}

#[test]
fn a_container_without_privilege_gets_what_the_host_has() {
    in_bundle(|bundle| {
        let more = ["--pid", "--fork", "--ipc"];
        in_user_namespace(bundle, &more, "inner_part_of_a_container_without_privilege");
    });
}

const DONE: &str = "inner part is done";

fn inner_bundle() -> Option<PathBuf> {
    std::env::var_os("RT_TEST_INNER_BUNDLE").map(PathBuf::from)
}

/// Starts this program again for one test, in a user and a mount namespace below those of the calling thread.
fn in_user_namespace(bundle: &Path, more: &[&str], test: &str) {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--propagation", "unchanged"])
        .args(more)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("rootfs::tests::unprivileged::{test}")])
        .env("RT_TEST_INNER_BUNDLE", bundle)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(DONE), "{text}{errors}");
}
