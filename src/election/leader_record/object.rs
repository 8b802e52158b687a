//! The `ConfigMapSyncLeader` object, read and replaced by compare-and-swap.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::PostParams;
use tokio::time::timeout;

use crate::access::rule;
use crate::api::ConfigMapSyncLeader;
use crate::api::ConfigMapSyncLeaderSpec;
use crate::election::lease::CALL_TIMEOUT;
use crate::election::lease::timed_out;
use crate::election::settings::Settings;
use crate::kubernetes::discovery::is_served;
use crate::kubernetes::error::explain;
use crate::kubernetes::error::has_code;
use crate::kubernetes::error::is_object_missing;
use crate::kubernetes::error::kind_not_installed;
use crate::kubernetes::error::named;
use crate::names;

/// The object, as one process reads and writes it.
pub struct LeaderObject {
    client: Client,
    namespace: String,
    holder: String,
    pod_uid: String,
    /// The highest term seen: terms do not decrease when the object is deleted.
    last_term: AtomicI64,
}

/// Result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It names this process, for this term.
    Ours(i64),
    /// It names another process.
    Other(OtherLeader),
    /// It does not exist.
    Missing,
    /// The object cannot be used in this cluster. The text says why and what to do.
    Unusable(String),
    /// The read failed. The text says why.
    Failed(String),
}

/// A record that names another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLeader {
    /// Its holder identity.
    pub holder: String,
    resource_version: String,
}

/// Result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The object names this process, for this term.
    Done(i64),
    /// The object changed after it was read: nothing was written.
    Conflict,
    /// The write failed, and its effect is unknown. The text says why.
    Failed(String),
}

// === impl LeaderObject ===

impl LeaderObject {
    /// The object in the namespace of the Lease, called through `client`.
    #[must_use]
    pub fn new(client: Client, settings: &Settings) -> Self {
        Self {
            client,
            namespace: settings.namespace.clone(),
            holder: settings.holder.to_string(),
            pod_uid: settings.pod_uid.clone(),
            last_term: AtomicI64::new(0),
        }
    }

    /// `namespace/name` of the object, for logs.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, names::LEADER_NAME)
    }

    /// Reads the object.
    pub async fn read(&self) -> Found {
        // Dynamic: a stored object that does not match the type must be replaceable, too.
        let kind = ApiResource::erase::<ConfigMapSyncLeader>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        match timeout(CALL_TIMEOUT, api.get(names::LEADER_NAME)).await {
            Err(_) => Found::Failed(timed_out()),
            Ok(read) => match named(names::LEADER_NAME, read) {
                Ok(object) => self.interpret(&object),
                Err(error) => self.failed_read(&error).await,
            },
        }
    }

    /// What a failed read means. A 404 that does not name the object means that the kind is missing,
    /// unless the API server serves the kind.
    async fn failed_read(&self, error: &kube::Error) -> Found {
        if is_object_missing::<ConfigMapSyncLeader>(error, names::LEADER_NAME) {
            return Found::Missing;
        }
        if has_code(error, 404) {
            let served =
                timeout(CALL_TIMEOUT, is_served::<ConfigMapSyncLeader>(&self.client)).await;
            return match served {
                Ok(Ok(true)) => Found::Failed(explain(error)),
                _ => Found::Unusable(kind_not_installed("ConfigMapSyncLeader")),
            };
        }
        if has_code(error, 403) {
            Found::Unusable(explain(error))
        } else {
            Found::Failed(explain(error))
        }
    }

    fn interpret(&self, object: &DynamicObject) -> Found {
        let spec = &object.data["spec"];
        let term = spec["term"].as_i64().unwrap_or_default();
        self.last_term.fetch_max(term, Ordering::Relaxed);
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        let holder = text("holder");
        if holder == self.holder && text("podUID") == self.pod_uid {
            return Found::Ours(term);
        }
        let resource_version = object.metadata.resource_version.clone().unwrap_or_default();
        Found::Other(OtherLeader { holder, resource_version })
    }

    /// Makes the object name this process, for a new term, if it is still as it was `before`;
    /// `None`: creates it.
    pub async fn replace(&self, before: Option<&OtherLeader>) -> Replaced {
        let api: Api<ConfigMapSyncLeader> = Api::namespaced(self.client.clone(), &self.namespace);
        let term = self.last_term.load(Ordering::Relaxed).saturating_add(1);
        let object = self.object(term, before);
        let parameters = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let response = if before.is_some() {
            timeout(CALL_TIMEOUT, api.replace(names::LEADER_NAME, &parameters, &object)).await
        } else {
            timeout(CALL_TIMEOUT, api.create(&parameters, &object)).await
        };
        match response {
            Err(_) => Replaced::Failed(timed_out()),
            Ok(response) => match named(names::LEADER_NAME, response) {
                Ok(_) => {
                    self.last_term.fetch_max(term, Ordering::Relaxed);
                    Replaced::Done(term)
                }
                Err(error) if has_code(&error, 404) || has_code(&error, 409) => Replaced::Conflict,
                Err(error) => Replaced::Failed(explain(&error)),
            },
        }
    }

    fn object(&self, term: i64, before: Option<&OtherLeader>) -> ConfigMapSyncLeader {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        ConfigMapSyncLeader {
            metadata: ObjectMeta {
                name: Some(names::LEADER_NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                resource_version: before.map(|before| before.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: ConfigMapSyncLeaderSpec {
                pod_uid: self.pod_uid.clone(),
                holder: self.holder.clone(),
                term,
                since: Time(now),
            },
        }
    }
}

/// Permissions on the object, in the operator's namespace. RBAC cannot restrict `create` to a name.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let leaders = |verbs| rule(names::GROUP, "configmapsyncleaders", verbs);
    let named = PolicyRule {
        resource_names: Some(vec![names::LEADER_NAME.to_owned()]),
        ..leaders(&["get", "update"])
    };
    vec![named, leaders(&["create"])]
}
