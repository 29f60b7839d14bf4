//! docs/spec-coverage/ has a row for every property of config.json, and each row names a test that exists.
//!
//! The other half, that no MUST of the spec lacks a row, needs the spec: integration/spec-musts.py.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::schema::CONFIG;
use super::shape::Shape;
use crate::architecture::{files_below, top};

/// Of the typed model alone: the spec does not have them.
const NOT_OF_THE_SPEC: &[&str] =
    &["uidMappings", "gidMappings", "linux.intelRdt.enableCmt", "linux.intelRdt.enableMbm"];

/// One row of a table: where it stands, its first cell, the cell before the last, the last.
struct Row {
    place: String,
    first: String,
    how: String,
    tests: String,
}

/// The rows of all tables in docs/spec-coverage.md and docs/spec-coverage/ whose heading ends with "test", and begins with `first` if that is given.
fn rows(first: Option<&str>) -> Vec<Row> {
    let mut rows = Vec::new();
    let pages = files_below(&top().join("docs/spec-coverage"));
    for path in pages.into_iter().chain([top().join("docs/spec-coverage.md")]) {
        let text = fs::read_to_string(&path).unwrap();
        let page = path.strip_prefix(top()).unwrap().display();
        let mut inside = false;
        for (number, line) in (1..).zip(text.lines()) {
            let Some(cells) = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|')) else {
                inside = false;
                continue;
            };
            let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
            if cells.last() == Some(&"test") {
                inside = first.is_none_or(|first| cells[0] == first);
            } else if inside && !cells[0].starts_with("---") {
                let place = format!("{page}:{number}");
                assert!(cells.len() >= 3, "{place}: {} cells", cells.len());
                let [how, tests] = [cells[cells.len() - 2], cells[cells.len() - 1]].map(str::to_owned);
                rows.push(Row { place, first: cells[0].to_owned(), how, tests });
            }
        }
    }
    rows
}

/// What stands between backquotes.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// `a.{b,c}.d` is `a.b.d` and `a.c.d`.
fn expanded(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else { return vec![name.to_owned()] };
    let (choices, after) = rest.split_once('}').unwrap_or_else(|| panic!("{name}: a brace is not closed"));
    choices.split(',').flat_map(|choice| expanded(&format!("{before}{}{after}", choice.trim()))).collect()
}

/// Every property of config.json that is no object itself: `mounts[].type`, `linux.rdma.*.hcaHandles`.
fn properties() -> BTreeSet<String> {
    fn walk(shape: &'static Shape, name: &str, found: &mut BTreeSet<String>) {
        match shape {
            Shape::Object(properties) | Shape::Optional(properties) => {
                for property in *properties {
                    let dot = if name.is_empty() { "" } else { "." };
                    walk(&property.shape, &format!("{name}{dot}{}", property.name), found);
                }
            }
            Shape::List(inner @ Shape::Object(_)) => walk(inner, &format!("{name}[]"), found),
            Shape::Map(inner @ Shape::Object(_)) => walk(inner, &format!("{name}.*"), found),
            _ => drop(found.insert(name.to_owned())),
        }
    }
    let mut found = BTreeSet::new();
    walk(&CONFIG, "", &mut found);
    found.retain(|name| !NOT_OF_THE_SPEC.contains(&name.as_str()));
    found
}

/// The names of all tests: `mounts::options::ro_is_applied` of integration/, `unit: spec::tests::…` of src/.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (folder, kind) in [("integration", ""), ("src", "unit: ")] {
        let folder = top().join(folder);
        for path in files_below(&folder).iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
            let text = fs::read_to_string(path).unwrap();
            let module = path.strip_prefix(&folder).unwrap().with_extension("");
            found.extend(tests_in(&text, &module).into_iter().map(|name| format!("{kind}{name}")));
        }
    }
    found
}

fn tests_in(text: &str, file: &Path) -> Vec<String> {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).filter(|part| part != "mod").collect();
    let module = parts.join("::");
    let lines: Vec<&str> = text.lines().collect();
    let mut names = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[test]") {
        let name = lines[at..].iter().find_map(|line| line.trim().strip_prefix("fn ")?.split_once("()"));
        // A test beside the code stands in the module at the end of its file.
        let inner = if line.starts_with(' ') { "tests::" } else { "" };
        names.extend(name.map(|(name, _)| format!("{module}::{inner}{name}")));
    }
    names
}

#[test]
fn every_property_has_a_row_and_every_row_a_property() {
    let properties = properties();
    assert!(properties.len() > 170, "{}", properties.len());
    let mut written = BTreeSet::new();
    for row in rows(Some("property")) {
        let names = code(&row.first);
        assert!(!names.is_empty(), "{}: which property?", row.place);
        for name in names.into_iter().flat_map(expanded) {
            assert!(properties.contains(&name), "{}: config.json has no property {name}", row.place);
            assert!(written.insert(name.clone()), "{}: {name} has a row already", row.place);
        }
    }
    let missing = Vec::from_iter(properties.difference(&written));
    assert!(missing.is_empty(), "docs/spec-coverage/ has no row for {missing:#?}");
}

#[test]
fn every_mount_option_has_a_row() {
    let rows: Vec<Row> = rows(None).into_iter().filter(|row| row.place.contains("/config.md")).collect();
    let written: BTreeSet<&str> = rows.iter().flat_map(|row| code(&row.first)).map(str::trim).collect();
    for option in crate::plan::rootfs::MOUNT_OPTIONS {
        assert!(written.contains(option.name), "docs/spec-coverage/config.md has no row for {}", option.name);
    }
}

#[test]
fn every_row_names_tests_that_exist_or_says_why_there_is_none() {
    let tests = tests();
    let mut named = 0;
    for row in rows(None) {
        match row.tests.as_str() {
            "—" => assert!(row.how.len() > 3, "{}: why is there no test?", row.place),
            cell => {
                let names = code(cell);
                assert!(!names.is_empty(), "{}: {cell:?} names no test", row.place);
                for name in names {
                    assert!(tests.contains(name), "{}: there is no test {name}", row.place);
                    named += 1;
                }
            }
        }
    }
    assert!(named > 600, "{named}");
}

#[test]
fn the_names_of_tests_are_found() {
    let text =
        "#[test]\nfn a() {}\n#[test]\n#[ignore]\nfn b() {}\nfn c() {}\nmod tests {\n    #[test]\n    fn d() {}\n}\n";
    assert_eq!(tests_in(text, Path::new("x/mod")), ["x::a", "x::b", "x::tests::d"]);
    assert_eq!(expanded("a.{b, c}[].{d,e}"), ["a.b[].d", "a.b[].e", "a.c[].d", "a.c[].e"]);
}
