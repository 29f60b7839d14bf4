//! The words of the command line, brought into one form before clap sees them.
//!
//! Managers write for runc (Go), crun (GNU getopt) and youki at once: `-bundle x`, `--bundle=x`, `-bx`,
//! `--systemd-cgroup=true`, a flag twice. Here all of them become `--flag=value`, and operands move behind `--`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

use super::globals;

/// What reading the words can end in, other than flags and operands.
#[derive(Debug, PartialEq, Eq)]
pub enum Early {
    /// `-h`, `--help`, `-?` or `--usage`.
    Help,
    /// `-v`, `-V` or `--version`, among the global flags.
    Version,
    /// One line that says what is wrong.
    Usage(String),
}

/// Index of the verb in `argv`: the first word that is neither a global flag nor the value of one.
///
/// It builds nothing, so that `main` can decide by the verb before anything else is done.
pub fn verb_index(argv: &[OsString]) -> Option<usize> {
    let mut index = 1;
    while let Some(word) = argv.get(index) {
        let word = word.as_bytes();
        if word == b"--" {
            return (index + 1 < argv.len()).then_some(index + 1);
        }
        if word.len() < 2 || word[0] != b'-' {
            return Some(index);
        }
        index += if value_is_next_word(word) { 2 } else { 1 };
    }
    None
}

fn value_is_next_word(word: &[u8]) -> bool {
    let name = word.strip_prefix(b"--").unwrap_or(&word[1..]);
    let short = |byte: u8| globals::SHORT_WITH_VALUE.contains(&byte);
    globals::LONG_WITH_VALUE.iter().any(|long| long.as_bytes() == name) || (word.len() == 2 && short(word[1]))
}

/// Brings `words` into the form that `command` declares: `--flag` or `--flag=value` each, then `--` and the operands.
///
/// A single dash before a long name is as good as two; that wins over a cluster of short flags. After the first
/// operand of a command with trailing words (`exec`, `ps`) nothing is a flag any more. `--flag=false` takes back
/// what was said before. A flag that `command` does not know is left to clap, which has suggestions.
///
/// # Errors
/// `Early`, for help, version, a flag without its value, and a switch with a value that is no bool.
pub fn normalise(command: &Command, words: &[OsString]) -> Result<Vec<OsString>, Early> {
    let trailing = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    let mut flags = Flags { command, out: Vec::with_capacity(words.len() + 2) };
    let mut operands: Vec<&OsStr> = Vec::new();
    let mut rest = words.iter().map(OsString::as_os_str);

    while let Some(word) = rest.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            operands.extend(rest.by_ref());
        } else if bytes.len() < 2 || bytes[0] != b'-' {
            operands.push(word);
            if trailing {
                let mut tail = rest.by_ref().peekable();
                tail.next_if(|word| *word == "--");
                operands.extend(tail);
            }
        } else {
            flags.push(bytes, &mut rest)?;
        }
    }

    let mut out = flags.out;
    if !operands.is_empty() {
        out.push("--".into());
        out.extend(operands.into_iter().map(OsStr::to_os_string));
    }
    Ok(out)
}

struct Flags<'c> {
    command: &'c Command,
    out: Vec<OsString>,
}

impl<'c> Flags<'c> {
    fn push<'w>(&mut self, word: &[u8], rest: &mut impl Iterator<Item = &'w OsStr>) -> Result<(), Early> {
        let double = word.starts_with(b"--");
        let body = if double { &word[2..] } else { &word[1..] };
        let (name, value) = match body.iter().position(|byte| *byte == b'=') {
            Some(at) => (&body[..at], Some(&body[at + 1..])),
            None => (body, None),
        };
        match name {
            b"help" | b"usage" => Err(Early::Help),
            b"version" if self.knows_version() => Err(Early::Version),
            _ => match self.long(name) {
                Some(arg) => self.push_one(arg, value, rest),
                None if double => {
                    self.out.push(OsString::from_vec(word.to_vec()));
                    Ok(())
                }
                None => self.push_cluster(body, rest),
            },
        }
    }

    fn push_cluster<'w>(&mut self, body: &[u8], rest: &mut impl Iterator<Item = &'w OsStr>) -> Result<(), Early> {
        for (at, byte) in body.iter().enumerate() {
            match byte {
                b'h' | b'?' => return Err(Early::Help),
                b'v' | b'V' if self.knows_version() => return Err(Early::Version),
                _ => {}
            }
            let Some(arg) = self.short(char::from(*byte)) else {
                self.out.push(OsString::from_vec([b"-", &body[at..]].concat()));
                return Ok(());
            };
            if arg.get_action().takes_values() {
                let attached = &body[at + 1..];
                let attached = attached.strip_prefix(b"=").unwrap_or(attached);
                let given = at + 1 < body.len();
                return self.push_one(arg, given.then_some(attached), rest);
            }
            if body.get(at + 1) == Some(&b'=') {
                return self.push_one(arg, Some(&body[at + 2..]), rest);
            }
            self.push_one(arg, None, rest)?;
        }
        Ok(())
    }

    fn push_one<'w>(
        &mut self,
        arg: &Arg,
        value: Option<&[u8]>,
        rest: &mut impl Iterator<Item = &'w OsStr>,
    ) -> Result<(), Early> {
        let long = arg.get_long().expect("every flag has a long name, by test");
        let plain = OsString::from(format!("--{long}"));
        if arg.get_action().takes_values() {
            let value = match value {
                Some(value) => value,
                None => match rest.next() {
                    Some(word) => word.as_bytes(),
                    None => return Err(Early::Usage(format!("flag --{long} requires an argument"))),
                },
            };
            self.out.push(OsString::from_vec([plain.as_bytes(), b"=", value].concat()));
            return Ok(());
        }
        debug_assert!(matches!(arg.get_action(), ArgAction::SetTrue));
        self.out.retain(|earlier| *earlier != plain);
        match value.map(bool_of) {
            None | Some(Some(true)) => self.out.push(plain),
            Some(Some(false)) => {}
            Some(None) => return Err(Early::Usage(format!("flag --{long} takes true or false"))),
        }
        Ok(())
    }

    fn long(&self, name: &[u8]) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| {
            arg.get_long().is_some_and(|long| long.as_bytes() == name)
                || arg.get_all_aliases().is_some_and(|all| all.iter().any(|alias| alias.as_bytes() == name))
        })
    }

    fn short(&self, name: char) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| {
            arg.get_short() == Some(name) || arg.get_all_short_aliases().is_some_and(|all| all.contains(&name))
        })
    }

    fn knows_version(&self) -> bool {
        self.command.get_version().is_some()
    }
}

