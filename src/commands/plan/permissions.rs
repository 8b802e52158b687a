//! The permissions that a `ConfigMapSync` in sync needs with the next change of its source.
//!
//! The operator asks for permissions when there is something to read or to write. A plan asks at once: it
//! shows which copies would stay as they are under another tenancy.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::commands::plan::forecast::Forecast;
use crate::decide::Action;
use crate::decide::Failure;
use crate::decide::desired::source_name;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::verb::Verb;
use crate::reviews::Consents;
use crate::reviews::Reviewer;

/// Replaces the steps that keep copies in sync by the denials that the next change would meet.
///
/// # Errors
/// A review failed: it is not known what is permitted.
pub async fn show_denials(
    reviewer: &Reviewer,
    cache: &Cache,
    sync: &ObservedSync,
    forecast: &mut Forecast,
) -> Result<(), Failure> {
    let mut consents = Consents::of(reviewer.account_of(sync));
    let kept = kept(forecast);
    let Ok(spec) = &sync.spec else { return Ok(()) };
    if kept.is_empty() {
        return Ok(());
    }
    let source = consents.ask_source(reviewer, cache, sync, &source_name(spec)).await;
    let denied = match source {
        Ok(()) => {
            let verbs: BTreeSet<_> = [Verb::Update, Verb::Delete].into();
            let needed = kept.into_iter().map(|at| (at, verbs.clone())).collect();
            consents.ask_writes(reviewer, cache, sync, needed).await
        }
        Err(denied) => kept.into_iter().map(|at| (at, denied.clone())).collect(),
    };
    let denied: BTreeMap<_, _> =
        denied.into_iter().map(|(at, denied)| (at, denied.failure.failure)).collect();
    if let Some(failed) = denied.values().find(|it| it.reason != Reason::NotPermitted) {
        return Err(failed.clone());
    }
    for (at, failure) in denied {
        if let Some(step) = forecast.steps.get_mut(&at) {
            step.action = Action::Leave(failure.clone());
        }
        forecast.report = failure;
    }
    Ok(())
}

fn kept(forecast: &Forecast) -> Vec<NamespacedName> {
    let steps = forecast.steps.iter().filter(|(_, step)| step.action == Action::Keep);
    steps.map(|(at, _)| at.clone()).collect()
}
