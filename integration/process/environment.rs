//! config.md, "Process": args, env, cwd.

use serde_json::json;

use crate::harness::{Bundle, Container};

/// "`args` with similar semantics to IEEE Std 1003.1 execvp's argv": not split, not expanded, also when empty.
#[test]
fn args_arrive_as_written() {
    let container =
        Container::new(Bundle::args(&["sh", "-c", "printf '[%s]' \"$@\"", "sh", "a b", "", "$HOME", "*", "é\n"]));
    assert_eq!(container.run().ok().stdout, "[a b][][$HOME][*][é\n]");
}

/// "`env` with the same semantics as IEEE Std 1003.1's environ": these and no others of the caller's.
#[test]
fn env_is_as_written() {
    let bundle = Bundle::args(&["env"]).set("/process/env", json!(["PATH=/bin", "A=1=2", "EMPTY=", "SPACE= x "]));
    let container = Container::new(bundle);
    let mut command = container.verb("run", &[]);
    command.env("OF_THE_CALLER", "secret");
    let output = crate::harness::runtime::outcome(command).ok().stdout;
    let mut lines: Vec<&str> =
        output.lines().filter(|line| !line.starts_with("RT_TEST_ID=") && !line.starts_with("HOME=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1=2", "EMPTY=", "PATH=/bin", "SPACE= x "]);
}

/// Two values of one name: the last one counts, and is the only one that the program sees.
#[test]
fn the_last_value_of_a_variable_counts() {
    only_rt!(); // crun gives both
    let bundle = Bundle::args(&["env"]).set("/process/env", json!(["PATH=/bin", "A=first", "B=b", "A=last"]));
    let output = Container::new(bundle).run().ok().stdout;
    assert_eq!(output.lines().filter(|line| line.starts_with("A=")).collect::<Vec<_>>(), ["A=last"]);
}

/// "with the same semantics as IEEE Std 1003.1-2008's `environ`": NAME=VALUE. (Others pass on whatever it is.)
#[test]
fn a_variable_without_a_value_is_refused() {
    only_rt!();
    for (variable, place) in [("A", "/process/env/1"), ("=x", "/process/env/1"), ("A\u{0}=x", "/process/env/1")] {
        let container = Container::new(Bundle::args(&["true"]).set("/process/env", json!(["PATH=/bin", variable])));
        container.create().refused_with(&[place]);
        container.assert_nothing_left();
    }
}

/// No environment at all is a good environment.
#[test]
fn an_absent_environment_is_empty() {
    for bundle in [
        Bundle::args(&["/bin/env"]).without("/process/env"),
        Bundle::args(&["/bin/env"]).set("/process/env", json!([])),
    ] {
        let output = Container::new(bundle).run().ok().stdout;
        let lines: Vec<&str> = output.lines().filter(|line| !line.starts_with("RT_TEST_ID=")).collect();
        assert!(lines.is_empty() || lines == ["HOME=/root"], "{lines:?}");
    }
}

/// A NUL in a word of the command can be said in JSON, and to no kernel.
#[test]
fn a_nul_in_a_word_is_refused() {
    only_rt!();
    for (pointer, value) in [("/process/args/1", "a\u{0}b"), ("/process/cwd", "/a\u{0}b"), ("/hostname", "a\u{0}b")] {
        let container = Container::new(Bundle::args(&["echo", "x"]).set(pointer, json!(value)));
        container.create().refused_with(&[pointer, "NUL"]);
        container.assert_nothing_left();
    }
}

/// A working directory that is closed to the user is entered all the same, before the user is taken on: images have
/// `WORKDIR /root` with another user, and runc starts them.
#[test]
fn a_cwd_that_is_closed_to_the_user_is_entered() {
    let bundle = Bundle::sh("pwd; ls . 2>/dev/null || echo closed").file("/closed/file", "", 0o600);
    std::fs::set_permissions(bundle.rootfs("/closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let bundle = bundle.set("/process/cwd", json!("/closed")).set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(Container::new(bundle).run().ok().stdout, "/closed\nclosed\n");
}

/// A file is no working directory.
#[test]
fn a_cwd_that_is_a_file_is_an_error() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("/etc/passwd")));
    container.run().refused_with(&["/etc/passwd", "not a directory"]);
    container.assert_nothing_left();
}

/// "`cwd` is the working directory that will be set for the executable."
#[test]
fn cwd_is_the_working_directory() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("/tmp")));
    assert_eq!(container.run().ok().stdout, "/tmp\n");
}

