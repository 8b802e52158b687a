//! Many namespaces, of which one refuses.

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
use crate::bodies::four_kibibytes;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::between;
use crate::stretch::Stretch;

const NAME: &str = "refused";
/// The namespace that refuses.
const REFUSING: u32 = 0;

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.make_namespaces(count).await?;
    cluster.make_source(NAME).await?;
    cluster.start_operator().await?;
    refuse(cluster).await?;
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
    let stretch = screen.step(&format!("fan-out, 1 of {count} refuses"), work).await?;
    let began = stretch.asked("create", "configmapsyncs", NAME);
    promise(ledger, &stretch, "create", others);
    let wall = between(began, last_of_others(&stretch, "create"));
    ledger.row(format!("fan-out, 1 of {count} refuses"), stretch.measured().took(others, wall));

    let work = async {
        let data = json!({"data": four_kibibytes(1)});
        let work = async {
            cluster.fixture().patch_config_map(CENTRAL, NAME, &data).await?;
            Ok(())
        };
        Ok(Done::new(Box::pin(written(cluster, "update", others, work)).await?, ""))
    };
    let stretch = screen.step(&format!("update, 1 of {count} refuses"), work).await?;
    let began = stretch.asked("patch", "configmaps", NAME);
    promise(ledger, &stretch, "patch", others);
    let wall = between(began, last_of_others(&stretch, "patch"));
    ledger.row(format!("update, 1 of {count} refuses"), stretch.measured().took(others, wall));

    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await?;
    allow(cluster).await
}

/// Does `work`, and waits until the operator has written so many copies.
async fn written(
    cluster: &BenchCluster,
    action: &str,
    count: u32,
    work: impl Future<Output = Result<()>>,
) -> Result<Stretch> {
    let series = format!("configmapsync_writes_total{{action=\"{action}\",result=\"success\"");
    let before = cluster.operator()?.metric(&series).await?;
    let work = async {
        work.await?;
        cluster.operator()?.wait_metric(&series, before + f64::from(count), LONG).await
    };
    Ok(Box::pin(cluster.during(work)).await?.1)
}

/// One request for each of the others, and all answered before the one that refuses was asked
/// for the second time.
fn promise(ledger: &mut Ledger, stretch: &Stretch, verb: &str, others: u32) {
    let mut requests = BTreeMap::<&str, u32>::new();
    let mut of_refusing = Vec::new();
    for event in stretch.requests_by_operator().filter(|event| event.resource() == "configmaps") {
        if event.namespace() == BenchCluster::namespace(REFUSING) && event.is_write() {
            of_refusing.push(event.request_received_timestamp.0);
        } else if event.verb == verb {
            *requests.entry(event.namespace()).or_default() += 1;
        }
    }
    let served = u32::try_from(requests.len()).unwrap_or_default();
    let what = |what: &str| format!("{verb}, one refuses: {what}");
    let (served, wanted) = (Some(served.into()), others.into());
    ledger.bound(what("other copies written"), served, Relation::Exactly, wanted);
    let most = requests.values().max().map(|most| f64::from(*most));
    ledger.bound(what("requests for each of them"), most, Relation::Exactly, 1.0);
    let last = last_of_others(stretch, verb);
    let waited_for = of_refusing.iter().filter(|tried| Some(**tried) <= last).count();
    let retries = u32::try_from(waited_for.saturating_sub(1)).ok().map(f64::from);
    ledger.bound(
        what("retries of the one before the last of them"),
        retries,
        Relation::AtMost,
        0.0,
    );
    let statuses = Some(stretch.calls().count("patch", "configmapsyncs/status").into());
    ledger.bound(what("writes of the status"), statuses, Relation::AtMost, 3.0);
}

fn last_of_others(stretch: &Stretch, verb: &str) -> Option<k8s_openapi::jiff::Timestamp> {
    let of_others = stretch.requests_by_operator().filter(|event| {
        event.resource() == "configmaps"
            && event.verb == verb
            && event.namespace() != BenchCluster::namespace(REFUSING)
    });
    of_others.map(|event| event.stage_timestamp.0).max()
}

/// From now on, nobody creates or changes a `ConfigMap` in one namespace.
async fn refuse(cluster: &BenchCluster) -> Result<()> {
    let group = "admissionregistration.k8s.io/v1";
    let name = BenchCluster::namespace(REFUSING);
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
            "validations": [{"expression": "false", "message": "not here", "reason": "Forbidden"}],
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
    until("the policy refuses", Duration::from_mins(1), || async {
        let answer = maps.create(&dry_run, &probe).await;
        let refused = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
        Ok(Seen::from_bool(refused, || format!("{answer:?}")))
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
