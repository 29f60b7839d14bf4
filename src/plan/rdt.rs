//! The resctrl group of the container: which directory, and what is written to its schemata.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// The directory of a class of service, below where resctrl is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// `closID` is not set: one of the container's own, named by its id, which goes with it.
    Own(String),
    /// `closID` is `/`: the root.
    Default,
    /// `closID`: it stays when the container goes.
    Named(String),
}

/// One line for `schemata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaLine {
    /// `L3:0=7f0;1=1f`
    pub text: String,
    /// JSON pointer of what asked for it.
    pub pointer: String,
    /// A class that exists must have it already: others may be in it.
    pub is_compared: bool,
}

/// What `linux.intelRdt` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdtPlan {
    /// The class of service.
    pub class: Class,
    /// What is written, in order.
    pub lines: Vec<SchemaLine>,
    /// The name of the monitoring group: the container's id.
    pub monitor: Option<String>,
}

/// Where the container is in resctrl: what state.json remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdtPlace {
    /// Directory of the class of service.
    pub directory: PathBuf,
    /// Whether it goes with the container.
    pub is_own: bool,
    /// Directory of the monitoring group, which goes with the container.
    pub monitor: Option<PathBuf>,
}

/// Decides what `linux.intelRdt` means; whether resctrl is there is seen when it is applied.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#intelrdt>: l3CacheSchema
/// first, memBwSchema after it, schemata last.
pub fn plan_rdt(spec: &Spec, id: &str) -> Option<RdtPlan> {
    let asked: &LinuxIntelRdt = spec.oci.linux().as_ref()?.intel_rdt().as_ref()?;
    let class = match asked.clos_id().as_deref().unwrap_or_default() {
        // Go programs write the empty string for "absent".
        "" => Class::Own(id.to_owned()),
        "/" => Class::Default,
        name => Class::Named(name.to_owned()),
    };
    let mut lines = Vec::new();
    for (name, text) in [("l3CacheSchema", asked.l3_cache_schema()), ("memBwSchema", asked.mem_bw_schema())] {
        // With code and data apart l3CacheSchema has been two lines always, though it should not.
        for line in text.as_deref().unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
            let pointer = format!("/linux/intelRdt/{name}");
            lines.push(SchemaLine { text: line.trim().to_owned(), pointer, is_compared: true });
        }
    }
    for (index, line) in asked.schemata().iter().flatten().enumerate() {
        let pointer = format!("/linux/intelRdt/schemata/{index}");
        lines.push(SchemaLine { text: line.clone(), pointer, is_compared: false });
    }
    let monitor = asked.enable_monitoring().unwrap_or_default().then(|| id.to_owned());
    Some(RdtPlan { class, lines, monitor })
}

/// One line for each operation, for `rt explain`.
impl fmt::Display for RdtPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match &self.class {
            Class::Own(id) => {
                writeln!(f, "resctrl: mkdir {id}")?;
                id.as_str()
            }
            Class::Default => ".",
            Class::Named(name) => {
                if !self.lines.is_empty() {
                    writeln!(f, "resctrl: mkdir {name}, unless it is there and holds the same")?;
                }
                name
            }
        };
        for line in &self.lines {
            writeln!(f, "resctrl: write {:?} to {class}/schemata", line.text)?;
        }
        if let Some(id) = &self.monitor {
            writeln!(f, "resctrl: mkdir {class}/mon_groups/{id}")?;
        }
        writeln!(f, "resctrl: write init's pid to {class}/tasks")
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The plan of a container `c1` with this `intelRdt`.
    pub fn planned(rdt: Value) -> RdtPlan {
        let mut config: Value = serde_json::from_str(&crate::spec::template(false)).unwrap();
        config["linux"]["intelRdt"] = rdt;
        let spec = Spec::from_text("/bundle".into(), config.to_string().into_bytes()).unwrap();
        plan_rdt(&spec, "c1").unwrap()
    }

    #[test]
    fn the_cache_is_written_first_and_schemata_last() {
        let plan = planned(json!({
            "schemata": ["L2:0=f", "MB:0=10"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3CODE:0=f\nL3DATA:0=3\n",
        }));
        let lines: Vec<_> = plan.lines.iter().map(|line| (line.text.as_str(), line.is_compared)).collect();
        let expected =
            [("L3CODE:0=f", true), ("L3DATA:0=3", true), ("MB:0=20", true), ("L2:0=f", false), ("MB:0=10", false)];
        assert_eq!(lines, expected);
        assert_eq!(plan.lines[4].pointer, "/linux/intelRdt/schemata/1");
    }

    #[test]
    fn the_class_follows_from_clos_id() {
        for (asked, class) in [
            (json!({}), Class::Own("c1".into())),
            (json!({"closID": ""}), Class::Own("c1".into())),
            (json!({"closID": "/"}), Class::Default),
            (json!({"closID": "gold"}), Class::Named("gold".into())),
        ] {
            assert_eq!(planned(asked).class, class);
        }
    }

    #[test]
    fn says_what_it_does() {
        let plan = planned(json!({"closID": "gold", "memBwSchema": "MB:0=20", "enableMonitoring": true}));
        assert_eq!(
            plan.to_string(),
            "resctrl: mkdir gold, unless it is there and holds the same\n\
             resctrl: write \"MB:0=20\" to gold/schemata\n\
             resctrl: mkdir gold/mon_groups/c1\n\
             resctrl: write init's pid to gold/tasks\n"
        );
        assert_eq!(planned(json!({"closID": "/"})).to_string(), "resctrl: write init's pid to ./tasks\n");
    }
}
