//! Is everything there, and does somebody lead?

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
use crate::commands::check::Finding;
use crate::commands::check::Question;
use crate::commands::check::State;
use crate::names;

/// How often to look while nobody leads, or two are named: for a moment it is so, when another
/// takes over.
const LOOKS: u32 = 5;
/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A Lease that was not renewed for so long, by the clock of whoever asks, is no longer held. Long
/// enough for clocks that differ.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// A state, and what to say of it.
type Verdict = (State, String);

/// The Deployment, if there is one, and what was found.
pub async fn installed(client: &Client, flags: &Check) -> (Option<Deployment>, Vec<Finding>) {
    let mut findings = Vec::new();
    for name in [names::CUSTOM_RESOURCE_DEFINITION, ConfigMapSyncLeader::crd_name()] {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let subject = format!("CustomResourceDefinition {name}");
        let looked = api.get_opt(name).await;
        findings.push(finding(&subject, looked.map(|found| kind(found.as_ref()))));
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), &flags.namespace);
    let subject = format!("Deployment {}/{}", flags.namespace, flags.deployment);
    let looked = api.get_opt(&flags.deployment).await;
    let found = looked.as_ref().ok().cloned().flatten();
    findings.push(finding(&subject, looked.map(|found| deployment(found.as_ref()))));
    let subject = format!("Lease {}/{}", flags.namespace, names::LEASE_NAME);
    findings.push(finding(&subject, look_for_leader(client, &flags.namespace).await));
    (found, findings)
}

fn finding(subject: &str, looked: kube::Result<Verdict>) -> Finding {
    match looked {
        Ok((state, message)) => Finding::new(Question::Installed, subject, state, message),
        Err(error) => Finding::unknown(Question::Installed, subject, &error),
    }
}

fn kind(found: Option<&CustomResourceDefinition>) -> Verdict {
    let wrong = |message: &str| (State::Wrong, message.to_owned());
    let Some(found) = found else {
        return wrong("missing: install the chart, or apply deploy/crds");
    };
    if found.metadata.deletion_timestamp.is_some() {
        return wrong(
            "being deleted, with every object of it: where that takes long, `configmapsync \
             uninstall` lets them go",
        );
    }
    let conditions = found.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let mut conditions = conditions.filter(|it| it.type_ == "Established" && it.status == "True");
    match conditions.next() {
        Some(_) => (State::Well, "served".to_owned()),
        None => wrong("not served: its status says why"),
    }
}

fn deployment(found: Option<&Deployment>) -> Verdict {
    let wrong = |message: &str| (State::Wrong, message.to_owned());
    let Some(found) = found else {
        return wrong("missing: install the chart, or name it by --namespace and --deployment");
    };
    let wanted = found.spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let status = found.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or_default();
    let said = format!("{ready} of {wanted} replicas are ready");
    if wanted == 0 {
        wrong("scaled to 0: nothing is copied until it is scaled up")
    } else if ready < wanted {
        (State::Wrong, format!("{said}: the status of its pods says why"))
    } else if status.observed_generation != found.metadata.generation {
        (State::Wrong, format!("{said}, and its latest change is not rolled out yet"))
    } else {
        (State::Well, said)
    }
}

async fn look_for_leader(client: &Client, namespace: &str) -> kube::Result<Verdict> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let leaders: Api<ConfigMapSyncLeader> = Api::namespaced(client.clone(), namespace);
    let mut looks = 0;
    loop {
        let lease = leases.get_opt(names::LEASE_NAME).await?.and_then(|lease| lease.spec);
        let announced = match leaders.get_opt(names::LEADER_NAME).await {
            Ok(found) => found.map(|found| found.spec),
            // The kind is missing, which is a finding of its own.
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(error),
        };
        let verdict = leader(lease.as_ref(), announced.as_ref(), Timestamp::now());
        looks += 1;
        if verdict.0 == State::Well || looks == LOOKS {
            return Ok(verdict);
        }
        sleep(PAUSE).await;
    }
}

