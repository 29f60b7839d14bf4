//! "netDevices": moved, renamed, with their addresses, and back when the creation fails.

use serde_json::json;

use crate::harness::netns::{NetworkNamespace, Veth, ip, shown};
use crate::harness::{Bundle, Container};

/// Makes a pair of devices, or leaves the test.
macro_rules! veth {
    () => {
        match Veth::new() {
            Some(veth) => veth,
            None => skip!("no veth devices here"),
        }
    };
}

/// Makes a network namespace, or leaves the test.
macro_rules! network {
    () => {
        match NetworkNamespace::new() {
            Some(network) => network,
            None => skip!("ip netns add does not work here"),
        }
    };
}

/// A bundle that gets the first end of a pair as `name`.
fn with_device(bundle: Bundle, veth: &Veth, name: &str) -> Bundle {
    let device = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
    bundle.set("/linux/netDevices", json!({ veth.name.as_str(): device }))
}

/// Whether a device has one of the addresses `10.` or `fd00:`.
fn has(shown: &str, address: &str) -> bool {
    shown.contains(&format!(" {address} "))
}

/// "The runtime MUST preserve existing network interface attributes, including all permanent IP addresses of any
/// family with global scope", "MUST set the network device state to 'up'".
#[test]
fn a_device_is_moved_renamed_and_up_with_its_global_addresses() {
    let veth = veth!()
        .address(&["10.233.1.2/24", "broadcast", "10.233.1.255"])
        .address(&["10.233.1.3/24"])
        .address(&["10.233.2.2", "peer", "10.233.2.9/32"])
        .address(&["10.233.3.2/24", "scope", "link"])
        .address(&["10.233.4.2/24", "valid_lft", "1000", "preferred_lft", "1000"])
        .address(&["fd00:233::2/64", "nodad"]);
    assert!(ip(&["link", "set", &veth.name, "mtu", "1400"]));
    let container = Container::new(with_device(Bundle::sleeping(), &veth, "eth7"));
    container.launch();
    assert_eq!(veth.shown(), "", "it is still outside");
    let inside = container.exec_sh("ip addr show dev eth7; cat /sys/class/net/eth7/mtu").ok().stdout;
    for address in
        ["10.233.1.2/24 brd 10.233.1.255", "10.233.1.3/24", "10.233.2.2 peer 10.233.2.9/32", "fd00:233::2/64"]
    {
        assert!(has(&inside, address), "{address} is missing: {inside}");
    }
    for lost in ["10.233.3.2", "10.233.4.2"] {
        assert!(!inside.contains(lost), "{lost} is not permanent and global: {inside}");
    }
    assert!(inside.contains(",UP") && inside.ends_with("1400\n"), "{inside}");
}

/// "If not specified, the host name is used." Packets go through it.
#[test]
fn a_device_without_a_name_keeps_its_own_and_works() {
    let veth = veth!().address(&["10.233.5.2/24"]);
    assert!(ip(&["addr", "add", "10.233.5.1/24", "dev", &veth.peer]));
    let bundle = Bundle::args(&["ping", "-c", "1", "-W", "5", "10.233.5.1"]).capabilities(&["CAP_NET_RAW"]);
    let outcome = Container::new(with_device(bundle, &veth, "")).run().ok();
    assert!(outcome.stdout.contains("1 packets received"), "{outcome:?}");
}

/// "the kernel will generate a unique name for the interface".
#[test]
fn a_template_takes_the_first_free_number() {
    let (network, other, veth) = (network!(), veth!(), veth!());
    assert!(ip(&["link", "set", &other.name, "netns", &network.name, "name", "eth0"]));
    let bundle = with_device(Bundle::args(&["ls", "/sys/class/net"]), &veth, "eth%d");
    let container = Container::new(bundle.namespace("network", Some(&network.path())));
    assert_eq!(container.run().ok().stdout.split_whitespace().collect::<Vec<_>>(), ["eth0", "eth1", "lo"]);
}

/// Two devices that exchange their names, and one more by template.
#[test]
fn several_devices_are_moved_in_any_order_of_names() {
    let (one, two, three) = (veth!(), veth!(), veth!());
    let bundle = Bundle::sh("for d in /sys/class/net/*; do echo ${d##*/} $(cat $d/iflink); done").set(
        "/linux/netDevices",
        json!({ one.name.as_str(): { "name": two.name }, two.name.as_str(): { "name": one.name },
                three.name.as_str(): { "name": "net%d" } }),
    );
    let number = |name: &str| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).unwrap();
    // The peers stay outside: by them each device is known.
    let expected = [(&one.name, &two.peer), (&two.name, &one.peer), (&"net0".to_owned(), &three.peer)]
        .map(|(name, peer)| format!("{name} {}", number(peer)));
    let printed = Container::new(bundle).run().ok().stdout;
    for line in expected {
        assert!(printed.contains(&line), "{line:?}: {printed}");
    }
}

/// "If a network device with the specified name already exists in the container namespace, the runtime MUST generate
/// an error": and the device stays where and what it was.
#[test]
fn a_name_that_is_taken_is_refused_and_nothing_moves() {
    let (network, other, veth) = (network!(), veth!(), veth!().address(&["10.233.6.2/24"]));
    assert!(ip(&["link", "set", &other.name, "netns", &network.name, "name", "eth0"]));
    let before = veth.shown();
    let bundle = with_device(Bundle::sleeping(), &veth, "eth0").namespace("network", Some(&network.path()));
    let container = Container::new(bundle);
    let pointer = format!("/linux/netDevices/{}", veth.name);
    container.create().refused_with(&[&pointer, "has eth0 already", "EEXIST"]);
    container.assert_nothing_left();
    assert_eq!(veth.shown(), before);
}

