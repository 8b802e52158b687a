//! Reviews that fail are no permission.
//!
//! Each fault meets each kind of review: for the source, and for the copy. Every case has a ConfigMapSync of
//! its own, whose copy exists before the fault begins.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use futures::future::try_join_all;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::service_account::support::ACCOUNT;
use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::service_account::support::reads;
use crate::service_account::support::user;
use crate::support::audit::copy_writes;
use crate::support::conditions::message;

/// Longer than the read timeout of a review.
const LATE: Duration = Duration::from_secs(30);
/// The delay that a response with `Retry-After` requests.
const REQUESTED: u32 = 3;
/// The shortest first delay of the backoff: one second, less the jitter.
const FIRST_DELAY: Duration = Duration::from_millis(800);

/// What a fault is reported as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// `ApiError`: it is not known what is permitted.
    Failed,
    /// `NotPermitted`: the API server has denied it.
    Denied,
}

/// The reviews that a fault applies to.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Whether the source may be read.
    Source,
    /// Whether the copy may be written.
    Copy,
}

/// One fault at one kind of review.
struct Case {
    name: &'static str,
    fault: Fault,
    verdict: Verdict,
    asked: Asked,
    is_on: Arc<AtomicBool>,
    /// Holds the reviews that get no response.
    hold: Hold,
}

fn page(status: u16, body: &str) -> Fault {
    Fault::Respond(CannedResponse { status, retry_after: None, body: body.to_owned() })
}

/// The response to a review, with this status.
fn reviewed(status: &Value) -> Fault {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {},
        "status": status,
    });
    page(201, &review.to_string())
}

fn faults(hold: &Hold) -> Vec<(&'static str, Fault, Verdict)> {
    let undecided = json!({"allowed": false, "evaluationError": "the authorizer timed out"});
    let both = json!({"allowed": true, "denied": true, "reason": "a webhook"});
    vec![
        ("failed", Fault::Respond(CannedResponse::failure(500)), Verdict::Failed),
        ("timeout", Fault::Respond(CannedResponse::failure(504)), Verdict::Failed),
        (
            "throttled",
            Fault::Respond(CannedResponse::too_many_requests(REQUESTED)),
            Verdict::Failed,
        ),
        ("cut", Fault::Cut, Verdict::Failed),
        ("lost", Fault::LoseResponse, Verdict::Failed),
        ("late", Fault::Delay(LATE), Verdict::Failed),
        // The connection stays open, without a response.
        ("half-open", Fault::HoldBefore(hold.clone()), Verdict::Failed),
        ("truncated", Fault::TruncateResponse, Verdict::Failed),
        ("page", page(200, "<html>Sign in</html>"), Verdict::Failed),
        ("empty", page(200, "{}"), Verdict::Failed),
        ("refused", Fault::Respond(CannedResponse::failure(403)), Verdict::Failed),
        ("undecided", reviewed(&undecided), Verdict::Denied),
        ("denied", reviewed(&json!({"allowed": false})), Verdict::Denied),
        ("allowed-and-denied", reviewed(&both), Verdict::Denied),
    ]
}

fn cases() -> Vec<Case> {
    let all = [Asked::Source, Asked::Copy].into_iter();
    all.flat_map(|asked| {
        let hold = Hold::new();
        faults(&hold).into_iter().map(move |(name, fault, verdict)| {
            let (is_on, hold) = (Arc::default(), hold.clone());
            Case { name, fault, verdict, asked, is_on, hold }
        })
    })
    .collect()
}

#[tokio::test]
async fn a_failed_review_is_reported_and_permits_nothing() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    cluster.fixture().create_namespaces(&["central"]).await?;
    let cases = cases();
    let run = async |case: &Case| {
        case.set_up(&cluster, &proxy).await?;
        case.meets_its_fault(&cluster, &proxy).await?;
        case.recovers(&cluster).await
    };
    try_join_all(cases.iter().map(async |case| run(case).await.with_context(|| case.to_string())))
        .await?;
    Ok(())
}

// === impl Case ===

impl Case {
    /// The namespace of the ConfigMapSync and its copies.
    fn namespace(&self) -> String {
        let asked = match self.asked {
            Asked::Source => "source",
            Asked::Copy => "copy",
        };
        format!("{}-{asked}", self.name)
    }

