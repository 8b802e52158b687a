use std::collections::BTreeMap;
use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::super::*;
use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Plan;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;

/// A `ConfigMapSync` whose status has every field, each as long as possible.
fn observed() -> Observed {
    let uid = "01234567-89ab-cdef-0123-456789abcdef".to_owned();
    let version = Version { uid: uid.clone(), resource_version: u64::MAX.to_string() };
    let now = Time(Timestamp::UNIX_EPOCH);
    let status = ConfigMapSyncStatus {
        content_hash: Some(format!("v1:{}", "0".repeat(64))),
        keys: Some(i64::MAX),
        copies: Some(CopyCount { desired: i64::MAX, ready: i64::MAX, failed: i64::MAX }),
        source: Some(SourceVersion { uid, resource_version: u64::MAX.to_string() }),
        last_sync_time: Some(now),
        last_trace_id: Some("0".repeat(32)),
        last_failure_trace_id: Some("0".repeat(32)),
        ..ConfigMapSyncStatus::default()
    };
    let sync = ObservedSync {
        name: NamespacedName::new("n".repeat(63), "s".repeat(253)),
        version,
        generation: Some(i64::MAX),
        deleting: false,
        finalizers: Vec::new(),
        spec: Err(String::new()),
        status,
        trace_parent: None,
    };
    Observed {
        sync,
        source: ObservedSource::Missing { confirmed: true },
        selected: Ok(BTreeSet::new()),
        destinations: BTreeMap::new(),
        writes_in_flight: false,
        finalizer_failure: None,
    }
}

/// A failure of each of many destinations, with names and messages as long as possible.
fn settled(reason: Reason, message: &str) -> Settled {
    let steps = (0..50).map(|number| {
        let namespace = format!("{number:02}{}", "n".repeat(61));
        let at = NamespacedName::new(namespace, "c".repeat(253));
        (at, Action::Leave(Failure::new(reason, message)))
    });
    Settled::of(Plan { steps: steps.collect(), ..Plan::default() })
}

#[test]
fn a_status_is_smaller_than_4_kib_whatever_failed() {
    let texts = ["x".repeat(300_000), "\"配\u{1}".repeat(100_000)];
    let now = Time(Timestamp::UNIX_EPOCH);
    for (text, deleting) in texts.iter().flat_map(|text| [(text, false), (text, true)]) {
        let mut observed = observed();
        observed.sync.deleting = deleting;
        let failure = Failure::new(Reason::InvalidSpec, text);
        for desired in [Desired::Hold(failure.clone()), Desired::Nothing(Some(failure))] {
            for reason in [Reason::Conflict, Reason::DestinationNamespaceNotFound] {
                let settled = settled(reason, text);
                let status = status(&observed, &desired, &settled, &now, None, None);
                let size = serde_json::to_string(&status).unwrap().len();
                assert!(size < 4 * 1024, "{size} bytes");
                assert!(status.conditions.iter().all(|it| it.message.len() > 100));
                assert!(status.failures.iter().all(|it| it.message.len() > 20));
            }
        }
    }
}
