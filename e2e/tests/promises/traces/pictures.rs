//! The pictures of traces in docs/operations.md show what Jaeger has. With `UPDATE=1`, they are written anew.

use std::collections::BTreeMap;
use std::env;
use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use testbed::jaeger::Trace;
use testbed::jaeger::timeline;
use testbed::picture::svg;
use testbed::repository;

use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::deny_policy::DenyPolicy;
use crate::traces::support::last_trace_id;
use crate::traces::support::traced_cluster;
use crate::traces::support::wait_trace;

/// Copies of the fan-out.
const COPIES: usize = 8;

/// The spans of the trace by name.
fn names(trace: &Trace) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    for span in &trace.spans {
        *names.entry(span.name.as_str()).or_default() += 1;
    }
    names
}

/// Writes the picture with `UPDATE=1`. Otherwise fails unless it shows every kind of span of the trace,
/// and each write.
fn ensure_picture(file: &str, trace: &Trace, lines: &[String]) -> Result<()> {
    let path = repository::root().join("docs/images").join(file);
    if env::var_os("UPDATE").is_some() {
        return fs::write(&path, svg(lines)).with_context(|| path.display().to_string());
    }
    let picture = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for (name, count) in names(trace) {
        let shown = picture.matches(name).count();
        let is_shown = if name == "create copy" { shown == count } else { shown > 0 };
        ensure!(
            is_shown,
            "{file} shows {shown} of {count} {name}: run this test with UPDATE=1\n{}",
            lines.join("\n")
        );
    }
    Ok(())
}

fn has_root(trace: &Trace) -> bool {
    trace.root().is_some()
}

#[tokio::test]
async fn the_pictures_of_traces_show_what_jaeger_has() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "my-app-namespace"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for number in 0..COPIES {
        let name = format!("team-{number}");
        fixture.create_labelled_namespace(&name, &[("copies", "yes")]).await?;
    }
    let spec = to_selected(with_labels(&[("copies", "yes")]));
    fixture.create_sync("central", "fan-out", spec).await?;
    let sync = fixture.wait_reason("central", "fan-out", "Synced", SOON).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let is_whole =
        |trace: &Trace| has_root(trace) && names(trace).get("create copy") == Some(&COPIES);
    let trace = wait_trace(&jaeger, id, is_whole).await?;
    ensure_picture("trace-fan-out.svg", &trace, &timeline(&trace))?;

    let policy = DenyPolicy::install(&cluster.control_plane, "my-app-namespace", "CREATE").await?;
    let spec = one_to_one("central", "shared", "my-app-namespace");
    fixture.create_sync("central", "refused", spec).await?;
    let sync: ConfigMapSync = fixture.wait_reason("central", "refused", "Forbidden", SOON).await?;
    let status = sync.status.unwrap_or_default();
    let id = status.last_failure_trace_id.context("no lastFailureTraceID")?;
    let trace = wait_trace(&jaeger, &id, has_root).await?;
    ensure_picture("trace-failure.svg", &trace, &timeline(&trace))?;
    policy.remove().await
}
