//! Is everything installed, and does a replica lead?

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::CustomResourceExt as _;
use tokio::time::sleep;

use crate::api::leader::ConfigMapSyncLeader;
use crate::api::leader::ConfigMapSyncLeaderSpec;
use crate::args::Check;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::kubernetes::error::has_code;
use crate::names;

/// How often to read Lease and leader record until they agree: during a takeover they differ for a
/// moment.
const ATTEMPTS: u32 = 5;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// A Lease that was not renewed for so long, by the clock of this machine, is not held. Long enough
/// for clocks that differ.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// A state and its message.
type Assessment = (FindingState, String);

/// The Deployment, if it exists, and the findings.
pub async fn installed(
    client: &Client,
    flags: &Check,
) -> (kube::Result<Option<Deployment>>, Vec<Finding>) {
    let mut findings = Vec::new();
    for name in [names::CUSTOM_RESOURCE_DEFINITION, ConfigMapSyncLeader::crd_name()] {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let subject = format!("CustomResourceDefinition {name}");
        let read = api.get_opt(name).await;
        findings.push(finding(&subject, read.as_ref().map(|found| kind(found.as_ref()))));
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), &flags.namespace);
    let subject = format!("Deployment {}/{}", flags.namespace, flags.deployment);
    let read = api.get_opt(&flags.deployment).await;
    findings.push(finding(&subject, read.as_ref().map(|found| deployment(found.as_ref()))));
    let subject = format!("Lease {}/{}", flags.namespace, names::LEASE_NAME);
    let leader = read_leader(client, &flags.namespace).await;
    findings.push(finding(&subject, leader.as_ref().map(Clone::clone)));
    (read, findings)
}

fn finding(subject: &str, read: Result<Assessment, &kube::Error>) -> Finding {
    match read {
        Ok((state, message)) => Finding::new(Question::Installed, subject, state, message),
        Err(error) => Finding::unknown(Question::Installed, subject, error),
    }
}

fn kind(found: Option<&CustomResourceDefinition>) -> Assessment {
    let wrong = |message: &str| (FindingState::Wrong, message.to_owned());
    let Some(found) = found else {
        return wrong("missing: install the chart, or apply deploy/crds");
    };
    if found.metadata.deletion_timestamp.is_some() {
        return wrong(
            "being deleted, with every object of it: if finalizers block that, run `configmapsync \
             uninstall`",
        );
    }
    let conditions = found.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let mut conditions = conditions.filter(|it| it.type_ == "Established" && it.status == "True");
    match conditions.next() {
        Some(_) => (FindingState::Ok, "served".to_owned()),
        None => wrong("not served: see its status"),
    }
}

fn deployment(found: Option<&Deployment>) -> Assessment {
    let wrong = |message: &str| (FindingState::Wrong, message.to_owned());
    let Some(found) = found else {
        return wrong("missing: install the chart, or name it with --namespace and --deployment");
    };
    let desired = found.spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let status = found.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or_default();
    let replicas = format!("{ready} of {desired} replicas are ready");
    if desired == 0 {
        wrong("scaled to 0: nothing is copied until it is scaled up")
    } else if ready < desired {
        (FindingState::Wrong, format!("{replicas}: see the status of its pods"))
    } else if status.observed_generation != found.metadata.generation {
        (FindingState::Wrong, format!("{replicas}, and its latest change is not rolled out yet"))
    } else {
        (FindingState::Ok, replicas)
    }
}

async fn read_leader(client: &Client, namespace: &str) -> kube::Result<Assessment> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let leaders: Api<ConfigMapSyncLeader> = Api::namespaced(client.clone(), namespace);
    let mut attempts = 0;
    loop {
        let lease = leases.get_opt(names::LEASE_NAME).await?.and_then(|lease| lease.spec);
        let record = match leaders.get_opt(names::LEADER_NAME).await {
            Ok(found) => found.map(|found| found.spec),
            // The kind is not installed, which is a separate finding.
            Err(error) if has_code(&error, 404) => None,
            Err(error) => return Err(error),
        };
        let assessment = leader(lease.as_ref(), record.as_ref(), Timestamp::now());
        attempts += 1;
        if assessment.0 == FindingState::Ok || attempts == ATTEMPTS {
            return Ok(assessment);
        }
        sleep(PAUSE).await;
    }
}

