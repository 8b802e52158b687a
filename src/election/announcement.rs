//! The announcement of the leader: the object that the fence compares callers with.
//!
//! Whoever wins the Lease replaces it by compare-and-swap before its first write. Between the look
//! and the swap the Lease is renewed: so of two who both believe that they lead, the last one to
//! hold the Lease is the last one announced.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::Resource as _;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::PostParams;
use kube::core::Status;
use tokio::time::timeout;

use crate::access::rule;
use crate::api::ConfigMapSyncLeader;
use crate::api::ConfigMapSyncLeaderSpec;
use crate::election::Lead;
use crate::election::Lost;
use crate::election::Settings;
use crate::election::lease::CALL_TIMEOUT;
use crate::election::lease::no_answer;
use crate::names;
use crate::telemetry::describe;

/// The announcement, as one candidate reads and writes it.
pub struct Announcement {
    client: Client,
    namespace: String,
    holder: String,
    pod_uid: String,
    /// The highest term seen: a deleted announcement does not turn terms back.
    last_term: AtomicI64,
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This very process is announced, for this term.
    Ours(i64),
    /// Somebody else is.
    Another(Another),
    /// Nobody is.
    Nobody,
    /// It cannot be used in this cluster: why.
    Unusable(String),
    /// Nobody knows: why.
    Unknown(String),
}

/// An announcement of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Another {
    /// Who.
    pub holder: String,
    pod_uid: String,
    resource_version: String,
}

/// What came of announcing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// It is done, for this term.
    Done(i64),
    /// It has changed since we looked.
    Changed,
    /// It was refused, or nobody answered: why.
    Failed(String),
}

// === impl Announcement ===

impl Announcement {
    /// The announcement beside the Lease that `settings` name, by `client`.
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

    /// Looks who is announced.
    pub async fn look(&self) -> Found {
        // Not as the type that it is: whatever is stored must be replaceable.
        let kind = ApiResource::erase::<ConfigMapSyncLeader>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        match timeout(CALL_TIMEOUT, api.get(names::LEADER_NAME)).await {
            Err(_) => Found::Unknown(no_answer()),
            Ok(Ok(object)) => self.read(&object),
            Ok(Err(kube::Error::Api(status))) => missing(&status),
            Ok(Err(error)) => Found::Unknown(describe(&error)),
        }
    }

    /// Makes sure, after the fence has refused us, that we are still the one announced. If
    /// somebody else is, `lead` ends.
    pub async fn verify(&self, lead: &Lead) {
        if let Found::Another(another) = self.look().await {
            lead.end_because(Lost::ToAnnounced(another.holder));
        }
    }

    fn read(&self, object: &DynamicObject) -> Found {
        let spec = &object.data["spec"];
        let term = spec["term"].as_i64().unwrap_or_default();
        self.last_term.fetch_max(term, Ordering::Relaxed);
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        let (holder, pod_uid) = (text("holder"), text("podUID"));
        if holder == self.holder && pod_uid == self.pod_uid {
            return Found::Ours(term);
        }
        let resource_version = object.metadata.resource_version.clone().unwrap_or_default();
        Found::Another(Another { holder, pod_uid, resource_version })
    }

    /// Announces us in place of `before`, if that is still what is announced.
    pub async fn replace(&self, before: Option<&Another>) -> Announced {
        let api: Api<ConfigMapSyncLeader> = Api::namespaced(self.client.clone(), &self.namespace);
        let term = self.last_term.load(Ordering::Relaxed).saturating_add(1);
        let announcement = self.announcement(term, before);
        let parameters = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let answer = if before.is_some() {
            timeout(CALL_TIMEOUT, api.replace(names::LEADER_NAME, &parameters, &announcement)).await
        } else {
            timeout(CALL_TIMEOUT, api.create(&parameters, &announcement)).await
        };
        match answer {
            Err(_) => Announced::Failed(no_answer()),
            Ok(Ok(_)) => {
                self.last_term.fetch_max(term, Ordering::Relaxed);
                Announced::Done(term)
            }
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Announced::Changed
            }
            Ok(Err(kube::Error::Api(status))) => Announced::Failed(status.message.clone()),
            Ok(Err(error)) => Announced::Failed(describe(&error)),
        }
    }

    fn announcement(&self, term: i64, before: Option<&Another>) -> ConfigMapSyncLeader {
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

/// A 404 that names the object says that there is none; any other, that there is no such kind.
fn missing(status: &Status) -> Found {
    let names_it = status.details.as_ref().is_some_and(|details| {
        details.kind == ConfigMapSyncLeader::plural(&()) && details.name == names::LEADER_NAME
    });
    match status.code {
        404 if names_it => Found::Nobody,
        404 => Found::Unusable(
            "the kind ConfigMapSyncLeader is not installed: apply its CustomResourceDefinition"
                .to_owned(),
        ),
        403 => Found::Unusable(format!(
            "{}: grant it to the operator's ServiceAccount",
            status.message
        )),
        _ => Found::Unknown(status.message.clone()),
    }
}

/// What announcing needs in the operator's own namespace. RBAC cannot limit `create` to a name.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let leaders = |verbs| rule(names::GROUP, "configmapsyncleaders", verbs);
    let ours = PolicyRule {
        resource_names: Some(vec![names::LEADER_NAME.to_owned()]),
        ..leaders(&["get", "update"])
    };
    vec![ours, leaders(&["create"])]
}
