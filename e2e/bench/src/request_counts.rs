//! Numbers of requests by verb and resource.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use testbed::audit::Event;

/// The number and size of requests with the same verb and resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestCount {
    /// The number of requests.
    pub count: u32,
    /// The number of those with an error status.
    pub refused: u32,
    /// The size of the request bodies in the audit log, as JSON.
    pub request_bytes: usize,
    /// The size of the response bodies in the audit log, as JSON; it contains no watch events.
    pub response_bytes: usize,
}

/// Requests by verb and resource, such as `patch configmapsyncs/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestCounts(BTreeMap<String, RequestCount>);

// === impl RequestCounts ===

impl RequestCounts {
    /// Counts `events`. A list in several pages counts once; a watch counts when it ends.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut calls = BTreeMap::<_, RequestCount>::new();
        for event in events {
            if !event.is_final() || is_next_page(event) {
                continue;
            }
            let call = calls.entry(name(event)).or_default();
            call.count += 1;
            call.refused += u32::from(event.response_status.code >= 400);
            call.request_bytes += length(event.request_object.as_ref());
            call.response_bytes += length(event.response_object.as_ref());
        }
        Self(calls)
    }

    /// The number of requests with `verb` for `resource`.
    pub fn count(&self, verb: &str, resource: &str) -> u32 {
        self.0.get(&format!("{verb} {resource}")).map_or(0, |call| call.count)
    }

    /// The mean size of the request bodies, in bytes.
    pub fn sent_per(&self, verb: &str, resource: &str) -> Option<f64> {
        let call = self.0.get(&format!("{verb} {resource}"))?;
        let bytes = u32::try_from(call.request_bytes).ok().filter(|bytes| *bytes > 0)?;
        (call.count > 0).then(|| f64::from(bytes) / f64::from(call.count))
    }

    /// The number of requests with `verb`, for any resource.
    pub fn verb(&self, verb: &str) -> u32 {
        let calls = self.0.iter().filter(|(name, _)| name.split(' ').next() == Some(verb));
        calls.map(|(_, call)| call.count).sum()
    }

    /// The number of all requests.
    pub fn total(&self) -> u32 {
        self.0.values().map(|call| call.count).sum()
    }

    /// The number of writes.
    pub fn writes(&self) -> u32 {
        ["create", "update", "patch", "delete"].iter().map(|verb| self.verb(verb)).sum()
    }

    /// The size of all bodies, in KiB.
    pub fn kibibytes(&self) -> f64 {
        let bytes: usize =
            self.0.values().map(|call| call.request_bytes + call.response_bytes).sum();
        f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX))
    }

    /// `1000 create configmaps, 1 get configmaps`, in descending order.
    pub fn summary(&self) -> String {
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by_key(|(_, call)| std::cmp::Reverse(call.count));
        let refused = |call: &RequestCount| match call.refused {
            0 => String::new(),
            refused => format!(" ({refused} refused)"),
        };
        let calls =
            calls.iter().map(|(name, call)| format!("{} {name}{}", call.count, refused(call)));
        calls.collect::<Vec<_>>().join(", ")
    }
}

fn name(event: &Event) -> String {
    let subresource = &event.object_ref.subresource;
    let slash = if subresource.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{subresource}", event.verb, event.resource())
}

fn is_next_page(event: &Event) -> bool {
    event.verb == "list" && event.request_uri.contains("continue=")
}

fn length(value: Option<&Value>) -> usize {
    value.and_then(|value| serde_json::to_string(value).ok()).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(verb: &str, uri: &str, code: u16) -> Event {
        let event = json!({
            "stage": "ResponseComplete",
            "verb": verb,
            "requestURI": uri,
            "user": {},
            "objectRef": {"resource": "configmaps"},
            "responseStatus": {"code": code},
            "requestObject": {"a": 1},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
            "stageTimestamp": "2026-01-02T03:04:05.000007Z",
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_paged_list_counts_once_and_refusals_are_shown() {
        let events = [
            event("list", "/x?limit=500", 200),
            event("list", "/x?limit=500&continue=y", 200),
            event("create", "/x", 201),
            event("create", "/x", 403),
        ];
        let calls = RequestCounts::of(&events);
        assert_eq!(calls.summary(), "2 create configmaps (1 refused), 1 list configmaps");
        assert_eq!((calls.count("list", "configmaps"), calls.writes()), (1, 2));
        assert_eq!(calls.sent_per("create", "configmaps"), Some(7.0));
    }
}
