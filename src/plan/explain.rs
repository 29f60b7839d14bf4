//! The whole plan in words: one line for each operation, in running order, under the name of the step that does it.

use oci_spec::runtime::Hook;

use super::Plan;
use super::namespaces::{IdMapping, Namespace};
use crate::host::Host;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The step's name, as in errors.
    pub step: &'static str,
    /// What is done.
    pub text: String,
    /// JSON pointer of what asked for it, where one place did.
    pub pointer: Option<String>,
}

impl Plan {
    /// Everything that `create` and `start` do.
    pub fn explain(&self, host: &Host) -> Vec<Line> {
        let mut lines = Lines(Vec::new());
        self.explain_runtime(&mut lines);
        self.explain_namespaces(host, &mut lines);
        self.explain_rootfs(&mut lines);
        self.explain_process(&mut lines);
        lines.0
    }

    fn explain_runtime(&self, lines: &mut Lines) {
        let cgroup = &self.cgroup;
        // The limits have their own step, and their pointers.
        let resources = cgroup.resources.to_string();
        let places = cgroup.to_string();
        for line in places.strip_suffix(resources.as_str()).unwrap_or(&places).lines() {
            lines.add("cgroup", line.strip_prefix("cgroup: ").or(line.strip_prefix("cgroup ")).unwrap_or(line));
        }
        for line in self.rdt.iter().flat_map(|rdt| rdt.to_string().lines().map(str::to_owned).collect::<Vec<_>>()) {
            lines.add_for("cgroup", line, "/linux/intelRdt".to_owned());
        }
        for (path, _, name) in self.namespaces.joined() {
            lines.add("descriptors", format!("open {}, which must be a {name} namespace", path.display()));
        }
        let new = self.namespaces.all().into_iter().filter(|(namespace, ..)| namespace.is_new());
        let new: Vec<_> = new.map(|(_, _, name)| name).collect();
        lines.add("clone", format!("clone3, new namespaces [{}]", new.join(" ")));
        if let Some(scope) = &cgroup.scope {
            scope.to_string().lines().for_each(|line| lines.add("scope", line));
        }
        for (file, mappings) in [("uid_map", &self.namespaces.uid_mappings), ("gid_map", &self.namespaces.gid_mappings)]
        {
            if self.namespaces.user.is_new() {
                lines.add("id maps", format!("write {:?} to {file}", id_map(mappings)));
            }
        }
        for device in &self.net_devices {
            lines.add_for("network devices", device.to_string(), device.pointer());
        }
        if let Some(devices) = &cgroup.resources.devices {
            devices.to_string().lines().for_each(|line| lines.add("resources", line));
        }
        if let Some(check) = &cgroup.resources.memory_check {
            let text = format!("check that at most {} bytes of memory are in use", check.limit_bytes);
            lines.add_for("resources", text, check.pointer.clone());
        }
        for write in &cgroup.resources.writes {
            let text = write.to_string();
            let text = text.strip_suffix(&format!(" ({})", write.pointer)).unwrap_or(&text).to_owned();
            lines.add_for("resources", text, write.pointer.clone());
        }
        if let Some(adjustment) = self.process.as_ref().and_then(|process| process.oom_score_adj) {
            let text = format!("write \"{adjustment}\" to oom_score_adj");
            lines.add_for("resources", text, "/process/oomScoreAdj".to_owned());
        }
    }

    fn explain_namespaces(&self, host: &Host, lines: &mut Lines) {
        let namespaces = &self.namespaces;
        for (clock, secs, nanosecs) in &namespaces.time_offsets {
            let pointer = format!("/linux/timeOffsets/{clock}");
            lines.add_for("clocks", format!("set the offset of {clock} to {secs} s and {nanosecs} ns"), pointer);
        }
        for (path, _, name) in namespaces.joined() {
            lines.add("join namespaces", format!("join the {name} namespace {}", path.display()));
        }
        if self.unshares_cgroup_in_init(host) {
            lines.add("cgroup namespace", "unshare the cgroup namespace");
        }
        if namespaces.network.is_new() {
            lines.add("loopback", "set lo up");
        }
        for (name, value, call) in
            [("hostname", &self.hostname, "sethostname"), ("domainname", &self.domainname, "setdomainname")]
        {
            if let Some(value) = value {
                lines.add_for("host name", format!("{call} {value:?}"), format!("/{name}"));
            }
        }
    }

