//! A bundle: a throw-away root file system and the config.json of `spec-examples/hello`, changed as a test needs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Mode, cgroups, image, mode, program};

/// A bundle directory that is removed with the value. Change `config` freely before the container is made.
pub struct Bundle {
    pub dir: TempDir,
    pub config: Value,
}

impl Bundle {
    /// The bundle of `spec-examples/hello`, running `args`, on a writable root file system of its own.
    pub fn args(args: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("rt-test-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        image::make(&dir.path().join("rootfs"));
        let text = std::fs::read_to_string(here.join("spec-examples/hello/config.json")).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["root"] = json!({ "path": "rootfs" });
        config["process"]["args"] = json!(args);
        config["linux"]["resources"] = json!({});
        mode().adapt(&mut config);
        Self { dir, config }
    }

    /// As `args`, running a shell script.
    pub fn sh(script: &str) -> Self {
        Self::args(&["sh", "-c", script])
    }

    /// A bundle whose program stays until it is killed.
    pub fn sleeping() -> Self {
        Self::args(&["sleep", "1000"])
    }

    /// Sets the value at a JSON pointer; objects on the way are made.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        *self.place(pointer) = value;
        self
    }

    /// Appends to the array at a JSON pointer; it is made when it is not there.
    pub fn push(mut self, pointer: &str, value: Value) -> Self {
        let place = self.place(pointer);
        if place.is_null() {
            *place = json!([]);
        }
        place.as_array_mut().expect("an array").push(value);
        self
    }

    /// Asks for a limit of processes and of memory, where this machine has the controllers.
    pub fn limited(mut self) -> Self {
        for (controller, pointer, limit) in
            [("pids", "/linux/resources/pids/limit", 100), ("memory", "/linux/resources/memory/limit", 64 << 20)]
        {
            if cgroups::has(controller) {
                self = self.set(pointer, json!(limit));
            }
        }
        self
    }

    /// Removes the value at a JSON pointer.
    pub fn without(mut self, pointer: &str) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        self.place(parent).as_object_mut().expect("an object").remove(name);
        self
    }

    /// Inherits a namespace: takes it out of the list.
    pub fn without_namespace(mut self, kind: &str) -> Self {
        let list = self.config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        list.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Asks for a new namespace (`path` absent) or to join one.
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Self {
        let entry = match path {
            Some(path) => json!({ "type": kind, "path": path }),
            None => json!({ "type": kind }),
        };
        self.without_namespace(kind).push("/linux/namespaces", entry)
    }

    /// What is needed to join namespaces of process `pid`: a user without privilege must be in the user namespace that
    /// they belong to.
    pub fn joining(self, pid: i32) -> Self {
        if mode() != Mode::Rootless {
            return self;
        }
        let bundle = self.namespace("user", Some(&format!("/proc/{pid}/ns/user")));
        bundle.without("/linux/uidMappings").without("/linux/gidMappings")
    }

    /// How many namespaces config.json lists.
    pub fn namespaces(&self) -> usize {
        self.config["linux"]["namespaces"].as_array().map_or(0, Vec::len)
    }

    /// A new user namespace whose root is `first_host_id` outside, 65536 ids wide. Without privilege every container
    /// has one, and its ids are the user's: that one stays.
    pub fn user_namespace(self, first_host_id: u32) -> Self {
        if mode() == Mode::Rootless {
            return self;
        }
        let map = json!([{ "containerID": 0, "hostID": first_host_id, "size": 65536 }]);
        let bundle = self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
        bundle.hand_rootfs_to(first_host_id);
        bundle
    }

    fn hand_rootfs_to(&self, id: u32) {
        let chown = Command::new("chown").arg("-R").arg(format!("{id}:{id}")).arg(self.rootfs("")).status();
        assert!(chown.unwrap().success());
    }

    /// Adds a mount.
    pub fn mount(self, kind: &str, source: impl AsRef<Path>, destination: &str, options: &[&str]) -> Self {
        let source = source.as_ref();
        self.push("/mounts", json!({ "type": kind, "source": source, "destination": destination, "options": options }))
    }

    /// Adds a bind mount.
    pub fn bind(self, source: impl AsRef<Path>, destination: &str, options: &[&str]) -> Self {
        let options: Vec<&str> = std::iter::once("bind").chain(options.iter().copied()).collect();
        self.mount("bind", source, destination, &options)
    }

    /// Takes away the mount on `destination`.
    pub fn without_mount(mut self, destination: &str) -> Self {
        self.config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != destination);
        self
    }

    /// Adds a hook that runs a shell script (the host's shell, except for startContainer).
    pub fn hook(self, point: &str, script: &str) -> Self {
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] });
        self.push(&format!("/hooks/{point}"), hook)
    }

    /// Gives the process all five sets of the same capabilities.
    pub fn capabilities(self, names: &[&str]) -> Self {
        let sets = json!({ "bounding": names, "effective": names, "permitted": names, "inheritable": names, "ambient": names });
        self.set("/process/capabilities", sets)
    }

    /// A path inside the root file system, as the host sees it.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.dir.path().join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Writes a file into the root file system.
    pub fn file(self, path: &str, text: &str, mode: u32) -> Self {
        let path = self.rootfs(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        program::script(&path, text, mode);
        self
    }

    /// A path beside config.json, which a hook or a bind mount can use.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a hook or a container wrote beside config.json; empty when nothing was.
    pub fn read_beside(&self, name: &str) -> String {
        std::fs::read_to_string(self.beside(name)).unwrap_or_default()
    }

    fn place(&mut self, pointer: &str) -> &mut Value {
        pointer.split('/').skip(1).fold(&mut self.config, |place, name| match place {
            Value::Array(list) => &mut list[name.parse::<usize>().expect("an index")],
            _ => &mut place[name],
        })
    }
}
