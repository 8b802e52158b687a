//! `uninstall` ends whatever tenants do meanwhile: one object that cannot be written does not stop the
//! rest, and each that is left is listed with the kubectl command that finishes it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::busy_tenant::BusyTenant;
use harness::cli::CommandResult;
use harness::documented::Shell;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::support::deny_policy::DenyPolicy;
use crate::support::uninstall_job::UninstallJob;
use crate::support::uninstall_steps::OTHER_FINALIZER;
use crate::support::uninstall_steps::copies;
use crate::support::uninstall_steps::create_copies_of_each_kind;
use crate::support::uninstall_steps::create_orphans;
use crate::support::uninstall_steps::finalizers;
use crate::support::uninstall_steps::is_deletable;
use crate::support::uninstall_steps::stop_operator;
use crate::support::uninstall_steps::uninstall;

/// The time limit of the command in these tests.
const LIMIT: &str = "--timeout=40s";
/// A busy object is written many times between a read and the write that follows it.
const SLOW: Duration = Duration::from_millis(100);
const SYNCS: [&str; 3] = ["made", "retained", "adopted"];

/// A cluster with three copies and their ConfigMapSyncs, whose operator has stopped; and the uninstall
/// Job, whose requests arrive late.
struct Removal {
    cluster: OperatorCluster,
    proxy: FaultProxy,
    job: UninstallJob,
}

impl Removal {
    async fn start() -> Result<Self> {
        let mut cluster = OperatorCluster::start(1).await?;
        create_copies_of_each_kind(&cluster.fixture()).await?;
        stop_operator(&mut cluster).await?;
        let proxy = FaultProxy::start(&cluster.control_plane)?;
        let slow =
            |request: &Request| ["configmaps", "configmapsyncs"].contains(&request.resource());
        proxy.add(Rule::new(Fault::Delay(SLOW)).when(slow).always());
        let job = UninstallJob::create(&cluster, &proxy.url()).await?;
        Ok(Self { cluster, proxy, job })
    }

    /// Runs the kubectl commands that the command has printed.
    async fn run_listed_commands(&self, ended: &CommandResult) -> Result<()> {
        let lines = ended.stdout.lines().map(str::trim);
        let commands: Vec<_> = lines.filter(|line| line.starts_with("kubectl ")).collect();
        ensure!(!commands.is_empty(), "no command is listed: {ended:?}");
        let control_plane = &self.cluster.control_plane;
        let shell = Shell::new(control_plane.kubeconfig(), control_plane.folder()).await?;
        shell.run(&commands.join("\n")).await?;
        Ok(())
    }

    /// Fails unless nothing is left.
    async fn ensure_done(&self, arguments: &[&str]) -> Result<()> {
        let again = uninstall(&self.cluster, &[&["--yes"], arguments].concat()).await?;
        ensure!(again.code == 0 && !again.stdout.contains("kubectl"), "{again:?}");
        let fixture = self.cluster.fixture();
        for name in SYNCS {
            let held = finalizers(&fixture, name).await?;
            ensure!(!held.contains(&names::FINALIZER.to_owned()), "{name}: {held:?}");
        }
        ensure!(!copies(&fixture).await?.values().any(is_deletable));
        Ok(())
    }

    /// How many requests of the Job wrote the object `name`.
    fn tries(&self, name: &str) -> usize {
        let end = format!("/{name}");
        self.proxy.requests_where(0, |it| it.is_mutating() && it.path.ends_with(&end)).len()
    }
}

#[tokio::test]
async fn busy_objects_do_not_starve_uninstall() -> Result<()> {
    let removal = Removal::start().await?;
    let client = removal.cluster.control_plane.client();
    let tenant = BusyTenant::touching(&client, &["made", "adopted"], &SYNCS).await?;
    let before = tenant.written();
    let done = removal.job.run(&[LIMIT]).await?;
    ensure!(done.code == 0 && done.stdout.contains("2 copies kept"), "{done:?}");
    ensure!(tenant.written() > before, "the tenant was not busy");
    removal.ensure_done(&[]).await?;
    ensure!(finalizers(&removal.cluster.fixture(), "made").await? == [OTHER_FINALIZER]);
    Ok(())
}

#[tokio::test]
async fn busy_copies_to_be_deleted_are_listed() -> Result<()> {
    let removal = Removal::start().await?;
    let client = removal.cluster.control_plane.client();
    let tenant = BusyTenant::touching(&client, &["made"], &[]).await?;
    let ended = removal.job.run(&["--delete-copies", LIMIT]).await?;
    ensure!(ended.code == 1 && ended.stderr.contains("Nothing is lost"), "{ended:?}");
    ensure!(!ended.stderr.contains("timed out"), "{ended:?}");
    let command = "kubectl --namespace app delete configmap made";
    ensure!(ended.stdout.lines().any(|line| line.trim() == command), "{ended:?}");
    let tries = removal.tries("app/configmaps/made").max(removal.tries("made"));
    ensure!((2..100).contains(&tries), "{tries} tries");
    let fixture = removal.cluster.fixture();
    for name in ["retained", "adopted"] {
        let left = fixture.config_map("app", name).await?.with_context(|| name.to_owned())?;
        let labels = left.metadata.labels.unwrap_or_default();
        ensure!(!labels.contains_key(names::LABEL_SYNC_UID), "{name} was not released: {labels:?}");
    }
    ensure!(finalizers(&fixture, "made").await? == [OTHER_FINALIZER], "{ended:?}");
    // The tenant is still busy.
    removal.run_listed_commands(&ended).await?;
    ensure!(fixture.config_map("app", "made").await?.is_none());
    drop(tenant);
    removal.ensure_done(&["--delete-copies"]).await
}

