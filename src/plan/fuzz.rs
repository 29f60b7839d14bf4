//! Configurations that were damaged by chance, the same in every run: none makes `rt` panic or dawdle, and each fault
//! is one line about a place. `RT_FUZZ_ROUNDS` is how many.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::cgroup::{Driver, Manager};
use super::seccomp::random::Random;
use super::tests::host;
use super::*;
use crate::host::Host;
use crate::spec::captured::CAPTURED;

/// Configurations that somebody wrote: those that managers have, the full one, the examples.
fn corpus() -> Vec<Value> {
    let examples = crate::architecture::files_below(&crate::architecture::top().join("spec-examples"));
    let examples = examples.iter().filter(|path| path.ends_with("config.json"));
    let examples = examples.map(|path| std::fs::read_to_string(path).unwrap());
    let known = CAPTURED.iter().map(|(_, text)| (*text).to_owned());
    let texts = known.chain([include_str!("../spec/captured/full.json").to_owned()]).chain(examples);
    texts.map(|text| serde_json::from_str(&text).expect("JSON")).collect()
}

/// One value of a document: by chance as deep as it goes.
fn somewhere<'a>(random: &mut Random, document: &'a mut Value) -> &'a mut Value {
    let mut place = document;
    loop {
        let size = place.as_array().map_or(0, Vec::len) + place.as_object().map_or(0, Map::len);
        if size == 0 || random.below(8) == 0 {
            return place;
        }
        let chosen = random.below(size);
        place = match place {
            Value::Array(list) => &mut list[chosen],
            Value::Object(object) => object.values_mut().nth(chosen).expect("there are so many"),
            _ => unreachable!("it has no size"),
        };
    }
}

/// Written as a string, and without its quotes in the text: what a `Value` cannot hold.
const RAW: &str = "\u{1}raw:";

fn strange(random: &mut Random) -> Value {
    let strings = [
        "",
        " ",
        "\0",
        "a\0b",
        "a\nb",
        "\u{1b}[2J",
        "\r",
        "é",
        "\u{202e}gnp",
        "e\u{301}",
        "\u{fffd}",
        "\u{10ffff}",
        "𝕏",
        "/",
        ".",
        "..",
        "../../etc",
        "/a/../..",
        "//",
        "~",
        "~1",
        "%s%n",
        "-1",
        "0x10",
        "1e3",
        "+5",
        "true",
        "null",
        "=",
        "A=",
        "a:b:c",
        "0-",
        "5-1",
        "0-4294967295",
        "1,,2",
        "CAP_",
        "SCMP_ACT_",
        "mount",
        "rbind",
        "idmap",
        "size=-1",
    ];
    let raw = [
        "1e999",
        "-1e999",
        "-0",
        "0.5",
        "1.0",
        "00",
        "1e2",
        "340282366920938463463374607431768211456",
        "NaN",
        "+1",
        ".5",
        "tru",
        "'a'",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "{\"a\":1,\"a\":2}",
        "{\"path\":\"/a\",\"path\":7}",
        "[1,]",
        "{,}",
        "/**/",
    ];
    let numbers = [
        json!(0),
        json!(-1),
        json!(1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u32::MAX),
        json!(1_u64 << 32),
        json!(65536),
        json!(-2_147_483_649_i64),
        json!(0.1),
        json!(1e300),
    ];
    match random.below(9) {
        0 | 1 => json!(random.pick(&strings)),
        2 => json!(format!("{RAW}{}", random.pick(&raw))),
        3 | 4 => random.pick(&numbers).clone(),
        5 => json!(random.pick(&strings).repeat(1 << random.below(14))),
        6 => (0..random.below(300))
            .fold(json!(7), |inner, depth| if depth % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) }),
        7 => json!([null, {}, [], "", 0]),
        _ => json!({ "": { "a/b~c\n": true }, "path": "/dev/null", "type": "c" }),
    }
}

/// Does one thing to a document that its author did not mean.
fn damage(random: &mut Random, document: &mut Value, donor: &mut Value) {
    let gift = match random.below(3) {
        0 => somewhere(random, donor).clone(),
        _ => strange(random),
    };
    let name = match strange(random) {
        Value::String(name) if !name.starts_with(RAW) => name,
        _ => "path".to_owned(),
    };
    let place = somewhere(random, document);
    match (random.below(6), place) {
        (0, Value::Object(object)) if !object.is_empty() => {
            let key = object.keys().nth(random.below(object.len())).cloned().expect("there are so many");
            object.remove(&key);
        }
        (0, Value::Array(list)) if !list.is_empty() => drop(list.remove(random.below(list.len()))),
        (1, Value::Array(list)) if !list.is_empty() => {
            let again = random.pick(list).clone();
            (0..=random.below(40)).for_each(|_| list.push(again.clone()));
        }
        (1 | 2, Value::Object(object)) => drop(object.insert(name, gift)),
        (2, Value::Array(list)) => list.push(gift),
        (3, Value::String(text)) => text.push_str(&name),
        (4, place) => *place = Value::Null,
        (_, place) => *place = gift,
    }
}

