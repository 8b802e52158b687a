//! Many namespaces, one of which denies writes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::terminal::Done;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::measurement::between;
use crate::observation::Observation;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests::four_kibibytes;

const NAME: &str = "refused";
/// The index of the namespace that denies writes.
const DENYING: u32 = 0;

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.create_namespaces(count).await?;
    cluster.create_source(NAME).await?;
    cluster.start_operator().await?;
    deny(cluster).await?;
    let screen = cluster.screen.clone();
    let others = count - 1;

    let work = async {
        let work = async {
            cluster
                .fixture()
                .create_sync(CENTRAL, NAME, BenchCluster::fan_out(NAME, "base"))
                .await?;
            Ok(())
        };
        Ok(Done::new(Box::pin(written(cluster, "create", others, work)).await?, ""))
    };
    let observation = screen.step(&format!("fan-out, 1 of {count} denied"), work).await?;
    let start = observation.user_response_time("create", "configmapsyncs", NAME);
    check_requests(results, &observation, "create", others);
    let wall = between(start, last_of_others(&observation, "create"));
    results.row(format!("fan-out, 1 of {count} denied"), observation.measured().took(others, wall));

    let work = async {
        let data = json!({"data": four_kibibytes(1)});
        let work = async {
            cluster.fixture().patch_config_map(CENTRAL, NAME, &data).await?;
            Ok(())
        };
        Ok(Done::new(Box::pin(written(cluster, "update", others, work)).await?, ""))
    };
    let observation = screen.step(&format!("update, 1 of {count} denied"), work).await?;
    let start = observation.user_response_time("patch", "configmaps", NAME);
    check_requests(results, &observation, "patch", others);
    let wall = between(start, last_of_others(&observation, "patch"));
    results.row(format!("update, 1 of {count} denied"), observation.measured().took(others, wall));

    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await?;
    allow(cluster).await
}

/// Runs `work`, and waits until the operator has written `count` copies.
async fn written(
    cluster: &BenchCluster,
    action: &str,
    count: u32,
    work: impl Future<Output = Result<()>>,
) -> Result<Observation> {
    let series = format!("configmapsync_writes_total{{action=\"{action}\",result=\"success\"");
    let before = cluster.operator()?.metric(&series).await?;
    let work = async {
        work.await?;
        cluster.operator()?.wait_metric(&series, before + f64::from(count), LONG).await
    };
    Ok(Box::pin(cluster.observe(work)).await?.1)
}

/// Checks that there is one request per other namespace, and that all of them are complete before the
/// first retry in the denying namespace.
fn check_requests(results: &mut Results, observation: &Observation, verb: &str, others: u32) {
    let mut requests = BTreeMap::<&str, u32>::new();
    let mut of_denying = Vec::new();
    for event in observation.requests_by_operator().filter(|event| event.resource() == "configmaps")
    {
        if event.namespace() == BenchCluster::namespace(DENYING) && event.is_write() {
            of_denying.push(event.request_received_timestamp.0);
        } else if event.verb == verb {
            *requests.entry(event.namespace()).or_default() += 1;
        }
    }
    let written = u32::try_from(requests.len()).unwrap_or_default();
    let what = |what: &str| format!("{verb}, one denied: {what}");
    let (written, wanted) = (Some(written.into()), others.into());
    results.bound(what("other copies written"), written, Relation::Exactly, wanted);
    let most = requests.values().max().map(|most| f64::from(*most));
    results.bound(what("requests per other copy"), most, Relation::Exactly, 1.0);
    let last = last_of_others(observation, verb);
    let before_last = of_denying.iter().filter(|time| Some(**time) <= last).count();
    let retries = u32::try_from(before_last.saturating_sub(1)).ok().map(f64::from);
    results.bound(what("retries before the last other copy"), retries, Relation::AtMost, 0.0);
    let statuses = Some(observation.calls().count("patch", "configmapsyncs/status").into());
    results.bound(what("status writes"), statuses, Relation::AtMost, 3.0);
}

fn last_of_others(observation: &Observation, verb: &str) -> Option<k8s_openapi::jiff::Timestamp> {
    let of_others = observation.requests_by_operator().filter(|event| {
        event.resource() == "configmaps"
            && event.verb == verb
            && event.namespace() != BenchCluster::namespace(DENYING)
    });
    of_others.map(|event| event.stage_timestamp.0).max()
}

/// Installs a policy that denies creates and updates of `ConfigMap`s in one namespace.
async fn deny(cluster: &BenchCluster) -> Result<()> {
    let group = "admissionregistration.k8s.io/v1";
    let name = BenchCluster::namespace(DENYING);
    let rule = json!({
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    });
    let policy = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [rule],
            },
            "validations": [{"expression": "false", "message": "denied by the bench", "reason": "Forbidden"}],
        },
    });
    let binding = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    });
    cluster.control_plane.apply(policy).await?;
    cluster.control_plane.apply(binding).await?;
    let maps = Api::<ConfigMap>::namespaced(cluster.control_plane.client(), &name);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let probe: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "probe"}}))?;
    until("the policy denies a ConfigMap", Duration::from_mins(1), || async {
        let response = maps.create(&dry_run, &probe).await;
        let refused = matches!(&response, Err(kube::Error::Api(status)) if status.code == 403);
        Ok(Seen::from_bool(refused, || format!("{response:?}")))
    })
    .await
}

async fn allow(cluster: &BenchCluster) -> Result<()> {
    let client = cluster.control_plane.client();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    bindings.delete(NAME, &DeleteParams::default()).await?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(client);
    policies.delete(NAME, &DeleteParams::default()).await?;
    Ok(())
}
