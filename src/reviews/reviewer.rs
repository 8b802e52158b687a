//! Sends reviews, and keeps their answers for a short time.

use std::collections::BTreeSet;
use std::time::Instant;

use futures::future::join_all;
use kube::Client;

use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::backoff::CAP_REFUSED;
use crate::decide::Failure;
use crate::decide::consent::Tenancy;
use crate::decide::consent::not_permitted;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::verb::Verb;
use crate::kubernetes::access_review::Permission;
use crate::kubernetes::access_review::User;
use crate::kubernetes::access_review::is_allowed;
use crate::kubernetes::access_review::is_allowed_in;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::permits::Permits;
use crate::kubernetes::watches::ticking;
use crate::reviews::answers::Answer;
use crate::reviews::answers::Answers;
use crate::reviews::answers::Question;
use crate::telemetry::spans;

/// The maximum number of concurrent reviews, shared among the namespaces of ServiceAccounts. Each needs a
/// connection.
const CONCURRENT_REVIEWS: usize = 32;

/// Asks what ServiceAccounts are allowed to do, and keeps the answers for a short time.
pub struct Reviewer {
    client: Client,
    tenancy: Tenancy,
    /// Reviews are created in the namespace asked about, never in the whole cluster.
    is_local: bool,
    answers: Answers,
    permits: Permits,
}

/// What a `ConfigMapSync` wants to do with one `ConfigMap`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'a> {
    /// The `ConfigMapSync`.
    pub sync: &'a NamespacedName,
    /// Its ServiceAccount.
    pub account: &'a NamespacedName,
    /// The source, or a copy.
    pub at: &'a NamespacedName,
    /// uid of its namespace, if that exists.
    pub namespace_uid: Option<&'a str>,
}

/// The verbs that were denied, and when the oldest answer was asked for.
struct Reviewed {
    denied: BTreeSet<Verb>,
    asked: Instant,
}

// === impl Reviewer ===

impl Reviewer {
    /// Asks with `client`; `tenancy` says on whose behalf. In a `scope` of some namespaces, it asks in
    /// these only.
    #[must_use]
    pub fn new(client: Client, tenancy: Tenancy, scope: &Scope) -> Self {
        let permits = Permits::new(CONCURRENT_REVIEWS);
        let is_local = *scope != Scope::Cluster;
        Self { client, tenancy, is_local, answers: Answers::default(), permits }
    }

    /// The ServiceAccount whose permissions count for `sync`; see [`Tenancy::account_of`].
    #[must_use]
    pub fn account_of(&self, sync: &ObservedSync) -> Option<NamespacedName> {
        self.tenancy.account_of(sync)
    }

    /// Whether the ServiceAccount may do `verbs`. With `is_selected`, the permission in all
    /// namespaces is asked for first, unless reviews are local. Returns when the oldest answer was
    /// asked for.
    ///
    /// # Errors
    /// A verb is denied (`NotPermitted`), or a review failed (`ApiError`).
    pub(super) async fn permits(
        &self,
        purpose: Purpose<'_>,
        verbs: &BTreeSet<Verb>,
        is_selected: bool,
    ) -> Result<Instant, ApiFailure> {
        let Purpose { sync, account, at, .. } = purpose;
        let mut missing = verbs.clone();
        let mut asked = Instant::now();
        for is_everywhere in [true, false] {
            if is_everywhere && (self.is_local || !is_selected) {
                continue;
            }
            let reviewed = self.review(purpose, &missing, is_everywhere).await?;
            asked = asked.min(reviewed.asked);
            missing = reviewed.denied;
            if missing.is_empty() {
                return Ok(asked);
            }
        }
        let is_default = self.tenancy.default_service_account.as_ref() == Some(&account.name);
        let failure = not_permitted(account, is_default, &missing, at, sync);
        Err(ApiFailure { failure, backoff_cap: CAP_REFUSED, retry_after: None })
    }

    async fn review(
        &self,
        purpose: Purpose<'_>,
        verbs: &BTreeSet<Verb>,
        is_everywhere: bool,
    ) -> Result<Reviewed, ApiFailure> {
        let questions = verbs.iter().map(|&verb| self.ask(purpose, verb, is_everywhere));
        let answers = join_all(questions).await;
        let mut reviewed = Reviewed { denied: BTreeSet::new(), asked: Instant::now() };
        for (&verb, Answer { asked, allowed, .. }) in verbs.iter().zip(answers) {
            reviewed.asked = reviewed.asked.min(asked);
            if !allowed? {
                reviewed.denied.insert(verb);
            }
        }
        Ok(reviewed)
    }

    async fn ask(&self, purpose: Purpose<'_>, verb: Verb, is_everywhere: bool) -> Answer {
        let Purpose { account, at, namespace_uid, .. } = purpose;
        let question = Question {
            account: account.clone(),
            verb,
            namespace: (!is_everywhere).then(|| at.namespace.clone()),
            name: verb.is_named().then(|| at.name.clone()),
            namespace_uid: namespace_uid.filter(|_| !is_everywhere).map(str::to_owned),
        };
        self.answers.answer(question, |question| self.send(question)).await
    }

    async fn send(&self, question: Question) -> Result<bool, ApiFailure> {
        let span = || tracing::info_span!("wait for a review permit");
        let acquired = self.permits.acquire_in(&question.account.namespace);
        // The permits are never closed, so one is always granted.
        let _permit = spans::waiting(span, ticking(acquired, || ())).await;
        let Question { account, verb, namespace, name, .. } = question;
        let user = User::service_account(&account.namespace, &account.name);
        let permission = Permission {
            verb: verb.as_str().to_owned(),
            group: String::new(),
            resource: "configmaps".to_owned(),
            name,
            namespace,
        };
        let reviewed = match &permission.namespace {
            Some(at) if self.is_local => is_allowed_in(at, &self.client, &user, &permission).await,
            _ => is_allowed(&self.client, &user, &permission).await,
        };
        reviewed.map_err(|error| {
            let attempt = format!("review whether ServiceAccount {account} may {verb} ConfigMaps");
            let failed = ApiFailure::of(&attempt, &error);
            let failure = Failure::new(Reason::ApiError, failed.failure.message);
            ApiFailure { failure, ..failed }
        })
    }
}