/// A device that is not there.
#[test]
fn a_device_that_does_not_exist_is_named() {
    need_root!("move network devices");
    let container = Container::new(Bundle::sleeping().set("/linux/netDevices", json!({ "rt-none": {} })));
    container.create().refused_with(&["/linux/netDevices/rt-none", "(ENODEV)"]);
    container.assert_nothing_left();
}

/// A creation that fails after the move leaves the device as it was, in whatever it fails.
#[test]
fn a_failed_creation_moves_the_device_back() {
    for is_hook in [true, false] {
        let veth = veth!().address(&["10.233.7.2/24"]).address(&["fd00:237::2/64", "nodad"]);
        let before = veth.shown();
        let bundle = with_device(Bundle::args(&["/no/such/program"]), &veth, "eth0");
        let seen = bundle.beside("seen");
        let script = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); grep -o eth0 /proc/$pid/net/dev";
        let end = if is_hook { "; exit 3" } else { "" };
        let container = Container::new(bundle.hook("createRuntime", &format!("({script}) > {}{end}", seen.display())));
        container.create().refused();
        container.assert_nothing_left();
        assert_eq!(container.bundle.read_beside("seen"), "eth0\n", "hooks must see it");
        let after = veth.shown();
        assert!(has(&after, "10.233.7.2/24") && has(&after, "fd00:237::2/64"), "{before}\n{after}");
        assert_eq!(after.lines().count(), before.lines().count(), "{before}\n{after}");
        let up = std::fs::read_to_string(format!("/sys/class/net/{}/flags", veth.name)).unwrap();
        assert!(up.trim().ends_with('3'), "it was up: {up}");
    }
}

/// Also into a network of another user namespace, whose root is nobody here.
#[test]
fn a_device_is_moved_into_a_user_namespace() {
    let veth = veth!().address(&["10.233.8.2/24"]);
    let bundle = with_device(Bundle::sh("ip addr show dev eth7"), &veth, "eth7").user_namespace(100_000);
    let outcome = Container::new(bundle).run().ok();
    assert!(has(&outcome.stdout, "10.233.8.2/24") && outcome.stdout.contains(",UP"), "{outcome:?}");
}

/// Also where the user namespace is joined and the network is made inside it, as in a Kubernetes pod.
#[test]
fn a_device_is_moved_into_a_network_of_a_joined_user_namespace() {
    let veth = veth!().address(&["10.233.9.2/24"]);
    let first = Container::new(Bundle::sleeping().user_namespace(100_000));
    first.launch();
    let bundle = with_device(Bundle::sh("ip addr show dev eth7"), &veth, "eth7").user_namespace(100_000);
    let bundle = bundle.namespace("user", Some(&format!("/proc/{}/ns/user", first.pid())));
    let bundle = bundle.without("/linux/uidMappings").without("/linux/gidMappings");
    let outcome = Container::new(bundle).run().ok();
    assert!(has(&outcome.stdout, "10.233.9.2/24"), "{outcome:?}");
}

/// Parameters of the new network may be about it.
#[test]
fn sysctl_finds_the_device() {
    let veth = veth!();
    let bundle = with_device(Bundle::args(&["cat", "/proc/sys/net/ipv4/conf/eth7/forwarding"]), &veth, "eth7");
    let container = Container::new(bundle.set("/linux/sysctl", json!({ "net.ipv4.conf.eth7.forwarding": "1" })));
    assert_eq!(container.run().ok().stdout, "1\n");
}

/// "The runtime MUST NOT attempt to move the interface out of the namespace before deletion."
#[test]
fn delete_leaves_the_device_in_a_joined_network() {
    let (network, veth) = (network!(), veth!().address(&["10.233.10.2/24"]));
    let bundle = with_device(Bundle::args(&["true"]), &veth, "eth7").namespace("network", Some(&network.path()));
    Container::new(bundle).run().ok();
    assert_eq!(veth.shown(), "");
    assert!(has(&shown(&["-n", &network.name], "eth7"), "10.233.10.2/24"));
}

/// "...while virtual devices (veth, macvlan, ...) are destroyed" with their namespace.
#[test]
fn a_macvlan_goes_with_its_network() {
    let veth = veth!();
    let name = format!("m{}", veth.name);
    if !ip(&["link", "add", &name, "link", &veth.name, "type", "macvlan", "mode", "bridge"]) {
        skip!("no macvlan devices here");
    }
    let bundle = Bundle::args(&["ls", "/sys/class/net"]).set("/linux/netDevices", json!({ name.as_str(): {} }));
    let printed = Container::new(bundle).run().ok().stdout;
    assert!(printed.split_whitespace().any(|device| device == name), "{printed}");
    assert_eq!(shown(&[], &name), "");
}

/// Nothing is moved within one network namespace.
#[test]
fn the_runtimes_own_network_is_refused() {
    let veth = veth!().address(&["10.233.12.2/24"]);
    let own = format!("/proc/{}/ns/net", std::process::id());
    let container = Container::new(with_device(Bundle::sleeping(), &veth, "eth7").namespace("network", Some(&own)));
    container.create().refused_with(&["/linux/netDevices", "is the runtime's own"]);
    container.assert_nothing_left();
    assert_ne!(veth.shown(), "");
}
