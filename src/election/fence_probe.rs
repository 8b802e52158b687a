//! Tests whether the fence refuses writes of pods that do not lead.
//!
//! Flow: from time to time, a ConfigMap with our label is created by dry run. The fence must refuse
//! it, by name, on a standby, and admit it on the leader. The result is a metric, and is logged
//! when it changes.
//!
//! Guarantees: nothing is stored, and nothing depends on the result. Without a fence the operator
//! continues under its `Lead`, the write gate and the preconditions of its writes.

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
use crate::kubernetes::error::explain;
use crate::kubernetes::error::is_fenced;
use crate::metrics::FenceState;
use crate::metrics::Metrics;
use crate::names;

/// Before its first test, a standby waits this long for a leader to publish the leader record. With
/// the default flags, the first leader of a new cluster has published it by then.
const STANDBY_DELAY: Duration = Duration::from_secs(20);
/// Time between tests: policies are installed and removed while the operator runs.
const PERIOD: Duration = Duration::from_mins(5);
/// Time to the next test after one without a result.
const RETRY: Duration = Duration::from_secs(30);

/// A periodic test of the fence.
pub struct FenceProbe {
    /// A client whose write gate admits dry runs.
    pub client: Client,
    /// The namespace of the dry run.
    pub namespace: String,
    /// Where the result is recorded.
    pub metrics: Arc<Metrics>,
}

// === impl FenceProbe ===

impl FenceProbe {
    /// Tests periodically, and whenever `leading` changes: whether this pod has published the
    /// leader record. Never returns.
    pub async fn run(self, mut leading: watch::Receiver<bool>) {
        let mut known = None;
        let mut wait = STANDBY_DELAY;
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = leading.changed() => {}
            }
            let is_leading = *leading.borrow_and_update();
            let response = self.create().await;
            // The response may be to either role: test again.
            if leading.has_changed().unwrap_or(false) {
                continue;
            }
            let state = state(is_leading, &response);
            self.metrics.leadership.set_fence(state);
            if known.replace(state) != Some(state) {
                self.log(state, response.err().as_ref());
            }
            wait = if state == FenceState::Unknown { RETRY } else { PERIOD };
        }
    }

    async fn create(&self) -> kube::Result<()> {
        let labels = [(names::LABEL_SYNC_UID.to_owned(), "fence-trial".to_owned())];
        let metadata = ObjectMeta {
            generate_name: Some(format!("{}-", names::POLICY_FENCE)),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        };
        let config_map = ConfigMap { metadata, ..ConfigMap::default() };
        let parameters =
            PostParams { dry_run: true, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&parameters, &config_map).await.map(drop)
    }

    fn log(&self, state: FenceState, error: Option<&kube::Error>) {
        let (fence, policy): (&str, _) = (state.into(), names::POLICY_FENCE);
        let error = error.map(explain).unwrap_or_default();
        match state {
            FenceState::Enforced => {
                tracing::info!(fence, "the policy {policy} refuses writes of this standby");
            }
            FenceState::Admitted => {
                tracing::info!(fence, "the policy {policy} admits writes of this leader");
            }
            FenceState::Absent => tracing::warn!(
                fence,
                "the API server would admit writes of this standby: install the policy {policy}, \
                 its binding and the kind ConfigMapSyncLeader. Until then, only the \
                 resourceVersion that each write carries stops late writes of a replaced leader"
            ),
            FenceState::Refused => tracing::warn!(
                fence,
                error,
                "the policy {policy} refuses writes of this leader: ConfigMapSyncLeader {} names \
                 another pod",
                names::LEADER_NAME
            ),
            FenceState::Unknown => tracing::warn!(
                fence,
                error,
                "cannot test whether the policy {policy} refuses writes of standbys, by creating a \
                 ConfigMap in namespace {} by dry run; retrying: if another policy, webhook or \
                 quota refuses it, choose another namespace by --fence-trial-namespace",
                self.namespace
            ),
        }
    }
}

/// What a response means, to the leader or to a standby.
fn state(is_leading: bool, response: &kube::Result<()>) -> FenceState {
    match (response, is_leading) {
        (Ok(()), true) => FenceState::Admitted,
        (Ok(()), false) => FenceState::Absent,
        (Err(error), true) if is_fenced(error) => FenceState::Refused,
        (Err(error), false) if is_fenced(error) => FenceState::Enforced,
        (Err(_), _) => FenceState::Unknown,
    }
}

/// Permissions of the test.
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
    fn the_fence_refuses_a_standby_and_admits_the_leader() {
        let fence = names::POLICY_FENCE;
        for (is_leading, response, expected) in [
            (false, refused(403, fence), FenceState::Enforced),
            (false, Ok(()), FenceState::Absent),
            (true, Ok(()), FenceState::Admitted),
            (true, refused(403, fence), FenceState::Refused),
        ] {
            assert_eq!(
                state(is_leading, &response),
                expected,
                "leading: {is_leading}, {response:?}"
            );
        }
    }

    #[test]
    fn another_refusal_leaves_the_fence_unknown() {
        for response in [
            refused(403, names::POLICY_BOUNDS),
            refused(403, "configmapsync-fence-of-another-kind"),
            refused(422, names::POLICY_FENCE),
            refused(404, "namespaces"),
        ] {
            assert_eq!(state(false, &response), FenceState::Unknown, "{response:?}");
            assert_eq!(state(true, &response), FenceState::Unknown, "{response:?}");
        }
    }
}
