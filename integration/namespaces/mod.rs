//! config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace", "Sysctl".

mod joined;
mod sysctl;
mod time;
mod user;

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, mode};

const LINKS: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn own(link: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{link}")).unwrap().to_str().unwrap().to_owned()
}

fn show_namespaces() -> Bundle {
    Bundle::sh("for n in pid net mnt ipc uts user cgroup time; do readlink /proc/self/ns/$n; done")
}

/// "If `path` is not specified, the runtime MUST create a new container namespace of type `type`", and "if a namespace
/// type is not specified in the `namespaces` array, the container MUST inherit the runtime namespace of that type."
#[test]
fn namespaces_are_new_or_inherited_as_listed() {
    let output = Container::new(show_namespaces()).run().ok().stdout;
    for (kind, link) in LINKS {
        let inside = output.lines().find(|line| line.starts_with(&format!("{link}:"))).unwrap();
        let listed = kind != "time" && (kind != "user" || mode() == Mode::Rootless);
        assert_eq!(inside != own(link), listed, "{kind}: {inside}");
    }
}

/// Each one alone can be left out.
#[test]
fn each_namespace_can_be_inherited() {
    for (kind, link) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let mut bundle = show_namespaces().without_namespace(kind);
        if kind == "uts" {
            bundle = bundle.without("/hostname");
        }
        let output = Container::new(bundle).run().ok().stdout;
        assert!(output.contains(&own(link)), "{kind}: {output}");
    }
}

/// "The runtime MUST place the container process in the namespace associated with that `path`."
#[test]
fn each_namespace_can_be_joined() {
    let host = Container::new(Bundle::sleeping());
    host.launch();
    let pid = host.pid();
    for (kind, link) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let path = format!("/proc/{pid}/ns/{link}");
        let mut bundle = show_namespaces().namespace(kind, Some(&path)).joining(pid);
        if kind == "uts" {
            bundle = bundle.without("/hostname");
        }
        let output = Container::new(bundle).run().ok().stdout;
        assert!(output.contains(std::fs::read_link(&path).unwrap().to_str().unwrap()), "{kind}: {output}");
    }
}

/// A pod: several joined at once; the members see each other's processes and names.
#[test]
fn a_pod_shares_its_namespaces() {
    let first = Container::new(Bundle::sleeping().set("/hostname", json!("pod")));
    first.launch();
    let path = |link: &str| format!("/proc/{}/ns/{link}", first.pid());
    let bundle = Bundle::sh("cat /proc/sys/kernel/hostname; tr '\\0' ' ' < /proc/1/cmdline").without("/hostname");
    let bundle = bundle.namespace("pid", Some(&path("pid"))).namespace("network", Some(&path("net")));
    let bundle = bundle.namespace("ipc", Some(&path("ipc"))).namespace("uts", Some(&path("uts")));
    assert_eq!(Container::new(bundle.joining(first.pid())).run().ok().stdout, "pod\nsleep 1000 ");
    assert_eq!(first.status(), "running");
}

/// "The runtime MUST generate an error if `path` is not associated with a namespace of type `type`."
#[test]
fn a_path_of_another_type_is_refused() {
    for (kind, path) in [
        ("network", "/proc/self/ns/uts"),
        ("ipc", "/proc/self/ns/net"),
        ("uts", "/etc/passwd"),
        ("pid", "/no/such/file"),
    ] {
        let container = Container::new(Bundle::args(&["true"]).without("/hostname").namespace(kind, Some(path)));
        container.run().refused_with(&[path]);
        container.assert_nothing_left();
    }
}

