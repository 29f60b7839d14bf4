//! Configurations as real programs wrote them: their names and texts (captured/README.md tells how they were made).

macro_rules! captured {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("captured/", $name, ".json")))),*] };
}

/// All of them but `full.json`, which is by hand.
pub const CAPTURED: &[(&str, &str)] = captured! {
    "buildah"
    "buildah-volume"
    "cri-container"
    "cri-privileged"
    "cri-sandbox"
    "cri-sandbox-host"
    "crun-spec"
    "ctr"
    "ctr-seccomp"
    "docker"
    "docker-limits"
    "podman"
    "podman-pod"
    "podman-pod-infra"
    "podman-privileged"
    "podman-readonly"
    "podman-userns"
    "runc-spec"
    "runc-spec-rootless"
};

#[test]
fn every_captured_file_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/captured");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(".json")?.to_owned())).collect();
    names.retain(|name| name != "full");
    names.sort();
    assert_eq!(names, CAPTURED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}
