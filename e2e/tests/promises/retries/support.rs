//! Requests at a fault proxy, and the delays between them.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use testbed::wait::Seen;
use testbed::wait::until;

/// Each delay is at least this much longer than the one before: twice, less the jitter of both.
const GROWTH: f64 = 1.3;
/// Minimum of the first delay: one second, less the jitter.
const FIRST_DELAY: Duration = Duration::from_millis(750);

/// Waits until the proxy has received `count` requests that match, and returns all that match.
pub async fn wait_requests(
    proxy: &FaultProxy,
    what: &str,
    count: usize,
    deadline: Duration,
    matches: impl Fn(&Request) -> bool + Copy,
) -> Result<Vec<Request>> {
    until(format!("the operator sends {count} requests to {what}"), deadline, || async {
        let requests: Vec<_> = proxy.requests().into_iter().filter(matches).collect();
        let sent = requests.len();
        let found = (sent >= count).then_some(requests);
        Ok(Seen::from_option(found, || format!("{sent} requests")))
    })
    .await
}

/// Fails unless the time between consecutive requests grows exponentially. `answered_after` is how
/// long each response takes.
pub fn ensure_backoff(requests: &[Request], answered_after: Duration) -> Result<()> {
    let gaps: Vec<_> = requests
        .windows(2)
        .map(|pair| (pair[1].arrived - pair[0].arrived).saturating_sub(answered_after))
        .collect();
    let summary = format!("delays between attempts: {gaps:.1?}");
    eprintln!("{summary}");
    ensure!(gaps.first().is_some_and(|gap| *gap >= FIRST_DELAY), "{summary}");
    let grows = gaps.windows(2).all(|pair| pair[1] >= pair[0].mul_f64(GROWTH));
    ensure!(grows, "expected exponential growth; {summary}");
    Ok(())
}
