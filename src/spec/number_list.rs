//! Lists of numbers as the kernel writes them: `0-3,7`.

/// Parses a list into inclusive ranges, in the order written. Spaces are ignored.
///
/// # Errors
/// What is wrong with it, for a message that names the list before.
pub fn parse(list: &str) -> Result<Vec<(u32, u32)>, String> {
    let mut ranges = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("the range {first}-{last} is backward"));
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}

/// No kernel has more CPUs or memory nodes than this: a bit mask of it has 8 KiB.
const LARGEST: u32 = 65_535;

fn number(text: &str) -> Result<u32, String> {
    let text = text.trim_matches(' ');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a list like 0-3,7".into());
    }
    text.parse().ok().filter(|number| *number <= LARGEST).ok_or_else(|| format!("{text} is more than {LARGEST}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_lists_as_the_kernel_writes_them() {
        assert_eq!(parse("0-3,7"), Ok(vec![(0, 3), (7, 7)]));
        assert_eq!(parse("0"), Ok(vec![(0, 0)]));
        assert_eq!(parse("1500, 2-4"), Ok(vec![(1500, 1500), (2, 4)]));
    }

    #[test]
    fn refuses_what_is_no_list() {
        for bad in ["", ",", "1,", "-", "1-", "-1", "3-1", "a", "0x1", "+1", "1-2-3", "65536", "99999999999"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
