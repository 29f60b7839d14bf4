//! What holds for every property alike: the schema's tables say which there are, so none is left out.

use serde_json::{Value, json};

use super::shape::Shape;
use super::tests::{full_places, lines, load, put};

/// The configuration that has every property, with another value in one place; its faults must name that place alone.
#[track_caller]
fn refused(full: &Value, pointer: &str, wrong: Value) {
    let mut config = full.clone();
    put(&mut config, pointer, wrong.clone());
    let lines = lines(&config);
    let place = format!("config.json: {pointer}");
    assert!(lines.iter().any(|line| line.starts_with(&place)), "{pointer} = {wrong}: {lines:?}");
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
}

/// "Runtimes MAY log unknown properties but MUST otherwise ignore them": beside every property that there is.
#[test]
fn an_unknown_property_is_ignored_in_every_object() {
    let (full, found) = full_places();
    let before = load(full.to_string().as_bytes()).expect("the full configuration is good");
    let mut tried = 0;
    for (pointer, _) in found.iter().filter(|(_, shape)| matches!(shape, Shape::Object(_) | Shape::Optional(_))) {
        for value in [json!(null), json!({ "deep": [1, "x"] }), json!("x")] {
            let mut config = full.clone();
            put(&mut config, &format!("{pointer}/fromTheFuture"), value);
            let after = load(config.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{pointer}: {faults:?}"));
            assert_eq!(after.oci, before.oci, "{pointer}");
            assert_eq!(after.warnings, before.warnings, "{pointer}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

/// "Runtimes MUST generate an error when invalid or unsupported values are encountered": a number beyond either end.
#[test]
fn a_number_out_of_range_anywhere_is_refused_with_its_pointer() {
    let (full, found) = full_places();
    let mut tried = 0;
    for (pointer, shape) in &found {
        let Shape::Int(least, most) = shape else { continue };
        for wrong in [least - 1, most + 1] {
            let Ok(wrong) = serde_json::from_str::<Value>(&wrong.to_string()) else { continue };
            refused(&full, pointer, wrong);
            tried += 1;
        }
    }
    assert!(tried > 120, "{tried}");
}

/// The same: a word that is none of the spec's, in another case, or with a blank.
#[test]
fn an_unknown_word_anywhere_is_refused_with_its_pointer() {
    let (full, found) = full_places();
    let mut tried = 0;
    for (pointer, shape) in &found {
        let (Shape::Word(words) | Shape::DeviceType(words) | Shape::SchedulerFlag(words)) = shape else { continue };
        let other_case =
            if words[0] == words[0].to_uppercase() { words[0].to_lowercase() } else { words[0].to_uppercase() };
        for wrong in ["no-such-word", &other_case, &format!("{} ", words[0])] {
            refused(&full, pointer, json!(wrong));
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

/// The same: what must be an absolute path.
#[test]
fn a_relative_path_anywhere_is_refused_with_its_pointer() {
    let (full, found) = full_places();
    let absolute: Vec<_> = found.iter().filter(|(_, shape)| matches!(shape, Shape::Absolute)).collect();
    assert!(absolute.len() >= 6, "{absolute:?}");
    for (pointer, _) in absolute {
        for wrong in ["a/b", "./a", "../a", " /a"] {
            refused(&full, pointer, json!(wrong));
        }
    }
}

/// The same: a string that no system call can be told.
#[test]
fn a_nul_anywhere_is_refused_with_its_pointer() {
    let (full, found) = full_places();
    let mut tried = 0;
    for (pointer, shape) in &found {
        if matches!(shape, Shape::Text | Shape::Absolute | Shape::Variable) {
            refused(&full, pointer, json!("/a=\0b"));
            tried += 1;
        }
    }
    assert!(tried > 25, "{tried}");
}
