//! What images and other containers try.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::fcntl::{RenameFlags, renameat2};

use super::super::resolve::{Missing, Symlinks, open_or_create};
use super::*;

#[test]
fn a_symlink_in_the_image_never_leads_a_mount_outside() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        let victim = bundle.join("victim");
        symlink(&victim, rootfs.join("absolute")).unwrap();
        symlink("../../victim/../..", rootfs.join("up")).unwrap();
        symlink("../victim", rootfs.join("beside")).unwrap();
        let inside = |name: &str| format!("/{name}/made");
        for name in ["absolute", "beside"] {
            let mounts = json!([{"destination": inside(name), "type": "tmpfs"}]);
            let plan = plan(bundle, json!({ "mounts": mounts }));
            build(&plan).unwrap();
            assert!(is_empty(&victim), "{name}");
        }
        let plan = plan(bundle, json!({"mounts": [{"destination": "/up/made", "type": "tmpfs"}]}));
        build(&plan).unwrap();
        assert!(rootfs.join("made").is_dir());
        assert!(rootfs.join(victim.strip_prefix("/").unwrap()).join("made").is_dir());
        assert!(rootfs.join("victim/made").is_dir());
    });
}

#[test]
fn proc_and_sys_are_never_mounted_through_a_symlink() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        for kind in ["proc", "sysfs"] {
            for target in [bundle.join("victim"), PathBuf::from("../victim"), PathBuf::from("missing")] {
                let link = rootfs.join("p");
                symlink(&target, &link).unwrap();
                for destination in ["/p", "/p/below"] {
                    let plan = plan(bundle, json!({"mounts": [{"destination": destination, "type": kind}]}));
                    let error = error_of(build(&plan));
                    assert!(error.contains("ELOOP"), "{kind} {} {destination}: {error}", target.display());
                }
                fs::remove_file(&link).unwrap();
            }
        }
        assert!(is_empty(&bundle.join("victim")));
        assert!(!rootfs.join("missing").exists());
    });
}

#[test]
fn a_dev_that_is_a_symlink_is_refused() {
    in_bundle(|bundle| {
        let victim = bundle.join("victim");
        symlink(&victim, bundle.join("rootfs/dev")).unwrap();
        let plan = plan(bundle, json!({}));
        let mut root = build(&plan).unwrap();
        assert!(error_of(root.apply_devices(&plan)).contains("ELOOP"));
        let terminal = fs::File::open("/dev/null").unwrap();
        assert!(error_of(root.bind_console(terminal.as_fd())).contains("ELOOP"));
        assert!(is_empty(&victim));
    });
}

#[test]
fn a_device_is_never_made_through_a_symlink() {
    in_bundle(|bundle| {
        let (rootfs, victim) = (bundle.join("rootfs"), bundle.join("victim"));
        fs::create_dir_all(rootfs.join("dev")).unwrap();
        symlink(victim.join("null"), rootfs.join("dev/null")).unwrap();
        let plan_null = plan(bundle, json!({}));
        let mut root = build(&plan_null).unwrap();
        assert!(error_of(root.apply_devices(&plan_null)).contains("something else is there"));
        let mut bound = plan_null.clone();
        bound.devices.bind = true;
        assert!(error_of(root.apply_devices(&bound)).contains("something else is there"));
        symlink(&victim, rootfs.join("dev/net")).unwrap();
        fs::remove_file(rootfs.join("dev/null")).unwrap();
        let device = json!([{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200}]);
        let plan = plan(bundle, json!({"linux": {"devices": device}}));
        let mut root = build(&plan).unwrap();
        assert!(error_of(root.apply_devices(&plan)).contains("ELOOP"));
        assert!(is_empty(&victim));
    });
}

#[test]
fn a_console_that_is_a_symlink_is_refused() {
    in_bundle(|bundle| {
        let (rootfs, victim) = (bundle.join("rootfs"), bundle.join("victim"));
        fs::create_dir_all(rootfs.join("dev")).unwrap();
        symlink(victim.join("console"), rootfs.join("dev/console")).unwrap();
        let root = build(&plan(bundle, json!({}))).unwrap();
        let terminal = fs::File::open("/dev/null").unwrap();
        assert!(error_of(root.bind_console(terminal.as_fd())).contains("it is a symlink"));
        assert!(is_empty(&victim));
    });
}

#[test]
fn a_ptmx_outside_of_a_devpts_is_refused() {
    in_bundle(|bundle| {
        fs::create_dir_all(bundle.join("rootfs/dev/pts")).unwrap();
        fs::write(bundle.join("rootfs/dev/pts/ptmx"), "").unwrap();
        let root = build(&plan(bundle, json!({}))).unwrap();
        assert!(error_of(root.open_console(0, None)).contains("not on a devpts"));
    });
}

#[test]
fn exchanging_a_directory_for_a_symlink_never_leads_outside() {
    in_bundle(|bundle| {
        let (rootfs, victim) = (bundle.join("rootfs"), bundle.join("victim"));
        fs::create_dir(rootfs.join("a")).unwrap();
        symlink("../victim", rootfs.join("b")).unwrap();
        let root = fs::File::open(&rootfs).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let racer = {
            let (stop, root) = (stop.clone(), root.try_clone().unwrap());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    renameat2(&root, "a", &root, "b", RenameFlags::RENAME_EXCHANGE).unwrap();
                }
            })
        };
        for number in 0..5000 {
            let path = PathBuf::from(format!("/a/{number}/deep"));
            let made = open_or_create(root.as_fd(), &path, || Ok(Missing::Directory), Symlinks::Follow);
            assert!(made.is_ok() || is_empty(&victim));
        }
        stop.store(true, Ordering::Relaxed);
        racer.join().unwrap();
        assert!(is_empty(&victim));
    });
}

#[test]
fn symlinks_that_lead_in_a_circle_end() {
    in_bundle(|bundle| {
        let rootfs = bundle.join("rootfs");
        symlink("two", rootfs.join("one")).unwrap();
        symlink("one", rootfs.join("two")).unwrap();
        let plan = plan(bundle, json!({"mounts": [{"destination": "/one/x", "type": "tmpfs"}]}));
        assert!(error_of(build(&plan)).contains("ELOOP"));
    });
}

#[test]
fn the_checked_proc_writes_only_to_proc() {
    in_bundle(|bundle| {
        let procfs = ProcFs::open().unwrap();
        // A file that only this thread sees is mounted over one of its own.
        let fake = bundle.join("fake");
        fs::write(&fake, "").unwrap();
        let own = PathBuf::from("/proc/self/comm");
        mount(Some(&fake), &own, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        assert_eq!(procfs.write("self/comm", b"x"), Err(nix::errno::Errno::EXDEV));
        assert_eq!(fs::read_to_string(&fake).unwrap(), "");
        nix::mount::umount2(&own, nix::mount::MntFlags::MNT_DETACH).unwrap();
        assert!(procfs.write("thread-self/comm", b"rt-test").is_ok());
        for path in ["../proc/self/comm", "/proc/self/comm", "self/root/proc/self/comm", "self/cwd"] {
            assert!(procfs.write(path, b"x").is_err(), "{path}");
        }
    });
}
