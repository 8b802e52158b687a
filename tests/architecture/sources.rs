//! The sources of the repository.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The folders that hold our Rust code.
const FOLDERS: [&str; 3] = ["src", "tests", "e2e"];

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file, by its path from the root, and its text.
pub fn sources() -> Vec<(PathBuf, String)> {
    let paths = FOLDERS.into_iter().flat_map(|folder| rust_files(&root().join(folder)));
    paths
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source can be read");
            (path.strip_prefix(root()).expect("it is below the root").to_owned(), text)
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
