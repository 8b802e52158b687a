//! Undoes what the operator has left in a cluster, so that it can go and wedge nothing.
//!
//! Knows neither who asks nor how it is told: works as whoever has the client.
//!
//! ```text
//! stop:  Deployment scaled to 0 -> no pod is left -> nobody holds the Lease
//! undo:  copies spared, or deleted -> a look finds none to do -> finalizers lifted -> a look finds
//!        neither to do
//! ```
//!
//! Guarantees: each write is conditional on the version that it was decided on; a finalizer is
//! lifted only when every copy is dealt with, so that whatever interrupts this leaves either the
//! finalizers or nothing that asks for a deletion; other people's finalizers, labels and
//! annotations are left alone; run again, it goes on where it stopped, and does nothing twice.
//!
//! Assumes that nobody starts the operator again meanwhile: it would repair what is undone here.

mod copies;
mod stop;
mod syncs;
mod writes;

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::time::sleep;

pub use copies::access_to_delete;
pub use stop::Scaled;
pub use stop::access as access_to_stop;
pub use stop::scaled;
pub use stop::stop;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::uninstall::CopyHandling;
use crate::uninstall::copies::Owners;
use crate::uninstall::writes::Tally;

/// How long to wait before another look at what has changed meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// Told of what is done, line by line.
pub type Tell<'a> = &'a dyn Fn(&str);

/// What was undone, or is left to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Copies that lose the mark that asks for their deletion.
    pub spared: usize,
    /// Copies that are deleted.
    pub deleted: usize,
    /// Copies that lose all our markers.
    pub released: usize,
    /// Syncs that lose our finalizer.
    pub lifted: usize,
}

/// The operator could not be stopped, or not all of it be undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error("cannot {attempt}")]
    Read {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: kube::Error,
    },
    /// The Deployment could not be scaled.
    #[error("cannot scale Deployment {deployment} to 0")]
    Scale {
        /// Which.
        deployment: NamespacedName,
        /// Why it failed.
        source: kube::Error,
    },
    /// Pods of the operator do not end.
    #[error(
        "pods of Deployment {deployment} do not end, or are started again: {pods}: see what holds \
         them, and that nothing scales the Deployment up"
    )]
    PodsLeft {
        /// The Deployment.
        deployment: NamespacedName,
        /// Their names.
        pods: String,
    },
    /// Somebody leads who is none of the pods that were to end.
    #[error("{holder} holds the Lease {lease} and goes on renewing it: stop that operator, too")]
    Led {
        /// Who.
        holder: String,
        /// Which Lease.
        lease: NamespacedName,
    },
    /// Some writes were refused.
    #[error("{count} {of} could not be written, the first: {first}")]
    Refused {
        /// How many.
        count: usize,
        /// Of what.
        of: &'static str,
        /// The first of them.
        first: String,
    },
}

// === impl Counts ===

impl Counts {
    /// How many writes that is.
    #[must_use]
    pub const fn writes(&self) -> usize {
        self.spared + self.deleted + self.released + self.lifted
    }
}

/// Counts what there is to undo. Writes nothing.
///
/// # Errors
/// A list is refused.
pub async fn left(client: &Client, copies: CopyHandling) -> Result<Counts, Error> {
    let owners = owners(client, copies).await?;
    let mut counts = Counts::default();
    let listed = copies::each_step(client, copies, &owners, async |steps| {
        for (_, action) in steps {
            counts.add(&action);
        }
    });
    listed.await.map_err(|source| read("list marked ConfigMaps", source))?;
    let listed = syncs::each_held(client, async |syncs| counts.lifted += syncs.len()).await;
    listed.map_err(|source| read("list ConfigMapSyncs", source))?;
    Ok(counts)
}

/// Undoes it, until a look finds nothing left to do; what was done.
///
/// Nobody may lead: see [`stop()`].
///
/// # Errors
/// A list or a write is refused. Whatever else can be written of its kind has been by then.
pub async fn undo(client: &Client, copies: CopyHandling, tell: Tell<'_>) -> Result<Counts, Error> {
    let owners = owners(client, copies).await?;
    let mut counts = Counts::default();
    loop {
        let tally = copies::pass(client, copies, &owners, &mut counts, tell).await;
        if settle(tally, "list marked ConfigMaps", "ConfigMaps").await? {
            continue;
        }
        let tally = syncs::pass(client, &mut counts, tell).await;
        if settle(tally, "list ConfigMapSyncs", "ConfigMapSyncs").await? {
            continue;
        }
        return Ok(counts);
    }
}

/// Whether there was anything to do, so that another look is due.
async fn settle(
    tally: kube::Result<Tally>,
    attempt: &str,
    of: &'static str,
) -> Result<bool, Error> {
    let tally = match tally {
        Ok(tally) => tally,
        // The walk took too long: what it has not come to, the next one does.
        Err(kube::Error::Api(status)) if status.code == 410 => Tally::of_change(),
        Err(source) => return Err(read(attempt, source)),
    };
    if let Some(first) = tally.refused.first() {
        let (count, first) = (tally.refused.len(), first.clone());
        return Err(Error::Refused { count, of, first });
    }
    if tally.written == 0 && tally.changed > 0 {
        sleep(PAUSE).await;
    }
    Ok(tally.written + tally.changed > 0)
}

async fn owners(client: &Client, copies: CopyHandling) -> Result<Owners, Error> {
    let owners = match copies {
        // Nothing is asked of them.
        CopyHandling::Keep => Ok(Owners::new()),
        CopyHandling::Delete => syncs::owners(client).await,
    };
    owners.map_err(|source| read("list ConfigMapSyncs", source))
}

fn read(attempt: &str, source: kube::Error) -> Error {
    Error::Read { attempt: attempt.to_owned(), source }
}

/// What undoing needs, cluster-wide, unless copies are to be deleted.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    [copies::access(), syncs::access()].concat()
}
