//! From JSON to the plan.

use std::path::Path;

use serde_json::{Value, json};

use super::idmap::IdmapPlan;
use super::*;
use crate::host::cgroup::Layout;
use crate::plan::namespaces::{IdMapping, Namespace};

pub(crate) fn host() -> Host {
    Host {
        kernel: (6, 18),
        euid: 0,
        egid: 0,
        capabilities: u64::MAX,
        in_user_namespace: false,
        rootless: false,
        cgroup: Layout::None,
        seccomp_receiver: None,
    }
}

pub(crate) fn namespaces() -> NamespacePlan {
    NamespacePlan {
        user: Namespace::Inherit,
        mount: Namespace::New,
        pid: Namespace::New,
        network: Namespace::New,
        ipc: Namespace::New,
        uts: Namespace::New,
        cgroup: Namespace::New,
        time: Namespace::Inherit,
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
        time_offsets: Vec::new(),
    }
}

fn plan(document: Value) -> (RootfsPlan, Faults) {
    plan_in(Path::new("/bundle"), document)
}

pub(crate) fn plan_in(bundle: &Path, document: Value) -> (RootfsPlan, Faults) {
    plan_with(bundle, &namespaces(), document)
}

pub(crate) fn plan_with(bundle: &Path, namespaces: &NamespacePlan, mut document: Value) -> (RootfsPlan, Faults) {
    document["ociVersion"] = json!("1.0.2");
    document["root"] = json!({"path": "rootfs", "readonly": document["readonly"] == true});
    let oci = serde_json::from_value(document).expect("a configuration");
    let spec = Spec { oci, bundle: bundle.to_owned(), text: Vec::new(), warnings: Faults::default() };
    let mut faults = Faults::default();
    (plan_rootfs(&spec, &host(), namespaces, &mut faults), faults)
}

fn mount(mount: Value) -> MountPlan {
    let (mut plan, faults) = plan(json!({ "mounts": [mount] }));
    assert_eq!(faults, Faults::default());
    plan.mounts.remove(0)
}

#[test]
fn the_options_decide_whether_it_is_a_bind_mount() {
    for (kind, options) in [("tmpfs", json!(["bind"])), ("", json!(["rbind"])), ("bind", json!([]))] {
        let plan = mount(json!({"destination": "/a", "type": kind, "source": "b", "options": options}));
        let MountKind::Bind(bind) = plan.kind else { panic!("{kind}") };
        assert_eq!(bind.source.as_c_str(), c"/bundle/b");
        assert_eq!(bind.recursive, options == json!(["rbind"]));
    }
}

#[test]
fn all_of_cgroup2_is_shown_where_no_namespace_hides_it() {
    use crate::host::cgroup::{Hierarchy, Unified};
    let unified = Unified { mount: "/cg".into(), own: "/".into(), controllers: Vec::new() };
    let hierarchy = Hierarchy { controllers: vec!["pids".into()], mount: "/cg/pids".into(), own: "/".into() };
    let hybrid = Layout::Legacy { hierarchies: vec![hierarchy], unified: Some(unified.clone()) };
    let joined = || Namespace::Join("/proc/7/ns/cgroup".into());
    for (cgroup, namespace, user, expected) in [
        (Layout::Unified(unified.clone()), Namespace::Inherit, Namespace::Inherit, true),
        (Layout::Unified(unified.clone()), Namespace::New, Namespace::Inherit, false),
        (Layout::Unified(unified.clone()), joined(), Namespace::Inherit, false),
        (Layout::Unified(unified), Namespace::Inherit, Namespace::New, false),
        (hybrid, Namespace::Inherit, Namespace::Inherit, false),
    ] {
        let oci = json!({"ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nsdelegate"]}]});
        let oci = serde_json::from_value(oci).expect("a configuration");
        let spec = Spec { oci, bundle: "/bundle".into(), text: Vec::new(), warnings: Faults::default() };
        let host = Host { cgroup, ..host() };
        let mut faults = Faults::default();
        let plan = plan_rootfs(&spec, &host, &NamespacePlan { cgroup: namespace, user, ..namespaces() }, &mut faults);
        assert_eq!(faults, Faults::default());
        assert_eq!(plan.mounts[0].kind, MountKind::Cgroup { v2_only: false, whole: expected }, "{:?}", host.cgroup);
    }
}

