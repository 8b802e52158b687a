mod size;

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::api::ConfigMapSyncSpec;
use crate::api::SourceVersion;
use crate::decide::Plan;
use crate::decide::desired;
use crate::decide::simulation::cluster::SimulatedCluster;

fn observed() -> Observed {
    let spec = ConfigMapSyncSpec {
        source_namespace: "central".into(),
        config_map_name: "s".into(),
        destination_namespace: Some("n".into()),
        ..ConfigMapSyncSpec::default()
    };
    SimulatedCluster::new(spec).observe()
}

#[test]
fn a_version_read_under_another_generation_is_dropped() {
    let read = SourceVersion { uid: "u".into(), resource_version: "7".into() };
    let mut observed = observed();
    observed.source = ObservedSource::Unreadable(Failure::new(Reason::ApiError, "no response"));
    observed.sync.status = ConfigMapSyncStatus {
        observed_generation: Some(1),
        source: Some(read.clone()),
        content_hash: Some("v1:00".into()),
        ..ConfigMapSyncStatus::default()
    };
    let mut report = |generation| {
        observed.sync.generation = Some(generation);
        let now = Time(Timestamp::UNIX_EPOCH);
        let settled = Settled::of(Plan::default());
        status(&observed, &desired(&observed), &settled, &now, None)
    };
    assert_eq!(report(1).source, Some(read), "the spec is the same");
    let after = report(2);
    assert_eq!((after.observed_generation, after.source), (Some(2), None));
    assert_eq!(after.content_hash.as_deref(), Some("v1:00"), "the copies have this content");
}
