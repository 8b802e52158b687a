//! Until when the writes that follow an observation may start.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;

use crate::api::ConfigMapSyncSpec;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::decide::Action;
use crate::decide::observed::ObservedSync;
use crate::decide::verb::Verb;
use crate::decide::verb::WriteConsent;
use crate::reviews::reviewer::Purpose;
use crate::reviews::reviewer::Reviewer;
use crate::state::retries::FailedAttempt;

/// Destinations whose permissions one reconcile asks for at a time.
const CONCURRENT_DESTINATIONS: usize = 16;
/// A write starts at most this long after its permission was asked for. Less than a minute, since it
/// may be sent again while the fence does not know this leader yet.
pub(super) const START: Duration = Duration::from_secs(54);

/// The permissions of a ServiceAccount that one observation rests on.
#[derive(Debug)]
pub struct Consents {
    account: Option<NamespacedName>,
    began: Instant,
    source: Option<Instant>,
    destinations: BTreeMap<NamespacedName, GrantedVerbs>,
}

#[derive(Clone, Debug)]
struct GrantedVerbs {
    verbs: BTreeSet<Verb>,
    asked: Instant,
}

// === impl Consents ===

impl Default for Consents {
    /// No ServiceAccount is checked.
    fn default() -> Self {
        Self::of(None)
    }
}

impl Consents {
    /// Nothing is permitted yet, unless there is no `account` to check.
    #[must_use]
    pub fn of(account: Option<NamespacedName>) -> Self {
        Self { account, began: Instant::now(), source: None, destinations: BTreeMap::new() }
    }

    /// Whether the source may be read.
    #[must_use]
    pub const fn cover_source(&self) -> bool {
        self.account.is_none() || self.source.is_some()
    }

    /// What is known of the permissions to write the copy `at`.
    #[must_use]
    pub fn at(&self, at: &NamespacedName) -> WriteConsent {
        if self.account.is_none() {
            return WriteConsent::NotRequired;
        }
        let granted = self.destinations.get(at);
        WriteConsent::Granted(granted.map(|granted| granted.verbs.clone()).unwrap_or_default())
    }

    /// Asks whether `source` may be read on behalf of `sync`.
    ///
    /// # Errors
    /// It may not, or the review failed.
    pub async fn ask_source(
        &mut self,
        reviewer: &Reviewer,
        cache: &Cache,
        sync: &ObservedSync,
        source: &NamespacedName,
    ) -> Result<(), FailedAttempt> {
        let asked = self.ask(reviewer, cache, sync, source, &[Verb::Get].into()).await?;
        self.source = Some(asked);
        Ok(())
    }

    /// Asks for the `required` verbs at destinations. Returns those that are denied, and failed
    /// reviews.
    pub async fn ask_writes(
        &mut self,
        reviewer: &Reviewer,
        cache: &Cache,
        sync: &ObservedSync,
        required: BTreeMap<NamespacedName, BTreeSet<Verb>>,
    ) -> Vec<(NamespacedName, FailedAttempt)> {
        let consents = &*self;
        let asked = required.into_iter().map(async |(at, verbs)| {
            let asked = consents.ask(reviewer, cache, sync, &at, &verbs).await;
            (at, verbs, asked)
        });
        let asked = stream::iter(asked).buffer_unordered(CONCURRENT_DESTINATIONS);
        let asked: Vec<_> = asked.collect().await;
        let mut failed = Vec::new();
        for (at, verbs, asked) in asked {
            match asked {
                Ok(asked) => self.grant(&at, verbs, asked),
                Err(attempt) => failed.push((at, attempt)),
            }
        }
        failed
    }

    /// Asks whether the ServiceAccount may do `verbs` at `at`. Returns when that was asked.
    async fn ask(
        &self,
        reviewer: &Reviewer,
        cache: &Cache,
        sync: &ObservedSync,
        at: &NamespacedName,
        verbs: &BTreeSet<Verb>,
    ) -> Result<Instant, FailedAttempt> {
        let Some(account) = &self.account else { return Ok(Instant::now()) };
        let uid = cache.namespace(&at.namespace).1;
        let purpose = Purpose { sync: &sync.name, account, at, namespace_uid: uid.as_deref() };
        let has_selector = |spec: &ConfigMapSyncSpec| spec.destination_namespace_selector.is_some();
        let is_selected = !verbs.contains(&Verb::Get) && sync.spec.as_ref().is_ok_and(has_selector);
        let asked = reviewer.permits(purpose, verbs, is_selected).await;
        asked.map_err(|failure| FailedAttempt::review(failure, sync.generation, uid))
    }

    /// Records that the ServiceAccount has `verbs` at the destination `at`, as `asked` for then.
    fn grant(&mut self, at: &NamespacedName, verbs: BTreeSet<Verb>, asked: Instant) {
        let new = || GrantedVerbs { verbs: BTreeSet::new(), asked };
        let granted = self.destinations.entry(at.clone()).or_insert_with(new);
        granted.verbs.extend(verbs);
        granted.asked = granted.asked.min(asked);
    }

    /// The latest start of `action` at `at`; `None`: any time. Clean-up needs no permission.
    #[must_use]
    pub fn latest_start(&self, at: &NamespacedName, action: &Action) -> Option<Instant> {
        self.account.as_ref()?;
        let takes_content = match action {
            Action::Create(_) | Action::Update { .. } | Action::Replace { .. } => true,
            Action::Restamp { .. } => false,
            Action::Delete { .. } | Action::Release { .. } | Action::Keep | Action::Leave(_) => {
                return None;
            }
        };
        let granted = self.destinations.get(at).map(|granted| granted.asked);
        let source = if takes_content { self.source } else { granted };
        let asked = granted.zip(source).map(|(granted, source)| granted.min(source));
        Some(asked.map_or(self.began, |asked| asked + START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::observed::Version;
    use crate::decide::stamp::Stamp;

    #[test]
    fn a_write_starts_within_a_minute_of_each_question() {
        let (at, account) = (NamespacedName::new("app", "a"), NamespacedName::new("team", "b"));
        let seen = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
        let stamp = Stamp::default();
        let content = std::sync::Arc::default();
        let update = Action::Update { seen: seen.clone(), stamp: stamp.clone(), content };
        let restamp = Action::Restamp { seen: seen.clone(), stamp };
        let delete = Action::Delete { seen };
        assert_eq!(Consents::default().latest_start(&at, &update), None);
        let mut consents = Consents::of(Some(account));
        let began = consents.began;
        assert_eq!(consents.latest_start(&at, &update), Some(began), "nothing is permitted");
        assert_eq!(consents.latest_start(&at, &delete), None);
        let (earlier, later) = (began + Duration::from_secs(1), began + Duration::from_secs(2));
        consents.grant(&at, [Verb::Update].into(), later);
        assert_eq!(consents.latest_start(&at, &update), Some(began), "the source is not permitted");
        assert_eq!(consents.latest_start(&at, &restamp), Some(later + START));
        consents.source = Some(earlier);
        assert_eq!(consents.latest_start(&at, &update), Some(earlier + START));
        consents.grant(&at, [Verb::Delete].into(), earlier);
        assert_eq!(consents.at(&at), WriteConsent::Granted([Verb::Update, Verb::Delete].into()));
        assert_eq!(consents.latest_start(&at, &restamp), Some(earlier + START));
    }
}