#[test]
fn the_last_of_two_contrary_options_wins() {
    let options = json!(["bind", "ro", "rw", "noexec", "exec", "nosuid", "noatime", "strictatime", "nostrictatime"]);
    let plan = mount(json!({"destination": "/a", "source": "/b", "options": options}));
    assert_eq!(plan.attributes.set, attribute::NOSUID);
    assert_eq!(plan.attributes.clear, attribute::RDONLY | attribute::NOEXEC | attribute::ATIME);
}

#[test]
fn the_last_of_two_contrary_flags_of_the_superblock_wins() {
    let keys = |options: Value| {
        let plan = mount(json!({"destination": "/a", "type": "tmpfs", "options": options}));
        let MountKind::Filesystem(filesystem) = plan.kind else { panic!() };
        filesystem.options.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(keys(json!(["sync", "dirsync", "async"])), ["dirsync", "async"]);
    assert_eq!(keys(json!(["async", "sync", "rsync"])), ["sync"]);
    assert_eq!(
        keys(json!(["lazytime", "nolazytime", "nomand", "mand", "acl", "noacl"])),
        ["nolazytime", "mand", "noacl"]
    );
    assert_eq!(keys(json!(["silent", "loud", "iversion", "noiversion"])), ["loud", "noiversion"]);
}

#[test]
fn unknown_options_go_to_the_filesystem() {
    let options = json!(["nosuid", "size=64k,mode=755", "context=\"a:b,c\"", "huge=never"]);
    let plan = mount(json!({"destination": "/a", "type": "tmpfs", "source": "shm", "options": options}));
    let MountKind::Filesystem(filesystem) = &plan.kind else { panic!() };
    let options: Vec<_> = filesystem.options.iter().map(ToString::to_string).collect();
    assert_eq!(options, ["size=64k", "mode=755", "context=a:b,c", "huge=never"]);
    assert!(!filesystem.keep_mode);
    assert_eq!(plan.to_string(), "mount \"tmpfs\" on /a (size=64k,mode=755,context=a:b,c,huge=never,nosuid)");
}

#[test]
fn a_readonly_tmpfs_above_other_mounts_becomes_readonly_last() {
    let (plan, _) = plan(json!({"mounts": [
        {"destination": "/dev", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/run", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/run/a", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/running", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/sys", "type": "sysfs", "options": ["ro"]},
        {"destination": "/sys/x", "type": "tmpfs"},
    ]}));
    let last: Vec<_> = plan.mounts.iter().filter(|mount| mount.readonly_last).map(|mount| &mount.destination).collect();
    assert_eq!(last, [Path::new("/dev"), Path::new("/run")]);
}

#[test]
fn ids_need_mappings_or_a_user_namespace() {
    let bind = |extra: Value| {
        let mut mount = json!({"destination": "/a", "source": "/b", "options": ["bind", "idmap"]});
        mount.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
        plan(json!({ "mounts": [mount] }))
    };
    assert_eq!(bind(json!({})).1.errors[0].pointer, "/mounts/0/options");
    let line = json!([{"containerID": 0, "hostID": 100, "size": 1}]);
    assert_eq!(bind(json!({"uidMappings": line})).1.errors[0].pointer, "/mounts/0");
    let (plan, faults) = bind(json!({"uidMappings": line, "gidMappings": line}));
    assert_eq!(faults, Faults::default());
    let ids = vec![IdMapping { container_id: 0, host_id: 100, size: 1 }];
    let source = IdmapSource::Mappings { uids: ids.clone(), gids: ids };
    assert_eq!(plan.mounts[0].idmap, Some(IdmapPlan { source, recursive: false }));
}

#[test]
fn nothing_is_made_below_a_dev_that_is_bound() {
    let (plan, _) = plan(json!({
        "mounts": [{"destination": "/dev", "source": "/dev", "options": ["rbind"]}],
        "linux": {"devices": [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
            {"path": "/data/null", "type": "c", "major": 1, "minor": 3},
        ]},
    }));
    assert_eq!(plan.devices.nodes.len(), 1);
    assert!(plan.devices.links.is_empty());
}

#[test]
fn a_device_of_the_configuration_replaces_the_default_one() {
    let (plan, _) = plan(json!({
        "linux": {"devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 8592, "uid": 7}]},
    }));
    let null: Vec<_> = plan.devices.nodes.iter().filter(|node| node.path == Path::new("/dev/null")).collect();
    assert_eq!(null.len(), 1);
    assert_eq!(null[0].to_string(), "device /dev/null c 1:3 0620 owner 7:0");
}

#[test]
fn every_fault_has_its_pointer() {
    for (document, pointer) in [
        (json!({"mounts": [{"destination": "/a"}]}), "/mounts/0/type"),
        (json!({"mounts": [{"destination": "/a", "options": ["bind"]}]}), "/mounts/0/source"),
        (json!({"mounts": [{"destination": "", "type": "tmpfs"}]}), "/mounts/0/destination"),
        (json!({"mounts": [{"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}]}), "/mounts/0/options"),
        (json!({"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["idmap"]}]}), "/mounts/0/options"),
        (json!({"linux": {"rootfsPropagation": "sharedd"}}), "/linux/rootfsPropagation"),
        (json!({"linux": {"maskedPaths": ["a"]}}), "/linux/maskedPaths/0"),
        (json!({"linux": {"devices": [{"path": "dev/x", "type": "c"}]}}), "/linux/devices/0/path"),
        (json!({"linux": {"devices": [{"path": "/x", "type": "c", "major": -1}]}}), "/linux/devices/0/major"),
        (json!({"linux": {"devices": [{"path": "/x", "type": "a"}]}}), "/linux/devices/0/type"),
    ] {
        let faults = plan(document.clone()).1;
        assert_eq!(faults.errors.first().map(|fault| fault.pointer.as_str()), Some(pointer), "{document}");
    }
}

#[test]
fn a_path_is_masked_once_in_the_order_of_the_list() {
    let document = json!({"linux": {"maskedPaths": ["/b", "/a", "/b", "/c/../a"], "readonlyPaths": ["/b", "/b/"]}});
    let (plan, _) = plan(document);
    assert_eq!(plan.masked_paths, [PathBuf::from("/b"), PathBuf::from("/a")]);
    assert_eq!(plan.readonly_paths, [PathBuf::from("/b")]);
}

#[test]
fn a_parameter_of_the_kernel_needs_its_namespace() {
    let check = |key: &str, namespaces: &NamespacePlan| {
        let oci = json!({"ociVersion": "1.0.2", "linux": {"sysctl": {key: "1"}}});
        let oci = serde_json::from_value(oci).expect("a configuration");
        let spec = Spec { oci, bundle: PathBuf::new(), text: Vec::new(), warnings: Faults::default() };
        let mut faults = Faults::default();
        plan_sysctl(&spec, namespaces, &mut faults);
        faults.errors.is_empty()
    };
    let all = namespaces();
    let none =
        NamespacePlan { network: Namespace::Inherit, ipc: Namespace::Inherit, uts: Namespace::Inherit, ..namespaces() };
    for key in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max", "kernel.domainname"] {
        assert!(check(key, &all), "{key}");
        assert!(!check(key, &none), "{key}");
    }
    for key in ["kernel.core_pattern", "vm.swappiness", "kernel.hostname", "user.max_user_namespaces"] {
        assert!(!check(key, &all), "{key}");
    }
}
