//! Containers' directories through their whole life, and those that a crash has left.

use super::*;

fn scratch(name: &str) -> (StateRoot, PathBuf) {
    let path = std::env::temp_dir().join(format!("rt-state-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    (StateRoot::resolve(Some(&path), "rt").unwrap(), path)
}

fn id(text: &str) -> ContainerId {
    ContainerId::parse(text).unwrap()
}

fn of_this_process() -> State {
    let pid = std::process::id().cast_signed();
    let boot = Boot::default();
    State {
        version: VERSION,
        oci_version: "1.3.0".into(),
        id: "c".into(),
        bundle: "/b".into(),
        pid,
        start_time: init::start_time(pid).unwrap(),
        boot_id: boot.id().unwrap().into(),
        ..State::default()
    }
}

#[test]
fn a_container_is_made_found_and_removed() {
    let (root, path) = scratch("life");
    assert!(root.open(&id("c")).unwrap_err().is::<Missing>());
    assert_eq!(root.ids().unwrap(), []);

    let container = root.create(&id("c")).unwrap();
    assert!(container.load().unwrap_err().is::<Missing>(), "nothing was saved yet");
    let state = of_this_process();
    container.save(&state).unwrap();
    container.save_config(b"{}").unwrap();
    assert!(root.create(&id("c")).unwrap_err().is::<Exists>(), "it is locked");
    drop(container);
    assert!(root.create(&id("c")).unwrap_err().is::<Exists>(), "it has a state");

    let found = root.open(&id("c")).unwrap();
    assert_eq!(found.load().unwrap(), state);
    assert_eq!(found.config_text().unwrap(), b"{}");
    assert_eq!(root.ids().unwrap(), [id("c")]);
    found.remove().unwrap();
    assert!(root.open(&id("c")).unwrap_err().is::<Missing>());
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn what_a_killed_create_left_is_taken_over() {
    let (root, path) = scratch("takeover");
    std::fs::create_dir_all(path.join("c")).unwrap();
    std::fs::write(path.join("c/state.json.new"), "{ half").unwrap();
    let container = root.create(&id("c")).unwrap();
    container.save(&of_this_process()).unwrap();
    container.remove().unwrap();
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn of_many_who_create_the_same_id_one_wins() {
    let (root, path) = scratch("race");
    for _ in 0..50 {
        let created = std::thread::scope(|scope| {
            let attempt = || match root.create(&id("c")) {
                Ok(container) => {
                    container.save(&of_this_process()).unwrap();
                    Some(container)
                }
                Err(error) => {
                    assert!(error.is::<Exists>(), "{error:#}");
                    None
                }
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(created.len(), 1);
        created.into_iter().next().unwrap().remove().unwrap();
    }
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn whoever_waited_for_the_lock_of_a_deleted_container_is_told() {
    let (root, path) = scratch("waited");
    root.create(&id("c")).unwrap().save(&of_this_process()).unwrap();
    let (first, second) = (root.open(&id("c")).unwrap(), root.open(&id("c")).unwrap());
    first.lock().unwrap();
    assert!(!second.try_lock().unwrap());
    first.remove().unwrap();
    assert!(second.lock().unwrap_err().is::<Missing>());
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_state() {
    let (root, path) = scratch("kill");
    let container = root.create(&id("c")).unwrap();
    let mut state = of_this_process();
    state.annotations = (0..200).map(|at| (format!("key{at}"), "value".repeat(20))).collect();
    container.save(&state).unwrap();
    // A killed writer has written a part of the new file, or all of it, and has not renamed it.
    let whole = serde_json::to_vec(&state).unwrap();
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(path.join("c/state.json.new"), &whole[..length]).unwrap();
        assert_eq!(container.load().unwrap(), state);
        container.save(&state).unwrap();
    }
    // And readers never see a part while it is replaced.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..500).for_each(|_| container.save(&state).unwrap()));
        while !writer.is_finished() {
            assert_eq!(container.load().unwrap(), state);
        }
    });
    container.remove().unwrap();
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn the_status_follows_from_what_is_there() {
    let (root, path) = scratch("status");
    let container = root.create(&id("c")).unwrap();
    let other = root.open(&id("c")).unwrap();
    let boot = Boot::default();
    let living = of_this_process();
    let unborn = State { pid: 0, ..living.clone() };
    let dead = State { start_time: 1, ..living.clone() };

    assert_eq!(other.status(&unborn, &boot).unwrap(), Status::Creating);
    container.unlock();
    assert_eq!(other.status(&unborn, &boot).unwrap(), Status::Stopped, "its creator is gone");
    assert_eq!(other.status(&living, &boot).unwrap(), Status::Running);
    std::fs::write(path.join("c/start"), "").unwrap();
    assert_eq!(other.status(&living, &boot).unwrap(), Status::Created);
    assert_eq!(other.status(&dead, &boot).unwrap(), Status::Stopped);
    container.remove().unwrap();
    std::fs::remove_dir(&path).unwrap();
}

/// Never change the fixture: it is what an `rt` in the field wrote. Add another one.
#[test]
fn a_state_of_version_1_is_understood_for_ever() {
    let state: State = serde_json::from_str(include_str!("fixtures/version-1.json")).unwrap();
    assert_eq!(state.version, 1);
    assert_eq!((state.id.as_str(), state.pid, state.start_time), ("web-1", 4242, 987_654));
    assert_eq!(state.boot_id, "2f7c35f4-9f3f-4b43-93fd-0c2b0f3e6d7a");
    assert_eq!(state.cgroup.v1.len(), 1);
    assert_eq!(state.cgroup.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/rt/web-1")));
    assert!(state.own_pid_namespace);
    assert_eq!(state.poststop[0].path(), Path::new("/bin/hook"));
    assert_eq!(state.annotations["org.example"], "yes");
}

#[test]
fn a_state_may_hold_more_or_less_than_this_rt_knows() {
    let more = r#"{"version":1,"ociVersion":"1.3.0","id":"c","bundle":"/b","shape":{"of":["things","to","come"]}}"#;
    let state: State = serde_json::from_str(more).unwrap();
    let expected = State {
        version: 1,
        oci_version: "1.3.0".into(),
        id: "c".into(),
        bundle: "/b".into(),
        own_mount_namespace: true,
        has_process: true,
        has_start_hooks: true,
        new_keyring: true,
        ..State::default()
    };
    assert_eq!(state, expected);
}

#[test]
fn a_state_of_an_incompatible_future_is_refused_in_words() {
    let (root, path) = scratch("future");
    let container = root.create(&id("c")).unwrap();
    container.save(&State { version: VERSION + 1, ..of_this_process() }).unwrap();
    let error = format!("{:#}", container.load().unwrap_err());
    assert!(error.contains("newer rt"), "{error}");
    container.remove().unwrap();
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn the_report_has_what_managers_read() {
    let state =
        State { created: "2026-11-21T10:00:00.000000001Z".into(), rootfs: "/b/rootfs".into(), ..of_this_process() };
    let report = serde_json::to_value(state.report(Status::Created, "root".into())).unwrap();
    let expected = serde_json::json!({
        "ociVersion": "1.3.0", "id": "c", "status": "created", "pid": state.pid, "bundle": "/b",
        "rootfs": "/b/rootfs", "created": "2026-11-21T10:00:00.000000001Z", "owner": "root", "annotations": {}
    });
    assert_eq!(report, expected);
    assert_eq!(serde_json::to_value(state.report(Status::Stopped, "root".into())).unwrap()["pid"], 0);
}
