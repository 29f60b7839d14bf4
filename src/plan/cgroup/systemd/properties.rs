//! Limits as properties of a systemd unit.
//!
//! systemd writes what it knows about a unit again whenever it likes, after `daemon-reload` for example: a limit that
//! it is not told of would be lost. What it has no property for it leaves alone, as the unit is delegated to us.

use super::value::Value;
use crate::host::cgroup::Version;
use crate::plan::cgroup::ResourceWrite;

/// One property of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// Its name on D-Bus.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The first systemd that has it: an older one would refuse the whole unit.
    pub since: u32,
    /// JSON pointer of what asked for it; none for what `rt` itself wants.
    pub pointer: Option<String>,
}

/// No property is asked of a systemd older than this.
pub const OLDEST: u32 = 239;

/// What cpu.max holds: a new quota needs the period that is there, and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMax {
    /// Microseconds in each period; none is no limit.
    pub quota_us: Option<u64>,
    /// Microseconds.
    pub period_us: u64,
}

impl Default for CpuMax {
    /// The kernel's.
    fn default() -> CpuMax {
        CpuMax { quota_us: None, period_us: 100_000 }
    }
}

impl CpuMax {
    /// Reads `max 100000`; a part that is missing or strange stays as it was.
    pub fn and(self, text: &str) -> CpuMax {
        let mut words = text.split_whitespace();
        let quota_us = match words.next() {
            Some("max") => None,
            Some(word) => word.parse().ok().or(self.quota_us),
            None => self.quota_us,
        };
        let period_us = words.next().and_then(|word| word.parse().ok()).unwrap_or(self.period_us);
        CpuMax { quota_us, period_us: if period_us == 0 { self.period_us } else { period_us } }
    }

    /// systemd's unit of measure, rounded up to the whole percent that it keeps in its files.
    fn per_second_us(self) -> u64 {
        const PERCENT: u64 = 10_000;
        let Some(quota_us) = self.quota_us else { return u64::MAX };
        let exact = u128::from(quota_us) * 1_000_000 / u128::from(self.period_us);
        u64::try_from(exact).unwrap_or(u64::MAX - PERCENT).div_ceil(PERCENT) * PERCENT
    }
}

/// The properties that say the same as `writes`, as far as systemd has some. `now` is what cpu.max holds.
pub fn properties_of(writes: &[ResourceWrite], now: CpuMax) -> Vec<Property> {
    let mut found = Found { properties: Vec::new(), cpu_max: now };
    for write in writes {
        match write.version {
            Version::V2 => found.add_v2(write),
            Version::V1 => found.add_v1(write),
        }
    }
    found.properties
}

struct Found {
    properties: Vec<Property>,
    cpu_max: CpuMax,
}

impl Found {
    fn add(&mut self, name: &str, value: Value, since: u32, write: &ResourceWrite) {
        let property = Property { name: name.into(), value, since, pointer: Some(write.pointer.clone()) };
        match self.properties.iter_mut().find(|property| property.name == name) {
            // A list grows by one device after another; of the rest, the last one counts, as in the files.
            Some(Property { value: Value::Array(element, list), .. }) if element.starts_with('(') => {
                if let Value::Array(_, more) = property.value {
                    list.extend(more);
                }
            }
            Some(older) => *older = property,
            None => self.properties.push(property),
        }
    }