/// Whether Lease and leader record name the same holder, and it renews the Lease.
fn leader(
    lease: Option<&LeaseSpec>,
    record: Option<&ConfigMapSyncLeaderSpec>,
    now: Timestamp,
) -> Assessment {
    let wrong = |message: String| (FindingState::Wrong, message);
    let holder = lease.and_then(|lease| lease.holder_identity.as_deref()).unwrap_or_default();
    if holder.is_empty() {
        return wrong("no replica leads: see the logs of the operator's pods".to_owned());
    }
    let renewed = lease.and_then(|lease| lease.renew_time.as_ref());
    let age = renewed.map(|renewed| now.duration_since(renewed.0)).unwrap_or_default();
    if age > STALE {
        let seconds = age.as_secs();
        return wrong(format!("{holder} has not renewed it for {seconds} s"));
    }
    match record {
        None => wrong(format!(
            "{holder} leads, but there is no ConfigMapSyncLeader, so the fence is not in force: \
             see its log"
        )),
        Some(record) if record.holder != holder => wrong(format!(
            "{holder} leads, but the ConfigMapSyncLeader names {}, and the fence admits writes of \
             that one only: see the log of {holder}",
            record.holder
        )),
        Some(record) => (
            FindingState::Ok,
            format!("{holder} leads, and the ConfigMapSyncLeader names it (term {})", record.term),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_kind_is_installed_if_served_and_not_being_deleted() {
        let served = json!({"conditions": [{"type": "Established", "status": "True"}],
            "acceptedNames": {"kind": "", "plural": ""}});
        let definition = |metadata, status| {
            let spec = json!({"group": "", "names": {"kind": "", "plural": ""}, "scope": "",
                "versions": []});
            read::<CustomResourceDefinition>(
                json!({"metadata": metadata, "spec": spec, "status": status}),
            )
        };
        let terminating = json!({"deletionTimestamp": "2026-01-02T03:04:05Z"});
        let rows = [
            (None, FindingState::Wrong),
            (Some(definition(json!({}), json!(null))), FindingState::Wrong),
            (Some(definition(terminating, served.clone())), FindingState::Wrong),
            (Some(definition(json!({}), served)), FindingState::Ok),
        ];
        for (found, expected) in rows {
            assert_eq!(kind(found.as_ref()).0, expected, "{found:?}");
        }
    }

    #[test]
    fn a_deployment_is_ok_if_all_replicas_are_ready() {
        let scaled = |desired, ready, observed| {
            let template = json!({"metadata": {}});
            read::<Deployment>(json!({
                "metadata": {"generation": 2},
                "spec": {"replicas": desired, "selector": {}, "template": template},
                "status": {"readyReplicas": ready, "observedGeneration": observed},
            }))
        };
        assert_eq!(deployment(None).0, FindingState::Wrong);
        assert_eq!(deployment(Some(&scaled(0, 0, 2))).0, FindingState::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 2, 2))).0, FindingState::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 3, 1))).0, FindingState::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 3, 2))).0, FindingState::Ok);
    }

    #[test]
    fn lease_and_leader_record_must_name_one_holder() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let held = |holder: &str, renewed: &str| {
            read::<LeaseSpec>(json!({"holderIdentity": holder, "renewTime": renewed}))
        };
        let record = |holder: &str| {
            let since = "2026-01-02T00:00:00Z";
            let spec = json!({"podUID": "1", "holder": holder, "term": 7, "since": since});
            read::<ConfigMapSyncLeaderSpec>(spec)
        };
        let fresh = "2026-01-02T03:04:01.000000Z";
        let rows = [
            (None, Some(record("a")), FindingState::Wrong),
            (Some(held("", fresh)), Some(record("a")), FindingState::Wrong),
            (Some(held("a", fresh)), None, FindingState::Wrong),
            (Some(held("a", fresh)), Some(record("b")), FindingState::Wrong),
            (
                Some(held("a", "2026-01-02T03:00:00.000000Z")),
                Some(record("a")),
                FindingState::Wrong,
            ),
            (Some(held("a", fresh)), Some(record("a")), FindingState::Ok),
        ];
        for (lease, record, expected) in rows {
            let (state, message) = leader(lease.as_ref(), record.as_ref(), now);
            assert_eq!(state, expected, "{message}");
        }
    }
}
