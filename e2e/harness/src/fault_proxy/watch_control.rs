//! The recorded watch events, and how watches are treated.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;

/// How the proxy treats the watches of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Treatment {
    /// The number of held-back events.
    pub lag: usize,
    /// How many times the connections have been cut.
    pub cuts: usize,
    /// How many times the connections have been silenced.
    pub silences: usize,
}

/// The recorded watch events, and the treatment of the watches by resource.
#[derive(Default)]
pub(super) struct WatchControl {
    events: Mutex<Vec<WatchEvent>>,
    treatments: watch::Sender<BTreeMap<String, Treatment>>,
}

/// A watch event that the API server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The plural name of the watched kind.
    pub resource: String,
    /// ADDED, MODIFIED or DELETED.
    pub change: String,
    /// The namespace of the object; empty if it is cluster-scoped.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// The resourceVersion of the object.
    pub resource_version: String,
}

/// The fields of one line of a watch that are recorded.
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

impl WatchControl {
    pub fn events(&self) -> Vec<WatchEvent> {
        self.events.lock().clone()
    }

    pub fn lag(&self, resource: &str, count: usize) {
        self.treatments.send_modify(|all| all.entry(resource.to_owned()).or_default().lag = count);
    }

    pub fn cut(&self, resource: &str) {
        self.treatments.send_modify(|all| all.entry(resource.to_owned()).or_default().cuts += 1);
    }

    pub fn silence(&self, resource: &str) {
        let silence = |all: &mut BTreeMap<String, Treatment>| {
            all.entry(resource.to_owned()).or_default().silences += 1;
        };
        self.treatments.send_modify(silence);
    }

    /// Receives every change of the treatments from now on.
    pub fn treatments(&self) -> watch::Receiver<BTreeMap<String, Treatment>> {
        self.treatments.subscribe()
    }

    /// Records a line of a watch. Returns whether it is the event of an object, not a bookmark or an
    /// error.
    pub fn record(&self, resource: &str, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return false };
        if !["ADDED", "MODIFIED", "DELETED"].contains(&line.r#type.as_str()) {
            return false;
        }
        let Metadata { namespace, name, resource_version } = line.object.metadata;
        let (resource, change) = (resource.to_owned(), line.r#type);
        self.events.lock().push(WatchEvent { resource, change, namespace, name, resource_version });
        true
    }
}
