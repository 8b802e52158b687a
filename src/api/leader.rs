//! The kind `ConfigMapSyncLeader`: a record of the leading pod that an admission policy can check.
//!
//! One object of this kind exists, in the namespace of the operator. It is a custom kind because a
//! policy whose parameter is of a built-in kind keeps comparing with an old version of the parameter
//! after the policy was deleted and created again (kubernetes #130887).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use kube::CustomResourceExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::api::installed_definition::as_installed;

/// The leader.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "apps.nishaf.info",
    version = "v1",
    kind = "ConfigMapSyncLeader",
    plural = "configmapsyncleaders",
    namespaced,
    doc = "Records which pod of the operator is the leader. Written by the operator: the first leader creates it, and every later leader replaces it before its first write.",
    printcolumn(
        name = "Holder",
        type_ = "string",
        json_path = ".spec.holder",
        description = "Identity of the leader."
    ),
    printcolumn(
        name = "Term",
        type_ = "integer",
        json_path = ".spec.term",
        description = "Number of leaders so far."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".spec.since",
        description = "Time since the leader published this record."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSyncLeaderSpec {
    /// `metadata.uid` of the leading pod. If the policy `configmapsync-fence` is installed, no other
    /// pod of the operator can write a copy.
    #[serde(rename = "podUID")]
    #[schemars(length(min = 1, max = 128))]
    pub pod_uid: String,

    /// Identity of the leader, equal to `holderIdentity` of the Lease. A restarted container has a
    /// new identity.
    #[schemars(length(min = 1, max = 128))]
    pub holder: String,

    /// Term number: increases by one with every new leader.
    #[schemars(range(min = 1))]
    pub term: i64,

    /// When the leader published this record, by its own clock. For information only.
    pub since: Time,
}

/// The `CustomResourceDefinition` of `ConfigMapSyncLeader`.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    as_installed(ConfigMapSyncLeader::crd())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_uid_is_serialized_as_the_fence_expects() {
        let spec = ConfigMapSyncLeaderSpec {
            pod_uid: "1-2".to_owned(),
            holder: "operator-0_00000007_1-2".to_owned(),
            term: 3,
            since: serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap(),
        };
        let expected = json!({
            "podUID": "1-2",
            "holder": "operator-0_00000007_1-2",
            "term": 3,
            "since": "2026-01-02T03:04:05Z",
        });
        assert_eq!(serde_json::to_value(spec).unwrap(), expected);
    }
}
