//! What the container's class may use of cache and memory bandwidth, and what its group uses, as runc's `events` has it.

use std::path::Path;

use serde::Serialize;

use crate::plan::rdt::RdtPlace;

/// Everything that resctrl says about a container; all empty without one.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct RdtStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    l3_cache_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    l3_cache_schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mem_bw_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mem_bw_schema: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mbm_stats: Vec<BandwidthUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmt_stats: Vec<CacheUse>,
}

#[derive(Debug, PartialEq, Serialize)]
struct CacheInfo {
    cbm_mask: String,
    min_cbm_bits: u64,
    num_closids: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct BandwidthInfo {
    bandwidth_gran: u64,
    delay_linear: u64,
    min_bandwidth: u64,
    num_closids: u64,
}

/// Of one L3 domain.
#[derive(Debug, PartialEq, Serialize)]
struct BandwidthUse {
    mbm_total_bytes: u64,
    mbm_local_bytes: u64,
}

/// Of one L3 domain.
#[derive(Debug, PartialEq, Serialize)]
struct CacheUse {
    llc_occupancy: u64,
}

impl RdtStats {
    /// Reads it all.
    pub fn read(place: &RdtPlace) -> RdtStats {
        let directory = place.directory.as_path();
        let mut parents = directory.ancestors().take(2);
        let Some(root) = parents.find(|root| root.join("info").is_dir()) else { return RdtStats::default() };
        let (of_all, own) = (text(&root.join("schemata")), text(&directory.join("schemata")));
        let mut stats = RdtStats {
            l3_cache_info: CacheInfo::read(&root.join("info/L3")),
            l3_cache_schema_root: line(&of_all, "L3"),
            l3_cache_schema: line(&own, "L3"),
            mem_bw_info: BandwidthInfo::read(&root.join("info/MB")),
            mem_bw_schema_root: line(&of_all, "MB"),
            mem_bw_schema: line(&own, "MB"),
            ..RdtStats::default()
        };
        let group = place.monitor.as_deref().unwrap_or(directory);
        let domains = std::fs::read_dir(group.join("mon_data")).into_iter().flatten().flatten();
        let mut domains: Vec<_> = domains.map(|domain| domain.path()).collect();
        domains.sort();
        for domain in domains {
            let value = |name: &str| number(&domain.join(name));
            if let (Some(mbm_total_bytes), Some(mbm_local_bytes)) = (value("mbm_total_bytes"), value("mbm_local_bytes"))
            {
                stats.mbm_stats.push(BandwidthUse { mbm_total_bytes, mbm_local_bytes });
            }
            stats.cmt_stats.extend(value("llc_occupancy").map(|llc_occupancy| CacheUse { llc_occupancy }));
        }
        stats
    }
}

impl CacheInfo {
    fn read(directory: &Path) -> Option<CacheInfo> {
        let value = |name: &str| number(&directory.join(name));
        let cbm_mask = text(&directory.join("cbm_mask")).trim().to_owned();
        Some(CacheInfo { cbm_mask, min_cbm_bits: value("min_cbm_bits")?, num_closids: value("num_closids")? })
    }
}

impl BandwidthInfo {
    fn read(directory: &Path) -> Option<BandwidthInfo> {
        let value = |name: &str| number(&directory.join(name));
        Some(BandwidthInfo {
            bandwidth_gran: value("bandwidth_gran")?,
            delay_linear: value("delay_linear")?,
            min_bandwidth: value("min_bandwidth")?,
            num_closids: value("num_closids")?,
        })
    }
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn number(file: &Path) -> Option<u64> {
    text(file).trim().parse().ok()
}

/// The line of one resource.
fn line(schemata: &str, resource: &str) -> String {
    let is_of = |line: &&str| line.split(':').next() == Some(resource);
    schemata.lines().map(str::trim).find(is_of).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_tells_its_schemas_and_its_use() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        for (file, text) in [
            ("info/L3/cbm_mask", "7ff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("schemata", "    L3:0=7ff\n    MB:0=100\n"),
            ("gold/schemata", "    L3:0=f\n    MB:0= 20\n"),
            ("gold/mon_groups/c1/mon_data/mon_L3_00/llc_occupancy", "4096\n"),
            ("gold/mon_groups/c1/mon_data/mon_L3_00/mbm_total_bytes", "7\n"),
            ("gold/mon_groups/c1/mon_data/mon_L3_00/mbm_local_bytes", "6\n"),
            ("gold/mon_groups/c1/mon_data/mon_L3_01/llc_occupancy", "Unavailable\n"),
        ] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        }
        let directory = root.join("gold");
        let monitor = Some(directory.join("mon_groups/c1"));
        let stats = RdtStats::read(&RdtPlace { directory, is_own: false, monitor });
        let expected = json!({
            "l3_cache_info": { "cbm_mask": "7ff", "min_cbm_bits": 1, "num_closids": 16 },
            "l3_cache_schema_root": "L3:0=7ff", "l3_cache_schema": "L3:0=f",
            "mem_bw_schema_root": "MB:0=100", "mem_bw_schema": "MB:0= 20",
            "mbm_stats": [{ "mbm_total_bytes": 7, "mbm_local_bytes": 6 }],
            "cmt_stats": [{ "llc_occupancy": 4096 }],
        });
        assert_eq!(serde_json::to_value(&stats).unwrap(), expected);
    }
}
