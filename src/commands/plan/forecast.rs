//! What the rounds of a sync would do until nothing is left to do.

use std::collections::BTreeMap;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::plan::owns_copies;
use crate::decide::reason::Reason;
use crate::decide::status::Settled;
use crate::decide::status::summary;

/// What would be done for one sync.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// What would be done to its finalizer.
    pub finalizer: FinalizerStep,
    /// What would be done at each place.
    pub steps: BTreeMap<NamespacedName, Foreseen>,
    /// What the sync would report of itself where not all is well; the places speak for
    /// themselves.
    pub verdict: Failure,
}

/// What would be done at one place.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// What.
    pub action: Action,
    /// Not before this copy is in order.
    pub after: Option<NamespacedName>,
}

// === impl Forecast ===

impl Forecast {
    /// How many writes there would be.
    #[must_use]
    pub fn writes(&self) -> usize {
        let finalizer = usize::from(self.finalizer != FinalizerStep::Keep);
        finalizer + self.steps.values().filter(|step| step.action.is_write()).count()
    }
}

/// Foresees what becomes of what was observed, under a finalizer that may have yet to be added.
#[must_use]
pub fn forecast(observed: &Observed, lacks_finalizer: bool) -> Forecast {
    let desired = desired(observed);
    let is_done = observed.sync.deleting && !observed.sync.has_our_finalizer();
    let mut plan = if is_done { Plan::default() } else { plan(observed, &desired) };
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
    let verdict = summary(observed, &desired, &Settled::of(plan));
    Forecast { finalizer, steps, verdict }
}

/// An old copy that only waits for a replacement which is about to be written goes afterwards.
fn follow_up(
    observed: &Observed,
    desired: &Desired,
    steps: &BTreeMap<NamespacedName, Action>,
) -> BTreeMap<NamespacedName, Foreseen> {
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
            (at.clone(), Foreseen { action, after })
        })
        .collect()
}
