//! The numbers, for programs.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use anyhow::Result;
use testbed::repository;

use crate::ledger::Ledger;
use crate::options::Options;

/// Writes everything that was measured as JSON, and says where.
pub fn write(options: &Options, ledger: &Ledger) -> Result<PathBuf> {
    let file = if let Some(file) = &options.json {
        file.clone()
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        repository::root().join("target/bench").join(format!("{now}.json"))
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(ledger)? + "\n";
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}
