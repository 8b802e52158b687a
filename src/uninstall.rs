//! Removes what the operator leaves in a cluster, so that no `ConfigMapSync` waits for it.
//!
//! The calls are made with the permissions of the given client; progress is reported through a
//! callback.
//!
//! ```text
//! stop:  scale the Deployment to 0 -> wait until no pod is left -> wait until the Lease is free
//! undo:  keep or delete copies -> list again, until none is left
//!        -> remove finalizers -> list again, until none is left
//!        -> delete the bindings of the operator, or list what is left
//! ```
//!
//! # Guarantees
//! * It ends. Each object is tried a limited number of times, and one that cannot be
//!   written does not stop the others. What is left is reported.
//! * A patch is conditional on the uid and on each value that it removes, so that other changes of the
//!   object do not make it fail. A deletion is conditional on the version that it was decided on.
//! * A finalizer is removed only after every copy was tried.
//! * Finalizers, labels and annotations of others are left unchanged.
//! * A second run continues where the first stopped, and repeats nothing.
//!
//! # Assumptions
//! The operator is not started again meanwhile: it would repair what is undone here.

mod bindings;
mod copy_writes;
mod error;
mod finalizers;
mod left;
mod progress;
mod stop;
mod write_batch;

use std::time::Duration;
use std::time::Instant;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::time::sleep;
use tokio::time::timeout;

pub use bindings::access as access_to_bindings;
pub use copy_writes::access_to_delete;
pub use error::Error;
pub use left::Left;
pub use left::LeftObject;
pub use progress::Counts;
pub use progress::Progress;
pub use stop::DeploymentScale;
pub use stop::access as access_to_stop;
pub use stop::read_scale;
pub use stop::stop;

use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::decide::uninstall::CopyHandling;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::has_code;
use crate::uninstall::bindings::binding_names;
use crate::uninstall::bindings::delete_binding;
use crate::uninstall::bindings::delete_role_binding;
use crate::uninstall::bindings::role_bindings;
use crate::uninstall::copy_writes::CopyWriter;
use crate::uninstall::finalizers::FinalizerWriter;
use crate::uninstall::left::Refusals;
use crate::uninstall::write_batch::BatchResult;

/// The pause before the next pass, after one that wrote nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the objects of a kind are listed and written. Each pass writes only what the one before
/// could not write, or what another client has set again.
const PASSES: u32 = 3;
/// The part of the remaining time, and the longest time, that is reserved for listing what is left.
const RESERVED: (u32, Duration) = (5, Duration::from_secs(10));

const LIST_COPIES: &str = "list marked ConfigMaps";
const LIST_SYNCS: &str = "list ConfigMapSyncs";

/// The end of an uninstallation.
#[derive(Clone, Debug)]
pub struct Undone {
    /// What was done.
    pub counts: Counts,
    /// What was not.
    pub left: Left,
    /// Whether the time limit was reached.
    pub is_timed_out: bool,
}

/// What has been done so far, and why the rest was not.
#[derive(Default)]
struct Run {
    counts: Counts,
    copies: Refusals,
    syncs: Refusals,
}

/// Counts what there is to undo. Writes nothing.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn count(
    client: &Client,
    scope: &Scope,
    handling: CopyHandling,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let copies = copy_writer(client, scope, handling).await?;
    let listed = copies.each_page(async |writes| {
        for write in &writes {
            counts.add(&write.action);
        }
    });
    listed.await.map_err(|error| ApiFailure::of(LIST_COPIES, &error))?;
    let syncs = FinalizerWriter { client, scope };
    let listed = syncs.each_page(async |syncs| {
        counts.finalizers_removed += syncs.len();
    });
    listed.await.map_err(|error| ApiFailure::of(LIST_SYNCS, &error))?;
    Ok(counts)
}

