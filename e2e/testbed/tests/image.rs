//! The operator's image.

use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use testbed::command;
use testbed::debian;
use testbed::image;
use testbed::pod_tests;
use testbed::run_folder::RunFolder;
use tokio::process::Command;

#[tokio::test]
async fn the_image_contains_the_license_notices() {
    if pod_tests::are_skipped() {
        return;
    }
    debian::ensure_node().await.unwrap();
    debian::ensure_rust_target(&image::target()).await.unwrap();
    let binary = image::compile(|_| {}).await.unwrap();
    let folder = RunFolder::create().unwrap();
    let image = image::build(&binary, folder.path()).await.unwrap();

    let license = read(&image.archive, "licenses/LICENSE").await.unwrap();
    assert!(license.contains("Apache License"), "{license}");
    let notices = read(&image.archive, "licenses/THIRD-PARTY-NOTICES").await.unwrap();
    for package in ["kube", "mimalloc", "ring", "tokio"] {
        let line = format!("\n  {package} ");
        assert!(notices.contains(&line), "the notices do not name {package}:\n{notices}");
    }
    for text in ["Apache License", "Permission is hereby granted, free of charge"] {
        assert!(notices.contains(text), "the notices do not contain {text:?}:\n{notices}");
    }
    // A dependency of the tests, not of the operator.
    assert!(!notices.contains("\n  proptest "), "{notices}");
}

/// The content of a file in the image.
async fn read(archive: &Path, file: &str) -> Result<String> {
    // The archive contains one archive per layer.
    let script = "set -e; cd \"$(dirname \"$1\")\"; mkdir -p unpacked; tar -xf \"$1\" -C unpacked
        for layer in unpacked/*.tar unpacked/*/layer.tar; do
            if tar -tf \"$layer\" 2>/dev/null | grep -qx \"$2\"; then tar -xOf \"$layer\" \"$2\"; exit; fi
        done
        echo \"no layer contains $2\" >&2; exit 1";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(archive).arg(file);
    command::run(&mut shell).await.with_context(|| format!("reading {file} from the image"))
}
