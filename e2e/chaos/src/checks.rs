//! The checks of a run: the oracles on every write, and the end of every `ConfigMapSync`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use harness::oracle;
use harness::oracle::Change;
use harness::oracle::History;
use harness::oracle::Kind;
use harness::oracle::Write;
use harness::oracle::foreign_objects;
use harness::oracle::no_copy_lost;
use harness::oracle::no_orphans;
use harness::oracle::one_writer;
use harness::oracle::stability;
use serde_json::Value;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until_every;

use crate::chaos_cluster::ChaosCluster;

/// Longer than the longest delay of a retry, five minutes.
const SETTLED: Duration = Duration::from_mins(8);
const PAUSE: Duration = Duration::from_secs(1);
/// How long nothing may be written in the end.
const QUIET: Duration = Duration::from_mins(1);
/// Reasons of `ConfigMapSync`s that nothing but a user can change.
const FINAL: [&str; 8] = [
    "Synced",
    "Suspended",
    "SourceNotFound",
    "KeyNotFound",
    "DestinationNamespaceNotFound",
    "DestinationProtected",
    "Conflict",
    "SourceIsCopy",
];

/// The writes since a mark.
pub struct Checked {
    pub writes: usize,
    pub violations: Vec<String>,
    /// Where the next check starts.
    pub next: Mark,
}

/// Checks the writes since `from`: who wrote, what was written, and what was deleted.
pub async fn check_writes(cluster: &ChaosCluster, from: Mark) -> Result<Checked> {
    let audit = cluster.operator.audit();
    let next = audit.mark().await?;
    let events = audit.since(from).await?;
    let history = cluster.recorder.history().await?;
    let writes = oracle::writes(&history, &events);
    Ok(Checked { writes: writes.len(), violations: violations(&history, &writes), next })
}

fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let found = [
        ("O1 one writer", one_writer::violations(history, writes)),
        ("O2 no copy lost", no_copy_lost::wrong_deletions(history, writes)),
        ("O4 foreign objects", foreign_objects::violations(history, writes)),
        ("O5 stability", stability::violations(history, writes)),
    ];
    let found = found.into_iter();
    found
        .flat_map(|(oracle, all)| all.into_iter().map(move |it| format!("{oracle}: {it}")))
        .collect()
}

/// Waits until every `ConfigMapSync` is Ready or states what only a user can change, every copy of a
/// Ready one equals its source, and no orphan exists.
pub async fn wait_settled(cluster: &ChaosCluster) -> Result<()> {
    let what = "every ConfigMapSync is Ready or states why not";
    until_every(PAUSE, what, SETTLED, || async {
        let syncs = cluster.recorder.present(|it| it.kind == Kind::Sync)?;
        let mut found: Vec<_> = syncs.iter().filter_map(unfinished).collect();
        if found.is_empty() {
            let history = cluster.recorder.history().await?;
            found.extend(no_copy_lost::violations(&history, &[]));
            found.extend(no_orphans::violations(&history));
        }
        found.truncate(10);
        Ok(Seen::from_bool(found.is_empty(), || found.join("\n")))
    })
    .await
}

/// Fails if the operator writes anything in the next minute.
pub async fn stays_quiet(cluster: &ChaosCluster) -> Result<()> {
    let mark = cluster.operator.audit().mark().await?;
    // The guarantee is about time: there is no state to wait for.
    tokio::time::sleep(QUIET).await;
    stability::ensure_quiet(&cluster.operator.audit().since(mark).await?)
}

/// How many `ConfigMapSync`s have each reason.
pub fn reasons(cluster: &ChaosCluster) -> Result<BTreeMap<String, usize>> {
    let mut reasons = BTreeMap::new();
    for sync in cluster.recorder.present(|it| it.kind == Kind::Sync)? {
        let reason = ready(&sync.object)["reason"].as_str().unwrap_or("none").to_owned();
        *reasons.entry(reason).or_default() += 1;
    }
    Ok(reasons)
}

/// Why a `ConfigMapSync` is not in a final state, if it is not.
fn unfinished(sync: &Change) -> Option<String> {
    let object = &sync.object;
    let ready = ready(object);
    let reason = ready["reason"].as_str().unwrap_or_default();
    let is_current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    let is_explained = ready["message"].as_str().is_some_and(|message| !message.is_empty());
    let is_deleting = object["metadata"]["deletionTimestamp"].is_string();
    let is_final = FINAL.contains(&reason) && is_current && is_explained && !is_deleting;
    (!is_final).then(|| format!("{}: {ready}, deleting: {is_deleting}", sync.at))
}

/// The condition `Ready`.
fn ready(sync: &Value) -> Value {
    let conditions = sync["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
    found.cloned().unwrap_or_default()
}
