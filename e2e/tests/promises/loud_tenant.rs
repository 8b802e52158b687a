//! A tenant with many large ConfigMapSyncs, or many large sources, delays no other tenant.

mod slow_writes;
mod support;

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinSet;

use crate::bounded_memory::objects::create_config_maps;
use crate::bounded_memory::objects::large_name;
use crate::loud_tenant::support::edit;
use crate::loud_tenant::support::ensure_not_delayed;
use crate::loud_tenant::support::large_data;
use crate::service_account::support::ACCOUNT;
use crate::service_account::support::WRITES;
use crate::service_account::support::permit;
use crate::service_account::support::reviews;

/// The namespaces of the tenant who delays others.
const LOUD: [&str; 2] = ["loud-0", "loud-1"];
/// The ConfigMapSyncs of another tenant, in `quiet`.
const QUIET: [&str; 3] = ["small", "many-keys", "large-0"];
/// The ConfigMapSyncs of that tenant that are large, and those whose sources are.
const EACH: usize = 40;
/// The namespaces that they select, and where their ServiceAccounts have no permission.
const SELECTED: usize = 120;
const CONCURRENCY: usize = 8;
/// The tenant keeps the operator busy within this time.
const BUSY: Duration = Duration::from_secs(20);
/// Reviews that only the tenant can cause.
const MANY_REVIEWS: usize = 500;

/// The namespace and the large source of the ConfigMapSyncs with this number.
fn source(number: usize) -> (&'static str, String) {
    (LOUD[number % LOUD.len()], large_name(number / LOUD.len()))
}

/// More than 4 KiB of keys that the source lacks, and one that it has.
fn many_keys() -> Vec<String> {
    let missing = (0..40).map(|number| format!("key-{number:0240}"));
    ["n".to_owned()].into_iter().chain(missing).collect()
}

/// Copies the ConfigMap `name` into every namespace, with an account of its own that may only read it.
fn denied(number: usize, name: &str) -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        source_namespace: source(number).0.to_owned(),
        config_map_name: name.to_owned(),
        destination_namespace_selector: Some(LabelSelector::default()),
        destination_name: Some(format!("loud-{name}-{number}")),
        service_account_name: Some(format!("{name}-{number}")),
        ..ConfigMapSyncSpec::default()
    }
}

/// Allows all ServiceAccounts of `namespace` to read its ConfigMaps.
async fn permit_reads(control_plane: &ControlPlane, namespace: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "readers", "namespace": namespace});
    let version = format!("{group}/v1");
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let name = format!("system:serviceaccounts:{namespace}");
    control_plane
        .apply(json!({
            "apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules,
        }))
        .await?;
    let binding = json!({
        "apiVersion": version,
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "readers"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": name}],
    });
    control_plane.apply(binding).await?;
    Ok(())
}

async fn create_loud(fixture: &Fixture) -> Result<()> {
    for namespace in LOUD {
        fixture.create_config_map(namespace, "small", &[("n", "0")]).await?;
        let count = EACH / LOUD.len();
        create_config_maps(fixture, namespace, count, &large_data(), |_| json!({})).await?;
    }
    let creating = (0..EACH).map(|number| async move {
        let (namespace, source) = source(number);
        fixture.create_sync(namespace, &source, denied(number, &source)).await?;
        let spec = ConfigMapSyncSpec { keys: Some(many_keys()), ..denied(number, "small") };
        fixture.create_sync(namespace, &format!("many-keys-{number}"), spec).await?;
        anyhow::Ok(())
    });
    stream::iter(creating).buffer_unordered(CONCURRENCY).try_for_each(async |()| Ok(())).await
}

/// Edits the sources in turn, and each spec, so that denied permissions are asked for again.
fn keep_editing(fixture: &Fixture) -> JoinSet<Result<()>> {
    let mut tasks = JoinSet::new();
    for first in 0..2 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            for turn in 0.. {
                for number in (first..EACH).step_by(2) {
                    let (namespace, source) = source(number);
                    edit(&fixture, namespace, &source, &turn.to_string()).await?;
                    let notes = json!({"annotations": {"turn": turn.to_string()}});
                    let spec = json!({"spec": {"destinationMetadata": notes}});
                    for sync in [&source, &format!("many-keys-{number}")] {
                        fixture.patch_sync(namespace, sync, &spec).await?;
                    }
                }
            }
            Ok(())
        });
    }
    tasks
}

/// Waits until the operator asks for many permissions of the tenant's accounts.
async fn wait_busy(cluster: &OperatorCluster) -> Result<()> {
    let mark = cluster.audit().mark().await?;
    until("the operator asks for many permissions", BUSY, || async {
        let events = cluster.audit().since(mark).await?;
        let reviews = reviews(&events).len();
        Ok(Seen::from_bool(reviews >= MANY_REVIEWS, || format!("{reviews} reviews")))
    })
    .await
}

#[tokio::test]
async fn reviews_of_one_tenant_delay_no_other() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (&cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&[LOUD[0], LOUD[1], "quiet", "app"]).await?;
    let selected = (0..SELECTED).map(|number| async move {
        fixture.create_labelled_namespace(&format!("selected-{number}"), &[]).await
    });
    stream::iter(selected).buffer_unordered(CONCURRENCY).try_for_each(async |_| Ok(())).await?;
    for namespace in LOUD {
        permit_reads(control_plane, namespace).await?;
    }
    permit(control_plane, "quiet", Some("quiet"), &["get"]).await?;
    permit(control_plane, "quiet", Some("app"), WRITES).await?;
    for name in ["small", "many-keys"] {
        fixture.create_config_map("quiet", name, &[("n", "0")]).await?;
    }
    create_config_maps(fixture, "quiet", 1, &large_data(), |_| json!({})).await?;
    for name in QUIET {
        let keys = (name == "many-keys").then(many_keys);
        let service_account_name = Some(ACCOUNT.to_owned());
        let spec = one_to_one("quiet", name, "app");
        let spec = ConfigMapSyncSpec { keys, service_account_name, ..spec };
        fixture.create_sync("quiet", name, spec).await?;
    }
    create_loud(fixture).await?;
    let mut loud = keep_editing(fixture);
    wait_busy(&cluster).await?;
    ensure_not_delayed(fixture, &QUIET).await?;
    ensure!(loud.try_join_next().is_none(), "the tenant has stopped editing");
    Ok(())
}
