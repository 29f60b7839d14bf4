//! `rt`, a low-level OCI runtime: config.json is compiled to a plan, and the plan is run.
#![deny(unsafe_code)]
// sys::entry has it.
#![cfg_attr(not(test), no_main)]

#[cfg(test)]
mod architecture;
mod cgroup;
mod cli;
mod cmd;
mod confine;
mod console;
mod criu;
mod dbus;
mod error;
mod host;
mod log;
mod netdev;
mod plan;
mod rdt;
mod rootfs;
mod spec;
mod stage;
mod state;
mod sys;

use std::ffi::{OsStr, OsString};
use std::io::Write;

use cli::{Asked, Dialect};

const SUCCESS: u8 = 0;

#[cfg(not(test))]
sys::entry::begin_with!(run);

/// Does what the command line says; gives the exit code.
#[cfg_attr(test, allow(dead_code))]
fn run() -> u8 {
    let argv: Vec<OsString> = std::env::args_os().collect();
    sys::process::keep_children();
    let is_protected = match cli::verb(&argv) {
        // Comes back in a second execution of this program.
        Some(verb) if cmd::enters_a_container(verb) => stage::protect::run_protected(&argv),
        _ => Ok(()),
    };
    match cli::parse(&argv, cmd::VERBS) {
        Ok(Asked::Print(text)) => {
            // When standard output is gone there is nobody to tell.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            SUCCESS
        }
        Ok(Asked::Run(verb, globals, matches)) => match is_protected.and_then(|()| (verb.run)(&globals, &matches)) {
            Ok(code) => {
                globals.log.finish();
                u8::try_from(code).unwrap_or(u8::MAX)
            }
            Err(error) => {
                let why = host::calls::explain(stage::failure::errno_of(&error));
                globals.log.error(&globals.dialect.say(Some(verb.name), &(log::one_line(&error) + &why)));
                globals.dialect.failure_code(Some(verb.name))
            }
        },
        Err(misuse) => {
            let (dialect, verb) =
                (Dialect::of(argv.first().map_or(OsStr::new(""), OsString::as_os_str)), misuse.verb.as_deref());
            misuse.log.error(&dialect.say(verb, &misuse.text));
            dialect.failure_code(verb)
        }
    }
}
