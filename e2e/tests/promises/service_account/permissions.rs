//! Each permission is required, and a denial says the same whatever exists.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;
use testbed::control_plane::ControlPlane;

use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::service_account::support::reads;
use crate::service_account::support::user;
use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::conditions::ready;

/// The backoff of a denial, while it is short.
const GRANTED: Duration = Duration::from_mins(2);

#[tokio::test]
async fn each_verb_is_required_and_enough_with_the_others() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central"]).await?;
    let mark = cluster.audit().mark().await?;
    let verbs = ["get", "create", "update", "delete"];
    for denied in verbs {
        let (namespace, source) = (format!("no-{denied}"), format!("for-{denied}"));
        fixture.create_namespaces(&[&namespace]).await?;
        fixture.create_config_map("central", &source, &[("a", "1")]).await?;
        if denied != "get" {
            permit(control_plane, &namespace, Some("central"), &["get"]).await?;
        }
        let writes: Vec<_> = WRITES.iter().copied().filter(|verb| *verb != denied).collect();
        permit(control_plane, &namespace, Some(&namespace), &writes).await?;
        let spec = by_account("central", &source, &namespace);
        fixture.create_sync(&namespace, "sync", spec).await?;
    }
    for denied in verbs {
        let (namespace, source) = (format!("no-{denied}"), format!("for-{denied}"));
        let sync = fixture.wait_reason(&namespace, "sync", "NotPermitted", SOON).await?;
        let at = if denied == "get" { "central" } else { &namespace };
        let words = format!(
            "ServiceAccount {namespace}/copier is not allowed to {denied} ConfigMap {source} in \
             namespace {at}: apply the Roles and RoleBindings that `configmapsync rights \
             {namespace}/sync` prints"
        );
        ensure!(message(&sync).contains(&words), "{}", message(&sync));
        let conditions = sync.status.map(|status| status.conditions).unwrap_or_default();
        ensure!(conditions.iter().all(|it| it.type_ != "Stalled"), "{conditions:?}");
    }
    let events = cluster.audit().since(mark).await?;
    let (writes, sources) = (copy_writes(&events), reads(&events, "central", "for-get"));
    ensure!(writes.is_empty() && sources.is_empty(), "{}{}", lines(&writes), lines(&sources));
    for denied in verbs {
        let (namespace, source) = (format!("no-{denied}"), format!("for-{denied}"));
        permit(control_plane, &namespace, Some("central"), &["get"]).await?;
        permit(control_plane, &namespace, Some(&namespace), WRITES).await?;
        fixture.wait_data(&namespace, &source, &[("a", "1")], GRANTED).await?;
        fixture.wait_reason(&namespace, "sync", "Synced", SOON).await?;
    }
    Ok(())
}

/// Binds the account in `tenant` to a Role that does not exist: reviews in `namespace` report that, too.
async fn bind_missing_role(control_plane: &ControlPlane, namespace: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    control_plane
        .apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "missing", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "missing"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user("tenant")}],
        }))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_denial_says_the_same_whatever_exists() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["tenant", "victim", "dangling"]).await?;
    for name in ["present", "refused", "taken"] {
        fixture.create_config_map("victim", name, &[("a", "1")]).await?;
    }
    let no_copy = json!({"metadata": {"annotations": {"apps.nishaf.info/no-copy": "true"}}});
    fixture.patch_config_map("victim", "refused", &no_copy).await?;
    fixture.create_config_map("tenant", "own", &[("a", "1")]).await?;
    permit(control_plane, "tenant", Some("tenant"), &["get", "create", "update", "delete"]).await?;
    bind_missing_role(control_plane, "dangling").await?;
    // The operator has read the victim's source for another tenant.
    fixture.create_namespaces(&["other"]).await?;
    let other = harness::fixture::one_to_one("victim", "present", "other");
    fixture.create_sync("other", "sync", other).await?;
    fixture.wait_reason("other", "sync", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    let into = |namespace: &str, name: &str| {
        let destination_name = Some(name.to_owned());
        ConfigMapSyncSpec { destination_name, ..by_account("tenant", "own", namespace) }
    };
    let mut texts = Vec::new();
    for (name, namespace, spec) in [
        ("present", "victim", by_account("victim", "present", "tenant")),
        ("absent", "victim", by_account("victim", "absent", "tenant")),
        ("refused", "victim", by_account("victim", "refused", "tenant")),
        ("elsewhere", "nowhere", by_account("nowhere", "elsewhere", "tenant")),
        ("unresolved", "dangling", by_account("dangling", "unresolved", "tenant")),
        ("taken", "victim", into("victim", "taken")),
        ("free", "victim", into("victim", "free")),
        ("lost", "nowhere", into("nowhere", "lost")),
    ] {
        fixture.create_sync("tenant", name, spec).await?;
        let sync = fixture.wait_reason("tenant", name, "NotPermitted", SOON).await?;
        let text = message(&sync).replace(&format!("ConfigMap {name}"), "ConfigMap X");
        let text = text.replace(&format!("tenant/{name}"), "tenant/X");
        let text = text.replace(namespace, "NS");
        let status = sync.status.clone().unwrap_or_default();
        let is_silent = status.content_hash.is_none() && status.source.is_none();
        ensure!(is_silent || text.contains("create"), "{status:?}");
        ensure!(ready(&sync).is_some_and(|it| it.status == "False"));
        texts.push(text);
    }
    ensure!(texts[..5].iter().all(|text| *text == texts[0]), "{texts:#?}");
    // Relative to its destination, the copy of a named namespace has its own prefix.
    ensure!(texts[5..].iter().all(|text| *text == texts[5]), "{texts:#?}");
    let events = cluster.audit().since(mark).await?;
    let sources = reads(&events, "victim", "present");
    ensure!(sources.is_empty(), "{}", lines(&sources));
    ensure!(copy_writes(&events).is_empty(), "{}", lines(&copy_writes(&events)));
    Ok(())
}
