//! A complete run of the demo.

use std::time::Duration;

use demo::Options;
use testbed::pod_tests;

#[tokio::test]
async fn the_demo_completes_all_steps() {
    if pod_tests::are_skipped() {
        return;
    }
    let report = demo::run(&Options { once: true, ..Options::default() }).await.unwrap();
    assert_eq!(report.pod_security, "restricted");
    assert_eq!(report.leaders.len(), 1, "pods that hold a Lease: {:?}", report.leaders);
    assert!(
        report.follow < Duration::from_secs(5),
        "the copy was updated after {:?}",
        report.follow
    );
    assert!(
        report.failover < Duration::from_secs(10),
        "the next leader was elected after {:?}",
        report.failover
    );
    for name in ["reconcile", "observe", "plan", "create copy"] {
        assert!(report.spans.iter().any(|span| span == name), "no {name} in {:?}", report.spans);
    }
    let failure = report.failure.unwrap();
    let root = failure.root().unwrap();
    let why = root.tag("otel.status_description").unwrap_or_default();
    assert_eq!(root.tag("error.type").as_deref(), Some("Forbidden"));
    assert!(why.contains("ask the team of this namespace first"), "{why}");
    let remains = report.footprint.unwrap().remains();
    assert!(remains.is_empty(), "left behind: {remains:#?}");
}
