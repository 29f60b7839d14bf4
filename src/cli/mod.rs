//! The command line, declared once: help, man pages and completions come from it.
//!
//! Only what was asked for is built: the global flags when there are any, and the flags of the one verb.

mod argv;
mod dialect;
pub mod flags;
mod globals;
mod help;
pub mod image_flags;
mod usage;

use std::ffi::{OsStr, OsString};

use clap::{ArgMatches, Command};

use crate::log::Log;
pub use argv::Early;
pub use dialect::Dialect;
pub use globals::{CgroupManager, Globals, Rootless};
#[cfg(test)]
pub use help::SPEC_VERSION;

/// One verb: what it is called, what it accepts, what it does.
#[derive(Clone, Copy)]
pub struct Verb {
    /// As typed.
    pub name: &'static str,
    /// Heading in `rt --help`.
    pub group: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Adds flags and operands.
    pub flags: fn(Command) -> Command,
    /// Does it and gives the exit code.
    pub run: fn(&Globals, &ArgMatches) -> anyhow::Result<i32>,
}

impl Verb {
    /// The verb's command, without help and version flags: those are found before clap reads.
    pub fn command(&self) -> Command {
        (self.flags)(bare(self.name).about(self.about).bin_name(format!("rt {}", self.name)))
    }
}

/// What the words on the command line ask for. There is one of it in a process: its size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Asked {
    /// Run a verb.
    Run(Verb, Globals, ArgMatches),
    /// Print this on standard output.
    Print(String),
}

/// A command line that cannot be understood.
#[derive(Debug)]
pub struct Misuse {
    /// Where to say it.
    pub log: Log,
    /// The exit code's owner, if the verb could be told.
    pub verb: Option<String>,
    /// One line.
    pub text: String,
}

/// The verb in `argv`, before anything else is parsed; costs nothing.
pub fn verb(argv: &[OsString]) -> Option<&str> {
    argv::verb_index(argv).and_then(|at| argv[at].to_str())
}

/// Understands `argv`, its first word being the program's name.
///
/// # Errors
/// `Misuse`, to be logged by the caller.
pub fn parse(argv: &[OsString], verbs: &[Verb]) -> Result<Asked, Box<Misuse>> {
    let dialect = Dialect::of(argv.first().map_or(OsStr::new("rt"), OsString::as_os_str));
    let at = argv::verb_index(argv);
    let before = argv.get(1..at.unwrap_or(argv.len())).unwrap_or_default();
    let before = before.strip_suffix(&[OsString::from("--")]).unwrap_or(before);
    let misuse =
        |log: Log, verb: Option<&str>, text: String| Box::new(Misuse { log, verb: verb.map(str::to_owned), text });

    let globals = match Globals::load(dialect, before) {
        Ok(globals) => globals,
        Err(Early::Help) => return Ok(Asked::Print(help::overview(verbs))),
        Err(Early::Version) => return Ok(Asked::Print(help::version(dialect))),
        Err(Early::Usage(text)) => return Err(misuse(Log::new(dialect.name()), None, text)),
    };
    let Some(at) = at else {
        if argv.len() < 2 {
            return Ok(Asked::Print(help::overview(verbs)));
        }
        return Err(misuse(globals.log, None, "no command given; see `rt --help`".to_owned()));
    };
    let name = argv[at].to_string_lossy();
    let words = &argv[at + 1..];
    if name == "help" {
        return match words.first().and_then(|word| verbs.iter().find(|verb| *word == verb.name)) {
            Some(verb) => Ok(Asked::Print(help::of_verb(verb.command()))),
            None => Ok(Asked::Print(help::overview(verbs))),
        };
    }
    let Some(verb) = verbs.iter().find(|verb| verb.name == name) else {
        return Err(misuse(globals.log, None, unknown_verb(&name, verbs)));
    };

    let mut command = verb.command();
    let matches = argv::normalise(&command, words).and_then(|words| {
        command.try_get_matches_from_mut(words).map_err(|error| usage::early(&error, Some(verb.name)))
    });
    match matches {
        Ok(matches) => Ok(Asked::Run(*verb, globals, matches)),
        Err(Early::Help | Early::Version) => Ok(Asked::Print(help::of_verb(verb.command()))),
        Err(Early::Usage(text)) => Err(misuse(globals.log, Some(verb.name), format!("{}: {text}", verb.name))),
    }
}

/// What rt(8) says of it.
#[cfg(test)]
const ABOUT: &str = "Makes, starts, watches and removes one container, for podman, Docker, containerd and other callers of \
                     runc or crun, and for you. A bundle is a directory with a root file system and a config.json, which \
                     is checked and decided as a whole before anything is done. There is no daemon.";

/// The global flags and all verbs with theirs: nobody who runs `rt` needs it, but manuals and completions do.
#[cfg(test)]
pub fn tree(verbs: &[Verb]) -> Command {
    let verbs = verbs.iter().map(|verb| verb.command().no_binary_name(false));
    globals::command()
        .no_binary_name(false)
        .about("low-level OCI container runtime")
        .long_about(ABOUT)
        .subcommands(verbs)
}

/// clap knows which verb was nearly typed, once it has all their names.
fn unknown_verb(name: &str, verbs: &[Verb]) -> String {
    let command = bare("rt").subcommands(verbs.iter().map(|verb| bare(verb.name)));
    match command.try_get_matches_from([name]).map_err(|error| usage::early(&error, None)) {
        Err(Early::Usage(text)) => text,
        _ => format!("unknown command {name:?}"),
    }
}

/// A command without anything of clap's own, whose words do not begin with the program's name.
fn bare(name: &'static str) -> Command {
    Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
}
