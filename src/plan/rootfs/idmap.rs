//! Which ids an idmapped mount shows.

use std::path::PathBuf;

use oci_spec::runtime::LinuxIdMapping;

use crate::error::Faults;
use crate::plan::namespaces::{IdMapping, Namespace, NamespacePlan};

/// The ids of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdmapPlan {
    /// Where they come from.
    pub source: IdmapSource,
    /// For all that is mounted below, too.
    pub recursive: bool,
}

/// The user namespace that stands for the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdmapSource {
    /// One is made with these lines: id on the filesystem, id on the host, how many.
    Mappings {
        /// For uid_map.
        uids: Vec<IdMapping>,
        /// For gid_map.
        gids: Vec<IdMapping>,
    },
    /// The one that the container joins.
    Joined(PathBuf),
}

/// Decides it: the mount's own mappings, else crun's `idmap=uids=…;gids=…`, else the container's.
///
/// <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-mount-options>
pub(super) fn plan_source(
    uids: &[LinuxIdMapping],
    gids: &[LinuxIdMapping],
    text: Option<&str>,
    namespaces: &NamespacePlan,
    pointer: &str,
    faults: &mut Faults,
) -> Option<IdmapSource> {
    if uids.is_empty() != gids.is_empty() {
        faults.error(pointer, "uidMappings and gidMappings must be given together");
        return None;
    }
    if !uids.is_empty() {
        let uids = check(uids.iter().map(own), &format!("{pointer}/uidMappings"), faults)?;
        let gids = check(gids.iter().map(own), &format!("{pointer}/gidMappings"), faults)?;
        return Some(IdmapSource::Mappings { uids, gids });
    }
    if let Some(text) = text {
        return parse(text, namespaces)
            .map_err(|reason| faults.error(format!("{pointer}/options"), format!("idmap={text}: {reason}")))
            .ok();
    }
    match &namespaces.user {
        Namespace::New => {
            Some(IdmapSource::Mappings { uids: namespaces.uid_mappings.clone(), gids: namespaces.gid_mappings.clone() })
        }
        Namespace::Join(path) => Some(IdmapSource::Joined(path.clone())),
        Namespace::Inherit => {
            faults.error(
                format!("{pointer}/options"),
                "idmap needs uidMappings and gidMappings, because the container has no user namespace",
            );
            None
        }
    }
}

fn own(mapping: &LinuxIdMapping) -> IdMapping {
    IdMapping { container_id: mapping.container_id(), host_id: mapping.host_id(), size: mapping.size() }
}

fn check(mappings: impl Iterator<Item = IdMapping>, pointer: &str, faults: &mut Faults) -> Option<Vec<IdMapping>> {
    let mappings: Vec<_> = mappings.collect();
    for (index, mapping) in mappings.iter().enumerate() {
        if mapping.size == 0 {
            faults.error(format!("{pointer}/{index}/size"), "is 0");
            return None;
        }
    }
    Some(mappings)
}

/// Reads `uids=0-1-10#10-11-10;gids=@0-100-10`: id on the filesystem, id on the host, how many.
/// With `@` the second id is one of the container's user namespace.
fn parse(text: &str, namespaces: &NamespacePlan) -> Result<IdmapSource, String> {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (key, list) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not uids=… or gids=…"))?;
        let (target, container) = match key {
            "uids" => (&mut uids, &namespaces.uid_mappings),
            "gids" => (&mut gids, &namespaces.gid_mappings),
            _ => return Err(format!("\"{key}\" is neither uids nor gids")),
        };
        for range in list.split('#') {
            target.push(parse_range(range, container)?);
        }
    }
    if uids.is_empty() || gids.is_empty() {
        return Err("both uids and gids are needed".to_owned());
    }
    Ok(IdmapSource::Mappings { uids, gids })
}

fn parse_range(range: &str, container: &[IdMapping]) -> Result<IdMapping, String> {
    let (relative, numbers) = range.strip_prefix('@').map_or((false, range), |rest| (true, rest));
    let numbers: Option<Vec<u32>> = numbers.split('-').map(|number| number.parse().ok()).collect();
    let mut mapping = match numbers.as_deref() {
        Some(&[container_id, host_id, size]) if size > 0 => IdMapping { container_id, host_id, size },
        _ => return Err(format!("\"{range}\" is not FIRST-HOST-SIZE")),
    };
    if relative {
        let line = container.iter().find(|line| mapping.container_id.wrapping_sub(line.container_id) < line.size);
        let line =
            line.ok_or_else(|| format!("id {} is not in the container's user namespace", mapping.container_id))?;
        let host_id = i64::from(mapping.host_id) + i64::from(line.host_id) - i64::from(line.container_id);
        mapping.host_id = u32::try_from(host_id).map_err(|_| format!("\"{range}\" is out of range"))?;
    }
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &[IdMapping] =
        &[IdMapping { container_id: 0, host_id: 0, size: 1 }, IdMapping { container_id: 1, host_id: 2, size: 1000 }];

    #[test]
    fn a_range_with_an_at_sign_is_relative_to_the_container() {
        let expected = IdMapping { container_id: 1, host_id: 4, size: 10 };
        assert_eq!(parse_range("@1-3-10", CONTAINER), Ok(expected));
        assert_eq!(parse_range("1-4-10", CONTAINER), Ok(expected));
    }

    #[test]
    fn a_broken_range_is_refused() {
        for range in ["", "1", "1-2", "1-2-0", "1-2-3-4", "a-b-c", "@5000-1-1", "-1-2-3"] {
            assert!(parse_range(range, CONTAINER).is_err(), "{range}");
        }
    }
}
