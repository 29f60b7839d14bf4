//! "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux".

use super::{line_of, options_of};
use crate::harness::{Bundle, Container, Kind, Mode, mode, runtime};

fn table() -> Bundle {
    Bundle::args(&["cat", "/proc/self/mountinfo"])
}

/// One tmpfs for each option of the MUST rows: what must be in the mount table, and what must not.
#[test]
fn tmpfs_options_do_what_they_say() {
    let rows: &[(&[&str], &[&str], &[&str])] = &[
        (&["ro"], &["ro"], &[]),
        (&["ro", "rw"], &["rw"], &["ro"]),
        (&["nosuid"], &["nosuid"], &[]),
        (&["nosuid", "suid"], &[], &["nosuid"]),
        (&["nodev"], &["nodev"], &[]),
        (&["nodev", "dev"], &[], &["nodev"]),
        (&["noexec"], &["noexec"], &[]),
        (&["noexec", "exec"], &[], &["noexec"]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["noatime", "atime"], &[], &["noatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["nodiratime", "diratime"], &[], &["nodiratime"]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["strictatime", "nostrictatime"], &["relatime"], &[]),
        (&["norelatime"], &[], &["noatime"]),
        (&["noatime", "norelatime"], &["noatime"], &[]),
        (&["strictatime", "norelatime"], &[], &["relatime"]),
        (&["defaults"], &["rw"], &["nosuid", "nodev", "noexec"]),
        (&["mode=711", "size=64k"], &["mode=711", "size=64k"], &[]),
    ];
    for (options, present, absent) in rows {
        let container = Container::new(table().mount("tmpfs", "tmpfs", "/mnt", options));
        let shown = options_of(&line_of(&container, "/mnt"));
        for option in *present {
            assert!(shown.iter().any(|have| have == option), "{options:?}: {option} is missing in {shown:?}");
        }
        for option in *absent {
            assert!(!shown.iter().any(|have| have == option), "{options:?}: {option} is in {shown:?}");
        }
    }
}

/// Flags of the superblock that the mount table shows: the first option sets, its contrary after it takes back. The
/// names with an "r", which are crun's, say the same of a file system of the container's own. (Debian's runc and crun
/// know some.)
#[test]
fn flags_of_the_superblock_are_set_and_taken_back() {
    only_rt!();
    for (on, off, shown) in [
        ("sync", "async", "sync"),
        ("rsync", "rasync", "sync"),
        ("lazytime", "nolazytime", "lazytime"),
        ("mand", "nomand", "mand"),
        ("rmand", "rnomand", "mand"),
        ("dirsync", "", "dirsync"),
        ("rdirsync", "", "dirsync"),
    ] {
        for (options, is_shown) in [(&[on][..], true), (&[on, off], off.is_empty()), (&[off, on], true)] {
            let container = Container::new(table().mount("tmpfs", "tmpfs", "/mnt", options));
            let have = options_of(&line_of(&container, "/mnt"));
            assert_eq!(have.iter().any(|have| have == shown), is_shown, "{options:?}: {have:?}");
        }
    }
}

/// Flags that a file system of today always has or does not know: accepted, where it says nothing against them.
/// ("`acl`" and "`noacl`" are runc's.)
#[test]
fn options_without_a_trace_are_accepted() {
    if runtime().kind == Kind::Crun || runtime().kind == Kind::Runc {
        skip!("crun 1.8 and runc 1.1 take some of these for options of the file system");
    }
    for option in ["acl", "noacl", "iversion", "noiversion", "loud", "silent"] {
        for kind in ["tmpfs", "mqueue"] {
            Container::new(Bundle::args(&["true"]).mount(kind, kind, "/mnt", &[option, "nosuid"])).run().ok();
        }
    }
}

/// None of the flags of a superblock means anything to a bind mount, which shares its source's: accepted, no effect.
#[test]
fn flags_of_the_superblock_leave_a_bind_alone() {
    only_rt!();
    for option in [
        "sync", "dirsync", "lazytime", "mand", "iversion", "acl", "silent", "rsync", "rasync", "rdirsync", "rmand",
        "rnomand",
    ] {
        let bundle = table();
        let source = bundle.beside("source");
        std::fs::create_dir(&source).unwrap();
        let container = Container::new(bundle.bind(&source, "/mnt", &[option]));
        let have = options_of(&line_of(&container, "/mnt"));
        assert!(!have.iter().any(|have| option.trim_start_matches('r') == have), "{option}: {have:?}");
    }
}

/// `nosymfollow` (SHOULD, Linux 5.10). (runc 1.1 and crun 1.8 do not know it.)
#[test]
fn nosymfollow_is_applied() {
    let container = Container::new(table().mount("tmpfs", "tmpfs", "/mnt", &["nosymfollow"]));
    assert!(options_of(&line_of(&container, "/mnt")).iter().any(|option| option == "nosymfollow"));
}

/// "Runtimes SHOULD treat unknown options as filesystem-specific ones": the file system refuses what it does not know.
#[test]
fn unknown_options_go_to_the_file_system() {
    let container = Container::new(Bundle::args(&["true"]).mount("tmpfs", "tmpfs", "/mnt", &["nosuchoption=1"]));
    container.run().refused_with(&["/mnt", "EINVAL"]);
    container.assert_nothing_left();
}

/// `remount` changes a mount that is there.
#[test]
fn remount_changes_an_earlier_mount() {
    let bundle = table().mount("tmpfs", "tmpfs", "/mnt", &["size=64k"]);
    let container = Container::new(bundle.mount("tmpfs", "tmpfs", "/mnt", &["remount", "ro", "size=64k"]));
    assert!(options_of(&line_of(&container, "/mnt")).contains(&"ro".to_owned()));
}

/// "The runtime MUST mount entries in the listed order": the later one hides the earlier one, and may use it.
#[test]
fn mounts_are_made_in_order() {
    let bundle = Bundle::sh("grep -c ' /mnt' /proc/self/mountinfo; ls /mnt");
    let bundle = bundle.mount("tmpfs", "a", "/mnt", &[]).mount("tmpfs", "b", "/mnt/inner", &[]).mount(
        "tmpfs",
        "c",
        "/mnt/inner/most",
        &[],
    );
    assert_eq!(Container::new(bundle).run().ok().stdout, "3\ninner\n");
}

/// "For compatibility [destination] MAY be a relative path, in which case it MUST be interpreted as relative to '/'."
#[test]
fn a_relative_destination_begins_at_the_root() {
    let container =
        Container::new(table().mount("tmpfs", "tmpfs", "mnt/deep", &[]).set("/process/cwd", serde_json::json!("/tmp")));
    line_of(&container, "/mnt/deep");
}

/// Recursive attributes reach the mounts below: `rro`, `rnosuid`, `rnodev`, `rnoexec`. (runc 1.1 and crun 1.8: some.)
#[test]
fn recursive_options_reach_what_is_below() {
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !host.contains(" /dev/pts ") {
        skip!("the host has no mount on /dev/pts");
    }
    for (option, shown) in
        [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"), ("rnoatime", "noatime")]
    {
        if option == "rnoatime" && mode() == Mode::Rootless {
            continue; // only root changes the access times of mounts that he did not make
        }
        let container = Container::new(table().mount("bind", "/dev", "/mnt", &["rbind", option]));
        let line = line_of(&container, "/mnt/pts");
        let of_the_mount = line.split(' ').nth(5).unwrap();
        assert!(of_the_mount.split(',').any(|have| have == shown), "{option}: {line}");
    }
}

/// crun's annotation for the option that takes `mountLabel`: one of four, and a word that is none is refused.
#[test]
fn an_unknown_context_type_is_refused() {
    only_rt!();
    let annotations = serde_json::json!({ "run.oci.mount_context_type": "sidecontext" });
    let container = Container::new(Bundle::args(&["true"]).set("/annotations", annotations));
    container.create().refused_with(&["/annotations/run.oci.mount_context_type", "sidecontext"]);
    container.assert_nothing_left();
}
