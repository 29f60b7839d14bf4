//! Numbers of bytes as people write them: `64m`.

/// Reads `4194304`, `64m`, `1.5g`, `64MiB`, `-1`, as runc and Docker do: all units are powers of 1024.
pub fn bytes_of(text: &str) -> Option<i64> {
    let text = text.trim();
    if text == "-1" {
        return Some(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if !unit.ends_with("ib") => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(1 << shift);
    }
    let bytes = number.parse::<f64>().ok()? * f64::from(1_u32 << (shift / 2)) * f64::from(1_u32 << (shift / 2));
    // Above it a float does not know each byte.
    (bytes < 9e15).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("4194304", Some(4_194_304)),
            ("64k", Some(65_536)),
            ("64K", Some(65_536)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("64 mb", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2t", Some(2 << 40)),
            ("1b", Some(1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("9007199254740993k", None),
            ("-2", None),
            ("", None),
            ("m", None),
            ("1ib", None),
            ("1x", None),
            ("1.2.3k", None),
            ("+1", None),
            ("1e3", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text:?}");
        }
    }
}
