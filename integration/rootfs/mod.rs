//! config.md, "Root", and config-linux.md, "Masked Paths" and "Readonly Paths".

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{Bundle, Container};

/// "`readonly`: If true then the root filesystem MUST be read-only inside the container, defaults to false."
#[test]
fn a_read_only_root_cannot_be_written() {
    let script = "(echo x > /file) 2>/dev/null && echo wrote || echo refused; echo x > /dev/shm/file && echo shm";
    let container = Container::new(Bundle::sh(script).set("/root/readonly", json!(true)));
    assert_eq!(container.run().ok().stdout, "refused\nshm\n");
    let container = Container::new(Bundle::sh("echo x > /file && echo wrote"));
    assert_eq!(container.run().ok().stdout, "wrote\n");
}

/// The same where the root lies on a mount that is nosuid, nodev and noatime for good: a user namespace may not take
/// that away, and read-only comes on top of it.
#[test]
fn a_read_only_root_keeps_the_flags_of_its_mount() {
    need_root!("mount something for the root");
    for user_namespace in [false, true] {
        let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]).set("/root/readonly", json!(true));
        let bundle =
            if user_namespace { bundle.user_namespace(100_000).without_mount("/sys/fs/cgroup") } else { bundle };
        let root = bundle.rootfs("").to_str().unwrap().trim_end_matches('/').to_owned();
        let container = Container::new(bundle);
        let mount = |args: &[&str]| {
            assert!(std::process::Command::new("mount").args(args).arg(&root).status().unwrap().success());
        };
        mount(&["--bind", &root]);
        mount(&["-o", "remount,bind,nosuid,nodev,noatime"]);
        let outcome = container.run();
        assert!(std::process::Command::new("umount").arg(&root).status().unwrap().success());
        let table = outcome.ok().stdout;
        let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let shown: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
        assert!(["ro", "nosuid", "nodev", "noatime"].iter().all(|flag| shown.contains(flag)), "{line}");
    }
}

/// "`path` specifies the path to the root filesystem": absolute.
#[test]
fn the_root_path_may_be_absolute() {
    let bundle = Bundle::args(&["echo", "inside"]);
    let path = bundle.rootfs("").to_str().unwrap().to_owned();
    assert_eq!(Container::new(bundle.set("/root/path", json!(path))).run().ok().stdout, "inside\n");
}

/// ... "or a relative path to the bundle", with dots and a trailing slash.
#[test]
fn the_root_path_may_be_relative() {
    for path in ["rootfs/", "./rootfs", "rootfs/../rootfs/."] {
        assert_eq!(
            Container::new(Bundle::args(&["echo", "inside"]).set("/root/path", json!(path))).run().ok().stdout,
            "inside\n"
        );
    }
}

/// "A directory MUST exist at the path declared by the field."
#[test]
fn a_missing_root_is_refused() {
    for path in ["nosuch", "config.json"] {
        let container = Container::new(Bundle::args(&["true"]).set("/root/path", json!(path)));
        container.create().refused_with(&[path]);
        container.assert_nothing_left();
    }
}

/// The program cannot see or reach anything above its root.
#[test]
fn the_root_is_the_end_of_all_paths() {
    let container =
        Container::new(Bundle::sh("cd ../../../../..; pwd; ls -d bin config.json 2>/dev/null; stat -c %i / /.."));
    let output = container.run().stdout;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["/", "bin"]);
    assert_eq!(lines[2], lines[3], "{output}");
}

/// "`maskedPaths` will mask over the provided paths inside the container so that they cannot be read": a file.
#[test]
fn a_masked_file_is_empty() {
    let bundle = Bundle::sh("cat /secret; stat -c %F /secret").file("/secret", "secret", 0o644);
    let container = Container::new(bundle.push("/linux/maskedPaths", json!("/secret")));
    assert_eq!(container.run().ok().stdout, "character special file\n");
}

/// As above, a directory: empty and not writable.
#[test]
fn a_masked_directory_is_empty_and_read_only() {
    let bundle = Bundle::sh("ls -A /secrets; (echo x > /secrets/new) 2>/dev/null || echo refused").file(
        "/secrets/one",
        "1",
        0o644,
    );
    let container = Container::new(bundle.push("/linux/maskedPaths", json!("/secrets")));
    assert_eq!(container.run().ok().stdout, "refused\n");
}

/// The default list: /proc/kcore and the others can be opened, and give nothing.
#[test]
fn masked_files_of_proc_give_nothing() {
    let container = Container::new(Bundle::sh("cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c"));
    assert_eq!(container.run().ok().stdout, "0\n");
}

/// Masking /bin/ls masks ls only.
#[test]
fn one_hard_link_can_be_masked() {
    let bundle = Bundle::args(&["/bin/stat", "-c", "%F", "/bin/ls"]).push("/linux/maskedPaths", json!("/bin/ls"));
    assert_eq!(Container::new(bundle).run().ok().stdout, "character special file\n");
}

