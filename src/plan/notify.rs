//! sd_notify(3) in the container: a socket of its own, and where it is.

use std::path::Path;

use oci_spec::runtime::Mount;

use crate::spec::Spec;

/// Where the socket's directory is mounted in the container, as with runc.
const DIRECTORY: &str = "/run/notify";
/// The socket's name in it.
pub const SOCKET: &str = "notify.sock";

/// Adds to a configuration what shows the container the socket in `directory`: a mount behind all others, and the
/// variable NOTIFY_SOCKET, whatever value it had.
pub fn add_notify_socket(spec: &mut Spec, directory: &Path) {
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    let mut mount = Mount::default();
    mount.set_destination(DIRECTORY.into()).set_source(Some(directory.to_owned()));
    mount.set_typ(Some("bind".to_owned())).set_options(Some(options));
    let mounts = spec.oci.mounts().iter().flatten().cloned().chain([mount]).collect();
    spec.oci.set_mounts(Some(mounts));
    if let Some(mut process) = spec.oci.process().clone() {
        let variable = format!("NOTIFY_SOCKET={DIRECTORY}/{SOCKET}");
        let env = process.env().iter().flatten().cloned().chain([variable]).collect();
        process.set_env(Some(env));
        spec.oci.set_process(Some(process));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_last_mount_and_the_variable_is_set() {
        let text = crate::spec::template(false).into_bytes();
        let mut spec = Spec::from_text("/bundle".into(), text.clone()).unwrap();
        let before = spec.oci.mounts().as_ref().map_or(0, Vec::len);
        add_notify_socket(&mut spec, Path::new("/run/rt/id/notify"));
        let mounts = spec.oci.mounts().as_ref().unwrap();
        assert_eq!(mounts.len(), before + 1);
        let last = mounts.last().unwrap();
        assert_eq!(last.destination(), Path::new("/run/notify"));
        assert_eq!(last.source().as_deref(), Some(Path::new("/run/rt/id/notify")));
        let env = spec.oci.process().as_ref().unwrap().env().as_ref().unwrap();
        assert_eq!(env.last().map(String::as_str), Some("NOTIFY_SOCKET=/run/notify/notify.sock"));
        // What is kept of config.json is what was read.
        assert_eq!(spec.text, text);
    }
}
