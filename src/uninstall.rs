//! Removes what the operator leaves in a cluster, so that no `ConfigMapSync` waits for it.
//!
//! The calls are made with the permissions of the given client; progress is reported through a
//! callback.
//!
//! ```text
//! stop:  scale the Deployment to 0 -> wait until no pod is left -> wait until the Lease is free
//! undo:  keep or delete copies -> list again, until none is left
//!        -> remove finalizers -> list again, until none is left
//! ```
//!
//! # Guarantees
//! * Each write is conditional on the version that it was decided on.
//! * A finalizer is removed only after every copy is handled. After an interruption, either the
//!   finalizers are left, or no copy that would be deleted.
//! * Finalizers, labels and annotations of others are left unchanged.
//! * A second run continues where the first stopped, and repeats nothing.
//!
//! # Assumptions
//! The operator is not started again meanwhile: it would repair what is undone here.

mod copy_writes;
mod error;
mod finalizers;
mod progress;
mod stop;
mod write_batch;

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::time::sleep;

pub use copy_writes::access_to_delete;
pub use error::Error;
pub use progress::Counts;
pub use progress::Progress;
pub use stop::DeploymentScale;
pub use stop::access as access_to_stop;
pub use stop::read_scale;
pub use stop::stop;

use crate::decide::uninstall::CopyHandling;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::has_code;
use crate::uninstall::copy_writes::OwnersByUid;
use crate::uninstall::write_batch::BatchResult;

/// The pause before the next pass, after one that met only conflicts.
const PAUSE: Duration = Duration::from_secs(1);

const LIST_COPIES: &str = "list marked ConfigMaps";
const LIST_SYNCS: &str = "list ConfigMapSyncs";

/// Counts what there is to undo. Writes nothing.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn count(client: &Client, handling: CopyHandling) -> Result<Counts, Error> {
    let owners = owners(client, handling).await?;
    let mut counts = Counts::default();
    let listed = copy_writes::each_write(client, handling, &owners, async |writes| {
        for (_, action) in writes {
            counts.add(&action);
        }
    });
    listed.await.map_err(|error| ApiFailure::of(LIST_COPIES, &error))?;
    let listed = finalizers::each_page_of_syncs(client, async |syncs| {
        counts.finalizers_removed += syncs.len();
    });
    listed.await.map_err(|error| ApiFailure::of(LIST_SYNCS, &error))?;
    Ok(counts)
}

/// Cleans up copies, then removes finalizers, in passes until nothing is left. Returns the counts.
///
/// No replica may be the leader meanwhile: see [`stop()`].
///
/// # Errors
/// A list or a write fails. The other writes of the same kind have been attempted by then.
pub async fn undo(
    client: &Client,
    handling: CopyHandling,
    progress: Progress<'_>,
) -> Result<Counts, Error> {
    let owners = owners(client, handling).await?;
    let mut counts = Counts::default();
    loop {
        let pass = copy_writes::pass(client, handling, &owners, &mut counts, progress).await;
        if needs_another_pass(pass, LIST_COPIES, "ConfigMaps").await? {
            continue;
        }
        let pass = finalizers::pass(client, &mut counts, progress).await;
        if needs_another_pass(pass, LIST_SYNCS, "ConfigMapSyncs").await? {
            continue;
        }
        return Ok(counts);
    }
}

/// Whether the pass found something to do.
async fn needs_another_pass(
    pass: kube::Result<BatchResult>,
    attempt: &str,
    kind: &'static str,
) -> Result<bool, Error> {
    let result = match pass {
        Ok(result) => result,
        // The list took too long and expired: the next pass handles the remaining objects.
        Err(error) if has_code(&error, 410) => BatchResult::conflict(),
        Err(error) => return Err(ApiFailure::of(attempt, &error).into()),
    };
    if let Some(first) = result.failures.first() {
        let (count, first) = (result.failures.len(), first.clone());
        return Err(Error::Write { count, kind, first });
    }
    if result.written == 0 && result.conflicts > 0 {
        sleep(PAUSE).await;
    }
    Ok(result.written + result.conflicts > 0)
}

async fn owners(client: &Client, handling: CopyHandling) -> Result<OwnersByUid, Error> {
    let owners = match handling {
        // Keeping copies does not depend on their syncs.
        CopyHandling::Keep => Ok(OwnersByUid::new()),
        CopyHandling::Delete => copy_writes::owners(client).await,
    };
    Ok(owners.map_err(|error| ApiFailure::of(LIST_SYNCS, &error))?)
}

/// Permissions for undoing, cluster-wide, without deleting copies.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    [copy_writes::access(), finalizers::access()].concat()
}
