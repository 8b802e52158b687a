//! The answers of reviews, for a short time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::verb::Verb;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::watches::ticking;

/// How long a permission is used to decide. A write that follows starts within
/// [`START`](crate::reviews::consents::START) of the question, or is decided again.
const ALLOWED: Duration = Duration::from_secs(50);
/// How long a denial is used: not long, so that a permission granted meanwhile is soon seen.
const DENIED: Duration = Duration::from_secs(10);
/// How often outdated answers are dropped.
const PURGE_PERIOD: Duration = Duration::from_secs(10);
/// Maximum number of answers. Further ones are not kept.
const MAX_ANSWERS: usize = 16_384;

/// Whether a ServiceAccount has one permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// The ServiceAccount.
    pub account: NamespacedName,
    /// The verb, on `ConfigMaps`.
    pub verb: Verb,
    /// The namespace; `None`: all namespaces.
    pub namespace: Option<String>,
    /// The name of the `ConfigMap`; `None`: RBAC does not see it.
    pub name: Option<String>,
    /// uid of the namespace: the answer does not apply to a later one of the same name.
    pub namespace_uid: Option<String>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// When the review was sent.
    pub asked: Instant,
    /// When it was answered.
    pub answered: Instant,
    /// Whether it is allowed, or why the review failed.
    pub allowed: Result<bool, ApiFailure>,
}

/// Locked while the question is asked.
type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

/// The answers that are still of use.
#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_question: HashMap<Question, Slot>,
    purged: Option<Instant>,
}

// === impl Answer ===

impl Answer {
    /// Whether a caller that came at `since` may use this at `now`. A failure is shared with those
    /// only that were waiting for it.
    fn is_usable(&self, since: Instant, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.asked);
        match self.allowed {
            Ok(true) => age < ALLOWED,
            Ok(false) => age < DENIED,
            Err(_) => self.answered >= since,
        }
    }
}

// === impl Answers ===

impl Answers {
    /// The answer to `question`: a recent one, that for which another caller waits, or the result of
    /// `ask`.
    pub async fn answer<Asked>(
        &self,
        question: Question,
        ask: impl FnOnce(Question) -> Asked,
    ) -> Answer
    where
        Asked: Future<Output = Result<bool, ApiFailure>>,
    {
        let since = Instant::now();
        let slot = self.slots.lock().slot(&question, since);
        let mut known = ticking(slot.lock(), || ()).await;
        if let Some(answer) = &*known
            && answer.is_usable(since, Instant::now())
        {
            return answer.clone();
        }
        let asked = Instant::now();
        let allowed = ask(question).await;
        let answer = Answer { asked, answered: Instant::now(), allowed };
        *known = Some(answer.clone());
        answer
    }
}

// === impl Slots ===

impl Slots {
    fn slot(&mut self, question: &Question, now: Instant) -> Slot {
        self.purge(now);
        if let Some(slot) = self.by_question.get(question) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        if self.by_question.len() < MAX_ANSWERS {
            self.by_question.insert(question.clone(), Arc::clone(&slot));
        }
        slot
    }

    fn purge(&mut self, now: Instant) {
        if self.purged.is_some_and(|purged| now.saturating_duration_since(purged) < PURGE_PERIOD) {
            return;
        }
        self.purged = Some(now);
        self.by_question.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot
                    .try_lock()
                    .is_ok_and(|known| known.as_ref().is_some_and(|it| it.is_usable(now, now)))
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn question(number: usize) -> Question {
        Question {
            account: NamespacedName::new("team", "copier"),
            verb: Verb::Update,
            namespace: Some("app".to_owned()),
            name: Some(format!("shared-{number}")),
            namespace_uid: None,
        }
    }

    fn failed() -> Result<bool, ApiFailure> {
        Err(ApiFailure::transient("no answer".to_owned()))
    }

    #[test]
    fn a_permission_is_used_longer_than_a_denial_and_no_failure() {
        let asked = Instant::now();
        let is_usable = |allowed: Result<bool, ApiFailure>, seconds| {
            let now = asked + Duration::from_secs(seconds);
            Answer { asked, answered: asked, allowed }.is_usable(now, now)
        };
        for (seconds, allowed, denied) in [(1, true, true), (11, true, false), (51, false, false)] {
            assert_eq!(is_usable(Ok(true), seconds), allowed, "{seconds}");
            assert_eq!(is_usable(Ok(false), seconds), denied, "{seconds}");
            assert!(!is_usable(failed(), seconds), "{seconds}");
        }
    }

    #[tokio::test]
    async fn callers_that_wait_share_one_review() {
        for outcome in [Ok(true), Ok(false), failed()] {
            let (answers, count) = (Answers::default(), Mutex::new(0));
            let ask = |_| async {
                *count.lock() += 1;
                tokio::task::yield_now().await;
                outcome.clone()
            };
            let all = join_all((0..5).map(|_| answers.answer(question(0), ask))).await;
            assert!(all.iter().all(|answer| answer.allowed == outcome));
            assert_eq!(*count.lock(), 1, "{outcome:?}");
            let later = answers.answer(question(0), ask).await;
            assert_eq!(later.allowed, outcome);
            assert_eq!(*count.lock(), if outcome.is_err() { 2 } else { 1 }, "{outcome:?}");
        }
    }

    #[test]
    fn the_number_of_answers_is_bounded_and_old_ones_are_dropped() {
        let (mut slots, now) = (Slots::default(), Instant::now());
        for number in 0..MAX_ANSWERS + 10 {
            let slot = slots.slot(&question(number), now);
            let answer = Answer { asked: now, answered: now, allowed: Ok(true) };
            *slot.try_lock().unwrap() = Some(answer);
        }
        assert_eq!(slots.by_question.len(), MAX_ANSWERS);
        let held = slots.slot(&question(0), now);
        slots.slot(&question(1), now + Duration::from_mins(1));
        assert_eq!(slots.by_question.len(), 2, "one is in use, one is new");
        drop(held);
    }
}
