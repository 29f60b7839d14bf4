//! Paths inside the container, as text: the kernel resolves them later, from the root's descriptor.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Makes a destination absolute and takes `.` and `..` out of it, as text; a relative one counts from `/`.
///
/// None when it is empty or no C string.
pub fn clean_destination(path: &Path) -> Option<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return None;
    }
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_never_climbs_out_of_the_root() {
        for (given, clean) in
            [("/", "/"), ("proc", "/proc"), ("/a/../../b/./c//d/", "/b/c/d"), ("../../etc", "/etc"), ("/..", "/")]
        {
            assert_eq!(clean_destination(Path::new(given)).as_deref(), Some(Path::new(clean)), "{given}");
        }
        assert_eq!(clean_destination(Path::new("")), None);
    }
}
