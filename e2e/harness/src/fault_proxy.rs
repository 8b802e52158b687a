//! A proxy before the API server that fails on demand, for one replica of the operator.
//!
//! The replica reaches it by its URL and trusts it, since the authority of the run signed its
//! certificate; its token passes through, so that to the API server it is who it is. Without
//! rules nothing differs from the API server but a millisecond.
//!
//! ```text
//! replica --wire, TLS--> listener -> exchange (rules) -> upstream --TLS--> API server
//!                                       '-- watches: stream (lag, cut)
//! ```
//!
//! # How to use it
//! * Start: [`FaultProxy::start`], then [`FaultProxy::replica`], or a replica of your own with
//!   `Options { server: Some(proxy.url()), .. }`.
//! * Single requests: [`FaultProxy::add`] a [`Rule`], which says which requests, which of them
//!   (the n-th), and what [`Fault`] befalls them. The first rule that applies decides.
//! * Crash points: [`Fault::HoldBefore`] and [`Fault::HoldAfter`] with a [`Hold`]: wait until it
//!   is reached, kill the replica, and [`Hold::cut`].
//! * The network: [`FaultProxy::block`] lets nothing through in one direction or both, without
//!   closing anything, and [`FaultProxy::unblock`] lets all of it arrive, whoever is still there
//!   to hear of it; [`FaultProxy::break_connections`] closes them.
//! * Watches: [`FaultProxy::lag`] holds back the newest events of a resource,
//!   [`FaultProxy::cut_watches`] ends the connections.
//! * What was asked and what was seen: [`FaultProxy::requests`], [`FaultProxy::events`].
//!
//! It has a thread of its own: a test that blocks does not make the operator lose its Lease.

mod exchange;
mod fault_rule;
mod hold;
mod listener;
mod lock;
mod network;
mod observed_request;
mod proxy_state;
mod response_body;
mod upstream;
mod watch_control;
mod watch_stream;

pub use crate::fault_proxy::fault_rule::CannedResponse;
pub use crate::fault_proxy::fault_rule::Fault;
pub use crate::fault_proxy::fault_rule::Rule;
pub use crate::fault_proxy::hold::Hold;
pub use crate::fault_proxy::network::Direction;
pub use crate::fault_proxy::observed_request::Request;
pub use crate::fault_proxy::watch_control::WatchEvent;

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use anyhow::Context;
use anyhow::Result;
use testbed::accounts::OPERATOR;
use testbed::certificates::Authority;
use testbed::control_plane::ControlPlane;
use tokio::sync::oneshot;

use crate::fault_proxy::listener::Listener;
use crate::fault_proxy::lock::lock;
use crate::fault_proxy::proxy_state::Shared;
use crate::fault_proxy::upstream::Upstream;
use crate::replica::Options;
use crate::replica::Replica;

/// A running proxy. Dropped, it is gone, and with it every connection through it.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts one before the API server of `control_plane`.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        Self::start_for(&control_plane.server(), control_plane.authority())
    }

    /// Starts one before the API server at a URL, which `authority` vouches for.
    pub fn start_for(server: &str, authority: &Authority) -> Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let name = format!("fault-proxy-{}", address.port());
        let names = [address.ip().to_string(), "localhost".to_owned()];
        let listener = Listener::new(socket, &authority.issue_server(&name, &names)?)?;
        let upstream = Upstream::new(server, authority.certificate())?;
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = listener.serve(upstream, Arc::clone(&shared));
        let thread = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { shared, address, stop: Some(stop), thread: Some(thread) })
    }

    /// Starts the one replica of a cluster, behind this proxy, and waits until it is ready.
    pub async fn replica(&self, control_plane: &ControlPlane) -> Result<Replica> {
        let options = Options { server: Some(self.url()), ..Options::default() };
        let replica = Replica::start(control_plane, OPERATOR, &options).await?;
        replica.wait_ready().await?;
        Ok(replica)
    }

    /// The URL that the replica should reach the API server by.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Adds a rule. Rules are asked in the order in which they were added.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Forgets all rules; what a rule has begun goes on, such as a delay.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests_since(0)
    }

    /// As [`FaultProxy::requests`], without the first `count`.
    #[must_use]
    pub fn requests_since(&self, count: usize) -> Vec<Request> {
        lock(&self.shared.requests).get(count..).unwrap_or_default().to_vec()
    }

    /// How many requests there were so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// Every event that the API server sent on a watch so far, held back or not.
    #[must_use]
    pub fn events(&self) -> Vec<WatchEvent> {
        self.shared.watches.events()
    }

    /// From now on nothing gets through in these directions, on no connection, and none is closed:
    /// whoever waits, waits. A connection that is begun is begun, and then nothing is heard on it.
    pub fn block(&self, directions: &[Direction]) {
        self.shared.wires.block(directions);
    }

    /// Lets everything through again, what was sent meanwhile first: also the requests of a
    /// replica that has ended, as a network does that has kept them.
    pub fn unblock(&self) {
        self.shared.wires.unblock();
    }

    /// Closes every connection of the replica that there is.
    pub fn break_connections(&self) {
        self.shared.wires.break_all();
    }

    /// From now on holds back the newest `count` events of every watch of `resource` (a plural,
    /// such as `configmaps`): an event passes as soon as there are `count` newer ones. With 0,
    /// all pass again, and what was held back passes at once, in order.
    pub fn lag(&self, resource: &str, count: usize) {
        self.shared.watches.lag(resource, count);
    }

    /// Cuts the connections of all watches of `resource` that there are. What was held back on
    /// them is lost, as it would be, and comes again when the replica watches again.
    pub fn cut_watches(&self, resource: &str) {
        self.shared.watches.cut(resource);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
