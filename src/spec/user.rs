//! `--user UID[:GID]`, read strictly: what is no number is an error and never 0 (CVE-2026-30892).

/// Parses the argument of `--user`: a uid, and a gid when one is given.
///
/// # Errors
/// What is wrong, as one line.
pub fn parse(argument: &str) -> Result<(u32, Option<u32>), String> {
    let id = |text: &str| number(text).ok_or_else(|| format!("user {argument:?}: must be UID or UID:GID, in digits"));
    match argument.split_once(':') {
        None => Ok((id(argument)?, None)),
        Some((uid, gid)) => Ok((id(uid)?, Some(id(gid)?))),
    }
}

/// 4294967295 is no id: to the kernel it means "leave as it is".
fn number(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits { text.parse().ok().filter(|id| *id != u32::MAX) } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_ids() {
        assert_eq!(parse("0"), Ok((0, None)));
        assert_eq!(parse("1000"), Ok((1000, None)));
        assert_eq!(parse("1000:5"), Ok((1000, Some(5))));
        assert_eq!(parse("4294967294:4294967294"), Ok((u32::MAX - 1, Some(u32::MAX - 1))));
    }

    #[test]
    fn never_takes_for_root_what_is_no_number() {
        for bad in [
            "",
            ":",
            "1:",
            ":1",
            "root",
            "1:root",
            "1:2:3",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x0",
            "1e3",
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "٣",
            "1\n",
            "1:0x",
            "\0",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_it_takes_prints_back_to_the_same_text_but_for_leading_zeros() {
        let alphabet = ['0', '1', '9', ':', '-', 'a', ' '];
        for seed in 0..alphabet.len().pow(5) {
            let text: String =
                (0..5).map(|place| alphabet[seed / alphabet.len().pow(place) % alphabet.len()]).collect();
            if let Ok((uid, gid)) = parse(&text) {
                let strip = |id: &str| id.trim_start_matches('0').parse().unwrap_or(0_u32);
                let mut parts = text.split(':');
                assert_eq!(parts.next().map(strip), Some(uid), "{text:?}");
                assert_eq!(parts.next().map(strip), gid, "{text:?}");
            }
        }
    }
}
