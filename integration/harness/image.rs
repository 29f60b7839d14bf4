//! The root file system of a bundle: what spec-examples/rootfs.sh makes, made again without it, hard links and all.
//!
//! The script calls twenty programs, which every test would wait for; on a slow kernel longer than for what it tests.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::program;

/// What stands at a path of the image.
enum Entry {
    Directory,
    File(Vec<u8>),
    /// A copy of this program.
    Program(PathBuf),
    /// Another name of this file.
    Link(PathBuf),
}

/// All entries with their permissions, each directory before what is in it.
type Image = Vec<(PathBuf, Entry, u32)>;

/// Makes the root file system in `root`, which does not exist.
pub fn make(root: &Path) {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    for (path, entry, mode) in IMAGE.get_or_init(read_image) {
        let place = root.join(path);
        match entry {
            Entry::Directory => std::fs::create_dir(&place).unwrap(),
            Entry::File(content) => std::fs::write(&place, content).unwrap(),
            Entry::Program(original) => program::copy(original, &place),
            Entry::Link(first) => {
                std::fs::hard_link(root.join(first), &place).unwrap();
                continue;
            }
        }
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
}

fn read_image() -> Image {
    // It stays: the programs are copied from there.
    let root = tempfile::Builder::new().prefix("rt-image-").tempdir().unwrap().keep().join("rootfs");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-examples/rootfs.sh");
    assert!(Command::new(script).arg(&root).status().unwrap().success(), "make the root file system");
    let mut names = HashMap::new();
    let mut image = vec![entry(&root, Path::new(""), &mut names)];
    read_below(&root, Path::new(""), &mut names, &mut image);
    image
}

fn read_below(root: &Path, directory: &Path, names: &mut HashMap<u64, PathBuf>, image: &mut Image) {
    for found in std::fs::read_dir(root.join(directory)).unwrap() {
        let path = directory.join(found.unwrap().file_name());
        image.push(entry(root, &path, names));
        if matches!(image.last(), Some((_, Entry::Directory, _))) {
            read_below(root, &path, names, image);
        }
    }
}

fn entry(root: &Path, path: &Path, names: &mut HashMap<u64, PathBuf>) -> (PathBuf, Entry, u32) {
    let place = root.join(path);
    let metadata = std::fs::symlink_metadata(&place).unwrap();
    let entry = if metadata.is_dir() {
        Entry::Directory
    } else if let Some(first) = names.get(&metadata.ino()) {
        Entry::Link(first.clone())
    } else {
        assert!(metadata.is_file(), "{}: neither file nor directory", place.display());
        names.insert(metadata.ino(), path.to_owned());
        let is_program = metadata.mode() & 0o111 != 0;
        if is_program { Entry::Program(place) } else { Entry::File(std::fs::read(&place).unwrap()) }
    };
    (path.to_owned(), entry, metadata.mode() & 0o7777)
}
