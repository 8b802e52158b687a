//! `rights` grants no more than the copies need, and warns of what RBAC cannot limit.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;
use testbed::kubeconfig::Credential;
use testbed::users::Permission;

use crate::service_account::support::ACCOUNT;
use crate::service_account::support::by_account;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;

/// The ConfigMapSync that selects `app`, `later` and two namespaces that are never destinations.
const SELECTING: &str = "central/selecting";
/// The namespaces that are never destinations.
const NEVER: [&str; 2] = ["configmapsync", "kube-public"];

/// A cluster without an operator, with `central/selecting`, and `central/single`, whose destination is
/// protected.
async fn cluster_with_syncs() -> Result<OperatorCluster> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    for namespace in ["app", "later"].into_iter().chain(NEVER) {
        let metadata = json!({"name": namespace, "labels": {"team": "a"}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        cluster.control_plane.apply(namespace).await?;
    }
    let selecting = ConfigMapSyncSpec {
        service_account_name: Some(ACCOUNT.to_owned()),
        ..to_selected(with_labels(&[("team", "a")]))
    };
    fixture.create_sync("central", "selecting", selecting).await?;
    let single = by_account("central", "shared", "kube-public");
    fixture.create_sync("central", "single", single).await?;
    Ok(cluster)
}

/// Runs `rights`, and fails unless it succeeds. Returns the objects that it prints, too.
async fn rights(kubeconfig: &Path, arguments: &[&str]) -> Result<(CommandResult, Vec<Value>)> {
    let printed = configmapsync(kubeconfig, &[&["rights"], arguments].concat()).await?;
    ensure!(printed.code == 0, "{printed:?}");
    let objects = serde_saphyr::from_multiple(&printed.stdout)?;
    Ok((printed, objects))
}

/// The kinds and namespaces of `objects`.
fn places(objects: &[Value]) -> Vec<(&str, Option<&str>)> {
    objects
        .iter()
        .map(|it| (it["kind"].as_str().unwrap_or_default(), it["metadata"]["namespace"].as_str()))
        .collect()
}

#[tokio::test]
async fn rights_warn_of_what_a_cluster_role_grants() -> Result<()> {
    let cluster = cluster_with_syncs().await?;
    let (printed, objects) = rights(cluster.control_plane.kubeconfig(), &[SELECTING]).await?;
    ensure!(places(&objects).contains(&("ClusterRole", None)), "{printed:?}");
    for words in ["create", "any name", "every namespace", "central/copier", "--each-namespace"] {
        ensure!(printed.stderr.contains(words), "{words}: {printed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn rights_are_limited_to_where_copies_are_written() -> Result<()> {
    let cluster = cluster_with_syncs().await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let source = [("Role", Some("central")), ("RoleBinding", Some("central"))];
    let app = [("Role", Some("app")), ("RoleBinding", Some("app"))];
    let later = [("Role", Some("later")), ("RoleBinding", Some("later"))];
    let scope = "--namespaces=central,app,configmapsync";
    let rows = [
        (&[SELECTING, scope][..], [source, app].concat(), &NEVER[..1]),
        (&[SELECTING, "--each-namespace"], [source, app, later].concat(), &NEVER),
        (&["central/single"], source.to_vec(), &NEVER[1..]),
    ];
    for (arguments, expected, never) in rows {
        let (printed, objects) = rights(kubeconfig, arguments).await?;
        ensure!(places(&objects) == expected, "{arguments:?}: {printed:?}");
        for namespace in NEVER {
            let says = printed.stderr.contains(&format!("namespace {namespace}"));
            ensure!(says == never.contains(&namespace), "{namespace}: {printed:?}");
        }
        let labels = objects.iter().map(|it| &it["metadata"]["labels"]);
        let is_ours = |it: &Value| it["app.kubernetes.io/part-of"] == "configmapsync";
        ensure!(labels.clone().all(is_ours), "{:?}", labels.collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn rights_of_a_file_are_those_after_it_is_applied() -> Result<()> {
    let cluster = cluster_with_syncs().await?;
    let file = cluster.control_plane.folder().join("syncs.yaml");
    let manifests: Vec<_> = [("new", "later"), ("single", "app")]
        .map(|(name, destination)| {
            let spec = by_account("central", "shared", destination);
            json!({
                "apiVersion": "apps.nishaf.info/v1",
                "kind": "ConfigMapSync",
                "metadata": {"name": name, "namespace": "central"},
                "spec": spec,
            })
            .to_string()
        })
        .into();
    fs::write(&file, manifests.join("\n---\n"))?;
    let path = file.to_str().context("the path is not UTF-8")?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let (printed, objects) = rights(kubeconfig, &["-f", path]).await?;
    let source = [("Role", Some("central")), ("RoleBinding", Some("central"))];
    let later = [("Role", Some("later")), ("RoleBinding", Some("later"))];
    let app = [("Role", Some("app")), ("RoleBinding", Some("app"))];
    ensure!(places(&objects) == [source, later, source, app].concat(), "{printed:?}");
    for arguments in [&["rights"][..], &["rights", "central/single", "-f", path]] {
        let wrong = configmapsync(kubeconfig, arguments).await?;
        ensure!(wrong.code == 2 && wrong.stderr.contains("Usage:"), "{wrong:?}");
    }
    Ok(())
}

#[tokio::test]
async fn rights_warn_of_a_missing_service_account() -> Result<()> {
    let cluster = cluster_with_syncs().await?;
    let control_plane = &cluster.control_plane;
    let warning = "ServiceAccount central/copier does not exist";
    let arguments = [SELECTING, "--each-namespace"];
    let (missing, _) = rights(control_plane.kubeconfig(), &arguments).await?;
    ensure!(missing.stderr.contains(warning), "{missing:?}");

    // Without permission to read it, there is no warning.
    let certificate = control_plane.authority().issue_client("reader", "reader", &[])?;
    let reader = control_plane.folder().join("reader.kubeconfig");
    fs::write(&reader, control_plane.kubeconfig_for(&Credential::Certificate(certificate))?)?;
    let rules = json!([
        {"apiGroups": ["apps.nishaf.info"], "resources": ["configmapsyncs"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
    ]);
    let last = Permission { namespace: None, group: "", resource: "namespaces", verb: "list" };
    control_plane.grant("reader", None, rules, last).await?;
    let (unknown, _) = rights(&reader, &arguments).await?;
    ensure!(!unknown.stderr.contains("ServiceAccount"), "{unknown:?}");

    let metadata = json!({"name": ACCOUNT, "namespace": "central"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    control_plane.apply(account).await?;
    let (existing, _) = rights(control_plane.kubeconfig(), &arguments).await?;
    ensure!(!existing.stderr.contains(warning), "{existing:?}");
    Ok(())
}
