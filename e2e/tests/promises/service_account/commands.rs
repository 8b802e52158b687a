//! The commands that show what a ServiceAccount lacks, and the Roles that it needs.

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::cli::configmapsync;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;

use crate::namespaced_scope::support::create_deployment;
use crate::service_account::support::ACCOUNT;
use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;

/// Applies what `configmapsync rights` prints.
async fn apply_rights(cluster: &OperatorCluster, arguments: &[&str]) -> Result<()> {
    let arguments = [&["rights"], arguments].concat();
    let printed = configmapsync(cluster.control_plane.kubeconfig(), &arguments).await?;
    ensure!(printed.code == 0, "{printed:?}");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&printed.stdout)?;
    ensure!(objects.len() >= 4, "{printed:?}");
    for object in objects {
        cluster.control_plane.apply(object).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_printed_roles_are_what_is_needed() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant"]).await?;
    fixture.create_labelled_namespace("app-1", &[("team", "a")]).await?;
    fixture.create_labelled_namespace("app-2", &[("team", "b")]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let selecting = |name: &str, team: &str| ConfigMapSyncSpec {
        service_account_name: Some(format!("{ACCOUNT}-{name}")),
        destination_name: Some(name.to_owned()),
        ..to_selected(with_labels(&[("team", team)]))
    };
    let all: [(&str, ConfigMapSyncSpec, &[&str], &str); 3] = [
        ("one", by_account("central", "shared", "tenant"), &[], "tenant/shared"),
        ("each", selecting("each", "a"), &["--each-namespace"], "app-1/each"),
        ("all", selecting("all", "b"), &[], "app-2/all"),
    ];
    for (name, spec, flags, copy) in all {
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "NotPermitted", SOON).await?;
        let sync = format!("central/{name}");
        apply_rights(&cluster, &[&[sync.as_str()], flags].concat()).await?;
        let (namespace, copy) = copy.split_once('/').unwrap_or_default();
        fixture.wait_data(namespace, copy, &[("a", "1")], SOON * 2).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let kubeconfig = cluster.control_plane.kubeconfig();
    let missing = configmapsync(kubeconfig, &["rights", "central/none"]).await?;
    ensure!(missing.code == 1 && missing.stderr.contains("does not exist"), "{missing:?}");
    fixture.create_sync("central", "plain", one_to_one("central", "shared", "app-1")).await?;
    let plain = configmapsync(kubeconfig, &["rights", "central/plain"]).await?;
    ensure!(plain.code == 1 && plain.stderr.contains("--default-service-account"), "{plain:?}");
    let default = ["rights", "central/plain", "--default-service-account", ACCOUNT];
    let default = configmapsync(kubeconfig, &default).await?;
    ensure!(default.code == 0 && default.stdout.contains("name: copier"), "{default:?}");
    Ok(())
}

#[tokio::test]
async fn a_plan_shows_what_is_not_permitted() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant", "trusted"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for namespace in ["tenant", "trusted"] {
        fixture.create_sync(namespace, "sync", one_to_one("central", "shared", namespace)).await?;
    }
    let kubeconfig = cluster.control_plane.kubeconfig();
    let open = configmapsync(kubeconfig, &["plan"]).await?;
    ensure!(open.code == 2 && !open.stdout.contains("NotPermitted"), "{open:?}");
    let arguments =
        ["plan", "--default-service-account", ACCOUNT, "--trusted-namespaces", "trust*"];
    let locked = configmapsync(kubeconfig, &arguments).await?;
    let words = "NotPermitted: ServiceAccount tenant/copier is not allowed to get ConfigMap shared \
                 in namespace central";
    ensure!(locked.code == 2 && locked.stdout.contains(words), "{locked:?}");
    ensure!(locked.stdout.contains("trusted/shared"), "{locked:?}");
    ensure!(!locked.stdout.contains("tenant/shared"), "{locked:?}");
    Ok(())
}

#[tokio::test]
async fn commands_decide_as_the_deployment_says() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant", "trusted", "infra"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for namespace in ["tenant", "trusted"] {
        fixture.create_sync(namespace, "sync", one_to_one("central", "shared", namespace)).await?;
    }
    fixture.create_sync("trusted", "infra", one_to_one("central", "shared", "infra")).await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let absent = configmapsync(kubeconfig, &["plan"]).await?;
    ensure!(absent.stderr.contains("there is no Deployment"), "{absent:?}");
    ensure!(!absent.stdout.contains("NotPermitted"), "{absent:?}");

    let (account, trusted) = ("--default-service-account=copier", "--trusted-namespaces=trust*");
    let flags = [account, trusted, "--protected-namespaces=infra"];
    create_deployment(&cluster, &flags, &json!([])).await?;
    let plan = configmapsync(kubeconfig, &["plan"]).await?;
    let words = "as Deployment configmapsync/configmapsync: --protected-namespaces=infra";
    ensure!(plan.stderr.contains(words) && plan.stderr.contains(account), "{plan:?}");
    let words = ["NotPermitted: ServiceAccount tenant/copier", "DestinationProtected"];
    ensure!(words.iter().all(|word| plan.stdout.contains(word)), "{plan:?}");
    let explicit = ["plan", "--default-service-account=other", "--protected-namespaces=none"];
    let explicit = configmapsync(kubeconfig, &explicit).await?;
    ensure!(explicit.stdout.contains("ServiceAccount trusted/other"), "{explicit:?}");
    ensure!(!explicit.stdout.contains("DestinationProtected"), "{explicit:?}");
    let rights = configmapsync(kubeconfig, &["rights", "tenant/sync"]).await?;
    ensure!(rights.code == 0 && rights.stdout.contains("name: copier"), "{rights:?}");
    let check = configmapsync(kubeconfig, &["check"]).await?;
    ensure!(check.stdout.contains("ServiceAccount copier counts, except in trust*"), "{check:?}");
    Ok(())
}

#[tokio::test]
async fn a_plan_shows_copies_that_would_not_be_updated() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("tenant", "sync", one_to_one("central", "shared", "tenant")).await?;
    fixture.wait_reason("tenant", "sync", "Synced", SOON).await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let locked = ["plan", "--default-service-account", ACCOUNT];
    let unreadable = configmapsync(kubeconfig, &locked).await?;
    let words = "NotPermitted: ServiceAccount tenant/copier is not allowed to get ConfigMap shared \
                 in namespace central";
    ensure!(unreadable.code == 0 && unreadable.stdout.contains(words), "{unreadable:?}");
    ensure!(unreadable.stdout.contains("1 blocked, 0 in sync"), "{unreadable:?}");
    permit(&cluster.control_plane, "tenant", Some("central"), &["get"]).await?;
    let unwritable = configmapsync(kubeconfig, &locked).await?;
    let words = "not allowed to update and delete ConfigMap shared in namespace tenant";
    ensure!(unwritable.stdout.contains(words), "{unwritable:?}");
    let command = "`configmapsync rights tenant/sync --default-service-account copier`";
    ensure!(unwritable.stdout.contains(command), "{unwritable:?}");
    permit(&cluster.control_plane, "tenant", Some("tenant"), WRITES).await?;
    let permitted = configmapsync(kubeconfig, &locked).await?;
    ensure!(permitted.stdout.contains("0 blocked, 1 in sync"), "{permitted:?}");
    Ok(())
}
