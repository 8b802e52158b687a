//! The tries of one object: no fault causes more than one for each step of the backoff.

use harness::fault_proxy::Request;
use http::Method;

use crate::support::crash::fault_case::subject;
use crate::support::fault_matrix::api_fault::ApiFault;

/// Reads of an object between a fault and the next try: one, which shows what the API server has
/// done.
const MAX_READS: usize = 1;
/// Tries in a row that a conflict may cause, before they count as contention.
const MAX_CONFLICTS: usize = 5;

/// What is wrong with the requests that follow a fault: one sentence each.
pub fn violations(requests: &[Request], fault: ApiFault) -> Vec<String> {
    let mut found = Vec::new();
    let faulty = requests.iter().enumerate().filter(|(_, it)| it.fault.is_some());
    for (earlier, (index, request)) in faulty.enumerate() {
        let later: Vec<_> =
            requests[index + 1..].iter().filter(|it| is_same(it, request)).collect();
        let next = later.iter().position(|it| is_try(it, request));
        let reads = later[..next.unwrap_or(later.len())].len();
        if reads > MAX_READS {
            found.push(format!("{reads} reads after {request}"));
        }
        let Some(next) = next else { continue };
        let gap = later[next].arrived - request.arrived;
        let shortest = fault.shortest_gap(u32::try_from(earlier).unwrap_or(u32::MAX));
        if gap < shortest {
            found.push(format!(
                "{request} was tried again after {gap:.1?}, less than {shortest:.1?}"
            ));
        }
    }
    if fault == ApiFault::Status(409) {
        found.extend(hot_conflicts(requests));
    }
    found
}

fn hot_conflicts(requests: &[Request]) -> Option<String> {
    let tries = requests.iter().filter(|it| it.fault.is_some()).count();
    (tries > MAX_CONFLICTS).then(|| format!("{tries} tries after conflicts"))
}

/// Whether both requests are about the same object: a copy, a source, a finalizer, a status or a
/// permission.
fn is_same(one: &Request, other: &Request) -> bool {
    let is_copy = one.resource() == "configmaps" && one.namespace() == other.namespace();
    subject(one) == subject(other) || (is_copy && one.resource() == other.resource())
}

/// Whether `later` is another try of `request`: any write after a write, any read after a read.
fn is_try(later: &Request, request: &Request) -> bool {
    later.is_mutating() || request.method == Method::GET
}
