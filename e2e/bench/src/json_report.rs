//! The results as JSON.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use anyhow::Result;
use testbed::repository;

use crate::options::Options;
use crate::results::Results;

/// Writes all results as JSON, and returns the path of the file.
pub fn write(options: &Options, results: &Results) -> Result<PathBuf> {
    let file = if let Some(file) = &options.json {
        file.clone()
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        repository::root().join("target/bench").join(format!("{now}.json"))
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("creating the folder {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(results)? + "\n";
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}
