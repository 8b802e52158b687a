//! Whether the API server holds back pods that do not lead: found out by trying.
//!
//! Flow: now and then a marked `ConfigMap` is created by dry run. A standby must be refused by the
//! fence, by name; the leader must be let through. What came of it is told by a metric, and by the
//! log when it is news.
//!
//! Guarantee: nothing is ever stored, and nothing depends on the outcome. Without a fence the
//! operator goes on under its Lead, the write gate and the preconditions of its writes.
//!
//! Knows nothing of the election: it is told whether this pod leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::access::rule;
use crate::metrics::FenceState;
use crate::metrics::Metrics;
use crate::names;
use crate::telemetry::describe;

/// A standby waits so long for somebody to be announced before it tries.
const STANDBY_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is tried again: policies come and go while the operator runs.
const PERIOD: Duration = Duration::from_mins(5);
/// How soon it is tried again when nothing could be told.
const RETRY: Duration = Duration::from_secs(30);

/// How it is tried.
pub struct Trial {
    /// A client that dry runs may pass.
    pub client: Client,
    /// The namespace of the `ConfigMap` that is never stored.
    pub namespace: String,
    /// Where the state is told.
    pub metrics: Arc<Metrics>,
}

// === impl Trial ===

impl Trial {
    /// Tries for ever. `leads` tells whether this pod is the one announced.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut known = None;
        let mut wait = STANDBY_PATIENCE;
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = leads.changed() => {}
            }
            let leading = *leads.borrow_and_update();
            let answer = self.create().await;
            // Won, or lost, while the answer was on its way: it tells nothing.
            if leads.has_changed().unwrap_or(false) {
                continue;
            }
            let state = verdict(leading, &answer);
            self.metrics.fence_is(state);
            if known.replace(state) != Some(state) {
                self.tell(state, answer.err().as_ref());
            }
            wait = if state == FenceState::Unknown { RETRY } else { PERIOD };
        }
    }

    async fn create(&self) -> kube::Result<()> {
        let markers = [(names::LABEL_SYNC_UID.to_owned(), "fence-trial".to_owned())];
        let metadata = ObjectMeta {
            generate_name: Some(format!("{}-", names::POLICY_FENCE)),
            labels: Some(BTreeMap::from(markers)),
            ..ObjectMeta::default()
        };
        let trial = ConfigMap { metadata, ..ConfigMap::default() };
        let parameters =
            PostParams { dry_run: true, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&parameters, &trial).await.map(drop)
    }

    fn tell(&self, state: FenceState, error: Option<&kube::Error>) {
        let (fence, policy) = (state.as_str(), names::POLICY_FENCE);
        let error = error.map(|error| describe(error)).unwrap_or_default();
        match state {
            FenceState::Enforced => {
                tracing::info!(fence, "the API server holds back pods that do not lead");
            }
            FenceState::Admitted => {
                tracing::info!(fence, "the API server lets this pod write, as the leader");
            }
            FenceState::Absent => tracing::warn!(
                fence,
                "the API server would let this pod write although it does not lead: install the \
                 policy {policy}, its binding and the kind ConfigMapSyncLeader; until then a leader that wakes up \
                 late is stopped by the versions that its writes carry alone"
            ),
            FenceState::Refused => tracing::warn!(
                fence,
                error,
                "the API server refuses the leader's writes: the ConfigMapSyncLeader {} names \
                 another pod",
                names::LEADER_NAME
            ),
            FenceState::Unknown => tracing::warn!(
                fence,
                error,
                "cannot tell whether the API server holds back pods that do not lead; trying \
                 again: a dry run of creating a ConfigMap in namespace {} should have been \
                 answered by the policy {policy}, or by nobody \
                 (--fence-trial-namespace chooses another namespace)",
                self.namespace
            ),
        }
    }
}

/// What an answer tells, to one who is `leading` or to one who is not.
fn verdict(leading: bool, answer: &kube::Result<()>) -> FenceState {
    match (answer, leading) {
        (Ok(()), true) => FenceState::Admitted,
        (Ok(()), false) => FenceState::Absent,
        (Err(error), true) if is_of_the_fence(error) => FenceState::Refused,
        (Err(error), false) if is_of_the_fence(error) => FenceState::Enforced,
        (Err(_), _) => FenceState::Unknown,
    }
}

/// The API server names the policy that refuses.
fn is_of_the_fence(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.code == 403 && status.message.contains(&format!("'{}'", names::POLICY_FENCE))
}

/// What trying needs.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["create"])]
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, by: &str) -> kube::Result<()> {
        let message = format!(
            "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy '{by}' with binding '{by}' \
             denied request: no"
        );
        Err(kube::Error::Api(Status { code, message, ..Status::default() }.boxed()))
    }

    #[test]
    fn a_standby_has_to_be_refused_and_the_leader_let_through() {
        let fence = names::POLICY_FENCE;
        for (leading, answer, expected) in [
            (false, refused(403, fence), FenceState::Enforced),
            (false, Ok(()), FenceState::Absent),
            (true, Ok(()), FenceState::Admitted),
            (true, refused(403, fence), FenceState::Refused),
        ] {
            assert_eq!(verdict(leading, &answer), expected, "leading: {leading}, {answer:?}");
        }
    }

    #[test]
    fn a_refusal_by_somebody_else_tells_nothing() {
        for answer in [
            refused(403, names::POLICY_BOUNDS),
            refused(403, "configmapsync-fence-of-another-kind"),
            refused(422, names::POLICY_FENCE),
            refused(404, "namespaces"),
        ] {
            assert_eq!(verdict(false, &answer), FenceState::Unknown, "{answer:?}");
            assert_eq!(verdict(true, &answer), FenceState::Unknown, "{answer:?}");
        }
    }
}
