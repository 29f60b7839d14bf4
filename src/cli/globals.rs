//! The flags that stand before the verb: those of runc, crun and youki together.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

use super::Dialect;
use super::argv::{self, Early};
use super::{flags, usage};
use crate::log::{self, Log};

/// Long global flags whose value may be the next word; a test holds them equal to `command()`.
pub const LONG_WITH_VALUE: &[&str] = &["root", "log", "log-format", "log-level", "cgroup-manager", "rootless", "criu"];

/// Short global flags whose value may be the next word.
pub const SHORT_WITH_VALUE: &[u8] = b"rl";

/// Who makes and limits the container's cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupManager {
    /// `rt` itself, in the cgroup file system.
    #[default]
    Cgroupfs,
    /// systemd, over D-Bus.
    Systemd,
    /// Nobody: the container stays in the caller's cgroup.
    Disabled,
}

/// What the caller of a rootless manager says about privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rootless {
    /// `rt` finds out.
    #[default]
    Auto,
    /// Cgroups go below the caller's own, and where he may make none a container without limits has none.
    Yes,
    /// They go where root's go, and must be made.
    No,
}

/// The global flags as meant.
#[derive(Debug, Default)]
pub struct Globals {
    /// `--root`, absolute; the default depends on the caller, see `state::StateRoot::resolve`.
    pub root: Option<PathBuf>,
    /// Where messages go: `--log`, `--log-format`, `--log-level`, `--debug`.
    pub log: Log,
    /// `--cgroup-manager` and `--systemd-cgroup`.
    pub cgroup_manager: CgroupManager,
    /// `--rootless`.
    pub rootless: Rootless,
    /// The name that `rt` was called by.
    pub dialect: Dialect,
}

impl Globals {
    /// Reads the words between the program's name and the verb.
    ///
    /// # Errors
    /// `Early`, for help, version, and a flag that is unknown or has a wrong value.
    pub fn load(dialect: Dialect, words: &[OsString]) -> Result<Globals, Early> {
        if words.is_empty() {
            return Ok(Globals { dialect, log: Log::new(dialect.name()), ..Globals::default() });
        }
        let mut command = command();
        let words = argv::normalise(&command, words)?;
        let matches = command.try_get_matches_from_mut(words).map_err(|error| usage::early(&error, None))?;
        let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
        let flag = |name: &str| matches.get_flag(name);

        let mut log = Log::new(dialect.name());
        if let Some(target) = matches.get_one::<PathBuf>("log") {
            log.target = log::Target::of(target);
        }
        if text("log-format") == Some("json") {
            log.format = log::Format::Json;
        }
        log.level = match text("log-level") {
            _ if flag("debug") => log::Level::Debug,
            Some("debug") => log::Level::Debug,
            Some("error") => log::Level::Error,
            _ => log::Level::Warning,
        };

        Ok(Globals {
            // An empty one counts as none, as with runc.
            root: matches.get_one::<OsString>("root").and_then(|root| std::path::absolute(root).ok()),
            log,
            cgroup_manager: match text("cgroup-manager") {
                Some("disabled") => CgroupManager::Disabled,
                Some("systemd") => CgroupManager::Systemd,
                _ if flag("systemd-cgroup") => CgroupManager::Systemd,
                _ => CgroupManager::Cgroupfs,
            },
            rootless: match text("rootless") {
                Some("true") => Rootless::Yes,
                Some("false") => Rootless::No,
                _ => Rootless::Auto,
            },
            dialect,
        })
    }
}

/// Declares the global flags.
pub fn command() -> Command {
    super::bare("rt").version(env!("CARGO_PKG_VERSION")).args([
        flags::path("root", "DIR", "where the state of containers is kept [/run/rt, or $XDG_RUNTIME_DIR/rt]")
            .short('r')
            .value_parser(value_parser!(OsString)),
        flags::path("log", "FILE", "write errors to FILE too").short('l'),
        flags::choice("log-format", "text|json", "form of the messages in FILE"),
        flags::choice("log-level", "error|warning|warn|info|debug", "which messages").hide(true),
        flags::switch("debug", "say what is going to be done, too"),
        flags::choice("cgroup-manager", "cgroupfs|systemd|disabled", "cgroupfs, systemd or disabled")
            .value_name("MANAGER"),
        flags::switch("systemd-cgroup", "same as --cgroup-manager=systemd").short('s'),
        flags::choice("rootless", "true|false|auto", "whether the caller has no privilege").hide(true),
        ignored("criu", true),
        ignored("systemd-log", false),
    ])
}

/// A flag that peers know, and that has nothing to do here.
fn ignored(name: &'static str, takes_value: bool) -> Arg {
    if takes_value {
        flags::text(name, "VALUE", "ignored").hide(true)
    } else {
        flags::switch(name, "ignored").hide(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_finder_knows_every_global_flag_with_a_value() {
        let command = command();
        let with_value: Vec<&Arg> = command.get_arguments().filter(|arg| arg.get_action().takes_values()).collect();
        let long: Vec<&str> = with_value.iter().filter_map(|arg| arg.get_long()).collect();
        let short: Vec<u8> = with_value.iter().filter_map(|arg| arg.get_short()).map(|c| c as u8).collect();
        assert_eq!(long, LONG_WITH_VALUE);
        assert_eq!(short, SHORT_WITH_VALUE);
    }

    #[test]
    fn disabled_cgroups_win_over_systemd_because_podman_says_both() {
        for line in ["--systemd-cgroup --cgroup-manager disabled", "--cgroup-manager=disabled --systemd-cgroup"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let globals = Globals::load(Dialect::Rt, &words).unwrap();
            assert_eq!(globals.cgroup_manager, CgroupManager::Disabled);
        }
    }
}
