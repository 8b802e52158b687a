//! What Cargo.lock must hold.

use std::fs;

use crate::sources::root;

#[test]
fn kube_and_k8s_openapi_are_locked_once() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is committed");
    for package in ["kube", "kube-client", "kube-core", "kube-runtime", "k8s-openapi"] {
        let line = format!("name = \"{package}\"");
        let count = lock.lines().filter(|other| *other == line).count();
        assert_eq!(count, 1, "{package} is locked {count} times: see Cargo.toml for the versions");
    }
}
