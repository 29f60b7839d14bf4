//! Symbolic links at both ends of a mount: `nosymfollow`, and crun's `copy-symlink`, `src-nofollow`, `dest-nofollow`.

use std::os::unix::fs::symlink;

use crate::harness::{Bundle, Container};

/// A bundle with `link -> target` beside it; `target` is a directory with a file.
fn with_link(script: &str) -> Bundle {
    let bundle = Bundle::sh(script);
    std::fs::create_dir(bundle.beside("target")).unwrap();
    std::fs::write(bundle.beside("target/file"), "behind the link\n").unwrap();
    symlink("target", bundle.beside("link")).unwrap();
    bundle
}

/// "Opposite of `nosymfollow`": the last one counts, and a link on such a mount cannot be followed at all.
#[test]
fn a_link_on_a_nosymfollow_mount_leads_nowhere() {
    only_rt!();
    for (options, output) in [
        (&["nosymfollow"][..], "no\ntarget\n"),
        (&["nosymfollow", "symfollow"], "behind the link\ntarget\n"),
        (&["symfollow", "nosymfollow"], "no\ntarget\n"),
    ] {
        let bundle = with_link("cat /mnt/link/file 2>/dev/null || echo no; readlink /mnt/link");
        let source = bundle.dir.path().to_owned();
        assert_eq!(Container::new(bundle.bind(source, "/mnt", options)).run().ok().stdout, output, "{options:?}");
    }
}

/// Without any of the three the link of the source is followed.
#[test]
fn a_linked_source_is_followed_by_default() {
    let bundle = with_link("cat /mnt/file");
    let link = bundle.beside("link");
    assert_eq!(Container::new(bundle.bind(link, "/mnt", &[])).run().ok().stdout, "behind the link\n");
}

/// `copy-symlink`: the same link is made at the destination, nothing is mounted; it may be there already.
#[test]
fn copy_symlink_makes_the_link_again() {
    only_rt!();
    let bundle = with_link("readlink /etc/copied; grep -c copied /proc/self/mountinfo");
    let link = bundle.beside("link");
    let container = Container::new(bundle.bind(link, "/etc/copied", &["copy-symlink"]));
    for _ in 0..2 {
        assert_eq!(container.run().stdout, "target\n0\n");
    }
}

/// `copy-symlink` where the source is no link is a bind mount as any other; where another file is in the way, an error.
#[test]
fn copy_symlink_of_a_directory_binds_it() {
    only_rt!();
    let bundle = with_link("cat /mnt/file");
    let target = bundle.beside("target");
    assert_eq!(Container::new(bundle.bind(target, "/mnt", &["copy-symlink"])).run().ok().stdout, "behind the link\n");
    let bundle = with_link("true");
    let link = bundle.beside("link");
    let container = Container::new(bundle.bind(link, "/etc/passwd", &["copy-symlink"]));
    container.run().refused_with(&["/etc/passwd", "EEXIST"]);
    container.assert_nothing_left();
}

/// `src-nofollow` and `dest-nofollow`: the link itself lies over a link of the image; neither is followed.
#[test]
fn a_link_is_mounted_over_a_link() {
    only_rt!();
    let bundle = with_link("readlink /etc/old; ls /elsewhere 2>/dev/null || echo not made");
    symlink("/elsewhere", bundle.rootfs("/etc/old")).unwrap();
    let link = bundle.beside("link");
    let container = Container::new(bundle.bind(link, "/etc/old", &["src-nofollow", "dest-nofollow"]));
    assert_eq!(container.run().ok().stdout, "target\nnot made\n");
    assert_eq!(std::fs::read_link(container.bundle.rootfs("/etc/old")).unwrap(), std::path::Path::new("/elsewhere"));
}

/// `dest-nofollow` alone: a file lies over a link of the image, which without the option leads to where it points.
#[test]
fn a_destination_that_is_a_link_is_covered_or_followed() {
    only_rt!();
    for (options, output) in
        [(&["dest-nofollow"][..], "behind the link\nnone\n"), (&[], "behind the link\nbehind the link\n")]
    {
        let bundle = with_link("cat /etc/old; cat /elsewhere 2>/dev/null || echo none");
        symlink("/elsewhere", bundle.rootfs("/etc/old")).unwrap();
        let file = bundle.beside("target/file");
        assert_eq!(Container::new(bundle.bind(file, "/etc/old", options)).run().ok().stdout, output, "{options:?}");
    }
}
