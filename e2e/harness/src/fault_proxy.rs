//! A proxy between one replica of the operator and the API server, which injects faults.
//!
//! The replica connects to the proxy's URL and trusts its certificate, which the run's certificate
//! authority signed. The proxy forwards the replica's token, so that the API server authenticates the
//! replica as usual. Without rules the proxy adds about a millisecond of latency and nothing else.
//!
//! ```text
//! replica --network, TLS--> listener -> exchange (rules) -> upstream --TLS--> API server
//!                                         '-- watch_stream (lag, cut, silence)
//! ```
//!
//! # Usage
//! * Start: [`FaultProxy::start`], then [`FaultProxy::replica`], or start a replica with
//!   `Options { server: Some(proxy.url()), .. }`.
//! * Single requests: [`FaultProxy::add`] a [`Rule`], which selects requests and assigns a [`Fault`].
//!   The first matching rule applies.
//! * Crash points: [`Fault::HoldBefore`] and [`Fault::HoldAfter`] with a [`Hold`]: wait until a request
//!   is held, kill the replica, and [`Hold::cut`].
//! * Network: [`FaultProxy::block`] stops all bytes in one direction or both, without closing
//!   connections; [`FaultProxy::unblock`] delivers them, even if the replica has ended;
//!   [`FaultProxy::break_connections`] closes all connections.
//! * Watches: [`FaultProxy::lag`] delays the newest events of a resource,
//!   [`FaultProxy::cut_watches`] closes the connections of its watches,
//!   [`FaultProxy::silence_watches`] keeps them open without delivering anything.
//! * Records: [`FaultProxy::requests`], [`FaultProxy::events`].
//!
//! The proxy runs in its own thread: a test that blocks does not make the operator lose its Lease.

mod exchange;
mod fault_rule;
mod hold;
mod listener;
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
use crate::fault_proxy::proxy_state::ProxyState;
use crate::fault_proxy::upstream::Upstream;
use crate::replica::Options;
use crate::replica::Replica;

/// A running proxy. When it is dropped, it stops, and all its connections are closed.
pub struct FaultProxy {
    state: Arc<ProxyState>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts a proxy for the API server of `control_plane`.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        Self::start_for(&control_plane.server(), control_plane.authority())
    }

    /// Starts a proxy for the API server with the URL `server`, whose certificate `authority` signed.
    pub fn start_for(server: &str, authority: &Authority) -> Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("binding a port for the fault proxy")?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let name = format!("fault-proxy-{}", address.port());
        let names = [address.ip().to_string(), "localhost".to_owned()];
        let listener = Listener::new(socket, &authority.issue_server(&name, &names)?)?;
        let upstream = Upstream::new(server, authority.certificate())?;
        let state = Arc::<ProxyState>::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = listener.serve(upstream, Arc::clone(&state));
        let thread = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { state, address, stop: Some(stop), thread: Some(thread) })
    }

    /// Starts the replica of a cluster with one, behind this proxy, and waits until it is ready.
    pub async fn replica(&self, control_plane: &ControlPlane) -> Result<Replica> {
        let options = Options { server: Some(self.url()), ..Options::default() };
        let replica = Replica::start(control_plane, OPERATOR, &options).await?;
        replica.wait_ready().await?;
        Ok(replica)
    }

    /// The proxy's URL, for the replica.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Adds a rule. The first matching rule applies, in the order of their addition.
    pub fn add(&self, rule: Rule) {
        self.state.rules.lock().push(rule);
    }

    /// Removes all rules. Faults that are in progress, such as a delay, continue.
    pub fn clear(&self) {
        self.state.rules.lock().clear();
    }

    /// All requests so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests_since(0)
    }

    /// As [`FaultProxy::requests`], without the first `count`.
    #[must_use]
    pub fn requests_since(&self, count: usize) -> Vec<Request> {
        self.state.requests.lock().get(count..).unwrap_or_default().to_vec()
    }

    /// As [`FaultProxy::requests_since`], only those that are `wanted`: cheaper for frequent checks.
    #[must_use]
    pub fn requests_where(&self, count: usize, wanted: impl Fn(&Request) -> bool) -> Vec<Request> {
        let requests = self.state.requests.lock();
        let later = requests.get(count..).unwrap_or_default();
        later.iter().filter(|request| wanted(request)).cloned().collect()
    }

    /// The number of requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.requests.lock().len()
    }

    /// All watch events that the API server has sent so far, including those that are held back.
    #[must_use]
    pub fn events(&self) -> Vec<WatchEvent> {
        self.state.watches.events()
    }

    /// Stops all bytes in these directions, on all connections, without closing them: both sides wait.
    /// New connections are accepted, and blocked alike.
    pub fn block(&self, directions: &[Direction]) {
        self.state.network.block(directions);
    }

    /// Delivers the blocked bytes, in order, and then all others: including requests of a replica that has
    /// ended since, as a network delivers packets late.
    pub fn unblock(&self) {
        self.state.network.unblock();
    }

    /// Closes all existing connections of the replica.
    pub fn break_connections(&self) {
        self.state.network.break_all();
    }

    /// Holds back the newest `count` events of each watch of `resource` (a plural name, such as
    /// `configmaps`): an event is forwarded after `count` newer ones have arrived. With 0, all held-back
    /// events are forwarded at once, in order.
    pub fn lag(&self, resource: &str, count: usize) {
        self.state.watches.lag(resource, count);
    }

    /// Closes the connections of all existing watches of `resource`. Held-back events are dropped; the
    /// API server sends them again when the replica watches again.
    pub fn cut_watches(&self, resource: &str) {
        self.state.watches.cut(resource);
    }

    /// Delivers nothing more on all existing watches of `resource`, no event, no bookmark and not the
    /// end, and keeps their connections open, as after a loss of the network that neither side has
    /// noticed. Later watches are not affected. [`FaultProxy::events`] records what is not delivered.
    pub fn silence_watches(&self, resource: &str) {
        self.state.watches.silence(resource);
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
