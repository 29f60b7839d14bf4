//! Which cgroups below the container's own `exec --cgroup` means.

use std::path::{Component, Path};

use super::CgroupPaths;

impl CgroupPaths {
    /// These cgroups, each replaced by the one below it that `wanted` names: `PATH` for all hierarchies, or
    /// `CONTROLLER[,CONTROLLER...]:PATH` for those of cgroup v1. `/` is the container's own.
    ///
    /// # Errors
    /// A path that climbs, a controller that is not there or is named twice, a container without cgroups.
    pub fn below(&self, wanted: &[&str]) -> Result<CgroupPaths, String> {
        if !wanted.is_empty() && self.v1.is_empty() && self.v2.is_none() {
            return Err("the container has no cgroups".to_owned());
        }
        let mut paths = self.clone();
        let mut taken = vec![false; self.v1.len() + 1];
        for word in wanted {
            let (controllers, path) = word.split_once(':').map_or((None, *word), |(names, path)| (Some(names), path));
            let path = relative(path)?;
            let places = match controllers {
                Some(names) => names.split(',').map(|name| self.place_of(name)).collect::<Result<Vec<_>, _>>()?,
                None => (0..=self.v1.len()).collect(),
            };
            for place in places {
                if std::mem::replace(&mut taken[place], true) {
                    return Err(format!("{word}: a hierarchy has its path already"));
                }
                match self.v1.get(place) {
                    // For `/` nothing is appended: the path would end in a slash.
                    _ if path.as_os_str().is_empty() => {}
                    Some((_, own)) => paths.v1[place].1 = own.join(path),
                    None => paths.v2 = self.v2.as_ref().map(|own| own.join(path)),
                }
            }
        }
        Ok(paths)
    }

    /// The place of a controller's hierarchy among those of v1.
    fn place_of(&self, controller: &str) -> Result<usize, String> {
        let found = self.v1.iter().position(|(all, _)| all.split(',').any(|one| one == controller));
        found.ok_or_else(|| match self.v1.is_empty() {
            true => format!("{controller}: cgroup v2 has one hierarchy for all controllers: name the path alone"),
            false => format!("{controller}: the container has no cgroup v1 of this controller"),
        })
    }
}

/// A path as one below the container's cgroup.
fn relative(path: &str) -> Result<&Path, String> {
    let relative = Path::new(path.trim_start_matches('/'));
    match relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        true if !path.is_empty() => Ok(relative),
        true => Err("the path is empty".to_owned()),
        false => Err(format!("{path}: it leads out of the container's cgroup")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1() -> CgroupPaths {
        let v1 = [("cpu,cpuacct", "/c/cpu/x"), ("pids", "/c/pids/x"), ("name=systemd", "/c/systemd/x")];
        CgroupPaths {
            v1: v1.map(|(controllers, path)| (controllers.to_owned(), path.into())).to_vec(),
            v2: Some("/c/unified/x".into()),
            unit: None,
        }
    }

    fn shown(paths: &CgroupPaths) -> String {
        let v1 = paths.v1.iter().map(|(_, path)| path);
        v1.chain(&paths.v2).map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_path_is_below_every_cgroup_and_a_controller_below_its_own() {
        for (wanted, expected) in [
            (&["sub"][..], "/c/cpu/x/sub /c/pids/x/sub /c/systemd/x/sub /c/unified/x/sub"),
            (
                &["/sub/deeper"],
                "/c/cpu/x/sub/deeper /c/pids/x/sub/deeper /c/systemd/x/sub/deeper /c/unified/x/sub/deeper",
            ),
            (&[], "/c/cpu/x /c/pids/x /c/systemd/x /c/unified/x"),
            (&["/"], "/c/cpu/x /c/pids/x /c/systemd/x /c/unified/x"),
            (&["pids:a"], "/c/cpu/x /c/pids/x/a /c/systemd/x /c/unified/x"),
            (&["pids,cpuacct:a", "name=systemd:b"], "/c/cpu/x/a /c/pids/x/a /c/systemd/x/b /c/unified/x"),
        ] {
            match v1().below(wanted) {
                Ok(paths) => assert_eq!(shown(&paths), expected, "{wanted:?}"),
                Err(error) => panic!("{wanted:?}: {error}"),
            }
        }
    }

    #[test]
    fn a_container_without_cgroups_has_none_below() {
        assert_eq!(CgroupPaths::default().below(&[]), Ok(CgroupPaths::default()));
    }

    #[test]
    fn what_names_no_cgroup_of_the_container_is_refused() {
        let v2 = CgroupPaths { v2: Some("/c/x".into()), ..CgroupPaths::default() };
        for (paths, wanted, words) in [
            (v1(), &["../y"][..], "leads out"),
            (v1(), &["/a/../../y"], "leads out"),
            (v1(), &[""], "empty"),
            (v1(), &["pids:"], "empty"),
            (v1(), &["nosuch:a"], "no cgroup v1 of this controller"),
            (v1(), &["cpu:a", "cpuacct:b"], "already"),
            (v1(), &["all", "pids:a"], "already"),
            (v2, &["pids:a"], "one hierarchy"),
            (CgroupPaths::default(), &["a"], "has no cgroups"),
        ] {
            let error = paths.below(wanted).unwrap_err();
            assert!(error.contains(words), "{wanted:?}: {error}");
        }
    }
}
