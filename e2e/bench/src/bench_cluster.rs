//! A cluster with namespaces, and at most one operator in it.

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

use crate::collector::Collector;
use crate::measured_operator::Operator;
use crate::options::Options;
use crate::raw_writer::in_flight;
pub use testbed::control_plane::Recorded;
use testbed::control_plane::Settings;
use testbed::run_folder::RunFolder;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::tools::Set;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until_every;

/// The number of namespaces of a fan-out.
pub const BASE: u32 = 1_000;
/// The number of namespaces that the steadily edited source is copied to.
pub const CHURN: u32 = 100;
/// The number of requests in flight while objects are prepared.
pub const PREPARING: usize = 64;
/// The namespace of all sources and `ConfigMapSync`s.
pub const CENTRAL: &str = "central";
/// What etcd may store, in bytes. Its default of 2 GiB does not suffice for all versions of 100,000 copies.
pub const ETCD_QUOTA: u64 = 8 << 30;
/// The deadline for every step; all usually take far less.
pub const LONG: Duration = Duration::from_mins(10);

/// A cluster to measure in.
pub struct BenchCluster {
    /// Dropped before the control plane.
    operator: Option<Operator>,
    /// Receives the traces of the operator.
    collector: Option<Collector>,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The progress on the terminal.
    pub screen: Screen,
    /// The command line.
    pub options: Options,
    binary: PathBuf,
    namespaces: u32,
    operators: u32,
}

// === impl BenchCluster ===

impl BenchCluster {
    /// Starts a cluster with the operator installed, but not running.
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
            let etcd_arguments = vec![format!("--quota-backend-bytes={ETCD_QUOTA}")];
            let settings = Settings { recorded, etcd_arguments, ..Settings::default() };
            let plane = ControlPlane::start_with(&tools, folder, authority, settings).await?;
            installation::install(&plane).await?;
            Fixture::new(plane.client()).create_namespaces(&[CENTRAL]).await?;
            Ok(Done::new(plane, format!("audit log: {recorded:?}")))
        };
        let control_plane = screen.step("API server started", work).await?;
        let collector = match options.traces {
            Some(traces) => Some(Collector::start(traces).await?),
            None => None,
        };
        Ok(Self {
            operator: None,
            collector,
            control_plane,
            screen: screen.clone(),
            options: options.clone(),
            binary: binary.to_owned(),
            namespaces: 0,
            operators: 0,
        })
    }

    /// `size` times the scale.
    pub fn scaled(&self, size: u32) -> u32 {
        self.options.scaled(size)
    }

    /// The path of the operator's binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// A user of this cluster, with all permissions.
    pub fn fixture(&self) -> Fixture {
        Fixture::new(self.control_plane.client())
    }

    /// The audit log of the API server.
    pub fn audit(&self) -> AuditLog {
        self.control_plane.audit()
    }

    /// What the collector has received, in words; `None` if it stores the traces, or there is none. Fails
    /// if it has received nothing.
    pub fn exported(&self) -> Result<Option<String>> {
        let Some(collector) = &self.collector else { return Ok(None) };
        let bytes = collector.ensure_used()?;
        Ok(bytes.map(|bytes| format!("traces: {} KiB were exported, and discarded.", bytes / 1024)))
    }

    // --- Namespaces ---

    /// The name of the namespace with this index.
    pub fn namespace(index: u32) -> String {
        format!("bench-{index:05}")
    }

    /// A selector of the namespaces with this label.
    pub fn selector(label: &str) -> LabelSelector {
        let labels = [(label.to_owned(), "yes".to_owned())];
        LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() }
    }

    /// Creates namespaces until there are `count`, and waits until the controllers have published their
    /// `ConfigMap` in each. All have the label `bench`, the first ones also `base` (for fan-outs) and
    /// `churn` (for steady edits).
    pub async fn create_namespaces(&mut self, count: u32) -> Result<()> {
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
                api.create(&PostParams::default(), &namespace)
                    .await
                    .with_context(|| format!("creating the namespace {}", Self::namespace(index)))
            })
            .await?;
            self.wait_published().await?;
            Ok(Done::new((), ""))
        };
        self.screen.step(&format!("{count} namespaces"), work).await?;
        self.namespaces = count;
        Ok(())
    }

    /// Waits until every namespace contains the `ConfigMap` that Kubernetes publishes.
    pub async fn wait_published(&self) -> Result<()> {
        let client = self.control_plane.client();
        let namespaces = Api::<Namespace>::all(client.clone());
        let maps = Api::<ConfigMap>::all(client);
        let published = ListParams::default().fields("metadata.name=kube-root-ca.crt");
        let pause = Duration::from_secs(1);
        until_every(
            pause,
            "every namespace contains the ConfigMap kube-root-ca.crt",
            LONG,
            || async {
                let wanted = namespaces.list_metadata(&ListParams::default()).await?.items.len();
                let found = maps.list_metadata(&published).await?.items.len();
                Ok(Seen::from_bool(found >= wanted, || format!("{found} of {wanted} namespaces")))
            },
        )
        .await
    }

    // --- The operator ---

    /// Starts the operator if it is not running, and waits until it is idle.
    pub async fn start_operator(&mut self) -> Result<()> {
        if self.operator.is_none() {
            self.start_operator_only().await?;
        }
        self.wait_idle().await
    }

    /// Starts the operator again, and waits until it leads.
    pub async fn start_operator_only(&mut self) -> Result<()> {
        self.stop_operator().await?;
        let operator = self.launch_operator().await?;
        operator.wait_leading().await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// Starts another process of the operator, a standby while the present one leads.
    pub async fn launch_operator(&mut self) -> Result<Operator> {
        // A new pod each time: the token of a pod expires.
        let name = format!("operator-{}", self.operators);
        self.operators += 1;
        let binary = self.binary.clone();
        let collector = self.collector.as_ref().map(Collector::otlp_grpc);
        Operator::launch(&self.control_plane, &name, binary, collector).await
    }

    /// Makes `operator` the running operator. Returns the previous one.
    pub fn replace_operator(&mut self, operator: Operator) -> Option<Operator> {
        self.operator.replace(operator)
    }

    /// Stops the operator if it is running.
    pub async fn stop_operator(&mut self) -> Result<()> {
        match self.operator.take() {
            Some(operator) => operator.stop().await,
            None => Ok(()),
        }
    }

    /// The running operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("the operator is not running")
    }

    /// Waits until the operator is idle: its queue is empty, no reconcile is running, and for 0.8 seconds
    /// it sent no requests other than those of leader election.
    pub async fn wait_idle(&self) -> Result<()> {
        const QUIET: Duration = Duration::from_millis(800);
        let operator = self.operator()?;
        until_every(Duration::ZERO, "the operator is idle", LONG, || async {
            let mark = self.audit().mark().await?;
            tokio::time::sleep(QUIET).await;
            let events = self.audit().since(mark).await?;
            let busy =
                requests_by_operator(&events).filter(|event| !is_about_leadership(event)).count();
            let waiting = operator.metric("workqueue_depth").await?;
            let reconciles = operator.metric("controller_runtime_active_workers").await?;
            let is_idle = busy == 0 && waiting + reconciles < 1.0;
            Ok(Seen::from_bool(is_idle, || {
                format!("{busy} requests in {QUIET:?}, {waiting} queued, {reconciles} running reconciles")
            }))
        })
        .await
    }
}
