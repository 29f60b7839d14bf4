//! config.md, "User": ids, groups, umask.

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, mode};

fn status_line(status: &str, name: &str) -> Vec<String> {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// "`uid` specifies the user ID in the container namespace", "`gid`": all four of each.
#[test]
fn uid_and_gid_are_set_in_all_four_places() {
    let bundle = Bundle::args(&["cat", "/proc/self/status"]);
    let container = Container::new(bundle.set("/process/user", json!({ "uid": 1000, "gid": 1001 })));
    let status = container.run().ok().stdout;
    assert_eq!(status_line(&status, "Uid:"), ["1000"; 4]);
    assert_eq!(status_line(&status, "Gid:"), ["1001"; 4]);
}

/// "`additionalGids` specifies additional group IDs in the container namespace to be added to the process."
#[test]
fn additional_gids_are_added() {
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [5, 6, 65533] });
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]).set("/process/user", user));
    assert_eq!(status_line(&container.run().ok().stdout, "Groups:"), ["5", "6", "65533"]);
}

/// No group of the caller's own leaks in.
#[test]
fn no_group_of_the_caller_is_kept() {
    let user = json!({ "uid": 1000, "gid": 1000 });
    let container = Container::new(Bundle::args(&["cat", "/proc/self/status"]).set("/process/user", user));
    let groups = status_line(&container.run().ok().stdout, "Groups:");
    assert!(groups.iter().all(|gid| gid == "1000"), "{groups:?}");
}

/// "`umask` specifies the umask of the user. If unspecified, the umask should not be changed from the calling
/// process' umask"; managers expect 0022.
#[test]
fn umask_is_set() {
    let bundle = Bundle::sh("umask; touch /file; stat -c %a /file");
    let container = Container::new(bundle.set("/process/user/umask", json!(0o077)));
    assert_eq!(container.run().ok().stdout, "0077\n600\n");
    let container = Container::new(Bundle::sh("umask"));
    assert_eq!(container.run().ok().stdout, "0022\n");
}

/// The program of an unprivileged user cannot become root by a setuid file under noNewPrivileges.
/// "`noNewPrivileges`: setting [it] to true prevents the process from gaining additional privileges."
#[test]
fn no_new_privileges_is_set_or_not() {
    for (value, shown) in [(json!(true), "1"), (json!(false), "0")] {
        let bundle = Bundle::args(&["cat", "/proc/self/status"]).set("/process/noNewPrivileges", value);
        let container = Container::new(bundle);
        assert_eq!(status_line(&container.run().ok().stdout, "NoNewPrivs:"), [shown]);
    }
}

/// A user without a right to the root directory's files still starts: ids are set last.
#[test]
fn an_unprivileged_user_runs() {
    let user = json!({ "uid": 65534, "gid": 65534 });
    let container = Container::new(Bundle::sh("id -u; touch /file || echo no").set("/process/user", user));
    assert_eq!(container.run().ok().stdout, "65534\nno\n");
}

/// HOME comes from /etc/passwd where the environment has none.
#[test]
fn home_comes_from_passwd() {
    let bundle = Bundle::sh("echo $HOME").set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let container = Container::new(bundle.set("/process/env", json!(["PATH=/bin"])));
    assert_eq!(container.run().ok().stdout, "/home\n");
}

/// exec has the groups and the umask of the config.
#[test]
fn exec_has_groups_and_umask_of_the_config() {
    only_rt!(); // crun 1.8 begins from nothing
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [7, 7, 8], "umask": 0o027 });
    let container = Container::new(Bundle::sleeping().set("/process/user", user));
    container.launch();
    assert_eq!(
        container.exec_sh("umask; grep Groups /proc/self/status").ok().stdout.split_whitespace().last(),
        Some("8")
    );
    assert!(container.exec_sh("umask").ok().stdout.starts_with("0027"));
}

