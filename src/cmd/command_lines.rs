//! The command lines that managers issue, word for word, and what they must mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;

use super::VERBS;
use crate::cli::{self, Asked, CgroupManager, Dialect, Globals, Rootless};
use crate::log::{Format, Target};

fn argv(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// The verb, the flags and operands that were given, as `name=value,value`, and the globals.
fn parse(line: &str) -> (String, Globals) {
    match cli::parse(&argv(line), VERBS) {
        Ok(Asked::Run(verb, globals, matches)) => {
            assert_eq!(cli::verb(&argv(line)), Some(verb.name), "{line}");
            (meaning(verb, &matches), globals)
        }
        Ok(Asked::Print(text)) => panic!("{line}: prints {text}"),
        Err(misuse) => panic!("{line}: {}", misuse.text),
    }
}

fn meaning(verb: cli::Verb, matches: &ArgMatches) -> String {
    let command = verb.command();
    let given = command.get_arguments().filter_map(|arg| {
        let name = arg.get_id().as_str();
        let words: Vec<String> = matches.get_raw(name)?.map(|word| word.to_string_lossy().into_owned()).collect();
        if !arg.get_action().takes_values() {
            return matches.get_flag(name).then(|| name.to_owned());
        }
        Some(format!("{name}={}", words.join(",")))
    });
    std::iter::once(verb.name.to_owned()).chain(given).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_command_lines_of_all_managers_mean_what_they_should() {
    let cases = [
        // containerd's shim, dockerd
        (
            "rt --root /run/containerd/runc/ns --log /b/log.json --log-format json --systemd-cgroup --rootless=true \
             create --bundle /b --pid-file /b/init.pid --console-socket /s --no-pivot --no-new-keyring ID",
            "create bundle=/b pid-file=/b/init.pid console-socket=/s no-pivot no-new-keyring id=ID",
        ),
        ("rt --root /r --log /b/log.json --log-format json start ID", "start id=ID"),
        (
            "rt --root /r exec --process /tmp/runc-process123 --console-socket /s --detach --pid-file /b/e.pid ID",
            "exec process=/tmp/runc-process123 detach pid-file=/b/e.pid console-socket=/s id=ID",
        ),
        ("rt --root /r kill --all ID 15", "kill all id=ID signal=15"),
        ("rt --root /r kill ID 9", "kill id=ID signal=9"),
        ("rt --root /r delete --force ID", "delete force id=ID"),
        ("rt --root /r delete ID", "delete id=ID"),
        ("rt --root /r pause ID", "pause id=ID"),
        ("rt --root /r resume ID", "resume id=ID"),
        ("rt mounts add ID /m.json", "mounts action=add id=ID file=/m.json"),
        ("rt mounts remove ID -", "mounts action=remove id=ID file=-"),
        ("rt --root /r events --interval=5s ID", "events interval=5s id=ID"),
        ("rt --root /r events --stats ID", "events stats id=ID"),
        ("rt --root /r update --resources=- ID", "update resources=- id=ID"),
        ("rt --root /r update --resources - ID", "update resources=- id=ID"),
        ("rt update --resources=/f ID", "update resources=/f id=ID"),
        ("rt update -r /f --memory 64m --memory-swap -1 ID", "update resources=/f memory=64m memory-swap=-1 id=ID"),
        ("rt update --kernel-memory 5 --kernel-memory-tcp=6 ID", "update kernel-memory=5 kernel-memory-tcp=6 id=ID"),
        ("rt --root /r ps --format json ID", "ps format=json id=ID"),
        ("rt --root /r list --format=json", "list format=json"),
        ("rt features", "features"),
        // BuildKit
        (
            "rt --log /x/runc-log.json --log-format json run --bundle /b --keep --no-pivot ID",
            "run bundle=/b no-pivot id=ID keep",
        ),
        ("rt --log /x --log-format json exec --process F --pid-file P ID", "exec process=F pid-file=P id=ID"),
        // conmon, for podman and CRI-O
        (
            "rt --systemd-cgroup --log-format=json --log /l create --bundle /b --pid-file F --no-pivot \
             --no-new-keyring --console-socket S ID",
            "create bundle=/b pid-file=F console-socket=S no-pivot no-new-keyring id=ID",
        ),
        (
            "rt --log-format=json --log /l exec --pid-file F --process P --detach --preserve-fds 2 --console-socket S ID",
            "exec process=P detach pid-file=F console-socket=S preserve-fds=2 id=ID",
        ),
        // podman itself
        ("rt kill --all ID 9", "kill all id=ID signal=9"),
        ("rt delete --force ID", "delete force id=ID"),
        // CRI-O itself
        ("rt --root /r --systemd-cgroup kill -a ID 15", "kill all id=ID signal=15"),
        ("rt --root /r state ID", "state id=ID"),
        ("rt --root /r exec --process F ID", "exec process=F id=ID"),
        // conmon-rs says the globals twice, and nothing before a command that begins with a flag
        (
            "rt --root=/r --systemd-cgroup --root=/r --systemd-cgroup exec -d --console-socket=S --tty --pid-file=F \
             ID ls -l --color",
            "exec detach tty pid-file=F console-socket=S id=ID command=ls,-l,--color",
        ),
        // buildah
        ("rt create --bundle /b --pid-file F ID", "create bundle=/b pid-file=F id=ID"),
        ("rt kill ID", "kill id=ID"),
        ("rt kill ID SIGKILL", "kill id=ID signal=SIGKILL"),
        // nvidia-container-runtime knows -bundle
        ("rt create -bundle /b ID", "create bundle=/b id=ID"),
        // by hand
        ("rt run ID", "run id=ID"),
        ("rt run -d -b /b -f /c.json ID", "run bundle=/b config=/c.json id=ID detach"),
        (
            "rt exec -t -u 1000:1000 --cwd / -e A=1 -e B=2 -g 5,6 -g 7 -c CAP_KILL --no-new-privs ID sh -c true",
            "exec tty cwd=/ env=A=1,B=2 user=1000:1000 additional-gids=5,6,7 cap=CAP_KILL no-new-privs id=ID \
             command=sh,-c,true",
        ),
        (
            "rt exec --apparmor P --process-label L --cgroup cpu:/x --cgroup /y --ignore-paused --pidfd-socket S ID sh",
            "exec apparmor=P process-label=L cgroup=cpu:/x,/y pidfd-socket=S ignore-paused id=ID command=sh",
        ),
        ("rt ps ID -o pid,comm", "ps id=ID ps=-o,pid,comm"),
        ("rt kill -r ^web 15", "kill regex id=^web signal=15"),
        ("rt delete -r -f ^web", "delete force regex id=^web"),
        ("rt list -q", "list quiet"),
        ("rt spec --rootless -b /b", "spec bundle=/b rootless"),
        ("rt check --json --bundle /b", "check bundle=/b json"),
        ("rt explain -b /b --seccomp", "explain bundle=/b seccomp"),
    ];
    for (line, expected) in cases {
        assert_eq!(parse(line).0, expected, "{line}");
    }
}

#[test]
fn global_flags_mean_what_they_should() {
    let globals = |flags: &str| parse(&format!("{flags} state ID")).1;
    let json = globals("rt --log /b/log.json --log-format json --root /r");
    assert_eq!((json.log.target, json.log.format), (Target::File("/b/log.json".into()), Format::Json));
    assert_eq!(json.root, Some(PathBuf::from("/r")));

    assert_eq!(globals("rt").root, None);
    assert_eq!(globals("rt --root=").root, None);
    assert_eq!(globals("rt --root /a --root /b").root, Some(PathBuf::from("/b")));
    assert!(globals("rt --root a").root.is_some_and(|root| root.is_absolute()));

    for (flags, manager) in [
        ("rt", CgroupManager::Cgroupfs),
        ("rt --systemd-cgroup", CgroupManager::Systemd),
        ("rt --systemd-cgroup=true", CgroupManager::Systemd),
        ("rt --systemd-cgroup=false", CgroupManager::Cgroupfs),
        ("rt --systemd-cgroup --systemd-cgroup", CgroupManager::Systemd),
        ("rt -s", CgroupManager::Systemd),
        ("rt --cgroup-manager systemd", CgroupManager::Systemd),
        ("rt --cgroup-manager=cgroupfs", CgroupManager::Cgroupfs),
        ("rt --cgroup-manager disabled", CgroupManager::Disabled),
    ] {
        assert_eq!(globals(flags).cgroup_manager, manager, "{flags}");
    }
    for (flags, rootless) in [
        ("rt", Rootless::Auto),
        ("rt --rootless auto", Rootless::Auto),
        ("rt --rootless=true", Rootless::Yes),
        ("rt --rootless false", Rootless::No),
    ] {
        assert_eq!(globals(flags).rootless, rootless, "{flags}");
    }
    for (flags, dialect) in [("/usr/bin/crun --debug", Dialect::Crun), ("runc --criu /x --systemd-log", Dialect::Runc)]
    {
        assert_eq!(globals(flags).dialect, dialect, "{flags}");
    }
}

#[test]
fn what_cannot_be_understood_is_said_in_one_line() {
    let cases = [
        ("rt --log /x", "no command given"),
        ("rt stat x", "unknown command \"stat\"; did you mean"),
        ("rt frobnicate", "unknown command \"frobnicate\""),
        ("rt --frobnicate state x", "unknown flag --frobnicate"),
        ("rt --log-format xml state x", "flag --log-format: \"xml\" is not one of text, json"),
        ("rt state", "state: requires an argument: ID"),
        ("rt state a b", "state: unexpected argument \"b\""),
        ("rt state --bundle x a", "state: unknown flag --bundle"),
        ("rt state a --root /r", "state: flag --root stands before the command: rt --root"),
        ("rt create --bundel /b x", "create: unknown flag --bundel; did you mean --bundle?"),
        ("rt create x --bundle", "create: flag --bundle requires an argument"),
        ("rt create --preserve-fds x c", "create: flag --preserve-fds: \"x\" is not a number from 0 to 4294967295"),
        ("rt create --preserve-fds -1 c", "create: flag --preserve-fds: \"-1\" is not a number"),
        ("rt create --no-pivot=maybe c", "create: flag --no-pivot takes true or false"),
        ("rt create --bundle= c", "create: flag --bundle: its value is empty"),
        ("rt list --format yaml", "list: flag --format: \"yaml\" is not one of table, json"),
        ("rt list -x", "list: unknown flag -x"),
        ("rt exec --user", "exec: flag --user requires an argument"),
    ];
    for (line, expected) in cases {
        match cli::parse(&argv(line), VERBS) {
            Err(misuse) => {
                assert!(misuse.text.starts_with(expected), "{line}: {}", misuse.text);
                assert_eq!(misuse.text.lines().count(), 1, "{line}");
            }
            _ => panic!("{line} was accepted"),
        }
    }
}

#[test]
fn a_misuse_goes_to_the_log_that_was_asked_for() {
    let Err(misuse) = cli::parse(&argv("rt --log /l --log-format json exec --nosuch ID"), VERBS) else { panic!() };
    assert_eq!((misuse.log.target, misuse.log.format), (Target::File("/l".into()), Format::Json));
    assert_eq!(misuse.verb.as_deref(), Some("exec"));
}

#[test]
fn help_and_version_are_printed() {
    let printed = |line: &str| match cli::parse(&argv(line), VERBS) {
        Ok(Asked::Print(text)) => text,
        _ => panic!("{line} prints nothing"),
    };
    let version = printed("rt --version");
    assert_eq!(version.lines().next(), Some(concat!("rt version ", env!("CARGO_PKG_VERSION"))));
    assert!(version.contains("\ncommit: ") && version.contains("\nspec: 1.3.0\n"));
    assert!(printed("/usr/bin/runc -v").starts_with("runc version "));

    for line in ["rt", "rt --help", "rt -h", "rt -?", "rt --usage", "rt help", "rt --root /r -h", "rt help nosuch"] {
        let text = printed(line);
        for verb in VERBS {
            assert!(text.contains(&format!("\n  {} ", verb.name)), "{line}: {}", verb.name);
        }
    }
    for verb in VERBS {
        for line in [format!("rt {} --help", verb.name), format!("rt help {}", verb.name)] {
            let text = printed(&line);
            assert!(text.starts_with(&format!("Usage: rt {}", verb.name)), "{line}: {text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{line}: {text}");
        }
    }
}

#[test]
fn the_declarations_are_sound() {
    for verb in VERBS {
        verb.command().debug_assert();
        for arg in verb.command().get_arguments().filter(|arg| !arg.is_positional()) {
            assert!(arg.get_long().is_some(), "{} {}", verb.name, arg.get_id());
        }
        assert_eq!(VERBS.iter().filter(|other| other.name == verb.name).count(), 1);
    }
}

/// A flag that is declared and never read would be accepted, and change nothing.
#[test]
fn every_flag_is_read_and_tried() {
    let top = crate::architecture::top();
    let text = |folder: &str, skip: &[&str]| -> String {
        let files = crate::architecture::files_below(&top.join(folder));
        let files = files.iter().filter(|file| !skip.iter().any(|name| file.ends_with(name)));
        files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
    };
    let code = text("src", &["cli/flags.rs", "cli/image_flags.rs", "cmd/command_lines.rs"]);
    let tables = text("integration/commands", &[]);
    for verb in VERBS.iter().filter(|verb| !["check", "explain"].contains(&verb.name)) {
        for arg in verb.command().get_arguments().filter(|arg| arg.get_long().is_some()) {
            let name = arg.get_id().as_str();
            let ignored = arg.get_help().is_some_and(|help| help.to_string().starts_with("ignored"));
            assert_eq!(code.contains(&format!("\"{name}\"")), !ignored, "{} --{name} is read, or ignored", verb.name);
            assert!(tables.contains(&format!("--{name}")), "integration/commands does not try {} --{name}", verb.name);
        }
    }
}
