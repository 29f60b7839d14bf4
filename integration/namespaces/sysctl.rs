//! config-linux.md, "Sysctl": "`sysctl` allows kernel parameters to be modified at runtime for the container."

use serde_json::json;

use crate::harness::{Bundle, Container, Mode, mode};

/// Parameters of the container's own namespaces are set there and nowhere else.
#[test]
fn namespaced_parameters_are_set() {
    let before = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let bundle = Bundle::sh("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max");
    let values = json!({ "kernel.msgmax": "65000", "net.ipv4.ip_forward": "1", "fs.mqueue.msg_max": "11" });
    assert_eq!(Container::new(bundle.set("/linux/sysctl", values)).run().ok().stdout, "65000\n1\n11\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

/// Slashes may stand for dots, for names with a dot in them.
#[test]
fn a_name_with_slashes_is_understood() {
    let bundle = Bundle::sh("cat /proc/sys/net/ipv4/conf/lo/forwarding");
    let bundle = bundle.set("/linux/sysctl", json!({ "net/ipv4/conf/lo/forwarding": "1" }));
    assert_eq!(Container::new(bundle).run().ok().stdout, "1\n");
}

/// What is not the container's own is refused: it would change the host.
#[test]
fn parameters_of_the_host_are_refused() {
    for name in ["kernel.panic", "vm.swappiness", "fs.file-max", "kernel.core_pattern"] {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let before = std::fs::read_to_string(&file).unwrap();
        let container = Container::new(Bundle::args(&["true"]).set("/linux/sysctl", json!({ name: before.trim() })));
        container.run().refused_with(&[name]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        container.assert_nothing_left();
    }
}

/// A parameter of a namespace that the container shares with the host is refused.
#[test]
fn parameters_of_an_inherited_namespace_are_refused() {
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let bundle = Bundle::args(&["true"]).without_namespace("network").without_mount("/sys");
    let container = Container::new(bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_forward": before.trim() })));
    container.run().refused_with(&["net.ipv4.ip_forward"]);
}

/// A parameter that does not exist is an error.
#[test]
fn an_unknown_parameter_is_refused() {
    let container = Container::new(Bundle::args(&["true"]).set("/linux/sysctl", json!({ "net.nosuch": "1" })));
    container.run().refused_with(&["nosuch"]);
    container.assert_nothing_left();
}

/// A container that sets these parameters and shows them.
fn shown(bundle: Bundle, parameters: &[(&str, &str)]) -> String {
    let files = parameters.iter().map(|(name, _)| format!("/proc/sys/{}", name.replace('.', "/")));
    let bundle = files.fold(bundle, |bundle, file| bundle.push("/process/args", json!(file)));
    let asked: serde_json::Map<_, _> = parameters.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
    Container::new(bundle.set("/linux/sysctl", asked.into())).run().ok().stdout
}

/// Each namespace has its own: of ipc, uts and network.
#[test]
fn every_namespace_has_parameters() {
    only_rt!(); // runc 1.1 and crun 1.8 refuse some
    let mut parameters = vec![
        ("kernel.shmmni", "77"),
        ("kernel.sem", "32000\t1024000000\t500\t32000"),
        ("kernel.shm_rmid_forced", "1"),
        ("fs.mqueue.queues_max", "7"),
        ("net.core.somaxconn", "99"),
    ];
    // Those of a uts namespace are writable for root of the machine alone: the kernel asks nothing else.
    if mode() != Mode::Rootless {
        parameters.push(("kernel.domainname", "example.org"));
    }
    let wanted: String = parameters.iter().map(|(_, value)| format!("{value}\n")).collect();
    assert_eq!(shown(Bundle::args(&["cat"]), &parameters), wanted);
}

/// Of the user namespace too, where it is the container's own.
#[test]
fn the_user_namespace_has_parameters() {
    only_rt!();
    let parameters = [("user.max_ipc_namespaces", "42"), ("net.ipv4.ip_forward", "1")];
    let bundle = Bundle::args(&["cat"]).user_namespace(100_000).without_mount("/sys/fs/cgroup");
    assert_eq!(shown(bundle, &parameters), "42\n1\n");
    if mode() == Mode::Rootless {
        return; // every container has one
    }
    let bundle = Bundle::args(&["true"]).set("/linux/sysctl", json!({ "user.max_ipc_namespaces": "42" }));
    let container = Container::new(bundle);
    container.run().refused_with(&["/linux/sysctl/user.max_ipc_namespaces", "user namespace"]);
    container.assert_nothing_left();
}

/// A value that the kernel refuses is named; one of another type, and the host's name, before.
#[test]
fn bad_values_are_refused() {
    only_rt!();
    for (name, value, words) in [
        ("net.ipv4.ip_default_ttl", json!("0"), ["net.ipv4.ip_default_ttl", "EINVAL"]),
        ("net.ipv4.ip_forward", json!(1), ["/linux/sysctl/net.ipv4.ip_forward", "string"]),
        ("kernel.hostname", json!("x"), ["/linux/sysctl/kernel.hostname", "hostname"]),
        ("net..x", json!("1"), ["/linux/sysctl/net..x", "kernel parameter"]),
    ] {
        let container = Container::new(Bundle::args(&["true"]).set("/linux/sysctl", json!({ name: value })));
        container.run().refused_with(&words);
        container.assert_nothing_left();
    }
}
