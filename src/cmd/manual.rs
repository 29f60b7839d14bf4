//! The manual pages and the completions of shells: made from the command line as it is declared, kept in docs/.
//!
//! `make manual` writes them anew; the test says when that was forgotten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::VERBS;
use crate::cli;

/// What clap does not know of, for rt(8).
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "It did what was asked."),
    ("1", "An error, told in one line on standard error, and in the file of --log."),
    ("255", "The same, of exec."),
    (
        "N",
        "run, restore and exec, in the foreground: the program's own exit status, or 128 and the number of the signal.",
    ),
];
const FILES: &[(&str, &str)] = &[
    ("/run/rt", "The state of containers, a directory for each. Without privilege it is $XDG_RUNTIME_DIR/rt."),
    ("BUNDLE/config.json", "What a container is: the configuration of the OCI runtime specification, up to 1.3.0."),
    ("/etc/criu/rt.conf", "More options for CRIU, for checkpoint and restore."),
];
const ENVIRONMENT: &[(&str, &str)] = &[
    ("XDG_RUNTIME_DIR", "Where the state is, for a caller without privilege."),
    ("NOTIFY_SOCKET", "The service manager hears of the container by it: create, run and start."),
    ("LISTEN_FDS", "So many descriptors from 3 on are handed on to the program."),
    ("RUN_OCI_SECCOMP_RECEIVER", "The socket of a seccomp agent, for profiles that name none."),
];

fn page(command: &Command, title: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let man = Man::new(command.clone())
        .title(title)
        .section("8")
        .manual("rt")
        .source(concat!("rt ", env!("CARGO_PKG_VERSION")))
        .date("");
    man.render(&mut out).unwrap();
    out
}

/// A section of names and what they mean.
fn section(out: &mut Vec<u8>, heading: &str, entries: &[(&str, &str)]) {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, meaning) in entries {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
    roff.to_writer(out).unwrap();
}

fn overview(tree: &Command) -> Vec<u8> {
    let mut out = page(tree, "rt");
    section(&mut out, "EXIT STATUS", EXIT_STATUS);
    section(&mut out, "FILES", FILES);
    section(&mut out, "ENVIRONMENT", ENVIRONMENT);
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        italic("https://github.com/opencontainers/runtime-spec"),
        roman(", runc(8), crun(1), podman(1), criu(8)"),
    ]);
    roff.to_writer(&mut out).unwrap();
    out
}

fn all() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = cli::tree(VERBS);
    tree.build();
    let mut files = BTreeMap::from([(PathBuf::from("docs/man/rt.8"), overview(&tree))]);
    for verb in tree.get_subcommands() {
        let title: &str = format!("rt-{}", verb.get_name()).leak();
        let command = verb.clone().name(title);
        files.insert(format!("docs/man/{title}.8").into(), page(&command, title));
    }
    for (shell, name) in [(Shell::Bash, "rt.bash"), (Shell::Zsh, "_rt"), (Shell::Fish, "rt.fish")] {
        let mut out = Vec::new();
        generate(shell, &mut cli::tree(VERBS), "rt", &mut out);
        files.insert(Path::new("docs/completions").join(name), out);
    }
    files
}

#[test]
fn the_manual_and_the_completions_are_those_of_the_command_line() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let writes = std::env::var_os("RT_WRITE_MANUAL").is_some();
    for (path, text) in all() {
        let file = project.join(&path);
        if writes {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        } else {
            let kept = std::fs::read(&file).unwrap_or_default();
            assert!(kept == text, "{} is not up to date: `make manual` writes it", path.display());
        }
    }
    let pages = std::fs::read_dir(project.join("docs/man")).unwrap().count();
    assert_eq!(pages, VERBS.len() + 1, "a page in docs/man has no verb");
}
