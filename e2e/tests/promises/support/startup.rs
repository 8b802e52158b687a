//! The log of a replica that cannot work yet.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::replica::Replica;
use serde_json::Value;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

/// Several attempts to acquire the Lease, and several attempts of a watch.
pub const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(7);
/// Time for a Lease to expire, or for the backoff of a watch.
pub const RECOVERED: Duration = Duration::from_secs(40);

/// The log lines above the level INFO.
pub fn warnings(replica: &Replica) -> Vec<String> {
    replica.logs().iter().filter(|it| is_warning(it)).map(ToString::to_string).collect()
}

/// Whether the level of a log line is above INFO.
pub fn is_warning(line: &Value) -> bool {
    line["level"] != "INFO" && line["level"] != "DEBUG"
}

/// Waits until the replica has logged a warning with all of `words`.
pub async fn wait_warning(replica: &Replica, words: &[&str]) -> Result<()> {
    until(
        format!("{} has logged a warning with {words:?}", replica.pod().name),
        RECOVERED,
        || async {
            replica.process().expect_running()?;
            let warnings = warnings(replica);
            let found = warnings.iter().any(|line| words.iter().all(|word| line.contains(word)));
            Ok(Seen::from_bool(found, || warnings.join("\n")))
        },
    )
    .await
}

/// Fails if the replica exits, becomes ready, or repeats a warning.
pub async fn stays_unready(replica: &Replica) -> Result<()> {
    let name = &replica.pod().name;
    stays(
        format!("{name} runs, is not ready, and repeats no warning"),
        SEVERAL_ATTEMPTS,
        || async {
            replica.process().expect_running()?;
            let ready = replica.is_ready().await?;
            Ok(Seen::from_bool(!ready && !repeats_warning(replica), || {
                format!("ready: {ready}, warnings:\n{}", warnings(replica).join("\n"))
            }))
        },
    )
    .await
}

/// Whether two warnings have the same message.
pub fn repeats_warning(replica: &Replica) -> bool {
    let logs = replica.logs();
    let mut messages: Vec<_> =
        logs.iter().filter(|it| is_warning(it)).map(|line| line["message"].to_string()).collect();
    let all = messages.len();
    messages.sort();
    messages.dedup();
    messages.len() < all
}

/// Fails if the replica has panicked or exited.
pub fn ensure_not_panicked(replica: &Replica) -> Result<()> {
    let has_panicked = replica.logs().iter().any(|line| line.to_string().contains("panicked"));
    ensure!(!has_panicked, "the operator panicked:\n{}", replica.process().tail(20));
    replica.process().expect_running()
}
