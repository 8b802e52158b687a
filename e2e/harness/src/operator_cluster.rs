//! A cluster with replicas of the operator, the start of most tests.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names;
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use testbed::accounts::OPERATOR;
use testbed::audit::AuditLog;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::attempt::fence_probe;
use crate::audit_queries::writes_by_operator;
use crate::fault_proxy::FaultProxy;
use crate::fixture::Fixture;
use crate::installation;
use crate::replica;
use crate::replica::Options;
use crate::replica::Pod;
use crate::replica::Replica;

/// The deadline for a new API server to enforce the fence.
const FENCED: Duration = Duration::from_mins(1);

/// A cluster with the operator installed. When it is dropped, all processes and files are removed.
pub struct OperatorCluster {
    /// The replicas. Dropped before the control plane.
    pub replicas: Vec<Replica>,
    /// The control plane.
    pub control_plane: ControlPlane,
    options: Options,
    started: usize,
}

impl OperatorCluster {
    /// Starts a cluster with `count` replicas, and waits until all are ready and, if there are any, one
    /// leads.
    pub async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, Options::default()).await
    }

    /// As [`OperatorCluster::start`], with `options` for the replicas.
    pub async fn start_with(count: usize, options: Options) -> Result<Self> {
        // Compiled first: compiling while the cluster starts would slow down both.
        if options.binary.is_none() {
            replica::operator_binary().await?;
        }
        let control_plane = ControlPlane::start().await?;
        installation::install(&control_plane).await?;
        Self::start_in(control_plane, count, options).await
    }

    /// Starts a cluster with one ready replica that reaches the API server through a fault proxy.
    pub async fn behind_proxy() -> Result<(Self, FaultProxy)> {
        let mut cluster = Self::start(0).await?;
        let proxy = FaultProxy::start(&cluster.control_plane)?;
        cluster.replicas.push(proxy.replica(&cluster.control_plane).await?);
        Ok((cluster, proxy))
    }

    /// As [`OperatorCluster::start_with`], in a control plane where the operator is installed already.
    pub async fn start_in(
        control_plane: ControlPlane,
        count: usize,
        options: Options,
    ) -> Result<Self> {
        let mut cluster = Self { replicas: Vec::new(), control_plane, options, started: 0 };
        cluster.add_replicas(count).await?;
        if count > 0 {
            cluster.wait_leader().await?;
        }
        Ok(cluster)
    }

    /// Starts `count` more replicas, one pod each, and waits until they are ready.
    pub async fn add_replicas(&mut self, count: usize) -> Result<()> {
        let names = (self.started..self.started + count).map(|n| format!("{OPERATOR}-{n}"));
        self.started += count;
        let starting = names.map(async |name| {
            let replica = Replica::start(&self.control_plane, &name, &self.options).await?;
            replica.wait_ready().await?;
            anyhow::Ok(replica)
        });
        let replicas = try_join_all(starting).await?;
        self.replicas.extend(replicas);
        Ok(())
    }

    /// Waits until one of the replicas holds the Lease, and returns its index.
    pub async fn wait_leader(&self) -> Result<usize> {
        Ok(self.wait_leading_process().await?.0)
    }

    /// As [`OperatorCluster::wait_leader`], with the holder identity of its process.
    pub async fn wait_leading_process(&self) -> Result<(usize, String)> {
        until("a replica holds the Lease", Duration::from_secs(40), || async {
            let holder = self.holder().await?;
            // The holder identity ends with the uid of its pod.
            let index = self.replicas.iter().position(|it| holder.ends_with(&it.pod().uid));
            let found = index.map(|index| (index, holder.clone()));
            Ok(Seen::from_option(found, || format!("holder {holder:?}")))
        })
        .await
    }

    /// The holder of the Lease; empty without one.
    pub async fn holder(&self) -> Result<String> {
        // Untyped: tests write invalid values into the Lease.
        let kind = ApiResource::erase::<Lease>(&());
        let client = self.control_plane.client();
        let leases = Api::<DynamicObject>::namespaced_with(client, OPERATOR, &kind);
        let lease = leases.get_opt(OPERATOR).await?;
        let holder = lease.as_ref().and_then(|lease| lease.data["spec"]["holderIdentity"].as_str());
        Ok(holder.unwrap_or_default().to_owned())
    }

    /// Waits until a process other than `before`, a holder of the Lease, holds it.
    pub async fn wait_next_holder(&self, before: &str, deadline: Duration) -> Result<()> {
        until("another process holds the Lease", deadline, || async {
            let now = self.holder().await?;
            Ok(Seen::from_bool(!now.is_empty() && now != before, || now))
        })
        .await
    }

    /// Waits until a replica other than the one at `index` has written a copy, and returns its index.
    pub async fn wait_next_writer(&self, index: usize, deadline: Duration) -> Result<usize> {
        let what = format!("a replica other than number {index} writes a copy");
        self.wait_writer(&what, |it| it != index, deadline).await
    }

    /// Waits until any replica has written a copy, and returns its index.
    pub async fn wait_any_writer(&self, deadline: Duration) -> Result<usize> {
        self.wait_writer("a replica writes a copy", |_| true, deadline).await
    }

    async fn wait_writer(
        &self,
        what: &str,
        counts: impl Fn(usize) -> bool,
        deadline: Duration,
    ) -> Result<usize> {
        let mark = self.audit().mark().await?;
        until(what, deadline, || async {
            let events = self.audit().since(mark).await?;
            let copies = writes_by_operator(&events).into_iter();
            let mut copies = copies.filter(|it| it.succeeded() && it.resource() == "configmaps");
            let writer = copies.find_map(|event| {
                let pod = event.pod_uid();
                self.replicas.iter().position(|it| it.pod().uid == pod).filter(|it| counts(*it))
            });
            Ok(Seen::from_option(writer, || {
                format!("no such write among {} requests", events.len())
            }))
        })
        .await
    }

    /// Waits until the API server enforces the fence (`wanted`), or does not: whether it denies a new
    /// copy by a pod that is not in the leader record.
    ///
    /// A leader record has to exist. A new API server may take half a minute to discover the kind
    /// `ConfigMapSyncLeader`, and enforces no fence until then.
    pub async fn wait_fenced(&self, wanted: bool) -> Result<()> {
        let name = format!("unrecorded-{:08x}", fastrand::u32(..));
        let pod = Pod::create(&self.control_plane, &name, None).await?.client().await?;
        let what = if wanted { "the fence is enforced" } else { "the fence is not enforced" };
        until(what, FENCED, || async {
            let response = fence_probe().send_as(&pod).await?;
            let is_fenced = response.is_refused_by(names::POLICY_FENCE);
            Ok(Seen::from_bool(is_fenced == wanted, || response.to_string()))
        })
        .await
    }

    /// Restarts each replica whose process has ended, as a kubelet does, and waits until it is ready.
    pub async fn restart_ended(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            if replica.process().exit_status()?.is_some() {
                replica.restart()?;
                replica.wait_ready().await?;
            }
        }
        Ok(())
    }

    /// Removes the leader from `replicas` and returns it: the test owns it, the others keep running.
    pub async fn take_leader(&mut self) -> Result<Replica> {
        let leader = self.wait_leader().await?;
        Ok(self.replicas.remove(leader))
    }

    /// The first replica, for clusters with one.
    pub fn replica(&mut self) -> Result<&mut Replica> {
        self.replicas.first_mut().context("the cluster has no replica")
    }

    /// A user of this cluster, with all permissions.
    #[must_use]
    pub fn fixture(&self) -> Fixture {
        Fixture::new(self.control_plane.client())
    }

    /// The audit log of the API server.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        self.control_plane.audit()
    }
}
