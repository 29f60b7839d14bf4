//! What clap finds wrong, in one line.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::argv::Early;
use super::globals;

/// Turns an error of clap into ours; `verb` is `None` among the global flags.
pub fn early(error: &clap::Error, verb: Option<&str>) -> Early {
    let context = |kind: ContextKind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(all) => Some(all.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        ContextValue::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let flag = argument.split([' ', '=', '[']).next().unwrap_or_default();

    let mut text = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Early::Help,
        ErrorKind::DisplayVersion => return Early::Version,
        ErrorKind::UnknownArgument if flag.starts_with('-') => format!("unknown flag {flag}"),
        ErrorKind::UnknownArgument => format!("unexpected argument {argument:?}"),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command {:?}", context(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::MissingRequiredArgument => {
            format!("requires an argument: {}", argument.replace(['<', '>'], ""))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            match context(ContextKind::ValidValue) {
                _ if value.is_empty() => format!("flag {flag}: its value is empty"),
                Some(valid) if !valid.is_empty() => format!("flag {flag}: {value:?} is not one of {valid}"),
                _ => format!("flag {flag}: {value:?} is not a number from 0 to {}", u32::MAX),
            }
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ => first_line(&error.to_string()),
    };
    let suggestion = context(ContextKind::SuggestedArg).or_else(|| context(ContextKind::SuggestedSubcommand));
    if let Some(suggestion) = suggestion {
        text = format!("{text}; did you mean {suggestion}?");
    } else if verb.is_some() && error.kind() == ErrorKind::UnknownArgument {
        let name = flag.trim_start_matches('-');
        if globals::command().get_arguments().any(|arg| arg.get_long() == Some(name)) {
            text = format!("flag {flag} stands before the command: rt {flag} … {}", verb.unwrap_or_default());
        }
    }
    Early::Usage(text)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