#[tokio::test]
async fn a_finalizer_that_returns_is_listed() -> Result<()> {
    let removal = Removal::start().await?;
    let client = removal.cluster.control_plane.client();
    let back = json!([OTHER_FINALIZER, names::FINALIZER]);
    let tenant = BusyTenant::finalizing(&client, &["made"; 4], back).await?;
    let ended = removal.job.run(&[LIMIT]).await?;
    ensure!(ended.code == 1 && !ended.stderr.contains("timed out"), "{ended:?}");
    let words = "kubectl --namespace central patch configmapsync made";
    ensure!(ended.stdout.contains(words), "{ended:?}");
    ensure!(removal.tries("made") < 100, "{} tries", removal.tries("made"));
    let fixture = removal.cluster.fixture();
    for name in ["retained", "adopted"] {
        ensure!(finalizers(&fixture, name).await?.is_empty(), "{name}: {ended:?}");
    }
    ensure!(!copies(&fixture).await?.values().any(is_deletable), "{ended:?}");
    drop(tenant);
    removal.run_listed_commands(&ended).await?;
    ensure!(finalizers(&fixture, "made").await? == [OTHER_FINALIZER]);
    removal.ensure_done(&[]).await
}

#[tokio::test]
async fn a_refused_copy_does_not_stop_the_rest() -> Result<()> {
    let removal = Removal::start().await?;
    let cluster = &removal.cluster;
    let fixture = cluster.fixture();
    let deny = DenyPolicy::install(&cluster.control_plane, "other", "UPDATE").await?;
    create_orphans(&fixture, "other", "central/lost", 25).await?;
    let ended = uninstall(cluster, &["--yes", LIMIT]).await?;
    ensure!(ended.code == 1, "{ended:?}");
    let words = ["25 ConfigMaps", "refused by a policy", "Nothing is lost"];
    let output = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(words.iter().all(|word| output.contains(word)), "{ended:?}");
    // The list is limited.
    let listed = ended.stdout.matches("kubectl --namespace other annotate").count();
    ensure!(listed == 20 && ended.stdout.contains("and 5 more"), "{listed}: {ended:?}");
    for name in SYNCS {
        let held = finalizers(&fixture, name).await?;
        ensure!(!held.contains(&names::FINALIZER.to_owned()), "{name}: {held:?}");
    }
    ensure!(!copies(&fixture).await?.values().any(is_deletable), "{ended:?}");
    deny.remove().await?;
    removal.run_listed_commands(&ended).await?;
    let done = uninstall(cluster, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("5 copies kept"), "{done:?}");
    removal.ensure_done(&[]).await
}

#[tokio::test]
async fn uninstall_ends_in_time_and_lists_the_rest() -> Result<()> {
    let removal = Removal::start().await?;
    removal.proxy.clear();
    let never = Rule::new(Fault::Delay(Duration::from_mins(2)));
    removal.proxy.add(never.when(Request::is_mutating).always());
    let start = Instant::now();
    let ended = removal.job.run(&["--timeout=8s"]).await?;
    ensure!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    let words = ["timed out after 8s", "2 ConfigMaps and 3 ConfigMapSyncs", "Nothing is lost"];
    ensure!(ended.code == 1, "{ended:?}");
    ensure!(words.iter().all(|word| ended.stderr.contains(word)), "{ended:?}");
    removal.run_listed_commands(&ended).await?;
    removal.ensure_done(&[]).await
}

/// The names of the `ClusterRoleBindings` that begin like the operator's.
async fn bindings(cluster: &OperatorCluster) -> Result<Vec<String>> {
    let api = Api::<ClusterRoleBinding>::all(cluster.control_plane.client());
    let all = api.list(&ListParams::default()).await?.items;
    let names = all.iter().map(ResourceExt::name_any);
    Ok(names.filter(|name| name.starts_with("configmapsync")).collect())
}

#[tokio::test]
async fn uninstall_removes_its_cluster_role_bindings() -> Result<()> {
    let removal = Removal::start().await?;
    let before = bindings(&removal.cluster).await?;
    ensure!(before == ["configmapsync", "configmapsync-uninstall"], "{before:?}");
    let done = removal.job.run(&[LIMIT]).await?;
    ensure!(done.code == 0, "{done:?}");
    let after = bindings(&removal.cluster).await?;
    ensure!(after.is_empty(), "{after:?}");
    removal.ensure_done(&[]).await?;
    // A binding of that name with other subjects is not the operator's.
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let subject = json!({"kind": "ServiceAccount", "name": "other", "namespace": "other"});
    let foreign = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "configmapsync"},
        "roleRef": role,
        "subjects": [subject],
    });
    removal.cluster.control_plane.apply(foreign).await?;
    removal.ensure_done(&[]).await?;
    let left = bindings(&removal.cluster).await?;
    ensure!(left == ["configmapsync"], "{left:?}");
    Ok(())
}