/// "This value MUST be an absolute path in the runtime mount namespace."
#[test]
fn a_relative_namespace_path_is_refused() {
    let bundle = Bundle::args(&["true"]).namespace("network", Some("proc/self/ns/net"));
    let pointer = format!("/linux/namespaces/{}/path", bundle.namespaces() - 1);
    let container = Container::new(bundle);
    let mut command = container.command();
    command.current_dir("/").args(["run", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    crate::harness::runtime::outcome(command).refused_with(&[&pointer]);
}

/// "If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an error."
#[test]
fn duplicate_namespaces_are_refused() {
    let bundle = Bundle::args(&["true"]).push("/linux/namespaces", json!({ "type": "pid" }));
    let pointer = format!("/linux/namespaces/{}", bundle.namespaces() - 1);
    let container = Container::new(bundle);
    container.run().refused_with(&[&pointer, "pid"]);
    container.assert_nothing_left();
}

/// An unknown namespace type is refused with its place.
#[test]
fn an_unknown_namespace_is_refused() {
    let bundle = Bundle::args(&["true"]).push("/linux/namespaces", json!({ "type": "dream" }));
    let pointer = format!("/linux/namespaces/{}/type", bundle.namespaces() - 1);
    let container = Container::new(bundle);
    container.run().refused_with(&[&pointer, "dream"]);
    container.assert_nothing_left();
}

/// "`hostname` specifies the container's hostname as seen by processes running inside the container."
#[test]
fn the_hostname_is_set_inside_only() {
    let before = nix::unistd::gethostname().unwrap();
    let container = Container::new(Bundle::args(&["hostname"]).set("/hostname", json!("somewhere-else")));
    assert_eq!(container.run().ok().stdout, "somewhere-else\n");
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
}

/// "`domainname` specifies the container's domainname." (runc 1.1 does not know it.)
#[test]
fn the_domainname_is_set() {
    let bundle = Bundle::args(&["cat", "/proc/sys/kernel/domainname"]).set("/domainname", json!("example.org"));
    assert_eq!(Container::new(bundle.set("/ociVersion", json!("1.1.0"))).run().ok().stdout, "example.org\n");
}

/// A hostname without a uts namespace of its own would rename the host.
#[test]
fn a_hostname_needs_a_uts_namespace() {
    let before = nix::unistd::gethostname().unwrap();
    let container = Container::new(Bundle::args(&["true"]).without_namespace("uts").set("/hostname", json!("stolen")));
    container.run().refused_with(&["/hostname"]);
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
    container.assert_nothing_left();
}

/// The same where the host's own uts namespace is joined by its path, and for the domainname; kernel parameters too. That of another container
/// may be renamed: it is the members' own.
#[test]
fn a_hostname_never_renames_the_host() {
    only_rt!(); // runc and crun do
    let before = nix::unistd::gethostname().unwrap();
    for name in ["hostname", "domainname"] {
        let bundle = Bundle::args(&["true"]).without("/hostname").set(&format!("/{name}"), json!("stolen"));
        let container = Container::new(bundle.namespace("uts", Some(&format!("/proc/{}/ns/uts", std::process::id()))));
        container.run().refused_with(&[&format!("/{name}")]);
        assert_eq!(nix::unistd::gethostname().unwrap(), before);
        container.assert_nothing_left();
    }
    for (kind, link, key) in [
        ("network", "net", "net.ipv4.ip_forward"),
        ("ipc", "ipc", "kernel.shmmni"),
        ("uts", "uts", "kernel.domainname"),
    ] {
        let bundle = Bundle::args(&["true"]).without("/hostname").set("/linux/sysctl", json!({ key: "1" }));
        let container =
            Container::new(bundle.namespace(kind, Some(&format!("/proc/{}/ns/{link}", std::process::id()))));
        container.run().refused_with(&[&format!("/linux/sysctl/{key}")]);
        container.assert_nothing_left();
    }
    let first = Container::new(Bundle::sleeping());
    first.launch();
    let path = format!("/proc/{}/ns/uts", first.pid());
    let bundle = Bundle::args(&["hostname"]).set("/hostname", json!("renamed")).namespace("uts", Some(&path));
    assert_eq!(Container::new(bundle.joining(first.pid())).run().ok().stdout, "renamed\n");
}

/// A name that the kernel does not take is an error: 64 bytes at most.
#[test]
fn a_name_that_is_too_long_is_refused() {
    let container = Container::new(Bundle::args(&["hostname"]).set("/hostname", json!("h".repeat(64))));
    assert_eq!(container.run().ok().stdout, format!("{}\n", "h".repeat(64)));
    for name in ["hostname", "domainname"] {
        let bundle = Bundle::args(&["true"]).set(&format!("/{name}"), json!("h".repeat(65)));
        let container = Container::new(bundle.set("/ociVersion", json!("1.1.0")));
        container.run().refused();
        container.assert_nothing_left();
    }
}

/// A name is set while the runtime still may: also with a user namespace and without any capability for the program.
#[test]
fn a_hostname_needs_no_capability_of_the_container() {
    let bundle = Bundle::args(&["hostname"]).user_namespace(100_000).without_mount("/sys/fs/cgroup");
    let bundle = bundle.set("/process/capabilities", json!({})).set("/hostname", json!("bare"));
    assert_eq!(Container::new(bundle).run().ok().stdout, "bare\n");
}

/// A container without a mount namespace of its own cannot have a root of its own.
#[test]
fn no_mount_namespace_is_refused() {
    only_rt!(); // runc refuses with other words, crun changes its own root
    let container = Container::new(Bundle::args(&["true"]).without_namespace("mount"));
    container.run().refused_with(&["mount"]);
    container.assert_nothing_left();
}

/// Without a pid namespace the program is an ordinary process of the host and still starts and stops.
#[test]
fn without_a_pid_namespace_the_pid_is_the_hosts() {
    let container = Container::new(Bundle::sh("echo $$; sleep 1000").without_namespace("pid"));
    container.launch().until_output("\n");
    assert_eq!(container.output().trim(), container.pid().to_string());
    container.stop();
    container.delete().ok();
}

/// "`timeOffsets` sets the offset for Time Namespace." (runc 1.1 does not know it.)
#[test]
fn time_offsets_are_set() {
    let offsets =
        json!({ "monotonic": { "secs": 172_800, "nanosecs": 0 }, "boottime": { "secs": 604_800, "nanosecs": 0 } });
    let bundle = Bundle::args(&["cat", "/proc/self/timens_offsets", "/proc/uptime"]).namespace("time", None);
    let container = Container::new(bundle.set("/linux/timeOffsets", offsets).set("/ociVersion", json!("1.1.0")));
    let output = container.run().ok().stdout;
    let fields: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(fields[..6], ["monotonic", "172800", "0", "boottime", "604800", "0"]);
    assert!(fields[6].parse::<f64>().unwrap() > 604_800.0, "{output}");
}

/// exec joins the time namespace too.
#[test]
fn exec_has_the_time_of_the_container() {
    let bundle = Bundle::sleeping().namespace("time", None).set("/ociVersion", json!("1.1.0"));
    let container =
        Container::new(bundle.set("/linux/timeOffsets", json!({ "boottime": { "secs": 604_800, "nanosecs": 0 } })));
    only_rt!();
    container.launch();
    let output = container.exec(&["cat", "/proc/uptime"]).ok().stdout;
    assert!(output.split(' ').next().unwrap().parse::<f64>().unwrap() > 604_800.0, "{output}");
}
