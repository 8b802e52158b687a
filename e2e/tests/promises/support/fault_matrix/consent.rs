//! The reviews of permissions: one that has failed permits nothing.

use harness::fault_proxy::Request;

use crate::support::crash::fault_case::reviewed;
use crate::support::crash::fault_case::subject;

/// The requests that were sent between a review with a fault and the next one without, although they
/// need that permission.
pub fn violations(requests: &[Request]) -> Vec<String> {
    let faulty = requests.iter().enumerate().filter(|(_, it)| it.fault.is_some());
    faulty.flat_map(|(index, review)| unpermitted(review, &requests[index + 1..])).collect()
}

fn unpermitted(review: &Request, later: &[Request]) -> Vec<String> {
    let Some(permission) = reviewed(review) else { return Vec::new() };
    let is_next = |it: &&Request| it.fault.is_none() && subject(it) == subject(review);
    let until_next = later.iter().take_while(|it| !is_next(it));
    let namespace = permission["namespace"].as_str().unwrap_or_default();
    let is_read = permission["verb"] == "get";
    let needs_it = |it: &&Request| {
        let is_there = it.resource() == "configmaps" && it.namespace() == namespace;
        is_there && it.is_mutating() != is_read
    };
    until_next.filter(needs_it).map(|it| format!("{it} was sent after {review}")).collect()
}
