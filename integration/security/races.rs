//! Somebody changes the root file system while the runtime works in it (CVE-2021-30465, CVE-2024-45310).

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use crate::harness::{Bundle, Container, Kind, runtime};

/// Exchanges two names without a rest, until the work is done.
fn while_exchanging(one: &Path, other: &Path, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

/// The directory of a mount's destination becomes a link to the host and back, thousands of times.
#[test]
fn a_mount_does_not_follow_a_link_that_comes_and_goes() {
    if runtime().kind != Kind::Rt {
        skip!("the fixed versions of runc and crun are newer than Debian's");
    }
    let bundle = Bundle::sh("true");
    let victim = bundle.beside("victim");
    std::fs::create_dir(&victim).unwrap();
    let (place, link) = (bundle.rootfs("/volume"), bundle.rootfs("/swapped"));
    std::fs::create_dir(&place).unwrap();
    symlink(&victim, &link).unwrap();
    let container =
        Container::new(bundle.mount("tmpfs", "tmpfs", "/volume/a/b", &[]).mount("tmpfs", "tmpfs", "/volume/c", &[]));
    while_exchanging(&place, &link, || {
        for _ in 0..60 {
            container.run();
        }
    });
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "something was made on the host");
    container.assert_nothing_left();
}

/// The same for what is masked: the program must never read the secret.
#[test]
fn a_masked_path_stays_masked_while_links_come_and_go() {
    if runtime().kind != Kind::Rt {
        skip!("the fixed versions of runc and crun are newer than Debian's");
    }
    let bundle = Bundle::sh("cat /secret/file").file("/secret/file", "secret\n", 0o644);
    let bundle =
        bundle.without_mount("/dev").without_mount("/dev/pts").without_mount("/dev/shm").without_mount("/dev/mqueue");
    let bundle = bundle.file("/dev/null.other", "other\n", 0o644);
    std::fs::write(bundle.rootfs("/dev/null"), "").unwrap();
    let (null, other) = (bundle.rootfs("/dev/null"), bundle.rootfs("/dev/null.other"));
    let container = Container::new(bundle.push("/linux/maskedPaths", json!("/secret/file")));
    while_exchanging(&null, &other, || {
        for _ in 0..60 {
            let outcome = container.run();
            assert!(!outcome.stdout.contains("secret") && !outcome.stdout.contains("other"), "{outcome:#?}");
        }
    });
    container.assert_nothing_left();
}
