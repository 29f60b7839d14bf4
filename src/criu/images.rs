//! What the files of a checkpoint say, before CRIU reads them.
//!
//! An image is two magic numbers, then messages with their sizes before them (<https://criu.org/Images>).

use std::path::Path;

use anyhow::Context;

use super::wire::{self, Malformed};

/// How a cgroup.img begins: as all images do, then by its own number.
const MAGIC: [u8; 8] = [0x19, 0x43, 0x56, 0x54, 0x30, 0x33, 0x38, 0x59];

/// The hierarchies of cgroups in which the processes were, each by its controllers as /proc/PID/cgroup writes them;
/// none where cgroups were ignored.
///
/// # Errors
/// The image cannot be read.
pub fn hierarchies(images: &Path) -> anyhow::Result<Vec<String>> {
    let path = images.join("cgroup.img");
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        image => names(&image.with_context(|| format!("read {}", path.display()))?)
            .with_context(|| format!("{}: this is no image of cgroups", path.display())),
    }
}

/// `cgroup_entry.sets[].ctls[].name`; every set names the same hierarchies.
fn names(image: &[u8]) -> Result<Vec<String>, Malformed> {
    let messages = image.strip_prefix(&MAGIC).ok_or(Malformed)?;
    let Some((size, rest)) = messages.split_first_chunk() else { return Ok(Vec::new()) };
    let message = usize::try_from(u32::from_le_bytes(*size)).ok().and_then(|size| rest.get(..size)).ok_or(Malformed)?;
    let mut names = Vec::new();
    for set in messages_of(message, 1)? {
        for controller in messages_of(set, 2)? {
            names
                .extend(wire::read(controller)?.iter().find(|field| field.0 == 1).and_then(|(_, name)| name.as_text()));
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn messages_of(message: &[u8], field: u32) -> Result<Vec<&[u8]>, Malformed> {
    let fields = wire::read(message)?;
    Ok(fields.into_iter().filter(|(number, _)| *number == field).filter_map(|(_, value)| value.as_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::wire::Writer;
    use super::*;

    fn image(sets: &[&[&str]]) -> Vec<u8> {
        let mut entry = Writer::default();
        for (id, controllers) in (1..).zip(sets) {
            let mut set = Writer::default();
            set.number(1, id);
            for controller in *controllers {
                let mut member = Writer::default();
                set.message(2, member.text(1, controller.as_bytes()).text(2, b"/rt/x"));
            }
            entry.message(1, &set);
        }
        let size = u32::try_from(entry.bytes().len()).unwrap();
        [&MAGIC[..], &size.to_le_bytes(), entry.bytes()].concat()
    }

    #[test]
    fn the_hierarchies_are_those_of_all_sets() {
        let image = image(&[&["", "cpu,cpuacct", "name=systemd"], &["", "cpu,cpuacct", "name=systemd"]]);
        assert_eq!(names(&image).unwrap(), ["", "cpu,cpuacct", "name=systemd"]);
    }

    #[test]
    fn without_cgroups_there_are_none() {
        assert!(names(&MAGIC).unwrap().is_empty());
        assert!(names(&image(&[])).unwrap().is_empty());
        let directory = tempfile::tempdir().unwrap();
        assert!(hierarchies(directory.path()).unwrap().is_empty(), "there is no such image");
    }

    #[test]
    fn a_broken_image_is_told_with_its_path() {
        let whole = image(&[&["memory"]]);
        let directory = tempfile::tempdir().unwrap();
        for broken in [&b""[..], b"an image", &whole[..whole.len() - 1], &whole[..7]] {
            std::fs::write(directory.path().join("cgroup.img"), broken).unwrap();
            let error = format!("{:#}", hierarchies(directory.path()).unwrap_err());
            assert!(error.contains("cgroup.img: this is no image of cgroups"), "{error}");
        }
    }
}
