//! What `--help` and `--version` print.

use std::fmt::Write as _;

use clap::Command;

use super::{Dialect, Verb, globals};

/// The version of the runtime spec that `rt` implements.
pub const SPEC_VERSION: &str = "1.3.0";

const LAYOUT: &str = "{usage-heading} {usage}\n\n{about}\n\n{all-args}{after-help}";

/// `--version`: managers look for `version` in the first line and for `commit:`.
pub fn version(dialect: Dialect) -> String {
    format!(
        "{} version {}\ncommit: {}\nspec: {SPEC_VERSION}\n{}",
        dialect.name(),
        env!("CARGO_PKG_VERSION"),
        option_env!("RT_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown"),
        dialect.features_line(),
    )
}

/// `rt --help`: the verbs in groups, in the order in which they are needed.
pub fn overview(verbs: &[Verb]) -> String {
    let width = verbs.iter().map(|verb| verb.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut group = "";
    for verb in verbs {
        if verb.group != group {
            group = verb.group;
            let _ = write!(text, "\n{group}:\n");
        }
        let _ = writeln!(text, "  {:width$}  {}", verb.name, verb.about);
    }
    let flags = globals::command().help_template("{options}").render_help().to_string();
    format!(
        "Runs OCI containers.\n\nUsage: rt [FLAGS] COMMAND …\n{text}\nFlags, before the command:\n{}\n\n\
         `rt COMMAND --help` tells more. To try it: `rt spec`, then `rt run hello`.\n",
        without_brackets(&flags)
    )
}

/// `rt VERB --help`.
pub fn of_verb(command: Command) -> String {
    let text = command.help_template(LAYOUT).render_help().to_string();
    let text = text.replace("[OPTIONS]", "[FLAGS]").replace("Options:", "Flags:").replace("Arguments:", "Operands:");
    without_brackets(&text) + "\n"
}

/// `ID` instead of `<ID>`; columns stay where they are.
fn without_brackets(text: &str) -> String {
    let bare = |line: &str| {
        let padding = if line.starts_with("Usage") { "" } else { "  " };
        line.replace('<', "").replace('>', padding)
    };
    text.trim_end().lines().map(bare).collect::<Vec<_>>().join("\n")
}