    fn explain_rootfs(&self, lines: &mut Lines) {
        let rootfs = &self.rootfs;
        if let Some(propagation) = rootfs.host_propagation {
            lines.add("root", format!("make / {propagation}"));
        }
        lines.add_for("root", format!("bind {} on itself", rootfs.path.display()), "/root/path".to_owned());
        for mount in &rootfs.mounts {
            lines.add_for("mounts", mount.to_string(), format!("/mounts/{}", mount.index));
        }
        for node in &rootfs.devices.nodes {
            let how = if rootfs.devices.bind { ", bound from the host" } else { "" };
            lines.add("devices", format!("{node}{how}"));
        }
        for (name, target) in rootfs.devices.links {
            lines.add("devices", format!("symlink /dev/{name} to {target}"));
        }
        if self.process.as_ref().is_some_and(|process| process.terminal) {
            lines.add_for("console", "bind a new terminal on /dev/console", "/process/terminal".to_owned());
        }
        let hooks = &self.hooks;
        lines.add_hooks("hooks", "prestart", hooks.prestart());
        lines.add_hooks("hooks", "createRuntime", hooks.create_runtime());
        lines.add_hooks("hooks", "createContainer", hooks.create_container());
        let how = if self.namespaces.mount == Namespace::Inherit { "chroot" } else { "pivot_root" };
        lines.add("pivot", format!("{how} to {}", rootfs.path.display()));
        for parameter in &self.sysctl {
            lines.add_for("sysctl", parameter.to_string(), parameter.pointer());
        }
        for path in &rootfs.readonly_paths {
            lines.add_for("paths", format!("make {} read-only", path.display()), "/linux/readonlyPaths".to_owned());
        }
        for path in &rootfs.masked_paths {
            lines.add_for("paths", format!("mask {}", path.display()), "/linux/maskedPaths".to_owned());
        }
        for mount in rootfs.mounts.iter().filter(|mount| mount.readonly_last) {
            let text = format!("make {} read-only", mount.destination.display());
            lines.add_for("paths", text, format!("/mounts/{}", mount.index));
        }
        if rootfs.readonly {
            lines.add_for("paths", "make / read-only", "/root/readonly".to_owned());
        }
        if let Some(propagation) = rootfs.propagation {
            lines.add_for("paths", format!("make / {propagation}"), "/linux/rootfsPropagation".to_owned());
        }
    }

    fn explain_process(&self, lines: &mut Lines) {
        let Some(process) = &self.process else { return };
        let before_the_drop = !process.no_new_privileges;
        let agent = self.seccomp.as_ref().and_then(|filter| filter.listener.as_ref());
        let filter = self.seccomp.as_ref().map(|filter| {
            let returns: Vec<_> = filter.returns().into_keys().collect();
            format!("load a system call filter of {} instructions: {}", filter.program.len(), returns.join(", "))
        });
        let pointer = || "/linux/seccomp".to_owned();
        for (step, text) in process.explain() {
            // With the privilege that is dropped next.
            if let (Some(filter), true) = (&filter, before_the_drop)
                && text.starts_with("effective")
            {
                lines.add_for(step, filter.clone(), pointer());
            }
            lines.add(step, text);
        }
        if let Some(agent) = agent {
            if let (Some(filter), false) = (&filter, before_the_drop) {
                lines.add_for("capabilities", filter.clone(), pointer());
            }
            let text = format!("send the listener to the agent at {}", agent.path.display());
            lines.add_for("ready", text, "/linux/seccomp/listenerPath".to_owned());
        }
        lines.add_hooks("startContainer hooks", "startContainer", self.hooks.start_container());
        if let (Some(filter), false, None) = (filter, before_the_drop, agent) {
            lines.add_for("exec", filter, pointer());
        }
        lines.add_for("exec", format!("execve {}", process.command()), "/process/args".to_owned());
        lines.add_hooks("poststart", "poststart", self.hooks.poststart());
        lines.add_hooks("delete", "poststop", self.hooks.poststop());
    }
}

struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, step: &'static str, text: impl Into<String>) {
        self.0.push(Line { step, text: text.into(), pointer: None });
    }

    fn add_for(&mut self, step: &'static str, text: impl Into<String>, pointer: String) {
        self.0.push(Line { step, text: text.into(), pointer: Some(pointer) });
    }

    fn add_hooks(&mut self, step: &'static str, kind: &str, hooks: &Option<Vec<Hook>>) {
        for (index, hook) in hooks.iter().flatten().enumerate() {
            let limit = hook.timeout().map_or(String::new(), |seconds| format!(" for at most {seconds} s"));
            let text = format!("run the {kind} hook {}{limit}", hook.path().display());
            self.add_for(step, text, format!("/hooks/{kind}/{index}"));
        }
    }
}

/// The lines of uid_map or gid_map.
fn id_map(mappings: &[IdMapping]) -> String {
    let line = |m: &IdMapping| format!("{} {} {}", m.container_id, m.host_id, m.size);
    mappings.iter().map(line).collect::<Vec<_>>().join("\n")
}
