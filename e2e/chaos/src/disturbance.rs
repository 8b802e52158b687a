//! What goes wrong: random faults of the API server, of the network, of replicas, and obstacles that
//! others put up.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Direction;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use http::Method;

use crate::chaos_cluster::ChaosCluster;

/// Longer than the read timeout of a call: the request is handled after the operator has given up.
const TOO_LATE: Duration = Duration::from_secs(20);
/// The delay that a response with `Retry-After` requests, in seconds.
const REQUESTED: u32 = 2;
/// Requests with a fault in a row, at most.
const MOST: usize = 8;

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    RequestFault,
    CutWatch,
    LagWatch,
    BreakConnections,
    BlockNetwork,
    Kill,
    Terminate,
    Freeze,
    Quota,
    Mutation,
}

// === impl Disturbance ===

impl Disturbance {
    /// The name in the summary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestFault => "faults of requests",
            Self::CutWatch => "watches cut",
            Self::LagWatch => "watches late",
            Self::BreakConnections => "connections broken",
            Self::BlockNetwork => "network blocked for 3 s",
            Self::Kill => "leader killed",
            Self::Terminate => "leader terminated",
            Self::Freeze => "leader frozen for 3 s",
            Self::Quota => "quota set or removed",
            Self::Mutation => "mutating policy set or removed",
        }
    }

    /// A random one. `ends_leader`: whether it may end the leader's process.
    pub fn draw(random: &mut Rng, ends_leader: bool) -> Self {
        // Half of them are faults of requests.
        match random.u32(0..100) {
            50..60 => Self::CutWatch,
            60..66 => Self::LagWatch,
            66..72 => Self::BreakConnections,
            72..75 => Self::BlockNetwork,
            75..79 => Self::Freeze,
            79..84 => Self::Quota,
            84..88 => Self::Mutation,
            88..94 if ends_leader => Self::Kill,
            94.. if ends_leader => Self::Terminate,
            _ => Self::RequestFault,
        }
    }

    /// Causes it, at the leader.
    pub async fn cause(self, cluster: &mut ChaosCluster, random: &mut Rng) -> Result<()> {
        let leader = cluster.operator.wait_leader().await?;
        let proxy = &cluster.proxies[leader];
        let process = cluster.operator.replicas[leader].process();
        match self {
            Self::RequestFault => proxy.add(random_rule(random)),
            Self::CutWatch => proxy.cut_watches(random_resource(random)),
            Self::LagWatch => proxy.lag(random_resource(random), random.usize(0..4)),
            Self::BreakConnections => proxy.break_connections(),
            Self::BlockNetwork => {
                proxy.block(&Direction::BOTH);
                pause().await;
                proxy.unblock();
            }
            Self::Kill => process.kill()?,
            Self::Terminate => process.terminate()?,
            Self::Freeze => {
                process.freeze()?;
                pause().await;
                process.thaw()?;
            }
            Self::Quota => cluster.toggle_quota().await?,
            Self::Mutation => cluster.toggle_mutation().await?,
        }
        Ok(())
    }
}

/// The length of a disturbance: shorter than the renew deadline.
async fn pause() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Not namespaces: whether a selector still selects a namespace is decided on its labels as observed,
/// and no precondition of the deletion of a copy covers them.
fn random_resource(random: &mut Rng) -> &'static str {
    ["configmaps", "configmapsyncs"][random.usize(0..2)]
}

/// A rule for some of the next requests with a random method, except those for the Lease.
fn random_rule(random: &mut Rng) -> Rule {
    let method =
        [Method::GET, Method::POST, Method::PATCH, Method::DELETE][random.usize(0..4)].clone();
    let rule = Rule::new(random_fault(random)).method(method);
    let is_fit = |it: &Request| !it.is_lease() && !it.is_watch();
    rule.when(is_fit).nth(random.usize(0..MOST)).times(random.usize(1..MOST))
}

fn random_fault(random: &mut Rng) -> Fault {
    let failure = |code| Fault::Respond(CannedResponse::failure(code));
    match random.u32(0..10) {
        0 => failure(409),
        1 => Fault::Respond(CannedResponse::too_many_requests(REQUESTED)),
        2 => failure(500),
        3 => Fault::Respond(CannedResponse::failure(503).retry_after(REQUESTED)),
        4 => failure(504),
        5 => Fault::Cut,
        6 => Fault::LoseResponse,
        7 => Fault::TruncateResponse,
        8 => Fault::Delay(Duration::from_millis(random.u64(100..3_000))),
        _ => Fault::Delay(TOO_LATE),
    }
}
