//! One container of a test: private state root, unique id, unique cgroup. It is deleted, and searched for, when dropped.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::runtime::{eventually, outcome};
use super::{Bundle, Outcome, cgroups, leaks, mode, runtime};

/// Every process of a test carries this variable, so none of them can hide.
pub const MARK: &str = "RT_TEST_ID";

/// A container, or the place where one may come to be.
pub struct Container {
    pub id: String,
    pub bundle: Bundle,
    pub home: TempDir,
}

impl Container {
    /// Writes config.json with a cgroup of its own; nothing is created yet.
    pub fn new(bundle: Bundle) -> Self {
        let cgroup = bundle.config["linux"]["cgroupsPath"].clone();
        let mut container = Self::as_written(bundle);
        if cgroup == "/rt-example/hello" {
            container.bundle.config["linux"]["cgroupsPath"] = json!(mode().cgroups_path(&container.id));
        }
        container.write_config();
        container
    }

    /// As `new`, but config.json is left as the test has it (or as it is missing).
    pub fn as_written(mut bundle: Bundle) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        if let Some(env) = bundle.config.pointer_mut("/process/env").and_then(Value::as_array_mut) {
            env.push(json!(format!("{MARK}={id}")));
        }
        let home = tempfile::Builder::new().prefix("rts-").tempdir().unwrap();
        Self { id, bundle, home }
    }

    /// Writes `bundle.config` to the disk again.
    pub fn write_config(&self) {
        let text = serde_json::to_vec_pretty(&self.bundle.config).unwrap();
        std::fs::write(self.bundle.beside("config.json"), text).unwrap();
    }

    /// The container's cgroup, from the root of each hierarchy.
    pub fn cgroup(&self) -> String {
        mode().cgroup(&self.id)
    }

    /// The private state root.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("s")
    }

    /// `RUNTIME --root ROOT`, to be continued.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&runtime().path);
        command.env(MARK, &self.id).stdin(Stdio::null()).arg("--root").arg(self.root()).args(mode().flags());
        command
    }

    /// Runs `RUNTIME --root ROOT args…` to its end.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Outcome {
        let mut command = self.command();
        command.args(args);
        outcome(command)
    }

    /// `VERB --bundle BUNDLE flags… ID`, to be run.
    pub fn verb(&self, verb: &str, flags: &[&str]) -> Command {
        let mut command = self.command();
        command.arg(verb).arg("--bundle").arg(self.bundle.dir.path()).args(flags).arg(&self.id);
        command
    }

    /// `run`: in the foreground, to its end.
    #[track_caller]
    pub fn run(&self) -> Outcome {
        outcome(self.verb("run", &[]))
    }

    /// `create`. What the program writes later is in `output`.
    #[track_caller]
    pub fn create(&self) -> Outcome {
        let mut command = self.verb("create", &[]);
        let (out, err) = (self.home.path().join("out"), self.home.path().join("err"));
        command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
        let line = format!("{command:?}");
        let code = super::runtime::wait(command.spawn().expect("start the runtime"), &line);
        let stderr = String::from_utf8_lossy(&std::fs::read(&err).unwrap()).into_owned();
        Outcome { line, code, stdout: self.output(), stderr }
    }

    /// What the program of a created container has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.path().join("out")).unwrap_or_default()).into_owned()
    }

    /// `start`.
    #[track_caller]
    pub fn start(&self) -> Outcome {
        self.call(&["start", &self.id])
    }

    /// `create` and `start`, both of which must work.
    #[track_caller]
    pub fn launch(&self) -> &Self {
        self.create().ok();
        self.start().ok();
        self
    }

    /// `run` in the background, to be ended by the test.
    pub fn spawn_run(&self, flags: &[&str]) -> Child {
        let mut command = self.verb("run", flags);
        let (out, err) = (self.home.path().join("out"), self.home.path().join("err"));
        command.stdout(std::fs::File::create(out).unwrap()).stderr(std::fs::File::create(err).unwrap());
        command.spawn().expect("start the runtime")
    }

    /// `exec ID args…`.
    #[track_caller]
    pub fn exec(&self, args: &[&str]) -> Outcome {
        self.call(&[&["exec", &self.id], args].concat())
    }

    /// `exec ID sh -c script`.
    #[track_caller]
    pub fn exec_sh(&self, script: &str) -> Outcome {
        self.exec(&["sh", "-c", script])
    }

    /// `kill ID signal`.
    #[track_caller]
    pub fn kill(&self, signal: &str) -> Outcome {
        self.call(&["kill", &self.id, signal])
    }

    /// `kill ID KILL`, then waits until the container is stopped.
    #[track_caller]
    pub fn stop(&self) {
        self.kill("KILL").ok();
        self.until("stopped");
    }

    /// `delete`.
    #[track_caller]
    pub fn delete(&self) -> Outcome {
        self.call(&["delete", &self.id])
    }

    /// `delete --force`.
    #[track_caller]
    pub fn delete_force(&self) -> Outcome {
        self.call(&["delete", "--force", &self.id])
    }

    /// The state document; `None` when there is no such container.
    #[track_caller]
    pub fn state(&self) -> Option<Value> {
        let outcome = self.call(&["state", &self.id]);
        (outcome.code == 0).then(|| serde_json::from_str(&outcome.stdout).expect("state is JSON"))
    }

    /// `status` of the state document, or `none`.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state().map_or("none".into(), |state| state["status"].as_str().expect("status").to_owned())
    }

    /// The pid of the container's process as the host sees it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state().expect("a container")["pid"].as_i64().expect("pid").try_into().unwrap()
    }

    /// Waits for a status.
    #[track_caller]
    pub fn until(&self, status: &str) {
        eventually(&format!("{} is {status}", self.id), || self.status() == status);
    }

    /// Waits for something on the program's standard output.
    #[track_caller]
    pub fn until_output(&self, text: &str) {
        eventually(&format!("{text:?} in the output"), || self.output().contains(text));
    }

    /// What a read of a file of the container's cgroup gives, trimmed; `None` without that controller or file.
    pub fn cgroup_file(&self, controller: &str, file: &str) -> Option<String> {
        let directory = cgroups::directory(controller, &self.cgroup())?;
        std::fs::read_to_string(directory.join(file)).ok().map(|text| text.trim().to_owned())
    }

    /// Panics when a process, mount, cgroup or state file of this container exists.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = leaks::settled(self);
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.root().exists() {
            let mut command = self.command();
            command.args(["delete", "--force", &self.id]).stdout(Stdio::null()).stderr(Stdio::null());
            if let Ok(child) = command.spawn() {
                super::runtime::wait(child, "delete --force");
            }
        }
        let left = leaks::settled(self);
        leaks::sweep(self);
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind after delete --force: {left:#?}");
        }
    }
}
