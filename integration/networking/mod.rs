//! Networks as a newcomer expects them.

mod devices;

use std::process::Command;

use serde_json::json;

use crate::harness::netns::{NetworkNamespace, ip};
use crate::harness::{Bundle, Container};

/// A new network namespace has `lo` up.
#[test]
fn the_loopback_is_up() {
    let container = Container::new(
        Bundle::sh("cat /sys/class/net/lo/flags; ping -c 1 -W 2 127.0.0.1 | grep -c '1 packets received'")
            .capabilities(&["CAP_NET_RAW"]),
    );
    let outcome = container.run();
    let flags = outcome.stdout.lines().next().unwrap_or_default().trim_start_matches("0x");
    assert_eq!(u32::from_str_radix(flags, 16).unwrap() & 1, 1, "{outcome:?}");
    assert!(outcome.stdout.ends_with("1\n"), "{outcome:?}");
}

/// It has nothing else.
#[test]
fn a_new_network_holds_the_loopback_only() {
    let container = Container::new(Bundle::sh("tail -n +3 /proc/net/dev | sed 's/:.*//' | tr -d ' '"));
    assert!(container.run().ok().stdout.lines().any(|line| line == "lo"));
    let own = Container::new(Bundle::sh("grep -c eth /proc/net/dev || true"));
    assert_eq!(own.run().ok().stdout, "0\n");
}

/// A namespace of `ip netns add` with a veth pair is joined by path, and the host answers through it.
#[test]
fn a_prepared_network_is_joined_and_works() {
    let Some(network) = NetworkNamespace::new() else {
        skip!("ip netns add does not work here");
    };
    // Both ends live in namespaces of this test, so that no address of the host's is touched.
    let Some(peer) = NetworkNamespace::new() else {
        skip!("ip netns add does not work here");
    };
    let veth =
        ["link", "add", "eth0", "netns", &network.name, "type", "veth", "peer", "name", "eth0", "netns", &peer.name];
    if !ip(&veth) {
        skip!("no veth devices here");
    }
    for (side, address) in [(&network, "10.231.0.2/24"), (&peer, "10.231.0.1/24")] {
        assert!(side.ip(&["addr", "add", address, "dev", "eth0"]) && side.ip(&["link", "set", "eth0", "up"]));
    }
    let bundle = Bundle::sh(
        "ip addr show eth0 | grep -o '10.231.0.2'; ping -c 1 -W 5 10.231.0.1 | grep -o '1 packets received'",
    );
    let container = Container::new(bundle.namespace("network", Some(&network.path())).capabilities(&["CAP_NET_RAW"]));
    assert_eq!(container.run().ok().stdout, "10.231.0.2\n1 packets received\n");
    assert!(network.ip(&["link", "show", "eth0"]), "the network must outlive the container");
}

/// Joining a network changes nothing in it: not even a `lo` that is down.
#[test]
fn a_joined_network_is_left_as_it_is() {
    let Some(network) = NetworkNamespace::new() else {
        skip!("ip netns add does not work here");
    };
    Container::new(Bundle::args(&["true"]).namespace("network", Some(&network.path()))).run().ok();
    let shown = Command::new("ip").args(["-n", &network.name, "link", "show", "lo"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("state DOWN"));
}

/// Two containers share one network, `container:` style: one listens, the other connects over lo.
#[test]
fn two_containers_share_a_network() {
    let server = Container::new(Bundle::sh("echo up; echo hello from the first | nc -l -p 7777"));
    server.launch().until_output("up");
    let path = format!("/proc/{}/ns/net", server.pid());
    let script =
        "for i in 1 2 3 4 5 6 7 8 9; do nc 127.0.0.1 7777 </dev/null 2>/dev/null && exit; sleep 0.2; done; exit 1";
    let client = Container::new(Bundle::sh(script).namespace("network", Some(&path)).joining(server.pid()));
    assert_eq!(client.run().ok().stdout, "hello from the first\n");
}

/// Without a network namespace the container has the host's network.
#[test]
fn the_hosts_network_can_be_used() {
    let bundle = Bundle::args(&["readlink", "/proc/self/ns/net"]).without_namespace("network");
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(Container::new(bundle).run().ok().stdout.trim(), own.to_str().unwrap());
}

/// A network namespace of a container ends with it.
#[test]
fn the_network_ends_with_the_container() {
    let container = Container::new(Bundle::sleeping());
    container.launch();
    let path = format!("/proc/{}/ns/net", container.pid());
    let link = std::fs::read_link(&path).unwrap();
    // As long as it is held, no other namespace gets its number.
    let held = std::fs::File::open(&path).unwrap();
    container.delete_force().ok();
    let users = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|other| other == link))
        .count();
    drop(held);
    assert_eq!(users, 0);
}

/// `ping_group_range` and its like can be set for the new network.
#[test]
fn network_parameters_belong_to_the_new_network() {
    let bundle = Bundle::args(&["cat", "/proc/sys/net/ipv4/ping_group_range"]);
    let container = Container::new(bundle.set("/linux/sysctl", json!({ "net.ipv4.ping_group_range": "0 1000" })));
    assert_eq!(container.run().ok().stdout.split_whitespace().collect::<Vec<_>>(), ["0", "1000"]);
}
