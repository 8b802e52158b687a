//! What a replica that cannot start yet logs.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::replica::Replica;
use serde_json::Value;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

/// Several polls of the Lease, and several tries of a watch.
pub const A_WHILE: Duration = Duration::from_secs(7);
/// A Lease may have to expire first, or a watch's backoff to pass.
pub const MENDED: Duration = Duration::from_secs(40);

/// The lines that ask for somebody's attention.
pub fn complaints(replica: &Replica) -> Vec<String> {
    replica.logs().iter().filter(|it| asks(it)).map(ToString::to_string).collect()
}

pub fn asks(line: &Value) -> bool {
    line["level"] != "INFO" && line["level"] != "DEBUG"
}

/// Waits until there is a complaint with all of `words`.
pub async fn wait_complaint(replica: &Replica, words: &[&str]) -> Result<()> {
    until(format!("{} complains of {words:?}", replica.pod().name), MENDED, || async {
        replica.process().expect_running()?;
        let complaints = complaints(replica);
        let told = complaints.iter().any(|line| words.iter().all(|word| line.contains(word)));
        Ok(Seen::from_bool(told, || complaints.join("\n")))
    })
    .await
}

/// Makes sure that it goes on, not ready, and does not complain again and again.
pub async fn stays_patient(replica: &Replica) -> Result<()> {
    let name = &replica.pod().name;
    stays(format!("{name} waits, not ready, and complains of nothing twice"), A_WHILE, || async {
        replica.process().expect_running()?;
        let ready = replica.is_ready().await?;
        Ok(Seen::from_bool(!ready && !complains_twice(replica), || {
            format!("ready: {ready}, complaints:\n{}", complaints(replica).join("\n"))
        }))
    })
    .await
}

pub fn complains_twice(replica: &Replica) -> bool {
    let logs = replica.logs();
    let mut messages: Vec<_> =
        logs.iter().filter(|it| asks(it)).map(|line| line["message"].to_string()).collect();
    let all = messages.len();
    messages.sort();
    messages.dedup();
    messages.len() < all
}

/// Makes sure that it never panicked.
pub fn never_panicked(replica: &Replica) -> Result<()> {
    let panics = replica.logs().iter().any(|line| line.to_string().contains("panicked"));
    ensure!(!panics, "it panicked:\n{}", replica.process().tail(20));
    replica.process().expect_running()
}
