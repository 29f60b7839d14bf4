//! A directory of the host with a mount below it, as a volume may have; unmounted with the value.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Bundle;

/// `DIR` and `DIR/below`: each a tmpfs of its own.
pub struct Tree {
    pub path: PathBuf,
}

impl Tree {
    /// Makes it beside config.json, both mounts with these options. Declare it after the container: it must go first.
    pub fn beside(bundle: &Bundle, options: &str) -> Self {
        let path = bundle.beside("tree");
        mount(&path, options);
        // The directory below is made while the tmpfs can be written.
        Self { path }
    }

    /// The inner mount point.
    pub fn below(&self) -> PathBuf {
        self.path.join("below")
    }
}

fn mount(path: &Path, options: &str) {
    for (point, next) in [(path.to_owned(), "below"), (path.join("below"), "end")] {
        std::fs::create_dir_all(&point).unwrap();
        let tmpfs = Command::new("mount").args(["-t", "tmpfs", "tree"]).arg(&point).status();
        assert!(tmpfs.unwrap().success(), "mount a tmpfs on {}", point.display());
        std::fs::create_dir(point.join(next)).unwrap();
        std::fs::write(point.join("file"), "of the tree\n").unwrap();
    }
    for point in [path.join("below"), path.to_owned()] {
        let remount = Command::new("mount").args(["-o", &format!("remount,bind,{options}")]).arg(&point).status();
        assert!(remount.unwrap().success(), "mount -o remount,bind,{options} {}", point.display());
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for point in [self.below(), self.path.clone()] {
            Command::new("umount").arg("-l").arg(point).status().ok();
        }
    }
}
