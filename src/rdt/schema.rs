//! Lines of `schemata`: `L3:0=7f0;1=1f`.

/// What `schemata` has instead of what `line` asks for; `None` when each value that it asks for is there.
pub fn difference(line: &str, schemata: &str) -> Option<String> {
    let (resource, values) = line.split_once(':')?;
    let of_resource =
        schemata.lines().find(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == resource.trim()));
    let Some((_, found)) = of_resource.and_then(|line| line.split_once(':')) else {
        return Some(format!("no {resource}"));
    };
    // Masks are hexadecimal, bandwidths are not; both may be padded.
    let is_bandwidth = resource.trim().ends_with("MB");
    let number = |text: &str| u64::from_str_radix(text.trim(), if is_bandwidth { 10 } else { 16 }).ok();
    let parts = |text: &str| -> Vec<(String, String)> {
        let pairs = text.split(';').filter_map(|part| part.split_once('='));
        pairs.map(|(domain, value)| (domain.trim().to_owned(), value.trim().to_owned())).collect()
    };
    let found_parts = parts(found);
    let is_there = |(domain, value): &(String, String)| {
        let other = found_parts.iter().find(|(name, _)| name == domain);
        other.is_some_and(|(_, other)| other == value || number(other).is_some() && number(other) == number(value))
    };
    if parts(values).iter().all(is_there) { None } else { Some(format!("{resource}:{}", found.trim())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_compared_by_its_values() {
        let schemata = "    L3:0=7ff;1=00f\n    MB:0=100;1= 20\n";
        for same in ["L3:0=7ff;1=f", "L3:1=f", "L3:0=0x7ff", "L3: 0=7FF ; 1=00f", "MB:0=100;1=20", "MB:0=100"] {
            let expected = if same.contains("0x") { Some("L3:0=7ff;1=00f".to_owned()) } else { None };
            assert_eq!(difference(same, schemata), expected, "{same}");
        }
        for (other, expected) in [
            ("L3:0=7f", "L3:0=7ff;1=00f"),
            ("L3:2=1", "L3:0=7ff;1=00f"),
            ("MB:0=010;1=20", "MB:0=100;1= 20"),
            ("L2:0=f", "no L2"),
        ] {
            assert_eq!(difference(other, schemata).as_deref(), Some(expected), "{other}");
        }
    }
}