    /// Whether `request` is one of the reviews of this case.
    fn matches(&self) -> impl Fn(&Request) -> bool + Send + Sync + 'static {
        let user = user(&self.namespace());
        let asked = self.asked;
        move |request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let is_get = body["spec"]["resourceAttributes"]["verb"] == "get";
            let is_review = request.resource() == "subjectaccessreviews";
            is_review && body["spec"]["user"] == *user && is_get == matches!(asked, Asked::Source)
        }
    }

    /// Creates a ConfigMapSync, and waits for its copy; then the fault begins.
    async fn set_up(&self, cluster: &OperatorCluster, proxy: &FaultProxy) -> Result<()> {
        let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
        let namespace = self.namespace();
        fixture.create_namespaces(&[&namespace]).await?;
        for (source, value) in [(&namespace, "1"), (&format!("{namespace}-2"), "2")] {
            fixture.create_config_map("central", source, &[("a", value)]).await?;
        }
        permit(control_plane, &namespace, Some("central"), &["get"]).await?;
        permit(control_plane, &namespace, Some(&namespace), WRITES).await?;
        let destination_name = Some("copy".to_owned());
        let spec = by_account("central", &namespace, &namespace);
        let spec = ConfigMapSyncSpec { destination_name, ..spec };
        fixture.create_sync(&namespace, "sync", spec).await?;
        fixture.wait_reason(&namespace, "sync", "Synced", SOON).await?;
        let (is_on, matches) = (Arc::clone(&self.is_on), self.matches());
        let rule = Rule::new(self.fault.clone());
        proxy.add(rule.when(move |it| is_on.load(Ordering::Relaxed) && matches(it)).always());
        self.is_on.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A change that needs a review is not done; what exists stays.
    async fn meets_its_fault(&self, cluster: &OperatorCluster, proxy: &FaultProxy) -> Result<()> {
        let (fixture, namespace) = (cluster.fixture(), self.namespace());
        let (mark, start) = (cluster.audit().mark().await?, proxy.count());
        let before = fixture.config_map(&namespace, "copy").await?;
        let change = match self.asked {
            Asked::Source => json!({"configMapName": format!("{namespace}-2")}),
            Asked::Copy => json!({"destinationName": "moved"}),
        };
        fixture.patch_sync(&namespace, "sync", &json!({"spec": change})).await?;
        let reason = match self.verdict {
            Verdict::Failed => "ApiError",
            Verdict::Denied => "NotPermitted",
        };
        let sync = fixture.wait_reason(&namespace, "sync", reason, SOON).await?;
        let words = match self.verdict {
            Verdict::Failed => {
                format!("cannot review whether ServiceAccount {namespace}/{ACCOUNT} may")
            }
            Verdict::Denied => format!("ServiceAccount {namespace}/{ACCOUNT} is not allowed to"),
        };
        ensure!(message(&sync).contains(&words), "{}", message(&sync));
        ensure!(!message(&sync).contains("authorizer"), "{}", message(&sync));

        let events = cluster.audit().since(mark).await?;
        let sources = reads(&events, "central", &format!("{namespace}-2"));
        let writes: Vec<_> =
            copy_writes(&events).into_iter().filter(|it| it.namespace() == namespace).collect();
        ensure!(writes.is_empty() && sources.is_empty(), "{}{}", lines(&writes), lines(&sources));
        ensure!(fixture.config_map(&namespace, "copy").await? == before, "the copy has changed");
        ensure!(fixture.config_map(&namespace, "moved").await?.is_none(), "a copy was created");
        let matches = self.matches();
        let reviews = proxy.requests_where(start, |it| matches(it));
        self.ensure_spaced(&reviews)
    }

    /// Fails if the source is asked about again before the backoff, or before the API server wants it.
    fn ensure_spaced(&self, reviews: &[Request]) -> Result<()> {
        ensure!(!reviews.is_empty(), "there was no review");
        let requested = Duration::from_secs(REQUESTED.into());
        let shortest = if self.name == "throttled" { requested } else { FIRST_DELAY };
        // The reviews of a copy are concurrent.
        let are_single = matches!(self.asked, Asked::Source);
        for pair in reviews.windows(2).filter(|_| are_single) {
            let gap = pair[1].arrived - pair[0].arrived;
            ensure!(gap >= shortest, "asked again after {gap:.1?}, less than {shortest:.1?}");
        }
        Ok(())
    }

    /// When the fault ends, the change is done.
    async fn recovers(&self, cluster: &OperatorCluster) -> Result<()> {
        let (fixture, namespace) = (cluster.fixture(), self.namespace());
        self.is_on.store(false, Ordering::Relaxed);
        self.hold.cut();
        let (copy, value) = match self.asked {
            Asked::Source => ("copy", "2"),
            Asked::Copy => ("moved", "1"),
        };
        fixture.wait_data(&namespace, copy, &[("a", value)], SOON).await?;
        fixture.wait_reason(&namespace, "sync", "Synced", SOON).await?;
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, reviews of the {:?}", self.name, self.asked)
    }
}
