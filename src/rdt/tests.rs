//! The rules of intelRdt, on a plain directory tree that imitates resctrl.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::plan::rdt::tests::planned;

/// A tree with the classes `gold` and the default one; files appear in a new directory when they are written, as no
/// kernel makes them.
struct Tree(TempDir);

impl Tree {
    fn new() -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        for class in ["", "gold"] {
            let directory = tree.0.path().join(class);
            std::fs::create_dir_all(directory.join("mon_groups")).unwrap();
            tree.populate(&directory, "L3:0=7ff;1=7ff\nMB:0=100;1=100\n");
        }
        tree
    }

    fn populate(&self, directory: &Path, schemata: &str) {
        std::fs::write(directory.join("schemata"), schemata).unwrap();
        std::fs::write(directory.join("tasks"), "").unwrap();
    }

    fn look(&self, rdt: Value) -> Result<RdtPlace, String> {
        look_below(self.0.path(), &planned(rdt)).map_err(|faults| faults.to_string())
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    /// Makes the group as the kernel would: its files are there as soon as its directory is.
    fn make(&self, rdt: Value) -> (Rdt, anyhow::Result<()>) {
        let plan = planned(rdt);
        let mut made = Rdt::at(look_below(self.0.path(), &plan).unwrap());
        made.make_class().unwrap();
        if !made.made.is_empty() {
            std::fs::create_dir(made.place.directory.join("mon_groups")).unwrap();
            self.populate(&made.place.directory, "");
        }
        let result = made.fill(&plan);
        (made, result)
    }

    /// The kernel's files are no reason for rmdir to fail.
    fn forget_files(&self, directory: &str) {
        let directory = self.0.path().join(directory);
        for name in ["schemata", "tasks"] {
            let _ = std::fs::remove_file(directory.join(name));
        }
        let _ = std::fs::remove_dir(directory.join("mon_groups"));
    }
}

