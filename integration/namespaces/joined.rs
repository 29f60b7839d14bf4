//! config-linux.md, "Namespaces": those that are joined by path.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::LINKS;
use crate::harness::runtime::{eventually, outcome};
use crate::harness::{Bundle, Container, Mode, mode};

/// A process that holds new namespaces, and is ended with the value.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        if mode() == Mode::Rootless {
            command.args(["--user", "--map-root-user", "--map-auto"]);
        }
        command.args(flags).args(["sleep", "1000"]).stdin(Stdio::null());
        let holder = Self(command.spawn().expect("unshare of util-linux"));
        let read = |pid: &str, name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let own = holder.0.id().to_string();
        let children = format!("task/{own}/children");
        // Or has it for a child, with --fork.
        eventually("unshare has become sleep", || {
            let list = read(&own, &children);
            list.split_whitespace().chain([own.as_str()]).any(|pid| read(pid, "comm") == "sleep\n")
        });
        holder
    }

    /// Where its namespaces can be joined: without privilege, in the user namespace around them.
    fn around(&self, bundle: Bundle) -> Bundle {
        bundle.joining(self.0.id().cast_signed())
    }

    fn path(&self, link: &str) -> String {
        format!("/proc/{}/ns/{link}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn target(path: &str) -> String {
    std::fs::read_link(path).unwrap().to_str().unwrap().to_owned()
}

/// "The runtime MUST place the container process in the namespace associated with that `path`": a mount namespace.
#[test]
fn a_mount_namespace_is_joined() {
    let holder = Holder::new(&["--mount", "--propagation", "private"]);
    let path = holder.path("mnt");
    let bundle = Bundle::args(&["readlink", "/proc/self/ns/mnt"]).namespace("mount", Some(&path));
    let container = Container::new(holder.around(bundle));
    assert_eq!(container.run().ok().stdout.trim(), target(&path));
}

/// As above: a time namespace, with the clocks that it has.
#[test]
fn a_time_namespace_is_joined() {
    let holder = Holder::new(&["--time", "--fork", "--kill-child", "--boottime", "604800"]);
    // unshare makes it for its child, which is `sleep`.
    let path = holder.path("time_for_children");
    let bundle = Bundle::sh("readlink /proc/self/ns/time; cat /proc/uptime").namespace("time", Some(&path));
    let container = Container::new(holder.around(bundle).set("/ociVersion", json!("1.1.0")));
    only_rt!(); // runc 1.1 and crun 1.8 do not know the type
    let output = container.run().ok().stdout;
    let (namespace, uptime) = output.split_once('\n').unwrap();
    assert_eq!(namespace, target(&path));
    assert!(uptime.split(' ').next().unwrap().parse::<f64>().unwrap() > 604_800.0, "{output}");
}

/// All that are not tied to an id map or a process tree, joined at once.
#[test]
fn many_namespaces_are_joined_at_once() {
    let holder = Holder::new(&["--mount", "--uts", "--ipc", "--net", "--cgroup", "--propagation", "private"]);
    let kinds = [("mount", "mnt"), ("uts", "uts"), ("ipc", "ipc"), ("network", "net"), ("cgroup", "cgroup")];
    let script = "for n in mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done";
    let mut bundle = Bundle::sh(script).without("/hostname");
    for (kind, link) in kinds {
        bundle = bundle.namespace(kind, Some(&holder.path(link)));
    }
    let output = Container::new(holder.around(bundle)).run().ok().stdout;
    let wanted: Vec<String> = kinds.iter().map(|(_, link)| target(&holder.path(link))).collect();
    assert_eq!(output.lines().collect::<Vec<_>>(), wanted);
}

/// "The runtime MUST generate an error if `path` is not associated with a namespace of type `type`": each type.
#[test]
fn each_type_refuses_the_path_of_another() {
    for (place, (kind, _)) in LINKS.iter().enumerate() {
        let path = format!("/proc/self/ns/{}", LINKS[(place + 1) % LINKS.len()].1);
        let bundle = Bundle::args(&["true"]).without("/hostname").set("/ociVersion", json!("1.1.0"));
        let container = Container::new(bundle.namespace(kind, Some(&path)));
        container.run().refused_with(&[kind, &path]);
        container.assert_nothing_left();
    }
}

/// The container's root becomes the root of the mount namespace that it joins, for all that live in it: never the host's.
#[test]
fn the_runtimes_own_mount_namespace_is_not_joined() {
    only_rt!();
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for path in ["/proc/self/ns/mnt".to_owned(), format!("/proc/{}/ns/mnt", std::process::id())] {
        let container = Container::new(Bundle::args(&["true"]).namespace("mount", Some(&path)));
        container.run().refused_with(&["/linux/namespaces", &path, "the runtime's own"]);
        container.assert_nothing_left();
    }
    let shown = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(before.lines().next(), shown.lines().next());
}

/// A joined namespace outlives the container: it was not created by it.
#[test]
fn a_joined_namespace_outlives_the_container() {
    let holder = Holder::new(&["--uts"]);
    let path = holder.path("uts");
    let before = target(&path);
    let bundle = Bundle::args(&["hostname"]).namespace("uts", Some(&path)).without("/hostname");
    let container = Container::new(holder.around(bundle));
    container.run().ok();
    container.assert_nothing_left();
    assert_eq!(target(&path), before);
}

/// exec is where the container is, in namespaces that were joined too.
#[test]
fn exec_follows_into_joined_namespaces() {
    let holder = Holder::new(&["--mount", "--ipc", "--propagation", "private"]);
    let bundle =
        Bundle::sleeping().namespace("mount", Some(&holder.path("mnt"))).namespace("ipc", Some(&holder.path("ipc")));
    let container = Container::new(holder.around(bundle));
    container.launch();
    let output = container.exec_sh("readlink /proc/self/ns/mnt; readlink /proc/self/ns/ipc").ok().stdout;
    assert_eq!(output, format!("{}\n{}\n", target(&holder.path("mnt")), target(&holder.path("ipc"))));
}

/// A path that is another program's descriptor, as managers pass it: `/proc/PID/fd/N`.
#[test]
fn a_descriptor_is_a_path_too() {
    let holder = Holder::new(&["--net"]);
    let file = std::fs::File::open(holder.path("net")).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&file));
    let bundle =
        Bundle::args(&["readlink", "/proc/self/ns/net"]).namespace("network", Some(&path)).without_mount("/sys");
    let container = Container::new(holder.around(bundle));
    assert_eq!(outcome(container.verb("run", &[])).ok().stdout.trim(), target(&holder.path("net")));
}

/// "If a namespace type is not specified in the `namespaces` array, the container MUST inherit the runtime namespace of
/// that type": the mount namespace too. Its root is then changed for the process alone.
#[test]
fn the_mount_namespace_can_be_inherited() {
    need_root!("mount in the namespace that it was called in");
    let bundle = Bundle::sh("readlink /proc/self/ns/mnt; ls -d /bin /config.json 2>/dev/null || true")
        .without_namespace("mount")
        .without("/linux/maskedPaths")
        .without("/linux/readonlyPaths");
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout, format!("{}\n/bin\n", target("/proc/self/ns/mnt")));
    container.assert_nothing_left();
}