/// The words that Go's strconv.ParseBool knows.
fn bool_of(word: &[u8]) -> Option<bool> {
    match word {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags;
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_spelling_of_a_flag_becomes_the_same() {
        let create = flags::create(Command::new("create"));
        for line in [
            "--bundle /b --no-pivot ID",
            "--bundle=/b --no-pivot ID",
            "-bundle /b -no-pivot ID",
            "-bundle=/b -no-pivot=true ID",
            "-b /b --no-pivot=1 ID",
            "-b/b --no-pivot=T ID",
            "-b=/b --no-pivot --no-pivot ID",
            "ID --bundle /b --no-pivot=false --no-pivot",
            "--bundle /b --no-pivot -- ID",
        ] {
            let normal = normalise(&create, &words(line)).unwrap();
            assert_eq!(normal, words("--bundle=/b --no-pivot -- ID"), "{line}");
        }
    }

    #[test]
    fn a_false_takes_back_what_was_said_before() {
        let create = flags::create(Command::new("create"));
        let normal = normalise(&create, &words("--no-pivot --no-pivot=false ID")).unwrap();
        assert_eq!(normal, words("-- ID"));
    }

    #[test]
    fn the_word_after_a_flag_with_value_is_its_value_whatever_it_looks_like() {
        let create = flags::create(Command::new("create"));
        let normal = normalise(&create, &words("--pid-file --no-pivot --bundle - ID")).unwrap();
        assert_eq!(normal, words("--pid-file=--no-pivot --bundle=- -- ID"));
    }

    #[test]
    fn nothing_after_the_container_of_exec_is_a_flag() {
        let exec = flags::exec(Command::new("exec"));
        let cases = [
            ("-dt ID ls -l --help", "--detach --tty -- ID ls -l --help"),
            ("-d ID -- ls -- x", "--detach -- ID ls -- x"),
            ("-- ID ls -l", "-- ID ls -l"),
            ("-e A=1 -eB=2 --env C=3 ID sh", "--env=A=1 --env=B=2 --env=C=3 -- ID sh"),
        ];
        for (line, expected) in cases {
            assert_eq!(normalise(&exec, &words(line)).unwrap(), words(expected), "{line}");
        }
    }

    #[test]
    fn help_version_and_missing_values_end_the_reading() {
        let create = flags::create(Command::new("create"));
        for line in ["-h", "--help", "-?", "--usage", "-help", "--no-pivot -h ID"] {
            assert_eq!(normalise(&create, &words(line)), Err(Early::Help), "{line}");
        }
        let globals = globals::command();
        for line in ["-v", "-V", "--version", "-version"] {
            assert_eq!(normalise(&globals, &words(line)), Err(Early::Version), "{line}");
        }
        let text = "flag --bundle requires an argument".to_owned();
        assert_eq!(normalise(&create, &words("ID --bundle")), Err(Early::Usage(text.clone())));
        assert_eq!(normalise(&create, &words("ID -b")), Err(Early::Usage(text)));
    }

    #[test]
    fn the_verb_is_found_behind_every_form_of_global_flag() {
        let cases = [
            ("rt state x", Some("state")),
            ("rt --root /r state x", Some("state")),
            ("rt --root=/r state x", Some("state")),
            ("rt -root /r state x", Some("state")),
            ("rt -r /r state x", Some("state")),
            ("rt -r/r state x", Some("state")),
            ("rt -s --debug --log-format json --log f state", Some("state")),
            ("rt --cgroup-manager disabled create", Some("create")),
            ("rt -- state", Some("state")),
            ("rt --root", None),
            ("rt --version", None),
            ("rt", None),
        ];
        for (line, expected) in cases {
            let argv = words(line);
            let verb = verb_index(&argv).map(|at| argv[at].to_str().unwrap());
            assert_eq!(verb, expected, "{line}");
        }
    }

    #[test]
    fn no_words_make_it_panic() {
        let exec = flags::exec(Command::new("exec"));
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |limit: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % limit
        };
        let alphabet = b"-=edtupc b\xff\xc3?h/:,.1";
        for _ in 0..20_000 {
            let words: Vec<OsString> = (0..next(6))
                .map(|_| {
                    let bytes =
                        (0..next(8)).map(|_| alphabet[usize::try_from(next(alphabet.len() as u64)).unwrap()]).collect();
                    OsString::from_vec(bytes)
                })
                .collect();
            let _ = verb_index(&words);
            if let Ok(normal) = normalise(&exec, &words) {
                let _ = exec.clone().no_binary_name(true).try_get_matches_from(normal);
            }
        }
    }
}
