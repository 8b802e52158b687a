//! What the operator would do for a sync, until its plan is empty.

use std::collections::BTreeMap;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Decision;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::plan::owns_copies;
use crate::decide::reason::Reason;
use crate::decide::status::Settled;
use crate::decide::status::summary;

/// What the operator would do for one sync.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// What it would do with the finalizer.
    pub finalizer: FinalizerStep,
    /// What it would do at each destination.
    pub steps: BTreeMap<NamespacedName, ForecastStep>,
    /// The reason and message that the sync would report.
    pub report: Failure,
}

/// What the operator would do at one destination.
#[derive(Clone, Debug)]
pub struct ForecastStep {
    /// The action.
    pub action: Action,
    /// The copy that must be in sync first.
    pub after: Option<NamespacedName>,
}

// === impl Forecast ===

impl Forecast {
    /// The number of writes.
    #[must_use]
    pub fn writes(&self) -> usize {
        let finalizer = usize::from(self.finalizer != FinalizerStep::Keep);
        finalizer + self.steps.values().filter(|step| step.action.is_write()).count()
    }
}

/// What the operator would do after it has observed `observed`. `lacks_finalizer`: the finalizer is
/// part of `observed`, but has yet to be added.
#[must_use]
pub fn forecast(observed: &Observed, lacks_finalizer: bool) -> Forecast {
    let Decision { desired, plan, .. } = Decision::of(observed);
    let is_done = observed.sync.deleting && !observed.sync.has_our_finalizer();
    let mut plan = if is_done { Plan::default() } else { plan };
    let steps = follow_up(observed, &desired, &plan.steps);
    let is_held = steps.values().any(|step| matches!(step.action, Action::Leave(_)));
    let needs_finalizer = matches!(desired, Desired::Copies(_)) || owns_copies(observed);
    let finalizer = if lacks_finalizer && needs_finalizer {
        FinalizerStep::Add
    } else if observed.sync.deleting && !is_done && !is_held {
        FinalizerStep::Remove
    } else {
        FinalizerStep::Keep
    };
    plan.steps = steps.iter().map(|(at, step)| (at.clone(), step.action.clone())).collect();
    let report = summary(observed, &desired, &Settled::of(plan));
    Forecast { finalizer, steps, report }
}

/// The steps of the plan; and for an old copy that only waits for its replacement, what follows
/// once the replacement is written.
fn follow_up(
    observed: &Observed,
    desired: &Desired,
    steps: &BTreeMap<NamespacedName, Action>,
) -> BTreeMap<NamespacedName, ForecastStep> {
    let retired = plan(observed, &Desired::Nothing(None)).steps;
    let follows = |at: &NamespacedName, action: &Action| {
        let (Action::Leave(failure), Desired::Copies(wanted)) = (action, desired) else {
            return None;
        };
        let replacement = wanted.target.destination_in(&at.namespace);
        let is_written = steps.get(&replacement).is_some_and(Action::is_write);
        (failure.reason == Reason::DeletionHeld && is_written).then_some(replacement)
    };
    steps
        .iter()
        .map(|(at, action)| {
            let after = follows(at, action);
            let then = after.as_ref().and_then(|_| retired.get(at));
            let action = then.unwrap_or(action).clone();
            (at.clone(), ForecastStep { action, after })
        })
        .collect()
}
