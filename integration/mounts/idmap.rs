//! config.md, "Linux mount options": `idmap` and `ridmap`, with and without a user namespace.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Bundle, Container, Mode, mode};

fn mapping(container: u32, host: u32, size: u32) -> Value {
    json!([{ "containerID": container, "hostID": host, "size": size }])
}

/// A bundle that shows the owner of /mnt/file, and the source of it, whose file belongs to `owner`.
fn bundle(owner: u32) -> (Bundle, PathBuf) {
    let bundle = Bundle::sh("stat -c '%u:%g' /mnt/file");
    let source = bundle.beside("source");
    std::fs::create_dir(&source).unwrap();
    own(&source.join("file"), owner);
    (bundle, source)
}

/// The same where nothing gets as far as the owner: nobody needs to be root for it.
fn refused_bundle() -> (Bundle, PathBuf) {
    let bundle = Bundle::args(&["true"]);
    let source = bundle.beside("source");
    std::fs::create_dir(&source).unwrap();
    (bundle, source)
}

fn own(file: &Path, owner: u32) {
    std::fs::write(file, "").unwrap();
    std::os::unix::fs::chown(file, Some(owner), Some(owner)).unwrap();
}

fn idmapped(source: &Path, options: &[&str], uids: Option<Value>) -> Value {
    let mut mount = json!({ "type": "bind", "source": source, "destination": "/mnt", "options": options });
    if let Some(map) = uids {
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
    }
    mount
}

fn with_user_namespace(bundle: Bundle) -> Bundle {
    bundle.user_namespace(100_000).without_mount("/sys/fs/cgroup")
}

/// "`idmap`: Indicates that the mount MUST have an idmapping applied", "If no mappings are specified, the mappings of
/// the container's user namespace are used": the image's root is the container's root.
#[test]
fn the_mapping_of_the_container_is_the_default() {
    need_root!("map the ids of a mount");
    only_rt!(); // runc 1.1 does not know it, crun 1.8 turns it round
    let (bundle, source) = bundle(7);
    let bundle = with_user_namespace(bundle).push("/mounts", idmapped(&source, &["bind", "idmap"], None));
    assert_eq!(Container::new(bundle).run().ok().stdout, "7:7\n");
}

/// "`uidMappings`": those of the mount go before those of the container, under a user namespace too.
#[test]
fn a_mount_may_have_a_mapping_of_its_own() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(7);
    let own = idmapped(&source, &["bind", "idmap"], Some(mapping(7, 100_033, 1)));
    assert_eq!(Container::new(with_user_namespace(bundle).push("/mounts", own)).run().ok().stdout, "33:33\n");
}

/// What is not in the mapping belongs to nobody.
#[test]
fn what_is_not_mapped_belongs_to_nobody() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(3000);
    let small = idmapped(&source, &["bind", "idmap"], Some(mapping(0, 1000, 10)));
    assert_eq!(Container::new(bundle.push("/mounts", small)).run().ok().stdout, "65534:65534\n");
}

/// Files that the container makes there belong to the id that the mapping says, on the host.
#[test]
fn new_files_belong_to_the_id_on_the_disk() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(0);
    let bundle = bundle.set("/process/args", json!(["touch", "/mnt/new"]));
    std::os::unix::fs::chown(&source, Some(5000), Some(5000)).unwrap();
    let own = idmapped(&source, &["bind", "idmap"], Some(mapping(5000, 0, 10)));
    let container = Container::new(bundle.push("/mounts", own));
    container.run().ok();
    let new = std::fs::metadata(source.join("new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&new), 5000);
}

/// "`ridmap`: [...] the idmapping MUST be applied to the whole tree": `idmap` is for the one mount.
#[test]
fn the_recursive_option_reaches_what_is_below() {
    need_root!("map the ids of a mount");
    only_rt!();
    for (option, shown) in [("idmap", "1007:1007\n7:7\n"), ("ridmap", "1007:1007\n1007:1007\n")] {
        let (bundle, source) = bundle(7);
        let below = source.join("below");
        std::fs::create_dir(&below).unwrap();
        let bundle = bundle.set("/process/args", json!(["stat", "-c", "%u:%g", "/mnt/file", "/mnt/below/file"]));
        let mount = idmapped(&source, &["rbind", option], Some(mapping(0, 1000, 100)));
        let container = Container::new(bundle.push("/mounts", mount));
        // Of the same file system: not each kernel's tmpfs can map ids.
        let _mounted = super::Mounted::shared(&below);
        own(&below.join("file"), 7);
        assert_eq!(container.run().ok().stdout, shown, "{option}");
    }
}

/// crun's form of the option, with the mapping in it: relative to the container's ids with `@`.
#[test]
fn the_option_may_hold_the_mapping() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(7);
    let option = "idmap=uids=0-2000-100;gids=0-3000-100";
    let container = Container::new(bundle.push("/mounts", idmapped(&source, &["bind", option], None)));
    assert_eq!(container.run().ok().stdout, "2007:3007\n");
}

