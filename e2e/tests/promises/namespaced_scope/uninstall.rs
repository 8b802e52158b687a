//! `uninstall` of a limited operator, in all of its namespaces or in one that it leaves.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::UNINSTALL_USER;
use testbed::audit::lines;

use crate::namespaced_scope::support::SCOPE;
use crate::namespaced_scope::support::create_deployment;
use crate::namespaced_scope::support::findings;
use crate::namespaced_scope::support::limited_cluster;
use crate::support::uninstall_job::UninstallJob;
use crate::support::uninstall_steps::replicas;
use crate::support::uninstall_steps::start_deployment;
use crate::support::uninstall_steps::stop_operator;
use crate::support::uninstall_steps::uninstall;

/// Whether a ConfigMapSync has the operator's finalizer.
async fn has_finalizer(fixture: &Fixture, namespace: &str, name: &str) -> Result<bool> {
    let sync = fixture.sync(namespace, name).await?.context("no such ConfigMapSync")?;
    Ok(sync.metadata.finalizers.iter().flatten().any(|it| it == names::FINALIZER))
}

#[tokio::test]
async fn a_namespace_leaves_the_scope_after_uninstall_there() -> Result<()> {
    let (mut cluster, _) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    let syncs = [("b", "leaving", "b"), ("central", "staying", "a")];
    for (namespace, name, destination) in syncs {
        let spec = one_to_one("central", "shared", destination);
        fixture.create_sync(namespace, name, spec).await?;
        fixture.wait_reason(namespace, name, "Synced", SOON).await?;
    }
    stop_operator(&mut cluster).await?;
    create_deployment(&cluster, &["--namespaces=central,a"], &json!([])).await?;
    let left = async || -> Result<Value> {
        let found = findings(&cluster, "installed").await?.into_iter();
        let mut found = found.filter(|it| it["subject"] == "ConfigMapSyncs outside the scope");
        found.next().context("check does not mention the ConfigMapSyncs outside the scope")
    };
    let finding = left().await?;
    let message = finding["message"].as_str().unwrap_or_default();
    let says = finding["state"] == "wrong" && message.contains("uninstall --namespaces b`");
    ensure!(says, "{finding}");

    let done = uninstall(&cluster, &["--yes", "--namespaces", "b"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 copies kept"), "{done:?}");
    ensure!(!has_finalizer(&fixture, "b", "leaving").await?, "b/leaving has the finalizer");
    ensure!(has_finalizer(&fixture, "central", "staying").await?, "central/staying lost it");
    for (namespace, is_deletable) in [("a", true), ("b", false)] {
        let copy = fixture.config_map(namespace, "shared").await?.context("the copy is gone")?;
        let annotations = copy.metadata.annotations.unwrap_or_default();
        let found = annotations.contains_key(names::ANNOTATION_DELETION_POLICY);
        ensure!(found == is_deletable, "{namespace}: {annotations:?}");
    }
    ensure!(left().await?["state"] == "ok", "{}", left().await?);
    let bindings = Api::<ClusterRoleBinding>::all(fixture.client());
    ensure!(bindings.get_opt(OPERATOR).await?.is_some(), "the ClusterRoleBinding is gone");
    fixture.delete_sync("b", "leaving").await?;
    fixture.wait_no_sync("b", "leaving", SOON).await
}

#[tokio::test]
async fn the_uninstall_job_needs_permissions_in_the_scope_only() -> Result<()> {
    let (mut cluster, _) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    let syncs = [("b", "deleted", DeletionPolicy::Delete), ("a", "kept", DeletionPolicy::Retain)];
    for (namespace, name, deletion_policy) in syncs {
        let mut spec = one_to_one("central", "shared", namespace);
        spec.deletion_policy = deletion_policy;
        fixture.create_sync(namespace, name, spec).await?;
        fixture.wait_reason(namespace, name, "Synced", SOON).await?;
    }
    stop_operator(&mut cluster).await?;
    let mark = cluster.audit().mark().await?;
    let server = cluster.control_plane.server();
    let job = UninstallJob::create_limited_to(&cluster, &server, &SCOPE).await?;
    let list = format!("--namespaces={},{OPERATOR}", SCOPE.join(","));
    let done = job.run(&[&list, "--delete-copies"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 deleted, 1 released"), "{done:?}");
    for (namespace, name, _) in syncs {
        ensure!(!has_finalizer(&fixture, namespace, name).await?, "{namespace}/{name}: {done:?}");
    }
    ensure!(fixture.config_map("b", "shared").await?.is_none(), "the copy is left: {done:?}");
    let bindings = Api::<ClusterRoleBinding>::all(fixture.client());
    ensure!(bindings.get_opt(OPERATOR).await?.is_none(), "the ClusterRoleBinding is left");
    let events = cluster.audit().since(mark).await?;
    let by_job = events.iter().filter(|it| it.is_final() && it.user.username == UNINSTALL_USER);
    let denied = by_job.filter(|it| it.response_status.code == 403);
    // Helm deletes these bindings after the Job, which is not permitted to.
    let denied: Vec<_> = denied.filter(|it| it.resource() != "rolebindings").collect();
    ensure!(denied.is_empty(), "{}", lines(&denied));
    Ok(())
}

#[tokio::test]
async fn a_misspelled_namespace_stops_no_operator() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "other"]).await?;
    start_deployment(&cluster, OPERATOR, 2).await?;
    let refused = uninstall(&cluster, &["--yes", "--namespaces", "central,centrall"]).await?;
    let says = refused.stderr.contains("namespace centrall does not exist");
    ensure!(refused.code == 1 && says, "{refused:?}");
    ensure!(replicas(&fixture, OPERATOR).await? == 2, "{refused:?}");

    let list = json!({"name": "CONFIGMAPSYNC_NAMESPACES", "value": "central,deleted"});
    let container = json!({"name": OPERATOR, "env": [list]});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let deployments = Api::<Deployment>::namespaced(fixture.client(), OPERATOR);
    let patch = Patch::Strategic(patch);
    deployments.patch(OPERATOR, &PatchParams::default(), &patch).await?;
    let outside = uninstall(&cluster, &["--yes", "--namespaces", "central,other"]).await?;
    let says = outside.stderr.contains("nothing to undo in other");
    ensure!(outside.code == 1 && says, "{outside:?}");
    ensure!(replicas(&fixture, OPERATOR).await? == 2, "{outside:?}");
    // A namespace of the scope may be gone.
    let inside = uninstall(&cluster, &["--yes", "--namespaces", "central,deleted"]).await?;
    ensure!(inside.code == 0, "{inside:?}");
    ensure!(replicas(&fixture, OPERATOR).await? == 0, "{inside:?}");
    Ok(())
}

/// The binding that the chart creates in a namespace of the scope, of an account in `account`.
async fn bind_scope(cluster: &OperatorCluster, namespace: &str, account: &str) -> Result<()> {
    let name = "configmapsync-scope";
    let labels = json!({"app.kubernetes.io/name": OPERATOR});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": account}],
    });
    cluster.control_plane.apply(binding).await?;
    Ok(())
}

