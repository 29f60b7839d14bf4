//! The plan of a process in words, in running order: the name of the step that does it, and one line.

use super::capabilities::List;
use super::{ProcessPlan, Rlimit};

impl ProcessPlan {
    /// One line for each thing that is done, with the step that does it.
    pub fn explain(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let mut say = |step: &'static str, line: Option<String>| lines.extend(line.map(|line| (step, line)));
        say("limits", self.personality.map(|persona| format!("personality {persona:#x}")));
        say("limits", self.memory_policy.as_ref().map(|policy| format!("memory policy {policy}")));
        say("limits", self.scheduler.map(|scheduler| format!("scheduler {scheduler}")));
        say("limits", self.io_priority.map(|priority| format!("io priority {priority}")));
        for Rlimit { typ, soft, hard, .. } in &self.rlimits {
            say("limits", Some(format!("{typ} {soft}:{hard}")));
        }
        say("labels", self.apparmor_profile.as_ref().map(|profile| format!("AppArmor profile {profile:?} on exec")));
        say("labels", self.selinux_label.as_ref().map(|label| format!("SELinux label {label:?} on exec")));
        say("credentials", Some(format!("chdir {}", self.cwd.display())));
        let sets = &self.capabilities;
        say("credentials", Some(format!("bounding capabilities: {}", List(sets.bounding))));
        if self.keep_groups {
            say("credentials", Some("groups: the caller's stay".to_owned()));
        } else {
            let gids: Vec<_> = self.additional_gids.iter().map(u32::to_string).collect();
            say("credentials", Some(format!("groups [{}]", gids.join(" "))));
        }
        say("credentials", Some(format!("user {}:{}", self.uid, self.gid)));
        say("credentials", Some(format!("umask {:04o}", self.umask)));
        for (name, set) in [
            ("effective", sets.effective),
            ("permitted", sets.permitted),
            ("inheritable", sets.inheritable),
            ("ambient", sets.ambient),
        ] {
            say("capabilities", Some(format!("{name} capabilities: {}", List(set))));
        }
        say("capabilities", self.no_new_privileges.then(|| "no new privileges".to_owned()));
        lines
    }

    /// The command, quoted.
    pub fn command(&self) -> String {
        let words: Vec<_> = self.args.iter().map(|arg| format!("{:?}", arg.to_string_lossy())).collect();
        words.join(" ")
    }
}
