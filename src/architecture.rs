//! The rules of the house, as tests: who may import whom, where unsafe code lives, how a file begins and ends.
//!
//! docs/architecture.md tells the same to people; a test compares the two.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What every room but `sys` and these two may import: faults and words are everybody's.
const FOR_ALL: &[&str] = &["error", "log"];

/// Each room, and the rooms that it may import besides. `main.rs` knows all; test code may import anything but `cmd`.
const ROOMS: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("error", &[]),
    ("log", &[]),
    ("spec", &[]),
    ("host", &["sys"]),
    ("plan", &["host", "spec"]),
    ("dbus", &["plan"]),
    ("cgroup", &["dbus", "host", "plan", "sys"]),
    ("rootfs", &["cgroup", "host", "plan", "sys"]),
    ("confine", &["plan", "sys"]),
    ("netdev", &["plan"]),
    ("rdt", &["plan"]),
    ("state", &["cgroup", "host", "plan", "sys"]),
    ("criu", &["sys"]),
    ("console", &["sys"]),
    (
        "stage",
        &["cgroup", "confine", "console", "criu", "host", "netdev", "plan", "rdt", "rootfs", "spec", "state", "sys"],
    ),
    ("cli", &[]),
    (
        "cmd",
        &[
            "cgroup", "cli", "console", "criu", "host", "netdev", "plan", "rdt", "rootfs", "spec", "stage", "state",
            "sys",
        ],
    ),
];

/// A file of code is two files above this; a file of tests may be longer, a table of data (`data` in its first line)
/// has no limit.
const LINES_AT_MOST: usize = 500;
const TEST_LINES_AT_MOST: usize = 700;

/// One file below src/.
struct Source {
    /// From src/, as `plan/rootfs/mod.rs`.
    path: PathBuf,
    text: String,
    /// The whole file is compiled for tests only.
    is_test: bool,
}

impl Source {
    /// The first part of its path.
    fn room(&self) -> String {
        let first = self.path.iter().next().expect("a path has a part");
        Path::new(first).with_extension("").display().to_string()
    }

    /// The path of its module: `["plan", "rootfs", "mounts"]`.
    fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        parts.filter(|part| part != "mod" && part != "main").collect()
    }

    /// The code without comments, strings and the tests at the bottom.
    fn code(&self) -> String {
        let code = without_comments_and_strings(&self.text);
        match code.find("#[cfg(test)]\nmod tests {").or_else(|| code.find("#[cfg(test)]\npub(crate) mod tests {")) {
            Some(end) => code[..end].to_owned(),
            None => code,
        }
    }
}

fn sources() -> Vec<Source> {
    let top = top().join("src");
    let mut sources = Vec::new();
    for path in files_below(&top) {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix(&top).unwrap().to_owned(), text, is_test: false });
        }
    }
    let tests: Vec<Vec<String>> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test = tests.iter().any(|test| source.module().starts_with(test));
    }
    sources
}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// What a file declares as `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let lines: Vec<&str> = source.text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| pair[1].trim().strip_suffix(';')?.split_once("mod ").map(|(_, name)| name));
    names.map(|name| source.module().into_iter().chain([name.to_owned()]).collect()).collect()
}

