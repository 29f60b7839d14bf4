//! A container's id, safe to be the name of a directory.

use std::fmt;

/// Length that runc allows; the file system may allow less.
const MAX_BYTES: usize = 1024;

/// An id of letters, digits, `_`, `+`, `-` and `.`, other than `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks `text`.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(text: &str) -> anyhow::Result<ContainerId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if text.is_empty() {
            anyhow::bail!("container id is empty");
        }
        if text.len() > MAX_BYTES {
            anyhow::bail!("container id has {} characters, {MAX_BYTES} are allowed", text.len());
        }
        if text == "." || text == ".." {
            anyhow::bail!("container id {text:?} is the name of a directory");
        }
        if !text.bytes().all(allowed) {
            anyhow::bail!("container id {text:?} is not made of letters, digits, `_`, `+`, `-` and `.`");
        }
        Ok(ContainerId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_managers_are_accepted() {
        let long = "x".repeat(MAX_BYTES);
        for id in ["a", "A_b+c.d-e", ".hidden", "...", "-x", "0123456789abcdef", "k8s_pod.1", long.as_str()] {
            assert_eq!(ContainerId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn ids_that_would_leave_the_state_directory_are_refused() {
        let long = "x".repeat(2000);
        for id in ["", ".", "..", "/", "a/b", "../a", "a\0b", "a b", "a\n", "ä", "a:b", "a~", "%2e", long.as_str()] {
            assert!(ContainerId::parse(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn every_accepted_id_is_one_path_component() {
        let mut seed = 1_u64;
        let mut accepted = 0;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let length = (seed >> 60) as usize % 6;
            let text: String = (0..length)
                .map(|at| char::from(b"./\0-+_aZ9~ \\:\n\x7f"[(seed >> (8 * at + 3)) as usize % 15]))
                .collect();
            if let Ok(id) = ContainerId::parse(&text) {
                accepted += 1;
                let components: Vec<_> = std::path::Path::new(id.as_str()).components().collect();
                assert!(
                    matches!(components[..], [std::path::Component::Normal(name)] if name == id.as_str()),
                    "{text:?}"
                );
            }
        }
        assert!(accepted > 1000);
    }
}