/// "If there are no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, an error
/// MUST be returned", and what else cannot be.
#[test]
fn bad_mappings_are_refused() {
    only_rt!();
    let one_side = |mut mount: Value| {
        mount.as_object_mut().unwrap().remove("gidMappings");
        mount
    };
    let place = "/mounts/7";
    for (options, map, change, pointer) in [
        (vec!["bind", "idmap"], None, false, "/options"),
        (vec!["bind", "ridmap"], None, false, "/options"),
        (vec!["bind", "idmap"], Some(mapping(0, 0, 1)), true, "/gidMappings"),
        (vec!["bind", "idmap"], Some(mapping(0, 0, 0)), false, "/uidMappings/0/size"),
        (vec!["bind", "idmap"], Some(json!([])), false, "/options"),
        (vec!["bind", "idmap=uids=1"], None, false, "/options"),
    ] {
        if pointer == "/options" && options.len() == 2 && !options[1].contains('=') && mode() == Mode::Rootless {
            continue; // there is a user namespace, whose mappings count
        }
        let (bundle, source) = refused_bundle();
        let mount = idmapped(&source, &options, map);
        let mount = if change { one_side(mount) } else { mount };
        let container = Container::new(bundle.push("/mounts", mount));
        container.run().refused_with(&[&format!("{place}{pointer}")]);
        container.assert_nothing_left();
    }
    let (bundle, _) = refused_bundle();
    let tmpfs = json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/mnt", "options": ["idmap"] });
    Container::new(bundle.push("/mounts", tmpfs)).run().refused_with(&["/mounts/7/options", "bind"]);
}

/// "If `uidMappings` or `gidMappings` are specified for the mount, the runtime MUST use those values": each for its own
/// kind of id.
#[test]
fn uids_and_gids_have_mappings_of_their_own() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(100_005);
    let mut mount = idmapped(&source, &["bind", "idmap"], Some(mapping(100_000, 1000, 10)));
    mount["gidMappings"] = mapping(100_005, 2000, 1);
    assert_eq!(Container::new(bundle.push("/mounts", mount)).run().ok().stdout, "1005:2000\n");
}

/// Mappings without the option ask for the same: "to ensure that older runtimes will not silently ignore this field" is
/// all that the option is for.
#[test]
fn mappings_alone_map_the_mount() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(100_000);
    let mount = idmapped(&source, &["bind"], Some(mapping(100_000, 5, 1)));
    assert_eq!(Container::new(bundle.push("/mounts", mount)).run().ok().stdout, "5:5\n");
}

/// crun's form again: several ranges, apart by `#`.
#[test]
fn the_option_may_hold_several_ranges() {
    need_root!("map the ids of a mount");
    only_rt!();
    for (owner, shown) in [(100, "1000:3000\n"), (205, "2005:65534\n")] {
        let (bundle, source) = bundle(owner);
        let option = "idmap=uids=100-1000-10#200-2000-10;gids=100-3000-10";
        let mount = idmapped(&source, &["bind", option], None);
        assert_eq!(Container::new(bundle.push("/mounts", mount)).run().ok().stdout, shown);
    }
}

/// With `@` the second id is one of the container's user namespace, not of the host; `ridmap=` is the recursive form.
#[test]
fn an_at_sign_counts_in_the_containers_ids() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(3);
    let mount = idmapped(&source, &["rbind", "ridmap=uids=@3-33-1;gids=@3-44-1"], None);
    assert_eq!(Container::new(with_user_namespace(bundle).push("/mounts", mount)).run().ok().stdout, "33:44\n");
}

/// A text that says nothing clear is refused, with its place.
#[test]
fn a_broken_mapping_text_is_refused() {
    only_rt!();
    for text in [
        "uids=0-0",
        "uids=0-0-1",
        "uids=0-0-0;gids=0-0-1",
        "uids=x-0-1;gids=0-0-1",
        "nonsense",
        "uids=0-0-1;guests=0-0-1",
    ] {
        let (bundle, source) = refused_bundle();
        let mount = idmapped(&source, &["bind", &format!("idmap={text}")], None);
        let container = Container::new(bundle.push("/mounts", mount));
        container.run().refused_with(&["/mounts/7/options", text]);
        container.assert_nothing_left();
    }
}

/// Overlapping ranges are refused with their place; so is, in the kernel's words, a file system that cannot be mapped.
#[test]
fn what_cannot_be_mapped_is_refused() {
    need_root!("map the ids of a mount");
    only_rt!();
    let (bundle, source) = bundle(0);
    let overlap = json!([{ "containerID": 0, "hostID": 0, "size": 5 }, { "containerID": 4, "hostID": 100, "size": 5 }]);
    let container = Container::new(bundle.push("/mounts", idmapped(&source, &["bind", "idmap"], Some(overlap))));
    container.run().refused_with(&["/mounts/7/uidMappings/1/containerID"]);
    container.assert_nothing_left();
    let mount = idmapped(Path::new("/proc"), &["bind", "idmap"], Some(mapping(0, 5, 1)));
    let container = Container::new(Bundle::args(&["true"]).push("/mounts", mount));
    container.run().refused_with(&["/mnt", "EINVAL"]);
    container.assert_nothing_left();
}