/// Rust code with blanks in the place of comments, strings and characters.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = skipped(rest, code.chars().next_back());
        if length > 0 {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            code.push(' ');
            rest = &rest[length..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

/// How long the comment, string or character is that `text` begins with.
fn skipped(text: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let is_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    if text.starts_with('r') && !is_word {
        let hashes = text[1..].chars().take_while(|c| *c == '#').count();
        if text[1 + hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    if text.starts_with('"') {
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                '"' if !escaped => return at + 1,
                _ => escaped = c == '\\' && !escaped,
            }
        }
    }
    if text.starts_with("'\\") {
        return until("'", 3);
    }
    let character = text.strip_prefix('\'').and_then(|rest| rest.chars().next());
    match character {
        // Else it is a lifetime.
        Some(c) if text[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// The rooms that a piece of code names, as `crate::room`, in a group, or by climbing with `super::`.
fn imports(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::".to_owned(), "super::".repeat(module.len())] {
        for (at, _) in code.match_indices(&root) {
            let before = code[..at].chars().next_back();
            if root.is_empty() || before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            found.extend(first_names(&code[at + root.len()..]));
        }
    }
    found
}

/// `a` of `a::b`, and `a` and `c` of `{a::b, c::{d, e}}`.
fn first_names(path: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            '}' => {
                names.push(name(&group[start..at]));
                break;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn allowed(room: &str) -> &'static [&'static str] {
    ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("the room {room} has no row in ROOMS")).1
}

#[test]
fn each_room_imports_only_what_it_may() {
    let mut broken = Vec::new();
    for source in sources() {
        let room = source.room();
        if room == "main" || room == "architecture" {
            continue;
        }
        let may = allowed(&room);
        let code = if source.is_test { without_comments_and_strings(&source.text) } else { source.code() };
        for import in imports(&code, &source.module()) {
            // Where the C library enters: it hands over to main.rs.
            let is_entry = source.path == Path::new("sys/entry.rs") && import == "run";
            let is_allowed = is_entry
                || import == room
                || may.contains(&import.as_str())
                || FOR_ALL.contains(&import.as_str()) && !["sys", "error", "log"].contains(&room.as_str())
                || source.is_test && import != "cmd";
            if !is_allowed {
                broken.push(format!("src/{}: {room} must not import {import}", source.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}\nThe rule: docs/architecture.md, \"Rooms\"", broken.join("\n"));
}

#[test]
fn no_room_is_reached_from_itself() {
    fn reach(room: &str, found: &mut BTreeSet<&'static str>) {
        for next in allowed(room) {
            if found.insert(next) {
                reach(next, found);
            }
        }
    }
    for (room, _) in ROOMS {
        let mut found = BTreeSet::new();
        reach(room, &mut found);
        assert!(!found.contains(room), "{room} imports itself by a detour");
    }
}

/// Deciding is pure: what `plan` says depends on its arguments alone.
#[test]
fn plan_asks_the_machine_nothing() {
    let doors = [
        "std::fs",
        "std::env::var",
        "std::net",
        "std::process",
        "std::thread",
        "std::time",
        "nix::unistd",
        "nix::fcntl",
    ];
    for source in sources().iter().filter(|source| source.room() == "plan" && !source.is_test) {
        for door in doors {
            assert!(!source.code().contains(door), "src/{}: {door}", source.path.display());
        }
    }
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let is_in_words = |c: char| c.is_alphanumeric() || c == '_';
    for source in sources().iter().filter(|source| source.room() != "sys") {
        let code = without_comments_and_strings(&source.text);
        let words: Vec<&str> =
            code.split(|c| !is_in_words(c)).filter(|word| ["unsafe", "unsafe_code"].contains(word)).collect();
        let expected: &[&str] = if source.path == Path::new("main.rs") { &["unsafe_code"] } else { &[] };
        assert_eq!(words, expected, "src/{}: unsafe code belongs into src/sys", source.path.display());
    }
}

#[test]
fn each_file_says_first_why_it_exists() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "src/{}: its first line must be `//! …`", source.path.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for source in sources() {
        let limit = if source.is_test { TEST_LINES_AT_MOST } else { LINES_AT_MOST };
        let first = source.text.lines().next().unwrap_or_default();
        let lines = source.text.lines().count();
        let is_data = first.split(|c: char| !c.is_alphabetic()).any(|word| word == "data");
        assert!(lines <= limit || is_data, "src/{}: {lines} lines, {limit} at most", source.path.display());
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    let code = without_comments_and_strings(
        "use crate::{cgroup::{self, x}, log};\n/* crate::a */ // crate::b\nlet c = '\"'; let s = \"crate::d \\\" crate::e\";\n\
         fn f<'a>() { super::super::g::h(r#\"crate::i\"#); $crate::j }",
    );
    let module = ["room".to_owned(), "file".to_owned()];
    assert_eq!(Vec::from_iter(imports(&code, &module)), ["cgroup", "g", "log"]);
}

pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, CHANGELOG.md and docs/*.md, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = files_below(&top().join("docs")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    let all = pages.chain([top().join("README.md"), top().join("CHANGELOG.md")]);
    all.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn the_table_of_rooms_in_the_docs_is_this_one() {
    let text = fs::read_to_string(top().join("docs/architecture.md")).unwrap();
    let (_, table) = text.split_once("| room | what it is | may use |\n").expect("the table of rooms");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let written: Vec<Vec<String>> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let (name, may) = (cells.next().unwrap(), cells.nth(1).unwrap());
            [name].into_iter().chain(may.split(", ")).map(|word| word.trim_matches('`').to_owned()).collect()
        })
        .collect();
    let expected = ROOMS.iter().map(|(name, may)| {
        let may = if may.is_empty() { &[""] } else { *may };
        [*name].iter().chain(may).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(written, Vec::from_iter(expected));
}

#[test]
fn what_the_docs_point_at_exists() {
    let is_path = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    for (document, text) in documents() {
        let name = document.strip_prefix(top()).unwrap().display();
        let words = text.split(|c| !is_path(c)).map(|word| word.trim_end_matches('.'));
        for path in words.filter(|word| ["src/", "integration/", "docs/"].iter().any(|room| word.starts_with(room))) {
            assert!(top().join(path).exists(), "{name}: {path} does not exist");
        }
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            let is_file = !link.is_empty() && !link.contains("://");
            let target = document.parent().unwrap().join(link);
            assert!(!is_file || target.exists(), "{name}: the link {link} leads nowhere");
        }
    }
}

/// docs/security.md names the test of each defence: `` `integration: name` `` or `` `unit: name` ``.
#[test]
fn the_tests_that_the_docs_name_exist() {
    let text_of = |folder: &str| -> String {
        let files =
            files_below(&top().join(folder)).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
        files.map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let security = fs::read_to_string(top().join("docs/security.md")).unwrap();
    let mut found = 0;
    for (kind, folder) in [("`integration: ", "integration"), ("`unit: ", "src")] {
        let code = text_of(folder);
        for (at, _) in security.match_indices(kind) {
            let name = security[at + kind.len()..].split('`').next().unwrap_or_default();
            assert!(code.contains(&format!("fn {name}()")), "docs/security.md: there is no test {name} in {folder}/");
            found += 1;
        }
    }
    assert!(found > 20, "docs/security.md names {found} tests only");
}
