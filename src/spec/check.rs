//! What the fields of config.json mean together, as far as no machine is needed to say it.

use oci_spec::runtime::{LinuxIdMapping, Mount, Spec};

use super::{check_linux, check_process};
use crate::error::Faults;

/// Checks a whole configuration.
pub fn check(oci: &Spec, faults: &mut Faults) {
    check_version(oci.version(), faults);
    if oci.root().as_ref().is_some_and(|root| root.path().as_os_str().is_empty()) {
        faults.error("/root/path", "is empty");
    }
    if let Some(process) = oci.process() {
        check_process::check(process, "/process", faults);
        let hooks = oci.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
        if hooks.is_some_and(|hooks| !hooks.is_empty()) {
            check_process::check_can_fork(process, "/process", faults);
        }
    }
    for (index, mount) in oci.mounts().iter().flatten().enumerate() {
        check_mount(mount, &format!("/mounts/{index}"), faults);
    }
    if oci.annotations().as_ref().is_some_and(|annotations| annotations.contains_key("")) {
        faults.error("/annotations/", "a key must not be empty");
    }
    check_linux::check(oci, faults);
}

/// Any 1.x is good, newer ones too: the OCI spec keeps compatibility within a major version.
fn check_version(version: &str, faults: &mut Faults) {
    match semver_major(version) {
        None => faults.error("/ociVersion", format!("{version:?} is not a version like 1.3.0 (SemVer 2.0.0)")),
        Some("1") => {}
        Some(_) => faults.error("/ociVersion", format!("{version} is not supported: rt knows 1.x, up to 1.3.0")),
    }
}

/// The major version of a version in SemVer 2.0.0 form.
fn semver_major(version: &str) -> Option<&str> {
    let (version, build) = version.split_once('+').map_or((version, None), |(version, build)| (version, Some(build)));
    let (core, pre) = version.split_once('-').map_or((version, None), |(core, pre)| (core, Some(pre)));
    let is_number = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (*text == "0" || !text.starts_with('0'))
    };
    let is_identifier = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let numbers: Vec<&str> = core.split('.').filter(is_number).collect();
    let good_core = numbers.len() == 3 && core.split('.').count() == 3;
    let good_rest = [pre, build].into_iter().flatten().all(|rest| rest.split('.').all(is_identifier));
    (good_core && good_rest).then(|| numbers[0])
}

fn check_mount(mount: &Mount, pointer: &str, faults: &mut Faults) {
    if mount.destination().as_os_str().is_empty() {
        faults.error(format!("{pointer}/destination"), "is empty");
    } else if !mount.destination().is_absolute() {
        let destination = mount.destination().display();
        faults.warn(format!("{pointer}/destination"), format!("{destination} is relative: taken as /{destination}"));
    }
    match (mount.uid_mappings(), mount.gid_mappings()) {
        (Some(_), None) => faults.error(format!("{pointer}/gidMappings"), "missing beside uidMappings"),
        (None, Some(_)) => faults.error(format!("{pointer}/uidMappings"), "missing beside gidMappings"),
        (None, None) => {}
        (Some(uids), Some(gids)) => {
            check_mappings(uids, &format!("{pointer}/uidMappings"), faults);
            check_mappings(gids, &format!("{pointer}/gidMappings"), faults);
        }
    }
}

/// So many lines the kernel takes in uid_map and gid_map.
const MOST_MAPPINGS: usize = 340;

/// Checks mappings of ids as the kernel will: sizes, ends, no id mapped twice on either side.
pub fn check_mappings(mappings: &[LinuxIdMapping], pointer: &str, faults: &mut Faults) {
    if mappings.len() > MOST_MAPPINGS {
        faults.error(pointer, format!("has {} entries: the kernel takes {MOST_MAPPINGS}", mappings.len()));
        return;
    }
    for (index, mapping) in mappings.iter().enumerate() {
        if mapping.size() == 0 {
            faults.error(format!("{pointer}/{index}/size"), "must be at least 1");
        }
        let past_end = |first: u32| u64::from(first) + u64::from(mapping.size()) > u64::from(u32::MAX);
        for (name, first) in [("containerID", mapping.container_id()), ("hostID", mapping.host_id())] {
            if past_end(first) {
                let reason = format!("{first} and {} ids from there go past the last id", mapping.size());
                faults.error(format!("{pointer}/{index}/{name}"), reason);
            }
        }
    }
    for (name, first) in [
        ("containerID", LinuxIdMapping::container_id as fn(&LinuxIdMapping) -> u32),
        ("hostID", LinuxIdMapping::host_id),
    ] {
        let mut ranges: Vec<(u64, u64, usize)> = mappings
            .iter()
            .enumerate()
            .map(|(index, mapping)| {
                (first(mapping).into(), u64::from(first(mapping)) + u64::from(mapping.size()), index)
            })
            .collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            if let [(_, end, one), (start, _, other)] = pair
                && start < end
            {
                faults.error(format!("{pointer}/{other}/{name}"), format!("overlaps with {pointer}/{one}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::semver_major;

    #[test]
    fn reads_versions_as_semver_defines_them() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.99.7", "1.1.0+dev", "1.0.0-rc.5+b1", "1.0.0--"] {
            assert_eq!(semver_major(good), Some("1"), "{good}");
        }
        assert_eq!(semver_major("9.9.9"), Some("9"));
        for bad in
            ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1..0", "1.0.x", "1.0.0-é", " 1.0.0"]
        {
            assert_eq!(semver_major(bad), None, "{bad:?}");
        }
    }
}
