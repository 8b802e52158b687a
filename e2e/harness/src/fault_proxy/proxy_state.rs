//! The state that a test shares with the connections through its proxy.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::fault_proxy::fault_rule::Fault;
use crate::fault_proxy::fault_rule::Rule;
use crate::fault_proxy::network::Network;
use crate::fault_proxy::observed_request::Request;
use crate::fault_proxy::watch_control::WatchControl;

/// Recorded requests, rules, watches and the network.
#[derive(Default)]
pub(super) struct ProxyState {
    pub requests: Mutex<Vec<Request>>,
    pub rules: Mutex<Vec<Rule>>,
    pub watches: WatchControl,
    pub network: Arc<Network>,
}

impl ProxyState {
    /// Records a request, and sets its number.
    pub fn add_request(&self, mut request: Request) -> Request {
        let mut requests = self.requests.lock();
        request.number = requests.len();
        requests.push(request.clone());
        request
    }

    /// Sets the status of the API server's response.
    pub fn set_status(&self, number: usize, status: u16) {
        if let Some(request) = self.requests.lock().get_mut(number) {
            request.status = Some(status);
        }
    }

    /// The fault of a request: that of the first rule that applies.
    pub fn fault(&self, request: &Request) -> Option<Fault> {
        let fault = self.rules.lock().iter_mut().find_map(|rule| rule.apply(request));
        if let Some(fault) = &fault
            && let Some(request) = self.requests.lock().get_mut(request.number)
        {
            request.fault = Some(fault.name());
        }
        fault
    }
}
