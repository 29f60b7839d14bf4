//! Configurations that managers have written, run as they are.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use crate::harness::netns::ip;
use crate::harness::runtime::eventually;
use crate::harness::{Bundle, Container, cgroups};

/// What a configuration counts on and does not make itself. It goes with the value.
#[derive(Default)]
struct World {
    made: Vec<PathBuf>,
    processes: Vec<Child>,
    networks: Vec<String>,
}

impl World {
    /// Makes the root file system, the sources of binds, and stand-ins for what is named by pid or as a network.
    fn around(config: &Value, container: &Container) -> Self {
        let mut world = World::default();
        world.make_root(config, container);
        let hooks = config["hooks"].as_object().into_iter().flat_map(|hooks| hooks.values());
        for path in hooks.flat_map(|list| list.as_array().unwrap()).map(|hook| hook["path"].as_str().unwrap()) {
            let pid = pid_in(path).unwrap_or_else(|| panic!("a hook of a program that runs, not {path}"));
            world.stand_in(pid, &mut program_that_does_not_end(&container.home.path().join("fifo")));
            let executable = format!("/proc/{pid}/exe");
            eventually("the hook", || std::fs::read_link(&executable).is_ok_and(|path| path.ends_with("true")));
        }
        for path in config["linux"]["namespaces"].as_array().unwrap().iter().filter_map(|entry| entry["path"].as_str())
        {
            match (pid_in(path), path.strip_prefix("/var/run/netns/").or(path.strip_prefix("/run/netns/"))) {
                (Some(pid), _) if world.processes.iter().any(|process| process.id() == pid) => {}
                (Some(pid), _) => {
                    let mut pause = Command::new("unshare");
                    world.stand_in(pid, pause.args(["--ipc", "--uts", "--net", "sleep", "1000"]));
                }
                (None, Some(name)) => {
                    assert!(ip(&["netns", "add", name]));
                    world.networks.push(name.to_owned());
                }
                (None, None) => panic!("{path}: what is that?"),
            }
        }
        for mount in config["mounts"].as_array().unwrap() {
            if let Some(source) = mount["source"].as_str().filter(|source| source.starts_with('/')) {
                world.make_source(Path::new(source));
            }
        }
        world
    }

    fn make_root(&mut self, config: &Value, container: &Container) {
        let root = container.bundle.dir.path().join(config["root"]["path"].as_str().unwrap());
        if !root.exists() {
            self.make_directory(root.parent().unwrap());
            let rootfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-examples/rootfs.sh");
            assert!(Command::new(rootfs).arg(&root).status().unwrap().success());
            self.made.push(root.clone());
        }
        if let Some(owner) = config["linux"]["uidMappings"][0]["hostID"].as_u64() {
            let owner = u32::try_from(owner).unwrap();
            assert!(
                Command::new("chown").args(["-R", &format!("{owner}:{owner}")]).arg(&root).status().unwrap().success()
            );
            chown(&root, Some(owner), Some(owner)).unwrap();
        }
    }

    fn make_directory(&mut self, path: &Path) {
        let missing: Vec<&Path> = path.ancestors().take_while(|place| !place.exists()).collect();
        for place in missing.into_iter().rev() {
            std::fs::create_dir(place).unwrap();
            std::fs::set_permissions(place, PermissionsExt::from_mode(0o755)).unwrap();
            self.made.push(place.to_owned());
        }
    }

    fn make_source(&mut self, path: &Path) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.exists() {
        } else if ["hosts", "hostname", "resolv.conf", ".containerenv"].contains(&name) {
            self.make_directory(path.parent().unwrap());
            std::fs::write(path, name).unwrap();
            self.made.push(path.to_owned());
        } else {
            self.make_directory(path);
        }
    }

    /// Starts `command` with exactly this pid.
    fn stand_in(&mut self, pid: u32, command: &mut Command) {
        for _ in 0..1000 {
            std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
            let mut child = command.spawn().unwrap();
            if child.id() == pid {
                self.processes.push(child);
                return;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        panic!("pid {pid} is never free");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for name in &self.networks {
            ip(&["netns", "delete", name]);
        }
        for path in self.made.iter().rev() {
            let _ = if path.join("bin").exists() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Chooses the next pid, on a kernel that is built for CRIU.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Whether a hook or a namespace is that of a process that runs.
fn names_a_pid(config: &Value) -> bool {
    let hooks = config["hooks"].as_object().into_iter().flat_map(|hooks| hooks.values());
    let hooks = hooks.flat_map(|list| list.as_array().unwrap());
    let namespaces = config["linux"]["namespaces"].as_array().unwrap().iter();
    hooks.chain(namespaces).filter_map(|entry| entry["path"].as_str()).any(|path| pid_in(path).is_some())
}

/// The pid in `/proc/PID/…`.
fn pid_in(path: &str) -> Option<u32> {
    path.strip_prefix("/proc/")?.split('/').next()?.parse().ok()
}

/// dockerd's hook is dockerd itself, by its pid. /bin/true takes any words, but must be there when the hook runs: it is
/// asked for help, into a pipe that is full.
fn program_that_does_not_end(fifo: &Path) -> Command {
    let mut command = Command::new("sh");
    let fill = "mkfifo $0; exec 3<>$0; dd if=/dev/zero bs=65536 count=1 status=none >&3; exec /bin/true --help >&3";
    command.args(["-c", fill]).arg(fifo);
    command
}

fn captured() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/captured");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Those are no manager's; other tests run them.
    let others = ["README.md", "full.json", "crun-spec.json", "runc-spec.json", "runc-spec-rootless.json"];
    files.retain(|file| !others.contains(&file.file_name().unwrap().to_str().unwrap()));
    files.sort();
    files
}

/// runtime.md, Lifecycle, as a manager goes through it: create, start, kill, delete.
#[test]
fn what_managers_have_written_runs_unchanged() {
    only_rt!(); // crun and runc refuse some of them on a machine without CAP_SYS_RESOURCE
    need_root!("make such containers");
    need_cgroupfs!();
    for file in captured() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read(&file).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        if names_a_pid(&config) && !Path::new(LAST_PID).exists() {
            println!("{name}: {LAST_PID} is not there, so nobody can be given the pid that it names");
            continue;
        }
        let container = Container::as_written(Bundle::sleeping());
        std::fs::write(container.bundle.beside("config.json"), &text).unwrap();
        let world = World::around(&config, &container);
        println!("{name}");
        container.create().ok();
        container.start().ok();
        if config["process"]["args"][0] == "sleep" {
            assert_eq!(container.status(), "running");
            container.kill("KILL").ok();
        }
        container.until("stopped");
        container.delete().ok();
        if let Some(cgroup) = config["linux"]["cgroupsPath"].as_str() {
            assert_eq!(cgroups::existing(cgroup), Vec::<PathBuf>::new(), "{name}");
        }
        drop(world);
    }
}
