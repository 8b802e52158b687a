//! What most tests start with: a cluster, and replicas of the operator in it.

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

/// How long an API server may take to fence, after it has started.
const FENCED: Duration = Duration::from_mins(1);

/// A cluster with the operator installed. Dropped, all of it is gone.
pub struct OperatorCluster {
    /// The replicas, which are dropped before the cluster that they need.
    pub replicas: Vec<Replica>,
    /// The cluster.
    pub control_plane: ControlPlane,
    options: Options,
    started: usize,
}

impl OperatorCluster {
    /// A cluster with `count` replicas that are ready, and with a leader if there are any.
    pub async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, Options::default()).await
    }

    /// As [`OperatorCluster::start`], with replicas that differ from the default.
    pub async fn start_with(count: usize, options: Options) -> Result<Self> {
        // The operator is compiled before the cluster starts: the two would only slow each other.
        if options.binary.is_none() {
            replica::operator_binary().await?;
        }
        let control_plane = ControlPlane::start().await?;
        installation::install(&control_plane).await?;
        Self::start_in(control_plane, count, options).await
    }

    /// A cluster with one replica that is ready, and the proxy through which that reaches the API
    /// server.
    pub async fn behind_proxy() -> Result<(Self, FaultProxy)> {
        let mut world = Self::start(0).await?;
        let proxy = FaultProxy::start(&world.control_plane)?;
        world.replicas.push(proxy.replica(&world.control_plane).await?);
        Ok((world, proxy))
    }

    /// As [`OperatorCluster::start_with`], with a cluster that has the operator installed.
    pub async fn start_in(
        control_plane: ControlPlane,
        count: usize,
        options: Options,
    ) -> Result<Self> {
        let mut world = Self { replicas: Vec::new(), control_plane, options, started: 0 };
        world.add_replicas(count).await?;
        if count > 0 {
            world.wait_leader().await?;
        }
        Ok(world)
    }

    /// Starts `count` more replicas, in pods of their own, and waits until they are ready.
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

    /// Waits until one of the replicas holds the Lease, and says which.
    pub async fn wait_leader(&self) -> Result<usize> {
        // Not as the type that it is: tests write into it what cannot be read as one.
        let kind = ApiResource::erase::<Lease>(&());
        let client = self.control_plane.client();
        let leases = Api::<DynamicObject>::namespaced_with(client, OPERATOR, &kind);
        until("a replica holds the Lease", Duration::from_secs(40), || async {
            let lease = leases.get_opt(OPERATOR).await?;
            let holder =
                lease.and_then(|it| it.data["spec"]["holderIdentity"].as_str().map(Into::into));
            let holder: String = holder.unwrap_or_default();
            // The holder's name ends with the uid of its pod.
            let index = self.replicas.iter().position(|it| holder.ends_with(&it.pod().uid));
            Ok(Seen::from_option(index, || format!("holder {holder:?}")))
        })
        .await
    }

    /// Waits until another replica than the one at `index` writes copies, and says which.
    pub async fn wait_next_writer(&self, index: usize, deadline: Duration) -> Result<usize> {
        let mark = self.audit().mark().await?;
        until(format!("another replica than {index} writes copies"), deadline, || async {
            let events = self.audit().since(mark).await?;
            let copies = writes_by_operator(&events).into_iter();
            let mut copies = copies.filter(|it| it.succeeded() && it.resource() == "configmaps");
            let writer = copies.find_map(|event| {
                let pod = event.pod_uid();
                self.replicas.iter().position(|it| it.pod().uid == pod).filter(|it| *it != index)
            });
            Ok(Seen::from_option(writer, || format!("{} other events", events.len())))
        })
        .await
    }

    /// Waits until the API server refuses a copy to a pod that is not announced, or does not.
    /// Somebody has to be announced. A new API server may take half a minute to find the kind that
    /// announcements are of, and fences nobody meanwhile.
    pub async fn wait_fenced(&self, wanted: bool) -> Result<()> {
        let name = format!("stranger-{:08x}", fastrand::u32(..));
        let stranger = Pod::create(&self.control_plane, &name, None).await?.client().await?;
        until(format!("the fence holds: {wanted}"), FENCED, || async {
            let answer = fence_probe().send_as(&stranger).await?;
            let is_held = answer.is_refused_by(names::POLICY_FENCE);
            Ok(Seen::from_bool(is_held == wanted, || answer.to_string()))
        })
        .await
    }

    /// Starts every replica again that has ended, as a kubelet does, and waits until it is ready.
    pub async fn restart_ended(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            if replica.process().exit_status()?.is_some() {
                replica.restart()?;
                replica.wait_ready().await?;
            }
        }
        Ok(())
    }

    /// Takes the leader out of the world, so that it can be ended while the others go on.
    pub async fn take_leader(&mut self) -> Result<Replica> {
        let leader = self.wait_leader().await?;
        Ok(self.replicas.remove(leader))
    }

    /// The replica that is there, in a world with one.
    pub fn replica(&mut self) -> Result<&mut Replica> {
        self.replicas.first_mut().context("a world without replicas")
    }

    /// What a person does in this cluster.
    #[must_use]
    pub fn fixture(&self) -> Fixture {
        Fixture::new(self.control_plane.client())
    }

    /// What was asked of the API server.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        self.control_plane.audit()
    }
}
