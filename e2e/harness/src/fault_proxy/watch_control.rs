//! What the proxy knows of watches: what it saw on them, and what it is to hold back.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Deserialize;
use tokio::sync::watch;

use crate::fault_proxy::lock::lock;

/// How the watches of one resource are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Treatment {
    /// How many events are held back.
    pub lag: usize,
    /// How often the connections were cut.
    pub cuts: usize,
}

/// What was seen, and how the watches of each resource are treated.
#[derive(Default)]
pub(super) struct Watches {
    events: Mutex<Vec<WatchEvent>>,
    treatments: watch::Sender<BTreeMap<String, Treatment>>,
}

/// An event that the API server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The plural of the kind that is watched.
    pub resource: String,
    /// ADDED, MODIFIED or DELETED.
    pub change: String,
    /// The namespace of the object, empty if it has none.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// The resourceVersion of the event.
    pub resource_version: String,
}

/// A line of a watch, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Object,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    resource_version: String,
}

impl Watches {
    pub fn events(&self) -> Vec<WatchEvent> {
        lock(&self.events).clone()
    }

    pub fn lag(&self, resource: &str, count: usize) {
        self.treatments.send_modify(|all| all.entry(resource.to_owned()).or_default().lag = count);
    }

    pub fn cut(&self, resource: &str) {
        self.treatments.send_modify(|all| all.entry(resource.to_owned()).or_default().cuts += 1);
    }

    /// Tells of every change from now on.
    pub fn treatments(&self) -> watch::Receiver<BTreeMap<String, Treatment>> {
        self.treatments.subscribe()
    }

    /// Notes a line. Whether it tells of an object: bookmarks and failures do not.
    pub fn note(&self, resource: &str, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return false };
        if !["ADDED", "MODIFIED", "DELETED"].contains(&line.r#type.as_str()) {
            return false;
        }
        let Metadata { namespace, name, resource_version } = line.object.metadata;
        let (resource, change) = (resource.to_owned(), line.r#type);
        lock(&self.events).push(WatchEvent { resource, change, namespace, name, resource_version });
        true
    }
}