/// The text of a document, with what no `Value` holds.
fn text_of(document: &Value) -> Vec<u8> {
    let text = document.to_string();
    let mark = json!(RAW).to_string();
    let mut parts = text.split(mark.trim_end_matches('"'));
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // The rest of the string up to its quote, unescaped.
        let mut end = 0;
        while part.as_bytes()[end] != b'"' {
            end += if part.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        whole.push_str(&serde_json::from_str::<String>(&format!("\"{}\"", &part[..end])).expect("our own text"));
        whole.push_str(&part[end + 1..]);
    }
    whole.into_bytes()
}

/// Whether a pointer is one: of RFC 6901, without what would break a line.
fn is_pointer(pointer: &str) -> bool {
    let escapes_are_good = pointer.match_indices('~').all(|(at, _)| pointer[at + 1..].starts_with(['0', '1']));
    (pointer.is_empty() || pointer.starts_with('/')) && escapes_are_good
}

/// Decides a text to the end, and says whether it is accepted.
fn is_planned(text: &[u8], host: &Host, driver: Driver) -> bool {
    let show = || String::from_utf8_lossy(text).chars().take(20_000).collect::<String>();
    let start = Instant::now();
    let (spec, mut faults) = Spec::examine_text("/bundle".into(), text.to_vec());
    if let Some(spec) = &spec {
        let (plan, found) = Plan::examine(spec, host, "c1", driver);
        faults.absorb(found);
        if faults.errors.is_empty() {
            for line in plan.explain(host) {
                assert!(line.pointer.as_deref().is_none_or(is_pointer), "{line:?}\n{}", show());
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}: {}", start.elapsed(), show());
    for fault in faults.errors.iter().chain(&faults.warnings) {
        let line = fault.to_string();
        assert!(!line.contains(char::is_control), "{line:?}\n{}", show());
        assert!(is_pointer(&fault.pointer) && !fault.reason.is_empty(), "{fault:?}\n{}", show());
        // Only what is no JSON at all, or no object, has no place in it.
        let is_whole = fault.pointer.is_empty() && !fault.reason.starts_with("not JSON: ");
        assert!(!is_whole || fault.reason.contains("object"), "{fault:?}\n{}", show());
    }
    assert!(spec.is_some() || !faults.errors.is_empty(), "neither a configuration nor a fault\n{}", show());
    faults.errors.is_empty()
}

/// "Runtimes MUST generate an error when invalid or unsupported values are encountered": whatever they are.
#[test]
fn a_damaged_configuration_is_planned_or_has_its_faults_in_single_lines() {
    let corpus = corpus();
    let (mut random, host) = (Random(0x0dd_ba11), host());
    let rounds = std::env::var("RT_FUZZ_ROUNDS").map_or(500, |rounds| rounds.parse().expect("a number of rounds"));
    let mut planned = 0;
    for round in 0..rounds {
        let mut document = corpus[round % corpus.len()].clone();
        let mut donor = random.pick(&corpus).clone();
        for _ in 0..=random.below(3) {
            damage(&mut random, &mut document, &mut donor);
        }
        let driver = [Driver::Cgroupfs, Driver::Systemd(Manager::System), Driver::Disabled][round % 3];
        planned += usize::from(is_planned(&text_of(&document), &host, driver));
    }
    // Else it would prove something about one sort alone.
    assert!((rounds / 20..rounds * 9 / 10).contains(&planned), "{planned} of {rounds} were good");
}

/// What grows with the square of a list makes a small file a long wait.
#[test]
fn thousands_of_anything_are_looked_at_in_no_time() {
    const MANY: u64 = 5000;
    let list = |entry: &dyn Fn(u64) -> Value| (0..MANY).map(entry).collect::<Value>();
    let map = |entry: &dyn Fn(u64) -> (String, Value)| Value::Object((0..MANY).map(entry).collect());
    let tmpfs = |n| json!({ "destination": format!("/{n}"), "type": "tmpfs", "source": "x", "options": ["ro"] });
    let deny = |n| json!({ "names": ["kill", format!("unknown{n}")], "action": "SCMP_ACT_ERRNO" });
    let ids = |n| json!({ "containerID": 2 * n, "hostID": 2 * n, "size": 1 });
    for (pointer, value) in [
        ("/mounts", list(&tmpfs)),
        ("/process/env", list(&|n| json!(format!("V{n}=1")))),
        ("/process/capabilities/bounding", list(&|n| json!(format!("CAP_{n}")))),
        ("/linux/maskedPaths", list(&|n| json!(format!("/proc/{n}")))),
        ("/linux/readonlyPaths", list(&|n| json!(format!("/proc/{n}")))),
        ("/linux/uidMappings", list(&ids)),
        ("/linux/netDevices", map(&|n| (format!("e{n}"), json!({ "name": format!("f{n}") })))),
        ("/linux/sysctl", map(&|n| (format!("net.x{n}"), json!("1")))),
        ("/linux/resources/unified", map(&|n| (format!("x.{n}"), json!("1")))),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(&deny) })),
        ("/annotations", map(&|n| (format!("a{n}"), json!("")))),
    ] {
        let mut config: Value = serde_json::from_str(&crate::spec::template(false)).expect("JSON");
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        config.pointer_mut(parent).expect("the template has it")[name] = value;
        is_planned(config.to_string().as_bytes(), &host(), Driver::Cgroupfs);
    }
}
