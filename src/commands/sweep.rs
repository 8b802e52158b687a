//! `configmapsync sweep`: lists orphans, asks, and deletes or releases them as who asks.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::api::namespaced_name::NamespacedName;
use crate::args::Sweep;
use crate::cache::Cache;
use crate::commands::Error;
use crate::commands::Exit;
use crate::commands::connect;
use crate::commands::consent::unless_agreed;
use crate::commands::say;
use crate::commands::survey::Survey;
use crate::commands::survey::survey_copies;
use crate::commands::table::short;
use crate::commands::table::table;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::plan_collection as decide;
use crate::kubernetes::calls;
use crate::kubernetes::error::CallError;
use crate::orphans::Owners;
use crate::orphans::candidates;
use crate::orphans::ensure_established;
use crate::orphans::read_owners;

/// Writes under way at a time.
const CONCURRENT_WRITES: usize = 8;

/// What would become of each orphan.
type Steps = BTreeMap<NamespacedName, (OrphanCandidate, OrphanStep)>;

/// Lists the orphans, asks, and deletes or releases them.
///
/// Between the question and the answer the cluster goes on: what is done then is what was shown
/// and is still so.
///
/// # Errors
/// What there is could not be told. What could not be written is printed, and is a
/// [`Exit::Failure`].
pub async fn sweep(flags: &Sweep) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let (survey, shown) = look(&client).await?;
    if shown.is_empty() {
        say("There are no orphans: every copy has its ConfigMapSync.\n")?;
        return Ok(Exit::Success);
    }
    say(&list(&survey, &shown, Timestamp::now()))?;
    let count = |verb| shown.values().filter(|(_, step)| step.verb() == verb).count();
    let (deletes, releases) = (count("delete"), count("release"));
    if deletes + releases == 0 {
        say("There is nothing to do.\n")?;
        return Ok(Exit::Success);
    }
    let mut steps = shown;
    if !flags.yes {
        let question = format!("Delete {deletes} and release {releases} of these ConfigMaps?");
        if let Some(exit) = unless_agreed(&question)? {
            return Ok(exit);
        }
        let (_, now) = look(&client).await?;
        steps.retain(|at, (_, step)| now.get(at).is_some_and(|(_, now)| now == step));
    }
    let done = carry_out(&client, &steps).await;
    let undone = deletes + releases - done;
    say(&format!("{done} done, {undone} not done.\n"))?;
    Ok(if undone == 0 { Exit::Success } else { Exit::Failure })
}

async fn look(client: &Client) -> Result<(Survey, Steps), Error> {
    ensure_established(client).await?;
    let survey = survey_copies(client).await?;
    let cache: &Cache = &survey.cache;
    let orphans = |owners: &Owners| ObservedOrphans {
        candidates: candidates(cache, owners),
        marked_copies: cache.marked_copies(),
        mode: CollectionMode::Requested,
    };
    let unasked = orphans(&Owners::default());
    let verdict = decide(&unasked);
    let due = verdict.unconfirmed().filter_map(|at| unasked.candidates.get(at));
    let owners = read_owners(client, cache, due).await;
    let mut orphans = orphans(&owners);
    let steps = decide(&orphans).steps.into_iter();
    // A clone of a copy belongs to whoever made it: it is no orphan.
    let orphaned = steps.filter(|(_, step)| *step != OrphanStep::Keep(KeepReason::NotOurs));
    let steps = orphaned
        .filter_map(|(at, step)| Some((at.clone(), (orphans.candidates.remove(&at)?, step))))
        .collect();
    Ok((survey, steps))
}

fn list(survey: &Survey, steps: &Steps, now: Timestamp) -> String {
    let age = |at| {
        let created = survey.created.get(at)?;
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

/// Carries out what is to be done; how much was.
async fn carry_out(client: &Client, steps: &Steps) -> usize {
    let writes: Vec<_> = steps.iter().map(|(at, (_, step))| write(client, at, step)).collect();
    let written: Vec<bool> =
        stream::iter(writes).buffer_unordered(CONCURRENT_WRITES).collect().await;
    written.into_iter().filter(|written| *written).count()
}

async fn write(client: &Client, at: &NamespacedName, step: &OrphanStep) -> bool {
    let Some(action) = step.action() else { return false };
    let why = match calls::retire(client, at, &action).await {
        // Whoever does not listen misses nothing that matters.
        Ok(()) => return say(&format!("{at}: {}d\n", step.verb())).is_ok(),
        Err(CallError::Conflict) => format!("{at} has changed meanwhile: look again"),
        Err(CallError::Failed(refusal) | CallError::Fenced(refusal)) => refusal.failure.message,
        Err(CallError::NotLeading(error)) => error.to_string(),
    };
    eprintln!("configmapsync: {why}");
    false
}
