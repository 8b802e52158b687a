//! A plan that requires no more writes in this reconcile.

use std::collections::BTreeMap;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Failure;
use crate::decide::Plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::reason::Reason;
use crate::decide::reason::Retry;

/// A plan that requires no more writes in this reconcile.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Why the finalizer is not as planned, if it is not.
    pub(super) finalizer: Option<Failure>,
    steps: BTreeMap<NamespacedName, Action>,
}

// === impl Settled ===

impl Settled {
    /// Converts the plan of the last pass. Writes that were planned but not carried out are
    /// reported as [`Reason::Progressing`].
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        let settle = |(at, action): (NamespacedName, Action)| match action {
            write if write.is_write() => {
                let message = format!("ConfigMap {at} is not written yet ({})", write.verb());
                (at, Action::Leave(Failure::new(Reason::Progressing, message)))
            }
            other => (at, other),
        };
        let finalizer = match plan.finalizer {
            FinalizerStep::Wait(failure) => Some(failure),
            FinalizerStep::Add => {
                Some(Failure::new(Reason::Progressing, "the finalizer is not set yet"))
            }
            FinalizerStep::Keep | FinalizerStep::Remove => None,
        };
        Self { finalizer, steps: plan.steps.into_iter().map(settle).collect() }
    }

    /// The number of writes, of copies and of the finalizer, that are retried with backoff.
    #[must_use]
    pub fn retry_count(&self) -> usize {
        let of_copies = self.failures().into_iter().map(|(_, failure)| failure);
        let failures = of_copies.chain(&self.finalizer);
        failures.filter(|failure| failure.reason.retry() == Retry::Backoff).count()
    }

    /// Whether the destination `at` is not as desired, or not known to be: without the finalizer,
    /// no copy is written.
    #[must_use]
    pub fn is_left(&self, at: &NamespacedName) -> bool {
        self.finalizer.is_some() || matches!(self.steps.get(at), Some(Action::Leave(_)))
    }

    /// Whether the destination `at` is as desired.
    pub(super) fn is_ready(&self, at: &NamespacedName) -> bool {
        self.steps.get(at) == Some(&Action::Keep)
    }

    /// The destination with the most severe failure, and that failure; of several, the first by name.
    #[must_use]
    pub fn worst(&self) -> Option<(&NamespacedName, &Failure)> {
        let failures = self.failures().into_iter().filter(|(_, failure)| is_failure(failure));
        failures.min_by_key(|(_, failure)| failure.reason)
    }

    /// The number of destinations that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures().iter().filter(|(_, failure)| is_failure(failure)).count()
    }

    /// The destinations that are not as desired, failed or pending.
    pub(super) fn failures(&self) -> Vec<(&NamespacedName, &Failure)> {
        self.steps
            .iter()
            .filter_map(|(at, action)| match action {
                Action::Leave(failure) => Some((at, failure)),
                _ => None,
            })
            .collect()
    }
}

/// Whether this is a failure, and not only a pending read or write.
pub(super) fn is_failure(failure: &Failure) -> bool {
    failure.reason != Reason::Progressing
}