#[test]
fn without_clos_id_the_class_is_the_containers_and_goes_with_it() {
    let tree = Tree::new();
    let (made, result) =
        tree.make(json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L2:0=1"]}));
    result.unwrap();
    assert_eq!(tree.read("c1/schemata"), "L3:0=f\nMB:0=20\nL2:0=1\n");
    made.join(42).unwrap();
    assert_eq!(tree.read("c1/tasks"), "42\n");
    assert!(tree.look(json!({})).unwrap_err().ends_with("c1 exists already"));
    tree.forget_files("c1");
    remove(&made.place).unwrap();
    assert!(!tree.0.path().join("c1").exists());
    remove(&made.place).unwrap();
}

#[test]
fn a_class_with_a_name_is_made_and_stays() {
    let tree = Tree::new();
    let (made, result) = tree.make(json!({"closID": "silver", "memBwSchema": "MB:0=20"}));
    result.unwrap();
    assert_eq!(tree.read("silver/schemata"), "MB:0=20\n");
    tree.forget_files("silver");
    remove(&made.place).unwrap();
    assert!(tree.0.path().join("silver").exists());
}

#[test]
fn a_failed_creation_takes_back_what_it_made_and_only_that() {
    let tree = Tree::new();
    let (mut made, result) = tree.make(json!({"closID": "silver", "memBwSchema": "MB:0=20", "enableMonitoring": true}));
    result.unwrap();
    assert!(tree.0.path().join("silver/mon_groups/c1").is_dir());
    std::fs::remove_dir(tree.0.path().join("silver/mon_groups/c1")).unwrap();
    tree.forget_files("silver");
    made.undo().unwrap();
    assert!(!tree.0.path().join("silver").exists());
    let (mut made, result) = tree.make(json!({"closID": "gold", "schemata": ["L3:0=1"]}));
    result.unwrap();
    made.undo().unwrap();
    assert!(tree.read("gold/schemata").ends_with("L3:0=1\n"));
}

#[test]
fn a_class_that_is_there_must_have_the_same_schema() {
    let tree = Tree::new();
    assert!(tree.look(json!({"closID": "gold", "l3CacheSchema": "L3:0=7ff"})).is_ok());
    assert!(tree.look(json!({"closID": "/", "memBwSchema": "MB:1=100"})).is_ok());
    let error = tree.look(json!({"closID": "gold", "l3CacheSchema": "L3:0=7f"})).unwrap_err();
    assert!(error.starts_with("config.json: /linux/intelRdt/l3CacheSchema: \"L3:0=7f\" is asked for, but "), "{error}");
    assert!(error.ends_with("has \"L3:0=7ff;1=7ff\""), "{error}");
    let error = tree.look(json!({"closID": "gold", "memBwSchema": "MB:0=10"})).unwrap_err();
    assert!(error.contains("/linux/intelRdt/memBwSchema"), "{error}");
}

#[test]
fn a_class_without_schema_must_be_there() {
    let tree = Tree::new();
    let (made, result) = tree.make(json!({"closID": "gold"}));
    result.unwrap();
    assert_eq!(tree.read("gold/schemata"), "L3:0=7ff;1=7ff\nMB:0=100;1=100\n", "nothing is written");
    made.join(7).unwrap();
    assert_eq!(tree.read("gold/tasks"), "7\n");
    let error = tree.look(json!({"closID": "silver"})).unwrap_err();
    assert!(error.starts_with("config.json: /linux/intelRdt/closID: "), "{error}");
}

#[test]
fn the_default_class_takes_the_container_and_keeps_its_schema() {
    let tree = Tree::new();
    let (made, result) = tree.make(json!({"closID": "/"}));
    result.unwrap();
    made.join(9).unwrap();
    assert_eq!(tree.read("tasks"), "9\n");
    remove(&made.place).unwrap();
    assert!(tree.0.path().exists());
}

#[test]
fn a_monitoring_group_bears_the_containers_id_and_goes_with_it() {
    let tree = Tree::new();
    let (made, result) = tree.make(json!({"closID": "gold", "enableMonitoring": true}));
    result.unwrap();
    let monitor = tree.0.path().join("gold/mon_groups/c1");
    std::fs::write(monitor.join("tasks"), "").unwrap();
    made.join(5).unwrap();
    assert_eq!((tree.read("gold/tasks"), tree.read("gold/mon_groups/c1/tasks")), ("5\n".into(), "5\n".into()));
    let error = tree.look(json!({"closID": "gold", "enableMonitoring": true})).unwrap_err();
    assert!(error.starts_with("config.json: /linux/intelRdt/enableMonitoring: "), "{error}");
    std::fs::remove_file(monitor.join("tasks")).unwrap();
    remove(&made.place).unwrap();
    assert!(!monitor.exists() && tree.0.path().join("gold").exists());
}

#[test]
fn a_monitoring_group_that_cannot_be_made_is_an_error_in_the_kernels_words() {
    let tree = Tree::new();
    std::fs::remove_dir(tree.0.path().join("gold/mon_groups")).unwrap();
    std::fs::create_dir(tree.0.path().join("info")).unwrap();
    std::fs::write(tree.0.path().join("info/last_cmd_status"), "Out of RMIDs\n").unwrap();
    let (_, result) = tree.make(json!({"closID": "gold", "enableMonitoring": true}));
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.starts_with("config.json: /linux/intelRdt: mkdir ") && error.contains("(Out of RMIDs)"), "{error}");
}

#[test]
fn resctrl_is_found_wherever_it_is_mounted() {
    let line = "99 23 0:40 / /mnt/res\\040ctrl rw,relatime shared:9 - resctrl resctrl rw";
    assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/res ctrl")));
    assert_eq!(mount_point(&line.replace("- resctrl", "- tmpfs")), None);
    assert_eq!(mount_point(&line.replace("0:40 / ", "0:40 /gold ")), None);
    assert_eq!(mount_point(""), None);
}