/// A path that is not there is passed over.
#[test]
fn missing_masked_and_readonly_paths_are_passed_over() {
    let bundle = Bundle::args(&["echo", "fine"]).push("/linux/maskedPaths", json!("/not/there"));
    let container = Container::new(bundle.push("/linux/readonlyPaths", json!("/nor/there")));
    assert_eq!(container.run().ok().stdout, "fine\n");
    assert!(!container.bundle.rootfs("/not").exists());
}

/// "`readonlyPaths` will set the provided paths as readonly inside the container": files and directories.
#[test]
fn readonly_paths_cannot_be_written() {
    let script = "cat /a/file; (echo x > /a/file) 2>/dev/null || echo refused; (echo x > /a/new) 2>/dev/null || echo refused; (echo x > /b) 2>/dev/null || echo refused";
    let bundle = Bundle::sh(script).file("/a/file", "readable\n", 0o644).file("/b", "", 0o644);
    let container =
        Container::new(bundle.push("/linux/readonlyPaths", json!("/a")).push("/linux/readonlyPaths", json!("/b")));
    assert_eq!(container.run().ok().stdout, "readable\nrefused\nrefused\nrefused\n");
}

/// /proc/sys is read-only by the default list.
#[test]
fn proc_sys_is_read_only() {
    let container = Container::new(Bundle::sh("(echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo refused"));
    assert_eq!(container.run().ok().stdout, "refused\n");
}

/// A mount below a read-only path keeps its own flags (nosuid, nodev, noexec).
#[test]
fn a_readonly_path_keeps_the_other_flags() {
    let bundle = Bundle::sh("grep ' /mnt ' /proc/self/mountinfo | tail -n 1").mount(
        "tmpfs",
        "tmpfs",
        "/mnt",
        &["nosuid", "nodev", "noexec"],
    );
    let line = Container::new(bundle.push("/linux/readonlyPaths", json!("/mnt"))).run().ok().stdout;
    assert!(line.contains("ro,nosuid,nodev,noexec"), "{line}");
}

/// A masked path that is a symbolic link masks what it leads to inside the root, never on the host.
#[test]
fn a_masked_symlink_stays_inside() {
    let bundle = Bundle::sh("cat /real; cat /link").file("/real", "secret", 0o644);
    symlink("/real", bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle.push("/linux/maskedPaths", json!("/link")));
    let outcome = container.run();
    assert!(!outcome.stdout.contains("secret") || outcome.code != 0, "{outcome:?}");
}

/// `--no-pivot`: works on a ramdisk, where pivot_root does not.
#[test]
fn no_pivot_is_accepted() {
    let container = Container::new(Bundle::args(&["echo", "inside"]));
    let outcome = crate::harness::runtime::outcome(container.verb("run", &["--no-pivot"]));
    assert_eq!(outcome.ok().stdout, "inside\n");
}

/// "The values MUST be absolute paths in the container namespace": of both lists.
#[test]
fn relative_paths_are_refused() {
    only_rt!(); // others take them from somewhere
    for list in ["maskedPaths", "readonlyPaths"] {
        let bundle = Bundle::args(&["true"]).set(&format!("/linux/{list}"), json!(["/proc/kcore", "proc/keys"]));
        let container = Container::new(bundle);
        container.run().refused_with(&[&format!("/linux/{list}/1"), "proc/keys"]);
        container.assert_nothing_left();
    }
}

/// They would change the host where the container has no mount namespace of its own.
#[test]
fn without_a_mount_namespace_nothing_is_masked() {
    only_rt!();
    for list in ["maskedPaths", "readonlyPaths"] {
        let bundle = Bundle::args(&["true"]).without_namespace("mount");
        let bundle = bundle.without("/linux/maskedPaths").without("/linux/readonlyPaths");
        let container = Container::new(bundle.set(&format!("/linux/{list}"), json!(["/etc"])));
        container.run().refused_with(&[&format!("/linux/{list}"), "mount namespace"]);
        container.assert_nothing_left();
    }
}

/// "`mountLabel` will set the Selinux context for the mounts in the container": it goes to the kernel, and one without
/// SELinux says that it cannot.
#[test]
fn the_mount_label_is_not_ignored() {
    only_rt!(); // crun leaves it out where there is no SELinux
    let label = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811";
    let bundle = Bundle::args(&["cat", "/proc/self/mountinfo"]).set("/linux/mountLabel", json!(label));
    let container = Container::new(bundle);
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        assert!(container.run().ok().stdout.contains(label));
    } else {
        container.run().refused_with(&["/dev", &format!("context={label}")]);
        container.assert_nothing_left();
    }
}
