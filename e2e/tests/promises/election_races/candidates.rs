//! Two candidates for one Lease, one of them slow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::election::lease_guard::layer::LeaseGuard;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::installation;
use harness::replica::Pod;
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use kube::api::PostParams;
use kube_leader_election::Error;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::control_plane::ControlPlane;
use testbed::kubeconfig;

/// The holder id of the candidate whose PATCH of the Lease is delayed.
pub const SLOW: &str = "slow";
const FAST: &str = "fast";
/// Duration of the Leases.
const TTL: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How a candidate handles the Lease.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// With the crate alone.
    Alone,
    /// Through the lease guard.
    Guarded,
}

/// What the slow candidate calls.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Acquires or renews the Lease.
    Acquire,
    /// Releases the Lease.
    StepDown,
}

/// The outcome of a race: the result of each candidate, and the holder of the Lease.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    slow: String,
    fast: String,
    lease: String,
}

/// Two clients with the permissions of the operator, `slow` through a proxy, and their control
/// plane.
pub struct Candidates {
    slow: Client,
    fast: Client,
    proxy: FaultProxy,
    leases: Api<Lease>,
    _control_plane: ControlPlane,
}

/// A clock that is advanced by hand, so that tests need not wait for a Lease to expire.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

// === impl Outcome ===

impl Outcome {
    pub fn new(slow: &str, fast: &str, lease: &str) -> Self {
        Self { slow: slow.to_owned(), fast: fast.to_owned(), lease: lease.to_owned() }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slow, fast, lease } = self;
        write!(f, "slow: {slow}, fast: {fast}, Lease: {lease}")
    }
}

// === impl Clock ===

impl Clock {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    fn read(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

// === impl Candidates ===

impl Candidates {
    /// Starts the control plane, without a Lease.
    pub async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        installation::install(&control_plane).await?;
        let proxy = FaultProxy::start(&control_plane)?;
        let slow = Pod::create(&control_plane, SLOW, Some(&proxy.url())).await?;
        let slow = kubeconfig::client_that_tries_once(&slow.kubeconfig).await?;
        let fast = Pod::create(&control_plane, FAST, None).await?;
        let fast = kubeconfig::client_that_tries_once(&fast.kubeconfig).await?;
        let leases: Api<Lease> = Api::namespaced(control_plane.client(), OPERATOR);
        // Each race creates its own.
        leases.delete(OPERATOR, &DeleteParams::default()).await?;
        Ok(Self { slow, fast, proxy, leases, _control_plane: control_plane })
    }

    /// Runs one race, with a Lease of `holder` that expired long ago by any clock. The slow
    /// candidate makes its call; while its PATCH of the Lease is held back, the fast candidate
    /// acquires the Lease; then the PATCH arrives.
    pub async fn race(&self, kind: Kind, holder: &str, call: Call) -> Result<Outcome> {
        self.create_expired_lease(holder).await?;
        let clock = Clock::default();
        let slow = candidate(kind, &self.slow, SLOW, &clock);
        let fast = candidate(kind, &self.fast, FAST, &clock);
        if let Kind::Guarded = kind {
            self.observe_until_expired(holder, &slow, &fast, &clock).await?;
        }
        let hold = Hold::new();
        let changes = Rule::new(Fault::HoldBefore(hold.clone())).resource("leases");
        self.proxy.add(changes.method(Method::PATCH));
        let calling = async {
            match call {
                Call::Acquire => describe(slow.try_acquire_or_renew().await),
                Call::StepDown => {
                    slow.step_down().await.map_or_else(refused, |()| "released".into())
                }
            }
        };
        let overtaking = async {
            hold.reached(SOON).await?;
            let acquired = describe(fast.try_acquire_or_renew().await);
            let version = self.leases.get(OPERATOR).await?.resource_version();
            hold.release();
            anyhow::Ok((acquired, version))
        };
        let (slow, overtaken) = tokio::join!(calling, overtaking);
        let (fast, version) = overtaken?;
        let lease = self.leases.get(OPERATOR).await?;
        let since = if lease.resource_version() == version {
            "as it was acquired"
        } else {
            "changed since"
        };
        let holder = holder_of(&lease);
        self.leases.delete(OPERATOR, &DeleteParams::default()).await?;
        Ok(Outcome { slow, fast, lease: format!("{holder}, {since}") })
    }

    async fn create_expired_lease(&self, holder: &str) -> Result<()> {
        let long_ago = "2000-01-01T00:00:00.000000Z";
        let lease = serde_json::from_value(json!({
            "metadata": {"name": OPERATOR},
            "spec": {
                "acquireTime": long_ago,
                "holderIdentity": holder,
                "leaseDurationSeconds": TTL.as_secs(),
                "leaseTransitions": 1,
                "renewTime": long_ago,
            },
        }))?;
        self.leases.create(&PostParams::default(), &lease).await.context("creating the Lease")?;
        Ok(())
    }

    /// Has both guards observe the Lease until it expires: a guard measures the time since the last
    /// change with its own clock.
    async fn observe_until_expired(
        &self,
        holder: &str,
        slow: &LeaseLock,
        fast: &LeaseLock,
        clock: &Clock,
    ) -> Result<()> {
        let held = format!("not acquired, held by {holder}");
        if holder != SLOW {
            let seen = describe(slow.try_acquire_or_renew().await);
            ensure!(seen == held, "slow: {seen}");
        }
        let seen = describe(fast.try_acquire_or_renew().await);
        ensure!(seen == held, "fast: {seen}");
        clock.advance(TTL);
        Ok(())
    }
}

fn candidate(kind: Kind, client: &Client, name: &str, clock: &Clock) -> LeaseLock {
    let client = match kind {
        Kind::Alone => client.clone(),
        Kind::Guarded => {
            let clock = clock.clone();
            let clock = Arc::new(move || clock.read());
            LeaseGuard::new(OPERATOR, TTL, CALL_TIMEOUT, clock).client(client.clone())
        }
    };
    let params = LeaseLockParams {
        holder_id: name.to_owned(),
        lease_name: OPERATOR.to_owned(),
        lease_ttl: TTL,
    };
    LeaseLock::new(client, OPERATOR, params)
}

fn describe(result: Result<LeaseLockResult, Error>) -> String {
    match result {
        Ok(LeaseLockResult::Acquired(lease)) => format!("acquired for {}", holder_of(&lease)),
        Ok(LeaseLockResult::NotAcquired(lease)) => {
            format!("not acquired, held by {}", holder_of(&lease))
        }
        Err(error) => refused(error),
    }
}

fn refused(error: Error) -> String {
    match error {
        Error::AcquireLease(kube::Error::Api(status))
        | Error::RenewLease(kube::Error::Api(status))
        | Error::ReleaseLease(kube::Error::Api(status)) => format!("refused: {}", status.code),
        other => format!("failed: {other}"),
    }
}

fn holder_of(lease: &Lease) -> String {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    holder.filter(|holder| !holder.is_empty()).unwrap_or_else(|| "no holder".to_owned())
}