    fn add_v2(&mut self, write: &ResourceWrite) {
        let value = write.value.trim();
        let amount = if write.file.starts_with("memory.") { bytes(value) } else { amount(value) };
        let simple = match write.file.as_ref() {
            "memory.max" => Some(("MemoryMax", OLDEST)),
            "memory.high" => Some(("MemoryHigh", OLDEST)),
            "memory.low" => Some(("MemoryLow", OLDEST)),
            "memory.min" => Some(("MemoryMin", 240)),
            "memory.swap.max" => Some(("MemorySwapMax", OLDEST)),
            "memory.zswap.max" => Some(("MemoryZSwapMax", 253)),
            "cpu.weight" => Some(("CPUWeight", OLDEST)),
            _ => None,
        };
        match (simple, amount) {
            (Some((name, since)), Some(amount)) => return self.add(name, Value::U64(amount), since, write),
            // What the kernel does not understand it will say itself.
            (Some(_), None) => return,
            (None, _) => {}
        }
        match write.file.as_ref() {
            // 0 is "idle"; all ones is "as if never set".
            "cpu.weight.nice" => {
                if let Some(weight) = weight_of_nice(value) {
                    self.add("CPUWeight", Value::U64(weight), OLDEST, write);
                }
            }
            "cpu.idle" if value == "1" => self.add("CPUWeight", Value::U64(0), 252, write),
            "cpu.idle" if value == "0" => self.add("CPUWeight", Value::U64(u64::MAX), OLDEST, write),
            "cpu.max" => {
                let text = if write.after_first_word { format!("- {value}") } else { value.to_owned() };
                self.add_bandwidth(&text, write);
            }
            // systemd refuses 0; in a cgroup that has a process, 1 forbids the same.
            "pids.max" => {
                if let Some(amount) = amount {
                    self.add("TasksMax", Value::U64(amount.max(1)), OLDEST, write);
                }
            }
            "cpuset.cpus" => self.add_mask("AllowedCPUs", value, write),
            "cpuset.mems" => self.add_mask("AllowedMemoryNodes", value, write),
            "io.bfq.weight" => {
                // systemd counts as io.weight does.
                if let Some((_, converted)) = &write.otherwise {
                    self.add_weight(converted, write);
                }
            }
            "io.weight" => self.add_weight(value, write),
            "io.max" => value.lines().for_each(|line| self.add_throttles(line, write)),
            _ => {}
        }
    }

    fn add_bandwidth(&mut self, text: &str, write: &ResourceWrite) {
        self.cpu_max = self.cpu_max.and(text);
        if text.split_whitespace().nth(1).is_some() {
            self.add("CPUQuotaPeriodUSec", Value::U64(self.cpu_max.period_us), 242, write);
        }
        self.add("CPUQuotaPerSecUSec", Value::U64(self.cpu_max.per_second_us()), OLDEST, write);
    }

    fn add_mask(&mut self, name: &str, list: &str, write: &ResourceWrite) {
        // An empty list takes a restriction back.
        let mask = if list.is_empty() { Some(Vec::new()) } else { bit_mask(list) };
        if let Some(mask) = mask {
            self.add(name, Value::Array("y".into(), mask.into_iter().map(Value::Byte).collect()), 244, write);
        }
    }

    /// `500`, `default 500` or `8:0 500`.
    fn add_weight(&mut self, value: &str, write: &ResourceWrite) {
        let (device, weight) = value.trim().rsplit_once(' ').unwrap_or(("default", value.trim()));
        let Ok(weight) = weight.parse::<u64>() else { return };
        match device {
            "default" => self.add("IOWeight", Value::U64(weight), OLDEST, write),
            device => self.add("IODeviceWeight", of_device(device, weight), OLDEST, write),
        }
    }

    /// `8:0 rbps=1048576 wiops=max`
    fn add_throttles(&mut self, line: &str, write: &ResourceWrite) {
        let Some((device, limits)) = line.trim().split_once(' ') else { return };
        for (key, limit) in limits.split_whitespace().filter_map(|limit| limit.split_once('=')) {
            let name = match key {
                "rbps" => "IOReadBandwidthMax",
                "wbps" => "IOWriteBandwidthMax",
                "riops" => "IOReadIOPSMax",
                "wiops" => "IOWriteIOPSMax",
                _ => continue,
            };
            if let Some(limit) = amount(limit) {
                self.add(name, of_device(device, limit), OLDEST, write);
            }
        }
    }