/// Whether the Lease and the announcement name the same process, and it goes on leading.
fn leader(
    lease: Option<&LeaseSpec>,
    announced: Option<&ConfigMapSyncLeaderSpec>,
    now: Timestamp,
) -> Verdict {
    let wrong = |message: String| (State::Wrong, message);
    let holder = lease.and_then(|lease| lease.holder_identity.as_deref()).unwrap_or_default();
    if holder.is_empty() {
        return wrong("nobody leads: the logs of the operator's pods say why".to_owned());
    }
    let renewed = lease.and_then(|lease| lease.renew_time.as_ref());
    let age = renewed.map(|renewed| now.duration_since(renewed.0)).unwrap_or_default();
    if age > STALE {
        let seconds = age.as_secs();
        return wrong(format!("{holder} held it {seconds} s ago, and has not renewed it since"));
    }
    match announced {
        None => wrong(format!(
            "{holder} leads and is not announced, so that nothing fences others off: see its log"
        )),
        Some(announced) if announced.holder != holder => wrong(format!(
            "{holder} leads, but {} is announced, and the fence lets only that one write",
            announced.holder
        )),
        Some(announced) => {
            (State::Well, format!("{holder} leads, and is announced (term {})", announced.term))
        }
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
    fn a_kind_is_there_if_it_is_served_and_is_to_stay() {
        let served = json!({"conditions": [{"type": "Established", "status": "True"}],
            "acceptedNames": {"kind": "", "plural": ""}});
        let definition = |metadata, status| {
            let spec = json!({"group": "", "names": {"kind": "", "plural": ""}, "scope": "",
                "versions": []});
            read::<CustomResourceDefinition>(
                json!({"metadata": metadata, "spec": spec, "status": status}),
            )
        };
        let going = json!({"deletionTimestamp": "2026-01-02T03:04:05Z"});
        let rows = [
            (None, State::Wrong),
            (Some(definition(json!({}), json!(null))), State::Wrong),
            (Some(definition(going, served.clone())), State::Wrong),
            (Some(definition(json!({}), served)), State::Well),
        ];
        for (found, expected) in rows {
            assert_eq!(kind(found.as_ref()).0, expected, "{found:?}");
        }
    }

    #[test]
    fn a_deployment_is_well_if_all_replicas_are_ready_and_up_to_date() {
        let scaled = |wanted, ready, observed| {
            let template = json!({"metadata": {}});
            read::<Deployment>(json!({
                "metadata": {"generation": 2},
                "spec": {"replicas": wanted, "selector": {}, "template": template},
                "status": {"readyReplicas": ready, "observedGeneration": observed},
            }))
        };
        assert_eq!(deployment(None).0, State::Wrong);
        assert_eq!(deployment(Some(&scaled(0, 0, 2))).0, State::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 2, 2))).0, State::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 3, 1))).0, State::Wrong);
        assert_eq!(deployment(Some(&scaled(3, 3, 2))).0, State::Well);
    }

    #[test]
    fn the_lease_and_the_announcement_have_to_name_one_process() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let held = |holder: &str, renewed: &str| {
            read::<LeaseSpec>(json!({"holderIdentity": holder, "renewTime": renewed}))
        };
        let announced = |holder: &str| {
            let since = "2026-01-02T00:00:00Z";
            let spec = json!({"podUID": "1", "holder": holder, "term": 7, "since": since});
            read::<ConfigMapSyncLeaderSpec>(spec)
        };
        let fresh = "2026-01-02T03:04:01.000000Z";
        let rows = [
            (None, Some(announced("a")), State::Wrong),
            (Some(held("", fresh)), Some(announced("a")), State::Wrong),
            (Some(held("a", fresh)), None, State::Wrong),
            (Some(held("a", fresh)), Some(announced("b")), State::Wrong),
            (Some(held("a", "2026-01-02T03:00:00.000000Z")), Some(announced("a")), State::Wrong),
            (Some(held("a", fresh)), Some(announced("a")), State::Well),
        ];
        for (lease, announced, expected) in rows {
            let (state, said) = leader(lease.as_ref(), announced.as_ref(), now);
            assert_eq!(state, expected, "{said}");
        }
    }
}
