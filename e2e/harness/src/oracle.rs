//! Oracles: what must be true of a run, whatever happened in it, and however it is looked at.
//!
//! They know nothing of what the operator believes. What it did stands in the audit log; what
//! there was, revision by revision, in the [`History`] that a [`Recorder`] took from the API
//! server. Revisions of etcd order all of it: no clock is trusted.
//!
//! | oracle | what it asks |
//! |---|---|
//! | [`one_writer`] | one pod writes at a time, and it is the one that leads |
//! | [`none_lost`] | the copies of a sync that is Ready equal the source; none was absent while wanted |
//! | [`no_orphan`] | every marked copy has a living sync |
//! | [`foreign_objects`] | only what carries our identity was changed, only what we created deleted |
//! | [`stable`] | no write changed nothing; in a quiet time there was none |
//! | [`live`] | all is in order again soon after the last fault, and a leader is soon followed by another |
//!
//! # How to use them
//! ```ignore
//! let recorder = Recorder::start(fixture.client()).await?;   // before anything happens
//! let mark = world.audit().mark().await?;
//! // ... the run, until all is as it should be ...
//! let history = recorder.history().await?;                   // has all that was done before
//! let events = world.audit().since(mark).await?;
//! oracle::ensure_all(&history, &events)?;
//! ```
//! [`no_orphan`] is a question about the end: where a sweep has time to come, ask it again until
//! then; [`liveness::converged`] does, for this and the others that are about the end.
//! [`liveness::late_handovers`] is about how long it took. [`stability::ensure_quiet`] takes the events of a time in which nothing should have happened.

mod accepted_write;
mod copy_identity;
mod desired_copies;
pub mod foreign_objects;
mod history;
pub mod leader_terms;
pub mod liveness;
pub mod no_copy_lost;
pub mod no_orphans;
pub mod one_writer;
mod recorder;
#[cfg(test)]
mod sample_history;
pub mod stability;

pub use crate::oracle::accepted_write::Write;
pub use crate::oracle::copy_identity::Identity;
pub use crate::oracle::history::Change;
pub use crate::oracle::history::History;
pub use crate::oracle::history::Kind;
pub use crate::oracle::recorder::Recorder;

use anyhow::Result;
use anyhow::ensure;
use testbed::audit::Event;

/// The operator's successful writes of `ConfigMap`s and `ConfigMapSync`s.
#[must_use]
pub fn writes<'a>(history: &History, events: &'a [Event]) -> Vec<Write<'a>> {
    accepted_write::successes(history, events)
}

/// All that is wrong, in the order of the oracles, each in one sentence.
#[must_use]
pub fn violations(history: &History, events: &[Event]) -> Vec<String> {
    let writes = writes(history, events);
    [
        ("O1 one writer", one_writer::violations(history, &writes)),
        ("O2 none lost", no_copy_lost::violations(history, &writes)),
        ("O3 no orphan", no_orphans::violations(history)),
        ("O4 no foreign harm", foreign_objects::violations(history, &writes)),
        ("O5 stable", stability::violations(history, &writes)),
    ]
    .into_iter()
    .flat_map(|(oracle, found)| found.into_iter().map(move |it| format!("{oracle}: {it}")))
    .collect()
}

/// Makes sure that nothing is wrong.
pub fn ensure_all(history: &History, events: &[Event]) -> Result<()> {
    let found = violations(history, events);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}
