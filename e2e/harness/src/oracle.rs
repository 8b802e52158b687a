//! Oracles: checks of the operator's guarantees over a whole run, whatever faults it contained.
//!
//! Source of truth: the operator's requests, from the audit log, and all revisions of the objects, from
//! a [`History`] that a [`Recorder`] takes by watches. The operator's own logs, metrics and code are not
//! used. All is ordered by etcd revisions, not by clocks; only [`liveness`] measures time, by the API
//! server's clock.
//!
//! | oracle | guarantee |
//! |---|---|
//! | O1 [`one_writer`] | at most one replica writes at a time, and it is the leader |
//! | O2 [`no_copy_lost`] | copies of a Ready `ConfigMapSync` equal the source; none is deleted while desired |
//! | O3 [`no_orphans`] | every copy has an existing `ConfigMapSync` |
//! | O4 [`foreign_objects`] | objects of others are not touched: only `ConfigMap`s whose ownership markers match are written, and only those that the operator created are deleted |
//! | O5 [`stability`] | no write leaves its object unchanged; while nothing changes, nothing is written |
//! | O6 [`liveness`] | after the last fault all becomes Ready in time; a leader is followed by another in time |
//!
//! Assumptions: the [`Recorder`] starts before the run, and the audit log contains the bodies of
//! requests and responses ([`testbed::control_plane::Recorded::Whole`]).
//!
//! # Usage
//! ```ignore
//! let recorder = Recorder::start(fixture.client()).await?;
//! let mark = cluster.audit().mark().await?;
//! // ... the run, until the expected state is reached ...
//! let history = recorder.history().await?;
//! let events = cluster.audit().since(mark).await?;
//! oracle::ensure_all(&history, &events)?;
//! ```
//! [`no_orphans`] checks the end of the history only: where orphan collection may still run, wait with
//! [`liveness::converged`]. [`liveness::late_handovers`] checks durations. [`stability::ensure_quiet`]
//! takes the events of a period in which nothing changed.

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

/// The operator's successful writes to `ConfigMap`s and `ConfigMapSync`s.
#[must_use]
pub fn writes<'a>(history: &History, events: &'a [Event]) -> Vec<Write<'a>> {
    accepted_write::successes(history, events)
}

/// The violations that O1 to O5 find, one sentence each, prefixed with the oracle.
#[must_use]
pub fn violations(history: &History, events: &[Event]) -> Vec<String> {
    let writes = writes(history, events);
    [
        ("O1 one writer", one_writer::violations(history, &writes)),
        ("O2 no copy lost", no_copy_lost::violations(history, &writes)),
        ("O3 no orphans", no_orphans::violations(history)),
        ("O4 foreign objects", foreign_objects::violations(history, &writes)),
        ("O5 stability", stability::violations(history, &writes)),
    ]
    .into_iter()
    .flat_map(|(oracle, found)| found.into_iter().map(move |it| format!("{oracle}: {it}")))
    .collect()
}

/// Fails with all violations if O1 to O5 find any.
pub fn ensure_all(history: &History, events: &[Event]) -> Result<()> {
    let found = violations(history, events);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}