/// A working directory that is not there is made, as runc and crun do.
#[test]
fn a_missing_cwd_is_made() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("/not/there/yet")));
    assert_eq!(container.run().ok().stdout, "/not/there/yet\n");
}

/// Also below a root that is read-only for the program, and on a mount of the container.
#[test]
fn a_missing_cwd_is_made_before_the_root_is_read_only() {
    for cwd in ["/not/there/yet", "/scratch/new", "/not/../there"] {
        let bundle = Bundle::sh("pwd; touch file 2>&1").set("/root/readonly", json!(true));
        let container = Container::new(bundle.mount("tmpfs", "tmpfs", "/scratch", &[]).set("/process/cwd", json!(cwd)));
        let expected = match cwd {
            "/scratch/new" => "/scratch/new\n".to_owned(),
            "/not/../there" => "/there\ntouch: file: Read-only file system\n".to_owned(),
            _ => format!("{cwd}\ntouch: file: Read-only file system\n"),
        };
        assert_eq!(container.run().stdout, expected);
    }
}

/// "This value MUST be an absolute path."
#[test]
fn a_relative_cwd_is_refused() {
    let container = Container::new(Bundle::args(&["pwd"]).set("/process/cwd", json!("tmp")));
    container.run().refused_with(&["/process/cwd", "tmp"]);
    container.assert_nothing_left();
}

/// A working directory through a symbolic link of the image stays inside the root.
#[test]
fn a_symlinked_cwd_stays_inside() {
    let bundle = Bundle::args(&["pwd"]).set("/process/cwd", json!("/link"));
    std::os::unix::fs::symlink("/../../../tmp", bundle.rootfs("/link")).unwrap();
    let container = Container::new(bundle);
    assert_eq!(container.run().ok().stdout.trim(), "/tmp");
}

/// LISTEN_FDS with --preserve-fds: the descriptors arrive as 3, 4, ...
#[test]
fn preserved_descriptors_arrive() {
    let container = Container::new(Bundle::sh("cat <&3"));
    let file = container.home.path().join("given");
    std::fs::write(&file, "through fd 3\n").unwrap();
    let script = "exec 3<\"$0\"; exec \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(&file).arg(&crate::harness::runtime().path).arg("--root").arg(container.root());
    command.args(["run", "--preserve-fds", "1", "--bundle"]).arg(container.bundle.dir.path()).arg(&container.id);
    assert_eq!(crate::harness::runtime::outcome(command).ok().stdout, "through fd 3\n");
}

/// `--preserve-fds 38` is how podman asks for 9 and 40 alone. What the caller has not opened stays closed, and no
/// descriptor of the runtime's own takes its number (runc#5474).
#[test]
fn preserved_descriptors_may_have_gaps_that_stay_closed() {
    only_rt!(); // runc refuses gaps
    let see = "for n in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$n ] || echo $n; done; cat <&6";
    let with_six = |container: &Container, arguments: &[&str]| {
        let file = container.home.path().join("given");
        std::fs::write(&file, "through fd 6\n").unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec 6<\"$0\"; exec \"$@\""]).arg(&file).arg(&crate::harness::runtime().path);
        command.arg("--root").arg(container.root()).args(arguments);
        crate::harness::runtime::outcome(command)
    };
    let container = Container::new(Bundle::sh(see));
    let bundle = container.bundle.dir.path().to_str().unwrap();
    let ran = with_six(&container, &["run", "--preserve-fds", "7", "--bundle", bundle, &container.id]).ok();
    assert_eq!(ran.stdout, "6\nthrough fd 6\n");

    let container = Container::new(Bundle::sleeping());
    container.launch();
    let ran = with_six(&container, &["exec", "--preserve-fds", "7", &container.id, "sh", "-c", see]).ok();
    assert_eq!(ran.stdout, "6\nthrough fd 6\n");
}

/// More than the process may have open, and descriptors of socket activation that are not there, are refused.
#[test]
fn descriptors_that_cannot_be_open_are_refused() {
    only_rt!();
    let container = Container::new(Bundle::sh("true"));
    for (listen_fds, preserve_fds) in [("0", "4294967295"), ("0", "2000000000"), ("1", "0"), ("2", "1")] {
        let mut command = container.verb("run", &["--preserve-fds", preserve_fds]);
        command.env("LISTEN_FDS", listen_fds).env_remove("LISTEN_PID");
        crate::harness::runtime::outcome(command).refused();
        container.assert_nothing_left();
    }
}