    /// On v1, systemd takes the names of v2 for memory and tasks too, and the older ones for weights.
    fn add_v1(&mut self, write: &ResourceWrite) {
        let value = write.value.trim();
        let Some(amount) = (if value == "-1" { Some(u64::MAX) } else { amount(value) }) else { return };
        match write.file.as_ref() {
            "memory.limit_in_bytes" => self.add("MemoryLimit", Value::U64(amount), OLDEST, write),
            "cpu.shares" => self.add("CPUShares", Value::U64(amount.clamp(2, 262_144)), OLDEST, write),
            "cpu.cfs_quota_us" if value == "-1" => self.add_bandwidth("max", write),
            "cpu.cfs_quota_us" => self.add_bandwidth(value, write),
            "cpu.cfs_period_us" => self.add_bandwidth(&format!("- {value}"), write),
            "blkio.weight" => self.add("BlockIOWeight", Value::U64(amount), OLDEST, write),
            "pids.max" => self.add("TasksMax", Value::U64(amount.max(1)), OLDEST, write),
            _ => {}
        }
    }
}

/// A number, or `max`.
fn amount(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

/// The same with the kernel's units: `64M`.
fn bytes(text: &str) -> Option<u64> {
    let Some(unit) = text.chars().last().filter(char::is_ascii_alphabetic).filter(|_| text != "max") else {
        return amount(text);
    };
    let power = "kmgtpe".find(unit.to_ascii_lowercase())?;
    let factor = 1_u64 << (10 * (power + 1));
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(factor)
}

/// What the kernel makes of cpu.weight.nice: 100 at 0, and a quarter more or less with each step.
fn weight_of_nice(text: &str) -> Option<u64> {
    // sched_prio_to_weight of kernel/sched/core.c, from -20 to 19
    const WEIGHTS: [u64; 40] = [
        88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
        1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
    ];
    let nice: i64 = text.parse().ok()?;
    let weight = WEIGHTS.get(usize::try_from(nice + 20).ok()?)?;
    Some((weight * 100 + 512) / 1024)
}

/// systemd knows devices by path; these links it resolves itself, where nobody has made them.
fn of_device(number: &str, amount: u64) -> Value {
    let path = Value::Text(format!("/dev/block/{number}"));
    Value::Array("(st)".into(), vec![Value::Struct(vec![path, Value::U64(amount)])])
}

/// `0-1,9` as `[0b11, 0b10]`.
fn bit_mask(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for (first, last) in crate::spec::number_list::parse(list).ok()? {
        for number in first..=last {
            let at = usize::try_from(number / 8).ok()?;
            if mask.len() <= at {
                mask.resize(at + 1, 0);
            }
            mask[at] |= 1 << (number % 8);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Faults;
    use crate::host::cgroup::Layout;
    use crate::plan::cgroup::plan_resources;
    use crate::plan::cgroup::resources::tests::{v1, v2};

    fn properties(json: &str, layout: &Layout, now: CpuMax) -> String {
        let mut faults = Faults::default();
        let resources = serde_json::from_str(json).unwrap();
        let plan = plan_resources(&resources, layout, "config.json", "/linux/resources", &mut faults);
        assert_eq!(faults.errors, [], "{json}");
        let properties = properties_of(&plan.writes, now);
        properties.iter().map(|p| format!("{}={}", p.name, p.value)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn says_every_limit_that_systemd_knows() {
        for (json, expected) in [
            (
                r#"{"memory":{"limit":4096,"swap":12288,"reservation":2048}}"#,
                "MemoryMax=4096 MemorySwapMax=8192 MemoryLow=2048",
            ),
            (r#"{"memory":{"limit":-1}}"#, "MemoryMax=infinity"),
            (r#"{"cpu":{"shares":1024}}"#, "CPUWeight=100"),
            (r#"{"cpu":{"idle":1}}"#, "CPUWeight=0"),
            (r#"{"cpu":{"idle":0}}"#, "CPUWeight=infinity"),
            (r#"{"cpu":{"idle":0,"shares":2}}"#, "CPUWeight=1"),
            (r#"{"cpu":{"quota":50000}}"#, "CPUQuotaPerSecUSec=500000"),
            (r#"{"cpu":{"quota":-1}}"#, "CPUQuotaPerSecUSec=infinity"),
            (r#"{"cpu":{"quota":50000,"period":200000}}"#, "CPUQuotaPeriodUSec=200000 CPUQuotaPerSecUSec=250000"),
            // 12.345 %: systemd keeps whole ones, and less than asked must not come of it.
            (r#"{"cpu":{"quota":12345}}"#, "CPUQuotaPerSecUSec=130000"),
            (r#"{"cpu":{"cpus":"0-1,9","mems":"0"}}"#, "AllowedCPUs=[3, 2] AllowedMemoryNodes=[1]"),
            (r#"{"pids":{"limit":17}}"#, "TasksMax=17"),
            (r#"{"pids":{"limit":-1}}"#, "TasksMax=infinity"),
            (r#"{"pids":{"limit":0}}"#, "TasksMax=1"),
            (r#"{"blockIO":{"weight":500}}"#, "IOWeight=4950"),
            (
                r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}}"#,
                r#"IODeviceWeight=[("/dev/block/8:0", 1)]"#,
            ),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600},{"major":8,"minor":16,"rate":0}],
                    "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":7}]}}"#,
                r#"IOReadBandwidthMax=[("/dev/block/8:0", 600), ("/dev/block/8:16", infinity)] IOWriteIOPSMax=[("/dev/block/8:0", 7)]"#,
            ),
            (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4096}],"rdma":{"a":{"hcaObjects":1}}}"#, ""),
            (r#"{"cpu":{"quota":5000,"burst":1000}}"#, "CPUQuotaPerSecUSec=50000"),
        ] {
            assert_eq!(properties(json, &v2(), CpuMax::default()), expected, "{json}");
        }
    }

    #[test]
    fn says_what_unified_asks_for_as_well() {
        let unified = r#"{"unified":{"memory.high":"8388608\n","memory.min":"4096","memory.oom.group":"1","memory.low":"64M",
            "io.max":"8:0 rbps=1 wbps=2","io.weight":"default 7","cpu.max":"max 20000","pids.max":"max"}}"#;
        let expected =
            r#"CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=infinity IOReadBandwidthMax=[("/dev/block/8:0", 1)]"#
                .to_owned()
                + r#" IOWriteBandwidthMax=[("/dev/block/8:0", 2)] IOWeight=7 MemoryHigh=8388608 MemoryLow=67108864 MemoryMin=4096 TasksMax=infinity"#;
        assert_eq!(properties(unified, &v2(), CpuMax::default()), expected);
        let units = r#"{"unified":{"memory.high":"20M","memory.low":"1k","memory.min":"1x","memory.max":"16E",
            "memory.swap.max":"3g","cpu.weight.nice":"5"}}"#;
        let expected = "CPUWeight=33 MemoryHigh=20971520 MemoryLow=1024 MemorySwapMax=3221225472";
        assert_eq!(properties(units, &v2(), CpuMax::default()), expected);
        assert_eq!(["-20", "0", "19"].map(weight_of_nice), [Some(8668), Some(100), Some(1)]);
        assert_eq!(["-21", "20", "x"].map(weight_of_nice), [None; 3]);
    }

    #[test]
    fn a_new_quota_is_told_with_the_period_that_is_there() {
        let now = CpuMax::default().and("50000 200000\n");
        assert_eq!(now, CpuMax { quota_us: Some(50_000), period_us: 200_000 });
        assert_eq!(properties(r#"{"cpu":{"quota":100000}}"#, &v2(), now), "CPUQuotaPerSecUSec=500000");
        let expected = "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000";
        assert_eq!(properties(r#"{"cpu":{"period":100000}}"#, &v2(), now), expected);
        assert_eq!(CpuMax::default().and("max 0"), CpuMax::default());
    }

    #[test]
    fn the_older_cgroups_have_the_older_names() {
        let json = r#"{"memory":{"limit":4096},"cpu":{"shares":1,"quota":1000,"period":10000},"pids":{"limit":3},
            "blockIO":{"weight":20}}"#;
        let expected = "CPUShares=2 CPUQuotaPeriodUSec=10000 CPUQuotaPerSecUSec=100000 MemoryLimit=4096 TasksMax=3 \
                        BlockIOWeight=20";
        assert_eq!(properties(json, &v1(), CpuMax::default()), expected);
    }
}
