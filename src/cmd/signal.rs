//! The names of signals.

use std::str::FromStr;

use nix::sys::signal::Signal;

/// Highest signal number of the kernel; real-time signals begin at 34, because the C library keeps two.
const MAX: i32 = 64;
const RTMIN: i32 = 34;

/// Names beside the usual ones.
const ALIASES: &[(&str, i32)] =
    &[("CLD", libc::SIGCHLD), ("IOT", libc::SIGIOT), ("POLL", libc::SIGPOLL), ("UNUSED", libc::SIGSYS)];

/// Reads `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+1` or `SIGRTMAX-2`; 0 asks only whether the container lives.
///
/// # Errors
/// When there is no such signal.
pub fn parse(text: &str) -> anyhow::Result<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, number)| *number);
    number(text)
        .or_else(|| Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32))
        .or_else(alias)
        .or_else(|| real_time(name))
        .ok_or_else(|| anyhow::anyhow!("{text:?} is not a signal"))
}

fn real_time(name: &str) -> Option<i32> {
    let (base, offset) = if let Some(offset) = name.strip_prefix("RTMIN") {
        (RTMIN, offset)
    } else {
        (MAX, name.strip_prefix("RTMAX")?)
    };
    let value = match offset.split_at_checked(1) {
        None => base,
        Some(("+", offset)) => base + number(offset)?,
        Some(("-", offset)) => base - number(offset)?,
        Some(_) => return None,
    };
    (RTMIN..=MAX).contains(&value).then_some(value)
}

/// Digits alone: no sign, no blank.
fn number(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (0..=MAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_may_be_written_in_every_usual_way() {
        let cases = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("term", 15),
            ("sigkill", 9),
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("USR1", 10),
            ("CHLD", 17),
            ("CLD", 17),
            ("SIGPOLL", 29),
            ("IO", 29),
            ("WINCH", 28),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("RTMAX-2", 62),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "NOSUCH",
            "SIGNOSUCH",
            "SIG",
            "65",
            "-1",
            "+9",
            "1x",
            " 9",
            "SIG9",
            "RTMIN-1",
            "RTMAX+1",
            "RTMINx",
            "99999999999",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_name_of_the_kernel_is_known() {
        for signal in Signal::iterator() {
            assert_eq!(parse(signal.as_str()).unwrap(), signal as i32);
            assert_eq!(parse(&signal.as_str()[3..].to_lowercase()).unwrap(), signal as i32);
        }
    }
}
