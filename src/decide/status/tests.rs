mod size;

use super::*;
use crate::api::ConfigMapSyncSpec;
use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::Plan;
use crate::decide::contention::contended_finalizer;
use crate::decide::desired;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::simulation::cluster::SimulatedCluster;

fn observed() -> Observed {
    cluster().observe()
}

fn cluster() -> SimulatedCluster {
    let spec = ConfigMapSyncSpec {
        source_namespace: "central".into(),
        config_map_name: "s".into(),
        destination_namespace: Some("n".into()),
        ..ConfigMapSyncSpec::default()
    };
    SimulatedCluster::new(spec)
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
        status(&observed, &desired(&observed), &settled, &now, None, None)
    };
    assert_eq!(report(1).source, Some(read), "the spec is the same");
    let after = report(2);
    assert_eq!((after.observed_generation, after.source), (Some(2), None));
    assert_eq!(after.content_hash.as_deref(), Some("v1:00"), "the copies have this content");
}

#[test]
fn the_failure_trace_is_that_in_which_the_verdict_arose() {
    let mut observed = observed();
    observed.source = ObservedSource::Missing { confirmed: true };
    let report = |observed: &Observed, trace_id| {
        let (now, settled) = (Time(Timestamp::UNIX_EPOCH), Settled::of(Plan::default()));
        status(observed, &desired(observed), &settled, &now, None, trace_id)
    };
    let first = report(&observed, Some("1"));
    assert_eq!(ready_reason(&first), Some("SourceNotFound"));
    assert_eq!(first.last_failure_trace_id.as_deref(), Some("1"));
    observed.sync.status = first;
    let second = report(&observed, Some("2"));
    assert_eq!(second.last_failure_trace_id.as_deref(), Some("1"), "the reason is the same");
    observed.source = ObservedSource::Unreadable(Failure::new(Reason::ApiError, "no response"));
    let third = report(&observed, Some("3"));
    assert_eq!(third.last_failure_trace_id.as_deref(), Some("3"));
    observed.sync.status = third;
    observed.source = ObservedSource::Unreadable(Failure::new(Reason::ApiError, "HTTP 503"));
    let fourth = report(&observed, Some("4"));
    assert_eq!(fourth.last_failure_trace_id.as_deref(), Some("4"), "another text");
    observed.sync.status = fourth;
    observed.sync.generation = Some(7);
    let fifth = report(&observed, Some("5"));
    assert_eq!(fifth.last_failure_trace_id.as_deref(), Some("5"), "another generation");
    assert_eq!(report(&observed, None).last_failure_trace_id, None, "tracing is off");
}

#[test]
fn a_deletion_is_a_fault_only_if_a_copy_is_not_cleaned_up() {
    let deleting = Failure::new(Reason::Deleting, "copy n/s is not cleaned up yet: denied");
    let nothing_left = Settled::of(Plan::default());
    assert_eq!(fault(&deleting, &nothing_left), None);
    let at = NamespacedName::new("n", "s");
    let left = Action::Leave(Failure::new(Reason::Forbidden, "denied"));
    let plan = Plan { steps: [(at, left)].into(), ..Plan::default() };
    let found = fault(&deleting, &Settled::of(plan)).unwrap();
    assert_eq!((found.reason, found.message), (Reason::Forbidden, deleting.message));
}

#[test]
fn a_finalizer_that_cannot_be_added_is_reported() {
    let mut cluster = cluster();
    cluster.put(&NamespacedName::new("central", "s"), Content::default(), None);
    let mut observed = cluster.observe();
    observed.finalizer_failure = Some(Failure::new(Reason::Forbidden, "denied"));
    let desired = desired(&observed);
    let plan = plan(&observed, &desired);
    assert!(!plan.has_writes(), "{plan:?}");
    let settled = Settled::of(plan);
    let summary = summary(&observed, &desired, &settled);
    assert_eq!(summary.reason, Reason::Forbidden);
    let expected = "no copy is written before finalizer apps.nishaf.info/cleanup is set: denied";
    assert_eq!(summary.message, expected);
    assert_eq!((settled.retry_count(), fault(&summary, &settled)), (1, Some(summary)));
}

#[test]
fn a_finalizer_that_cannot_be_removed_is_reported() {
    let mut observed = observed();
    (observed.sync.deleting, observed.sync.finalizers) = (true, vec![names::FINALIZER.to_owned()]);
    observed.destinations.clear();
    observed.finalizer_failure = Some(Failure::new(Reason::Forbidden, "denied"));
    let desired = desired(&observed);
    let settled = Settled::of(plan(&observed, &desired));
    let summary = summary(&observed, &desired, &settled);
    assert_eq!(summary.reason, Reason::Deleting);
    let expected = "finalizer apps.nishaf.info/cleanup is not removed yet: denied";
    assert_eq!(summary.message, expected);
    assert_eq!(fault(&summary, &settled).map(|it| it.reason), Some(Reason::Forbidden));
}

#[test]
fn a_fingerprint_does_not_depend_on_the_status_before() {
    let report = |observed: &Observed, now| {
        let settled = Settled::of(plan(observed, &desired(observed)));
        status(observed, &desired(observed), &settled, &Time(now), None, Some("t"))
    };
    let mut observed = observed();
    let first = report(&observed, Timestamp::UNIX_EPOCH);
    let again = report(&observed, Timestamp::MAX);
    assert_ne!(first, again);
    assert_eq!(fingerprint(&first), fingerprint(&again));
    observed.sync.generation = Some(9);
    let other = report(&observed, Timestamp::UNIX_EPOCH);
    assert_ne!(fingerprint(&first), fingerprint(&other));
}

#[test]
fn contention_about_the_finalizer_does_not_delay_its_removal() {
    let mut observed = observed();
    observed.finalizer_failure = Some(contended_finalizer());
    observed.sync.finalizers.clear();
    assert!(!plan(&observed, &desired(&observed)).has_writes());
    (observed.sync.deleting, observed.sync.finalizers) = (true, vec![names::FINALIZER.to_owned()]);
    observed.destinations.clear();
    assert_eq!(plan(&observed, &desired(&observed)).finalizer, FinalizerStep::Remove);
}

#[test]
fn a_suspended_sync_without_finalizer_reports_suspended() {
    let mut observed = observed();
    observed.finalizer_failure = Some(Failure::new(Reason::Forbidden, "denied"));
    let desired = Desired::Hold(Failure::new(Reason::Suspended, "spec.suspend is true"));
    let wait = FinalizerStep::Wait(Failure::new(Reason::Forbidden, "denied"));
    let settled = Settled::of(Plan { finalizer: wait, ..Plan::default() });
    assert_eq!(summary(&observed, &desired, &settled).reason, Reason::Suspended);
}
