//! `configmapsync plan`: what the operator would do, and why, without doing it.
//!
//! Reads with the permissions of the user, and decides with the code of the operator.

mod forecast;
mod format_plan;
mod permissions;
mod planned_sync;

use std::sync::Arc;

use kube::Client;

use crate::args::Output;
use crate::args::Plan;
use crate::cache::Reader;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::input::Selection;
use crate::commands::input::SyncInput;
use crate::commands::operator_settings::OperatorSettings;
use crate::commands::operator_settings::operator_settings;
use crate::commands::plan::forecast::forecast;
use crate::commands::plan::format_plan::json;
use crate::commands::plan::format_plan::text;
use crate::commands::plan::permissions::show_denials;
use crate::commands::plan::planned_sync::PlannedSync;
use crate::commands::snapshot::Snapshot;
use crate::commands::snapshot::read_everything;
use crate::commands::terminal::print;
use crate::controller::View;
use crate::controller::observe;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::scope::limited_to;
use crate::names;
use crate::reviews::Reviewer;

/// Prints the plan. Exits with [`Exit::Changes`] if it contains writes.
///
/// # Errors
/// The input is invalid, or a read fails.
pub async fn plan(flags: &Plan) -> Result<Exit, Error> {
    let (client, namespace) = connect(&flags.cluster).await?;
    let selection = Selection::of(flags.filename.as_deref(), flags.sync.as_ref(), &namespace)?;
    let OperatorSettings { protected, tenancy, scope } =
        operator_settings(&client, &flags.installation).await;
    let reviewer = Reviewer::new(client.clone(), tenancy, &scope);
    let snapshot = read_everything(&client, protected, scope).await?;
    let mut planned = Vec::new();
    for input in selection.among(&snapshot)? {
        planned.push(plan_one(&client, &reviewer, &snapshot, &input).await?);
    }
    print(&match flags.output {
        Output::Text => text(&planned),
        Output::Json => json(&planned)?,
    })?;
    let has_changes = planned.iter().any(|planned| planned.forecast.writes() > 0);
    Ok(if has_changes { Exit::Changes } else { Exit::Success })
}

async fn plan_one(
    client: &Client,
    reviewer: &Reviewer,
    snapshot: &Snapshot,
    input: &SyncInput,
) -> Result<PlannedSync, Error> {
    let name = input.name.clone();
    let incomplete = || Error::Plan { sync: name.clone(), why: "it has no uid".to_owned() };
    let (stored, exists) = input.stored(client, snapshot).await?;
    let sync = ObservedSync::of(&stored).ok_or_else(incomplete)?;
    let mut sync = limited_to(&snapshot.scope, sync);
    snapshot.cache.apply_sync(&sync);
    // The operator adds its finalizer first, and then observes again.
    let lacks_finalizer = !sync.deleting && !sync.has_our_finalizer();
    if lacks_finalizer {
        sync.finalizers.push(names::FINALIZER.to_owned());
    }
    let reader = Reader::new(client.clone(), Arc::clone(&snapshot.cache));
    let view = View::new(&snapshot.cache, &reader, reviewer);
    let observed = observe(view, &sync, false).await.observed;
    let failed =
        |failure: &Failure| Error::Plan { sync: name.clone(), why: failure.message.clone() };
    if let Some(failure) = failed_read(&observed) {
        return Err(failed(failure));
    }
    let mut forecast = forecast(&observed, lacks_finalizer);
    let denied = show_denials(reviewer, &snapshot.cache, &sync, &mut forecast).await;
    denied.map_err(|failure| failed(&failure))?;
    Ok(PlannedSync { sync: name, exists, forecast })
}

/// The first read or review that failed. The permissions of the user may differ from those of the
/// operator, so the plan would be wrong. A denied permission is no failure.
fn failed_read(observed: &Observed) -> Option<&Failure> {
    let source = match &observed.source {
        ObservedSource::Unreadable(failure) => Some(failure),
        ObservedSource::Unknown | ObservedSource::Missing { .. } | ObservedSource::Existing(_) => {
            None
        }
    };
    let held =
        observed.destinations.values().filter_map(|destination| destination.pending_retry.as_ref());
    let unread = observed.selected.as_ref().err().into_iter().chain(source);
    let mut failures = unread.chain(held.map(|held| &held.failure));
    failures.find(|failure| failure.reason != Reason::NotPermitted)
}
