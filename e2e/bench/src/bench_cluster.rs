//! Where it is measured: a cluster with namespaces, and at most one operator in it.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use harness::audit_queries::is_about_leadership;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::installation;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::audit::AuditLog;
use testbed::certificates::Authority;
use testbed::control_plane::ControlPlane;

use crate::measured_operator::Operator;
use crate::options::Options;
use crate::writer::in_flight;
pub use testbed::control_plane::Recorded;
use testbed::control_plane::Settings;
use testbed::run_folder::RunFolder;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::tools::Set;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until_every;

/// How many namespaces a fan-out has.
pub const BASE: u32 = 1_000;
/// How many namespaces the source that is edited all the time is copied to.
pub const CHURN: u32 = 100;
/// Requests in flight where something is only prepared.
pub const PREPARING: usize = 64;
/// The namespace of all sources and syncs.
pub const CENTRAL: &str = "central";
/// How long anything may take; it is far less as a rule.
pub const LONG: Duration = Duration::from_mins(10);

/// A cluster to measure in.
pub struct BenchCluster {
    /// Dropped before the cluster that it needs.
    operator: Option<Operator>,
    /// The cluster.
    pub control_plane: ControlPlane,
    /// What a person sees.
    pub screen: Screen,
    /// What was asked for.
    pub options: Options,
    binary: PathBuf,
    namespaces: u32,
    operators: u32,
}

// === impl BenchCluster ===

impl BenchCluster {
    /// A cluster with the operator installed, and not running.
    pub async fn start(
        screen: &Screen,
        options: &Options,
        binary: &Path,
        recorded: Recorded,
    ) -> Result<Self> {
        let tools = Tools::ensure(&[Set::Etcd, Set::ControlPlane]).await?;
        let work = async {
            let folder = RunFolder::create()?;
            let authority = Authority::create(folder.path().join("certificates"))?;
            let settings = Settings { recorded, ..Settings::default() };
            let plane = ControlPlane::start_with(&tools, folder, authority, settings).await?;
            installation::install(&plane).await?;
            Fixture::new(plane.client()).create_namespaces(&[CENTRAL]).await?;
            Ok(Done::new(plane, format!("requests recorded: {recorded:?}")))
        };
        let control_plane = screen.step("API server started", work).await?;
        Ok(Self {
            operator: None,
            control_plane,
            screen: screen.clone(),
            options: options.clone(),
            binary: binary.to_owned(),
            namespaces: 0,
            operators: 0,
        })
    }

    /// `size` at the scale that was asked for.
    pub fn scaled(&self, size: u32) -> u32 {
        self.options.scaled(size)
    }

    /// The operator that is measured.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// What a person does in this cluster.
    pub fn fixture(&self) -> Fixture {
        Fixture::new(self.control_plane.client())
    }

    /// What was asked of the API server.
    pub fn audit(&self) -> AuditLog {
        self.control_plane.audit()
    }

    // --- Namespaces ---

    /// The name of a namespace of ours.
    pub fn namespace(index: u32) -> String {
        format!("bench-{index:05}")
    }

    /// Selects the namespaces that carry this label.
    pub fn selector(label: &str) -> LabelSelector {
        let labels = [(label.to_owned(), "yes".to_owned())];
        LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() }
    }

    /// Makes namespaces until there are `count`, and waits until the controllers have put into
    /// each what they put into every namespace. All carry the label `bench`, those of a fan-out
    /// `base` as well, those of the churn `churn`.
    pub async fn make_namespaces(&mut self, count: u32) -> Result<()> {
        if count <= self.namespaces {
            return Ok(());
        }
        let (base, churn) = (self.scaled(BASE), self.scaled(CHURN));
        let api = Api::<Namespace>::all(self.control_plane.client());
        let work = async {
            in_flight(PREPARING, self.namespaces..count, async |index| {
                let mut labels = json!({"bench": "yes"});
                for (label, below) in [("base", base), ("churn", churn)] {
                    if index < below {
                        labels[label] = json!("yes");
                    }
                }
                let metadata = json!({"name": Self::namespace(index), "labels": labels});
                let namespace = serde_json::from_value(json!({"metadata": metadata}))?;
                api.create(&PostParams::default(), &namespace).await.context("making a namespace")
            })
            .await?;
            self.wait_furnished().await?;
            Ok(Done::new((), ""))
        };
        self.screen.step(&format!("{count} namespaces"), work).await?;
        self.namespaces = count;
        Ok(())
    }

    /// Kubernetes publishes a `ConfigMap` in every namespace.
    async fn wait_furnished(&self) -> Result<()> {
        let client = self.control_plane.client();
        let namespaces = Api::<Namespace>::all(client.clone());
        let maps = Api::<ConfigMap>::all(client);
        let published = ListParams::default().fields("metadata.name=kube-root-ca.crt");
        let pause = Duration::from_secs(1);
        until_every(pause, "the controllers have seen every namespace", LONG, || async {
            let wanted = namespaces.list_metadata(&ListParams::default()).await?.items.len();
            let found = maps.list_metadata(&published).await?.items.len();
            Ok(Seen::from_bool(found >= wanted, || format!("{found} of {wanted}")))
        })
        .await
    }

    // --- The operator ---

    /// Starts an operator if there is none, and waits until it is at rest.
    pub async fn start_operator(&mut self) -> Result<()> {
        if self.operator.is_none() {
            self.start_operator_only().await?;
        }
        self.wait_rest().await
    }

    /// Starts an operator, and returns as soon as it leads.
    pub async fn start_operator_only(&mut self) -> Result<()> {
        self.stop_operator().await?;
        // Each in a pod of its own: the token of a pod is valid for an hour.
        let name = format!("operator-{}", self.operators);
        self.operators += 1;
        let binary = self.binary.clone();
        self.operator = Some(Operator::start(&self.control_plane, &name, binary).await?);
        Ok(())
    }

    /// Stops the operator if there is one.
    pub async fn stop_operator(&mut self) -> Result<()> {
        match self.operator.take() {
            Some(operator) => operator.stop().await,
            None => Ok(()),
        }
    }

    /// The operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("no operator runs")
    }

    /// Waits until the operator has nothing more to do: no round waits or is under way, and for a
    /// moment it asked for nothing but its Lease.
    pub async fn wait_rest(&self) -> Result<()> {
        const MOMENT: Duration = Duration::from_millis(800);
        let operator = self.operator()?;
        until_every(Duration::ZERO, "the operator is at rest", LONG, || async {
            let mark = self.audit().mark().await?;
            tokio::time::sleep(MOMENT).await;
            let events = self.audit().since(mark).await?;
            let busy =
                requests_by_operator(&events).filter(|event| !is_about_leadership(event)).count();
            let waiting = operator.metric("workqueue_depth").await?;
            let rounds = operator.metric("controller_runtime_active_workers").await?;
            let is_at_rest = busy == 0 && waiting + rounds < 1.0;
            Ok(Seen::from_bool(is_at_rest, || {
                format!("{busy} requests in a moment, {waiting} syncs wait, {rounds} rounds")
            }))
        })
        .await
    }
}