#[tokio::test]
async fn uninstall_removes_its_bindings_in_the_scope() -> Result<()> {
    let (cluster, _) = limited_cluster(0).await?;
    let fixture = cluster.fixture();
    for (namespace, account) in [("a", OPERATOR), ("b", OPERATOR), ("central", "other")] {
        bind_scope(&cluster, namespace, account).await?;
    }
    let bound = async || -> Result<Vec<String>> {
        let all = Api::<RoleBinding>::all(fixture.client()).list(&ListParams::default()).await?;
        let ours = all.items.into_iter().filter(|it| it.name_any() == "configmapsync-scope");
        Ok(ours.filter_map(|it| it.namespace()).collect())
    };
    let without_own = uninstall(&cluster, &["--yes", "--namespaces", "a"]).await?;
    ensure!(without_own.code == 0 && bound().await? == ["a", "b", "central"], "{without_own:?}");
    let in_a = uninstall(&cluster, &["--yes", "--namespaces", "central,a,configmapsync"]).await?;
    ensure!(in_a.code == 0 && bound().await? == ["b", "central"], "{:?} {in_a:?}", bound().await?);
    // The account in another namespace is that of another installation.
    let everywhere = uninstall(&cluster, &["--yes"]).await?;
    ensure!(everywhere.code == 0 && bound().await? == ["central"], "{everywhere:?}");
    ensure!(everywhere.stdout.contains("1 bindings deleted"), "{everywhere:?}");
    Ok(())
}
