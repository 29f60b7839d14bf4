//! config.md, "Mounts".

mod binds;
mod filesystems;
mod options;
mod propagation;

use crate::harness::Container;

/// The mountinfo line of a mount point, as the program sees it.
fn line_of(container: &Container, point: &str) -> String {
    let table = container.run().ok().stdout;
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    line.unwrap_or_else(|| panic!("{point} is not mounted:\n{table}")).to_owned()
}

/// The options of a mountinfo line: those of the mount, then those of the file system.
fn options_of(line: &str) -> Vec<String> {
    let fields: Vec<&str> = line.split(' ').collect();
    [fields[5], fields[fields.len() - 1]].iter().flat_map(|list| list.split(',')).map(str::to_owned).collect()
}