/// Cleans up copies in `scope`, then removes finalizers, each in a limited number of passes. If nothing is
/// left, and the namespace of the operator is in `scope`, deletes the `RoleBindings` in `scope` and the
/// `ClusterRoleBindings` of the installation with this Deployment.
///
/// No replica may be the leader meanwhile: see [`stop()`].
///
/// # Errors
/// A list fails.
pub async fn undo(
    client: &Client,
    deployment: &NamespacedName,
    (scope, handling): (&Scope, CopyHandling),
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<Undone, Error> {
    let copies = copy_writer(client, scope, handling).await?;
    let syncs = FinalizerWriter { client, scope };
    let mut run = Run::default();
    let remaining = deadline.saturating_duration_since(Instant::now());
    let reserved = RESERVED.1.min(remaining / RESERVED.0);
    let passes = timeout(remaining.saturating_sub(reserved), run.passes(&copies, &syncs, progress));
    let (is_done, is_timed_out) = match passes.await {
        Ok(ended) => (ended?, false),
        Err(_) => (false, true),
    };
    let mut left = if is_done { Left::default() } else { run.left(&copies, &syncs).await? };
    if left.is_empty() && scope.contains(&deployment.namespace) {
        run.counts.bindings_deleted = delete_bindings(client, deployment, scope, &mut left).await?;
    }
    Ok(Undone { counts: run.counts, left, is_timed_out })
}

/// Deletes the bindings, and adds those that it cannot delete to `left`. Returns how many it deleted.
async fn delete_bindings(
    client: &Client,
    deployment: &NamespacedName,
    scope: &Scope,
    left: &mut Left,
) -> Result<usize, Error> {
    let mut count = 0;
    for binding in role_bindings(client, deployment, scope).await? {
        match delete_role_binding(client, &binding).await {
            Ok(is_deleted) => count += usize::from(is_deleted),
            Err(failed) => left.add_role_binding(&binding.at, failed.failure.message),
        }
    }
    // Last: the permissions of this process may be among them.
    for name in binding_names(deployment) {
        match delete_binding(client, &name, &deployment.namespace).await {
            Ok(is_deleted) => count += usize::from(is_deleted),
            Err(failed) => left.add_binding(&name, failed.failure.message),
        }
    }
    Ok(count)
}

async fn copy_writer<'a>(
    client: &'a Client,
    scope: &'a Scope,
    handling: CopyHandling,
) -> Result<CopyWriter<'a>, Error> {
    let writer = CopyWriter::new(client, scope, handling).await;
    Ok(writer.map_err(|error| ApiFailure::of(LIST_SYNCS, &error))?)
}

/// Permissions for undoing, cluster-wide, without deleting copies.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    [copy_writes::access(), finalizers::access()].concat()
}

// === impl Run ===

impl Run {
    /// Handles copies and then finalizers. Returns whether nothing is left of both.
    async fn passes(
        &mut self,
        copies: &CopyWriter<'_>,
        syncs: &FinalizerWriter<'_>,
        progress: Progress<'_>,
    ) -> Result<bool, Error> {
        let Self { counts, copies: refused, syncs: refused_syncs } = self;
        let pass = async |result: &mut BatchResult| copies.pass(result, counts, progress).await;
        let no_copies = passes(pass, refused, LIST_COPIES).await?;
        let pass = async |result: &mut BatchResult| syncs.pass(result, counts, progress).await;
        let no_finalizers = passes(pass, refused_syncs, LIST_SYNCS).await?;
        Ok(no_copies && no_finalizers)
    }

    /// Lists what is left.
    async fn left(
        &self,
        copies: &CopyWriter<'_>,
        syncs: &FinalizerWriter<'_>,
    ) -> Result<Left, Error> {
        let mut left = Left::default();
        let listed = copies.each_page(async |writes| {
            for write in &writes {
                left.add_copy(write, &self.copies);
            }
        });
        listed.await.map_err(|error| ApiFailure::of(LIST_COPIES, &error))?;
        let listed = syncs.each_page(async |syncs| {
            for sync in &syncs {
                left.add_sync(sync, &self.syncs);
            }
        });
        listed.await.map_err(|error| ApiFailure::of(LIST_SYNCS, &error))?;
        Ok(left)
    }
}

/// Repeats `pass` until it finds nothing to do, at most [`PASSES`] times. Returns whether it found
/// nothing in the end.
async fn passes(
    mut pass: impl AsyncFnMut(&mut BatchResult) -> kube::Result<()>,
    refusals: &mut Refusals,
    attempt: &str,
) -> Result<bool, Error> {
    let mut number = 0;
    while number < PASSES {
        let mut result = BatchResult::default();
        let is_complete = match pass(&mut result).await {
            Ok(()) => true,
            // The list took too long and expired: the next pass handles the remaining objects.
            Err(error) if has_code(&error, 410) => false,
            Err(error) => return Err(ApiFailure::of(attempt, &error).into()),
        };
        if is_complete && result.is_empty() {
            return Ok(true);
        }
        let is_progress = !is_complete && result.written > 0;
        number += u32::from(!is_progress);
        if result.written == 0 {
            sleep(PAUSE).await;
        }
        refusals.extend(result.refused);
    }
    Ok(false)
}
