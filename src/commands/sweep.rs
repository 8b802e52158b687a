//! `configmapsync sweep`: lists orphans, and deletes or releases them after confirmation.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::api::namespaced_name::NamespacedName;
use crate::args::Sweep;
use crate::cache::Cache;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::snapshot::Snapshot;
use crate::commands::snapshot::read_copies;
use crate::commands::table::short;
use crate::commands::table::table;
use crate::commands::terminal::exit_unless_confirmed;
use crate::commands::terminal::print;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::plan_collection;
use crate::kubernetes::calls;
use crate::kubernetes::error::CallError;
use crate::orphans::Owners;
use crate::orphans::candidates;
use crate::orphans::ensure_established;
use crate::orphans::read_owners;

/// The maximum number of concurrent writes.
const CONCURRENT_WRITES: usize = 8;

/// The orphans, and the planned step for each.
type Steps = BTreeMap<NamespacedName, (OrphanCandidate, OrphanStep)>;

/// Lists the orphans, asks for confirmation, and deletes or releases them.
///
/// The cluster may change before the user confirms: a step is executed only if it was printed, and is
/// still planned after the confirmation.
///
/// # Errors
/// The orphans could not be determined. A write that fails is printed, and leads to
/// [`Exit::Failure`].
pub async fn sweep(flags: &Sweep) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let (snapshot, mut steps) = plan_steps(&client).await?;
    if steps.is_empty() {
        print("There are no orphans: every copy has its ConfigMapSync.\n")?;
        return Ok(Exit::Success);
    }
    print(&list(&snapshot, &steps, Timestamp::now()))?;
    let count = |verb| steps.values().filter(|(_, step)| step.verb() == verb).count();
    let (deletes, releases) = (count("delete"), count("release"));
    if deletes + releases == 0 {
        print("There is nothing to delete or release.\n")?;
        return Ok(Exit::Success);
    }
    if !flags.yes {
        let question = format!("Delete {deletes} and release {releases} of these ConfigMaps?");
        if let Some(exit) = exit_unless_confirmed(&question)? {
            return Ok(exit);
        }
        let (_, current) = plan_steps(&client).await?;
        steps.retain(|at, (_, step)| current.get(at).is_some_and(|(_, current)| current == step));
    }
    let done = execute(&client, &steps).await;
    let failed = deletes + releases - done;
    print(&format!("{done} done, {failed} not done.\n"))?;
    Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
}

async fn plan_steps(client: &Client) -> Result<(Snapshot, Steps), Error> {
    ensure_established(client).await?;
    let snapshot = read_copies(client).await?;
    snapshot.read_adopters(client).await?;
    let cache: &Cache = &snapshot.cache;
    let orphans = |owners: &Owners| {
        let candidates = candidates(cache, owners);
        ObservedOrphans::all(candidates, cache.marked_copies(), CollectionMode::Requested)
    };
    let unconfirmed = orphans(&Owners::default());
    let plan = plan_collection(&unconfirmed);
    let due = plan.unconfirmed().filter_map(|at| unconfirmed.candidates.get(at));
    let owners = read_owners(client, cache, due).await;
    let mut orphans = orphans(&owners);
    let steps = plan_collection(&orphans).steps.into_iter();
    // A clone of a copy is not an orphan: it belongs to its creator.
    let steps = steps.filter(|(_, step)| *step != OrphanStep::Keep(KeepReason::NotOurs));
    let steps = steps
        .filter_map(|(at, step)| Some((at.clone(), (orphans.candidates.remove(&at)?, step))))
        .collect();
    Ok((snapshot, steps))
}

fn list(snapshot: &Snapshot, steps: &Steps, now: Timestamp) -> String {
    let age = |at| {
        let created = snapshot.created.get(at)?;
        Some(short(Duration::try_from(now.duration_since(*created)).unwrap_or_default()))
    };
    let rows: Vec<_> = steps
        .iter()
        .map(|(at, (candidate, step))| {
            [
                at.to_string(),
                candidate.markers.sync.clone().unwrap_or_default(),
                candidate.markers.sync_uid.clone(),
                age(at).unwrap_or_default(),
                step.verb().to_owned(),
                step.why(candidate),
            ]
        })
        .collect();
    table(["COPY", "CONFIGMAPSYNC", "UID", "AGE", "ACTION", "WHY"], &rows)
}

/// Executes the steps. Returns the number of successful ones.
async fn execute(client: &Client, steps: &Steps) -> usize {
    let writes: Vec<_> = steps.iter().map(|(at, (_, step))| write(client, at, step)).collect();
    let written: Vec<bool> =
        stream::iter(writes).buffer_unordered(CONCURRENT_WRITES).collect().await;
    written.into_iter().filter(|written| *written).count()
}

async fn write(client: &Client, at: &NamespacedName, step: &OrphanStep) -> bool {
    let Some(action) = step.action() else { return false };
    let why = match calls::retire(client, at, &action).await {
        Ok(()) => return print(&format!("{at}: {}d\n", step.verb())).is_ok(),
        Err(CallError::Conflict(_)) => {
            format!("cannot {} ConfigMap {at}: it has changed: run this again", step.verb())
        }
        Err(CallError::Failed(failed) | CallError::Fenced(failed)) => failed.failure.message,
        Err(CallError::NotLeading(error)) => error.to_string(),
    };
    eprintln!("configmapsync: {why}");
    false
}
