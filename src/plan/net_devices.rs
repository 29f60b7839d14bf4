//! The network devices that go into the container's network namespace, and under which names.

use std::fmt;

use crate::error::Faults;
use crate::host::Host;
use crate::spec::Spec;

/// One network device of the runtime's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name outside.
    pub host_name: String,
    /// Its name inside; a `%d` in it stands for the first number that is free.
    pub name: String,
}

impl NetDevice {
    /// Whether the number in its name is found when it is moved.
    pub fn is_template(&self) -> bool {
        self.name.contains("%d")
    }

    /// JSON pointer of what asked for it.
    pub fn pointer(&self) -> String {
        format!("/linux/netDevices/{}", self.host_name.replace('~', "~0"))
    }
}

/// Decides which devices are moved, in which order: those with a fixed name first, so that no template takes it.
///
/// Implements <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices>; names
/// were looked at when the spec was loaded.
pub fn plan_net_devices(spec: &Spec, host: &Host, faults: &mut Faults) -> Vec<NetDevice> {
    const CAP_NET_ADMIN: u32 = 12;
    let asked = spec.oci.linux().as_ref().and_then(|linux| linux.net_devices().as_ref());
    let device = |(host_name, asked): (&String, &oci_spec::runtime::LinuxNetDevice)| NetDevice {
        host_name: host_name.clone(),
        name: asked.name().as_ref().filter(|name| !name.is_empty()).unwrap_or(host_name).clone(),
    };
    let mut devices: Vec<_> = asked.into_iter().flatten().map(device).collect();
    if !devices.is_empty() && !host.has_capability(CAP_NET_ADMIN) {
        faults.error("/linux/netDevices", "needs CAP_NET_ADMIN: the runtime may not move network devices");
    }
    devices.sort_by(|a, b| (a.is_template(), &a.host_name).cmp(&(b.is_template(), &b.host_name)));
    devices
}

impl fmt::Display for NetDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NetDevice { host_name, name } = self;
        write!(f, "move {host_name} into the container's network namespace")?;
        if name != host_name {
            write!(f, " as {name}")?;
        }
        f.write_str(", with its permanent global addresses, and set it up")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::rootfs::tests::host;

    fn planned(devices: Value, capabilities: u64) -> (Vec<(String, String)>, Faults) {
        let mut config: Value = serde_json::from_str(&crate::spec::template(false)).unwrap();
        config["linux"]["netDevices"] = devices;
        let spec = Spec::from_text("/bundle".into(), config.to_string().into_bytes()).unwrap();
        let mut faults = Faults::default();
        let devices = plan_net_devices(&spec, &Host { capabilities, ..host() }, &mut faults);
        (devices.into_iter().map(|device| (device.host_name, device.name)).collect(), faults)
    }

    #[test]
    fn fixed_names_are_taken_before_templates() {
        let asked = json!({"a": {"name": "eth%d"}, "z": {}, "b": {"name": "eth0"}, "c": {"name": ""}});
        let (devices, faults) = planned(asked, !0);
        assert_eq!(faults, Faults::default());
        let expected = [("b", "eth0"), ("c", "c"), ("z", "z"), ("a", "eth%d")];
        assert_eq!(devices, expected.map(|(host_name, name)| (host_name.to_owned(), name.to_owned())));
    }

    #[test]
    fn without_the_capability_it_is_a_fault() {
        assert_eq!(planned(json!({"eth0": {}}), 0).1.errors[0].pointer, "/linux/netDevices");
        assert_eq!(planned(json!({}), 0).1.errors, []);
    }

    #[test]
    fn says_what_it_does() {
        let device = NetDevice { host_name: "eth0".into(), name: "net%d".into() };
        let text = "move eth0 into the container's network namespace as net%d, \
                    with its permanent global addresses, and set it up";
        assert_eq!(device.to_string(), text);
    }
}