/// Ids that are none: the largest number means "leave it" to the kernel.
#[test]
fn the_largest_number_is_no_id() {
    only_rt!(); // others run as whoever they are
    for (pointer, value) in [
        ("/process/user/uid", json!(u32::MAX)),
        ("/process/user/gid", json!(u32::MAX)),
        ("/process/user/additionalGids", json!([1, u32::MAX])),
    ] {
        let container = Container::new(Bundle::args(&["id"]).set(pointer, value));
        container.create().refused_with(&[pointer, "4294967295"]);
        container.assert_nothing_left();
    }
}

/// More groups than the kernel takes.
#[test]
fn too_many_groups_are_refused() {
    only_rt!(); // others say EINVAL
    let groups: Vec<u32> = (1..=65537).collect();
    let container = Container::new(Bundle::args(&["id"]).set("/process/user/additionalGids", json!(groups)));
    container.create().refused_with(&["/process/user/additionalGids", "65537", "65536"]);
    container.assert_nothing_left();
}

/// "`apparmorProfile` specifies the name of the AppArmor profile", "`selinuxLabel`": on a machine without the module, or
/// without that profile, an error. It never runs unconfined instead.
#[test]
fn a_label_that_cannot_be_had_is_an_error() {
    only_rt!(); // crun ignores an absent AppArmor
    for (name, value) in [("apparmorProfile", "no-such-profile"), ("selinuxLabel", "no:such:label:s0")] {
        let container = Container::new(Bundle::args(&["true"]).set(&format!("/process/{name}"), json!(value)));
        container.create().refused_with(&[value]);
        container.assert_nothing_left();
    }
}

/// An empty one is none: Go writes it so.
#[test]
fn an_empty_label_is_none() {
    let bundle = Bundle::args(&["echo", "fine"]).set("/process/apparmorProfile", json!(""));
    assert_eq!(Container::new(bundle.set("/process/selinuxLabel", json!(""))).run().ok().stdout, "fine\n");
}

/// crun's annotation `run.oci.keep_original_groups`, which podman sets for `--group-add keep-groups`: the caller's groups
/// stay, for files that only they may use; for exec too.
#[test]
fn the_groups_of_the_caller_can_be_kept() {
    only_rt!(); // runc does not know it
    // A user cannot choose them, and inside they have no name; the guest's has one.
    let names: &[&str] = if mode() == Mode::Rootless { &["65534"] } else { &["4321", "8765"] };
    if mode() == Mode::Rootless {
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status_line(&own, "Groups:").iter().any(|group| group == "100"), "the caller has no group to keep");
    }
    for (value, kept) in [("1", true), ("0", false)] {
        let bundle = Bundle::sh("grep Groups /proc/self/status; sleep 1000");
        let bundle = bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] }));
        let container = Container::new(bundle.set("/annotations", json!({ "run.oci.keep_original_groups": value })));
        let rt = |args: &[&str]| {
            let mut command = std::process::Command::new(&crate::harness::runtime().path);
            if mode() != Mode::Rootless {
                command = std::process::Command::new("setpriv");
                command.args(["--groups", "4321,8765"]).arg(&crate::harness::runtime().path);
            }
            command.arg("--root").arg(container.root()).args(args);
            command
        };
        let bundle = container.bundle.dir.path().to_str().unwrap().to_owned();
        let mut run = rt(&["run", "--bundle", &bundle, &container.id]);
        let out = container.home.path().join("out");
        let child = run.stdout(std::fs::File::create(&out).unwrap()).spawn().unwrap();
        container.until_output("Groups:");
        let inside =
            crate::harness::runtime::outcome(rt(&["exec", &container.id, "grep", "Groups", "/proc/self/status"]));
        for status in [container.output(), inside.ok().stdout] {
            let groups = status_line(&status, "Groups:");
            assert_eq!(names.iter().all(|name| groups.iter().any(|group| group == name)), kept, "{value}: {groups:?}");
        }
        container.kill("KILL").ok();
        crate::harness::runtime::wait(child, "run");
    }
}
