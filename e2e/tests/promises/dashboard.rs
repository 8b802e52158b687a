//! Every query of the dashboard in `chart/files/dashboard.json` has a result, in a real Prometheus that
//! scrapes a leader and a standby.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::load::Load;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use testbed::prometheus::Prometheus;
use testbed::repository;
use testbed::wait::Seen;
use testbed::wait::until;

/// Some scrapes after the first copies.
const SCRAPED: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);

/// The queries of the panels, with a value for each variable.
fn queries() -> Result<Vec<String>> {
    let file = repository::root().join("chart/files/dashboard.json");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter_map(|target| target["expr"].as_str());
    Ok(queries
        .map(|query| query.replace("$job", ".*").replace("$__rate_interval", "10s"))
        .collect())
}

#[tokio::test]
async fn every_query_of_the_dashboard_has_a_result() -> Result<()> {
    let cluster = OperatorCluster::start(2).await?;
    let load = Load::start(&cluster.fixture(), 2, PAUSE).await?;
    let mut targets = Vec::new();
    for replica in &cluster.replicas {
        targets.push(replica.url().await?.trim_start_matches("http://").to_owned());
    }
    let prometheus = Prometheus::start(&targets).await?;
    let queries = queries()?;
    ensure!(queries.len() > 10, "{queries:?}");
    for query in queries {
        ensure!(!query.contains('$'), "a variable without a value: {query}");
        until(format!("{query} has a result"), SCRAPED, || async {
            let values = prometheus.query(&query).await?;
            // The quantile of a histogram without observations is not a number.
            let has_value = values.iter().any(|value| value.is_finite());
            Ok(Seen::from_bool(has_value, || format!("{values:?}")))
        })
        .await?;
    }
    load.stop(SCRAPED).await
}
