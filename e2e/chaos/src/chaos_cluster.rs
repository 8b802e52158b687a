//! The cluster of a run: three replicas, each behind its own fault proxy.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fault_proxy::FaultProxy;
use harness::fixture::Fixture;
use harness::installation;
use harness::operator_cluster::OperatorCluster;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use harness::replica;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Mark;
use testbed::control_plane::ControlPlane;
use testbed::control_plane::Settings;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::workload;
use crate::workload::Item;
use crate::workload::MUTATED;
use crate::workload::QUOTA;

const REPLICAS: usize = 3;
const CONCURRENCY: usize = 16;
const GROUP: &str = "admissionregistration.k8s.io/v1beta1";
/// The name of the quota and of the policy.
const CHAOS: &str = "chaos";

/// A cluster with the operator, and a record of all revisions and requests.
pub struct ChaosCluster {
    pub recorder: Recorder,
    /// The fault proxy of each replica, in the same order.
    pub proxies: Vec<FaultProxy>,
    pub operator: OperatorCluster,
    pub mark: Mark,
    has_quota: bool,
    has_mutation: bool,
}

// === impl ChaosCluster ===

impl ChaosCluster {
    pub async fn start() -> Result<Self> {
        replica::operator_binary().await?;
        let policies = ["--feature-gates=MutatingAdmissionPolicy=true".to_owned()];
        let enabled = format!("--runtime-config={GROUP}=true");
        let api_server_arguments = policies.into_iter().chain([enabled]).collect();
        let settings = Settings { api_server_arguments, ..Settings::default() };
        let control_plane = ControlPlane::start_as(settings).await?;
        installation::install(&control_plane).await?;
        let mut operator = OperatorCluster::start_in(control_plane, 0, Options::default()).await?;
        let recorder = Recorder::start(operator.control_plane.client()).await?;
        let mark = operator.audit().mark().await?;
        let mut proxies = Vec::new();
        for number in 0..REPLICAS {
            let proxy = FaultProxy::start(&operator.control_plane)?;
            let arguments = ["--sweep-period=10s", "--orphan-grace=1m"];
            let arguments = arguments.map(str::to_owned).to_vec();
            let options = Options { server: Some(proxy.url()), arguments, ..Options::default() };
            let name = format!("{OPERATOR}-{number}");
            let replica = Replica::start(&operator.control_plane, &name, &options).await?;
            replica.wait_ready().await?;
            operator.replicas.push(replica);
            proxies.push(proxy);
        }
        let (has_quota, has_mutation) = (false, false);
        Ok(Self { recorder, proxies, operator, mark, has_quota, has_mutation })
    }

    pub fn fixture(&self) -> Fixture {
        self.operator.fixture()
    }

    /// Creates the namespaces, sources, foreign objects and `ConfigMapSync`s.
    pub async fn create_items(&self, items: &[Item]) -> Result<()> {
        let fixture = self.fixture();
        workload::create_namespaces(&fixture).await?;
        stream::iter(items)
            .map(async |item| {
                if item.has_source() {
                    fixture.clone_config_map(&item.source("0")).await?;
                }
                if let Some(foreign) = item.foreign() {
                    fixture.clone_config_map(&foreign).await?;
                }
                fixture.create_sync(item.namespace(), &item.name(), item.spec()).await
            })
            .buffer_unordered(CONCURRENCY)
            .try_for_each(async |_| Ok(()))
            .await
    }

    /// Starts replicas that have ended again. Returns how many there were.
    pub fn restart_ended(&mut self) -> Result<usize> {
        let mut ended = 0;
        for replica in &mut self.operator.replicas {
            if replica.process().exit_status()?.is_some() {
                replica.restart()?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends all faults and obstacles.
    pub async fn calm_down(&mut self) -> Result<()> {
        self.clear_faults();
        for proxy in &self.proxies {
            proxy.unblock();
            for kind in Kind::ALL {
                proxy.lag(kind.resource(), 0);
            }
        }
        if self.has_quota {
            self.toggle_quota().await?;
        }
        if self.has_mutation {
            self.toggle_mutation().await?;
        }
        self.restart_ended()?;
        for replica in &self.operator.replicas {
            replica.wait_ready().await?;
        }
        Ok(())
    }

    /// Removes the rules of all proxies.
    pub fn clear_faults(&self) {
        self.proxies.iter().for_each(FaultProxy::clear);
    }

    /// Sets or removes a quota that admits no further `ConfigMap`.
    pub async fn toggle_quota(&mut self) -> Result<()> {
        if self.has_quota {
            let quotas = Api::<ResourceQuota>::namespaced(self.fixture().client(), QUOTA);
            quotas.delete(CHAOS, &DeleteParams::default()).await.context("deleting the quota")?;
        } else {
            let quota = json!({
                "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": {"name": CHAOS, "namespace": QUOTA},
                "spec": {"hard": {"configmaps": "1"}},
            });
            self.operator.control_plane.apply(quota).await?;
        }
        self.has_quota = !self.has_quota;
        Ok(())
    }

    /// Sets or removes a policy that adds a key to each written `ConfigMap`.
    pub async fn toggle_mutation(&mut self) -> Result<()> {
        let control_plane = &self.operator.control_plane;
        let [policy, binding] = mutation();
        if self.has_mutation {
            control_plane.delete(binding).await?;
            control_plane.delete(policy).await?;
        } else {
            control_plane.apply(policy).await?;
            control_plane.apply(binding).await?;
        }
        self.has_mutation = !self.has_mutation;
        Ok(())
    }

    /// Waits until one replica leads, and returns its process id.
    pub async fn leader_pid(&self) -> Result<i32> {
        let leader = self.operator.wait_leader().await?;
        Ok(self.operator.replicas[leader].process().pid())
    }

    /// Waits until every `ConfigMapSync` has a status.
    pub async fn wait_reported(&self, deadline: Duration) -> Result<()> {
        until("every ConfigMapSync has a status", deadline, || async {
            let syncs = self.recorder.present(|it| it.kind == Kind::Sync)?;
            let without = syncs.iter().filter(|it| it.object["status"]["conditions"].is_null());
            let without = without.count();
            let done = !syncs.is_empty() && without == 0;
            Ok(Seen::from_bool(done, || format!("{without} of {} without", syncs.len())))
        })
        .await
    }
}

/// The policy that alters copies, and its binding.
fn mutation() -> [Value; 2] {
    let metadata = json!({"name": CHAOS});
    let patch = "[JSONPatch{op: \"add\", path: \"/data/injected\", value: \"by a policy\"}]";
    let rule = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    });
    let policy = json!({
        "apiVersion": GROUP, "kind": "MutatingAdmissionPolicy", "metadata": metadata,
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        },
    });
    let selected = json!({"matchLabels": {"kubernetes.io/metadata.name": MUTATED}});
    let binding = json!({
        "apiVersion": GROUP, "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata,
        "spec": {"policyName": CHAOS, "matchResources": {"namespaceSelector": selected}},
    });
    [policy, binding]
}
