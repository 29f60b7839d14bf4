//! Lengths of time as Go writes them: `1m30s`.

use std::time::Duration;

/// Reads `5s`, `500ms`, `1h2m3.5s`, as Go's time.ParseDuration does, and a bare number of seconds.
pub fn duration_of(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        rest = &rest[letters..];
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_go_does() {
        for (text, millis) in [
            ("5s", Some(5000)),
            ("5", Some(5000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1h2m3.5s", Some(3_723_500)),
            (".5s", Some(500)),
            ("+1s", Some(1000)),
            ("2000us", Some(2)),
            ("2000µs", Some(2)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-5s", None),
            ("1.2.3s", None),
            ("5s5", None),
            ("é", None),
        ] {
            assert_eq!(duration_of(text).map(|found| found.as_millis()), millis, "{text:?}");
        }
    }
}
