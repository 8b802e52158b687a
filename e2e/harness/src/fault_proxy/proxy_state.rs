//! What a test and the connections through its proxy share.

use std::sync::Arc;
use std::sync::Mutex;

use crate::fault_proxy::fault_rule::Fault;
use crate::fault_proxy::fault_rule::Rule;
use crate::fault_proxy::lock::lock;
use crate::fault_proxy::network::Wires;
use crate::fault_proxy::observed_request::Request;
use crate::fault_proxy::watch_control::Watches;

/// What the test and the connections both know.
#[derive(Default)]
pub(super) struct Shared {
    pub requests: Mutex<Vec<Request>>,
    pub rules: Mutex<Vec<Rule>>,
    pub watches: Watches,
    pub wires: Arc<Wires>,
}

impl Shared {
    /// Notes a request that has arrived, and gives it its number.
    pub fn arrived(&self, mut request: Request) -> Request {
        let mut requests = lock(&self.requests);
        request.number = requests.len();
        requests.push(request.clone());
        request
    }

    pub fn answered(&self, number: usize, status: u16) {
        if let Some(request) = lock(&self.requests).get_mut(number) {
            request.status = Some(status);
        }
    }

    /// What befalls a request: what the first rule says that applies to it.
    pub fn fault(&self, request: &Request) -> Option<Fault> {
        let fault = lock(&self.rules).iter_mut().find_map(|rule| rule.apply(request));
        if let Some(fault) = &fault
            && let Some(request) = lock(&self.requests).get_mut(request.number)
        {
            request.fault = Some(fault.name());
        }
        fault
    }
}
