//! Requests, counted by verb and resource.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use testbed::audit::Event;

/// How often something was asked for, and how much was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Call {
    /// How often.
    pub count: u32,
    /// How many of them were refused.
    pub refused: u32,
    /// What was sent, as JSON, where the audit log holds it.
    pub request_bytes: usize,
    /// What was answered, likewise; what a watch told is never in the log.
    pub response_bytes: usize,
}

/// Requests by verb and resource, such as `patch configmapsyncs/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls(BTreeMap<String, Call>);

// === impl Calls ===

impl Calls {
    /// Counts `events`. A list that comes in pages is one; the beginning of a watch is none, its
    /// end is one.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut calls = BTreeMap::<_, Call>::new();
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

    /// How often `verb` was asked of `resource`.
    pub fn count(&self, verb: &str, resource: &str) -> u32 {
        self.0.get(&format!("{verb} {resource}")).map_or(0, |call| call.count)
    }

    /// What was sent per request, in bytes.
    pub fn sent_per(&self, verb: &str, resource: &str) -> Option<f64> {
        let call = self.0.get(&format!("{verb} {resource}"))?;
        let bytes = u32::try_from(call.request_bytes).ok().filter(|bytes| *bytes > 0)?;
        (call.count > 0).then(|| f64::from(bytes) / f64::from(call.count))
    }

    /// How many requests asked for `verb`, whatever of.
    pub fn verb(&self, verb: &str) -> u32 {
        let calls = self.0.iter().filter(|(name, _)| name.split(' ').next() == Some(verb));
        calls.map(|(_, call)| call.count).sum()
    }

    /// How many requests there are.
    pub fn total(&self) -> u32 {
        self.0.values().map(|call| call.count).sum()
    }

    /// How many requests would change something.
    pub fn writes(&self) -> u32 {
        ["create", "update", "patch", "delete"].iter().map(|verb| self.verb(verb)).sum()
    }

    /// How much was said, in KiB.
    pub fn kibibytes(&self) -> f64 {
        let bytes: usize =
            self.0.values().map(|call| call.request_bytes + call.response_bytes).sum();
        f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX))
    }

    /// `1000 create configmaps, 1 get configmaps`, the many first.
    pub fn shown(&self) -> String {
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by_key(|(_, call)| std::cmp::Reverse(call.count));
        let refused = |call: &Call| match call.refused {
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
    fn pages_are_one_list_and_refusals_are_told() {
        let events = [
            event("list", "/x?limit=500", 200),
            event("list", "/x?limit=500&continue=y", 200),
            event("create", "/x", 201),
            event("create", "/x", 403),
        ];
        let calls = Calls::of(&events);
        assert_eq!(calls.shown(), "2 create configmaps (1 refused), 1 list configmaps");
        assert_eq!((calls.count("list", "configmaps"), calls.writes()), (1, 2));
        assert_eq!(calls.sent_per("create", "configmaps"), Some(7.0));
    }
}
