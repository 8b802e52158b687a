//! Runs of scenarios in parallel on one control plane, with one replica behind the fault proxy.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::control_plane::ControlPlane;
use testbed::users::Permission;
use testbed::wait::Seen;
use testbed::wait::until;
use testbed::wait::until_every;

use crate::support::crash::fault_case::Faultless;
use crate::support::crash::fault_case::RequestKey;
use crate::support::crash::fault_case::is_about;
use crate::support::crash::scenario::RunNamespaces;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::state;
use crate::support::fault_matrix::api_fault::ApiFault;
use crate::support::fault_matrix::consent;
use crate::support::fault_matrix::spacing;

/// Pause between two checks of a run. They cost no requests.
const PAUSE: Duration = Duration::from_millis(250);
/// Consecutive checks without a request before a run counts as finished; a reconcile takes
/// milliseconds. Not a duration, since nothing sends requests while the machine stalls.
const FINISHED: usize = 5;
/// Requests that a fault may cause: the try, the read of what the API server has done, and the
/// reports (status and Event) that the response is missing, of the failure, and of its end.
const CAUSED: usize = 8;

/// A cluster in which scenarios run.
pub struct Matrix {
    pub cluster: OperatorCluster,
    proxy: FaultProxy,
    recorder: Recorder,
    mark: Mark,
    runs: AtomicUsize,
}

/// A request of a scenario, its fault, and how many times in a row the fault occurs.
#[derive(Clone, Debug)]
pub struct Case {
    pub key: RequestKey,
    pub fault: ApiFault,
    pub times: usize,
}

/// A finished run.
#[derive(Debug)]
pub struct Run {
    pub prefix: String,
    /// The revision at its end.
    end: u64,
    /// The operator's requests.
    pub requests: Vec<Request>,
}

// === impl Matrix ===

impl Matrix {
    pub async fn start() -> Result<Self> {
        let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
        permit_accounts(&cluster.control_plane).await?;
        let recorder = Recorder::start(cluster.fixture().client()).await?;
        let mark = cluster.audit().mark().await?;
        Ok(Self { cluster, proxy, recorder, mark, runs: AtomicUsize::new(0) })
    }

    /// Runs a scenario without faults.
    pub async fn without_faults(&self, scenario: &impl Scenario) -> Result<(Faultless, Run)> {
        let namespaces = self.next_namespaces();
        let start = self.proxy.count();
        scenario.set_up(&namespaces).await?;
        self.wait_silent(&namespaces, start).await?;
        let start = self.proxy.count();
        scenario.trigger(&namespaces).await?;
        scenario.end(&namespaces).await?;
        self.wait_silent(&namespaces, start).await?;
        let requests = self.requests(&namespaces, start);
        let state = self.state(&namespaces)?;
        let run = self.finished(&namespaces, start);
        let prefix = namespaces.prefix;
        Ok((Faultless { prefix, requests, events: BTreeMap::new(), state }, run))
    }

    /// Runs a scenario with a fault. Fails unless the fault was injected, the final state is that of
    /// the run without faults, and the requests are as few as the backoff allows.
    pub async fn with_fault(
        &self,
        scenario: &impl Scenario,
        faultless: &Faultless,
        case: &Case,
    ) -> Result<Run> {
        let namespaces = self.next_namespaces();
        let start = self.proxy.count();
        scenario.set_up(&namespaces).await?;
        self.wait_silent(&namespaces, start).await?;
        let hold = Hold::new();
        let rule = case.key.rule(case.fault.inject(&hold), &namespaces.prefix);
        self.proxy.add(rule.times(case.times));
        let start = self.proxy.count();
        scenario.trigger(&namespaces).await?;
        let ended = self.wait_end(&namespaces, faultless, start).await;
        let silent = self.wait_silent(&namespaces, start).await;
        hold.cut();
        let run = self.finished(&namespaces, start);
        let sent: Vec<_> = run.requests.iter().map(ToString::to_string).collect();
        let sent = sent.join("\n");
        ended.and(silent).map_err(|error| error.context(format!("requests:\n{sent}")))?;
        let faults = run.requests.iter().filter(|it| it.fault.is_some()).count();
        ensure!(faults > 0, "the fault was not injected; requests:\n{sent}");
        let mut found = spacing::violations(&run.requests, case.fault);
        found.extend(consent::violations(&run.requests));
        ensure!(found.is_empty(), "{}\nrequests:\n{sent}", found.join("\n"));
        let most = faultless.requests.len() + CAUSED * faults;
        let count = run.requests.len();
        ensure!(count <= most, "{count} requests, more than {most}:\n{sent}");
        Ok(run)
    }

    /// What the oracles find in all runs; changes after the end of a run, and copies that were
    /// created more often than in the run without faults.
    pub async fn judge(&self, runs: &[(usize, Run)]) -> Result<Vec<String>> {
        let history = self.recorder.history().await?;
        let events = self.cluster.audit().since(self.mark).await?;
        let mut found = oracle::violations(&history, &events);
        for (expected, run) in runs {
            let count = creates(&events, &run.prefix);
            if count != *expected {
                found.push(format!("{}: {count} creates of {expected} copies", run.prefix));
            }
            let later = Kind::ALL.iter().flat_map(|kind| history.changes(*kind)).filter(|it| {
                it.kind != Kind::Namespace && is_in(it, &run.prefix) && it.revision > run.end
            });
            found.extend(
                later
                    .filter(|it| it.at.name != "kube-root-ca.crt")
                    .map(|it| format!("{} changed after its run had finished", it.at)),
            );
        }
        Ok(found)
    }

    /// The number of copies created in the namespaces with this prefix.
    pub async fn creates(&self, prefix: &str) -> Result<usize> {
        Ok(creates(&self.cluster.audit().since(self.mark).await?, prefix))
    }

    async fn wait_end(
        &self,
        namespaces: &RunNamespaces,
        faultless: &Faultless,
        start: usize,
    ) -> Result<()> {
        let what = "the final state is that of the run without faults";
        until_every(PAUSE, what, SOON, || async {
            let state = self.state(namespaces)?;
            // Without the fault, the state may be reached before the fault is injected.
            let injected = self.requests(namespaces, start).iter().any(|it| it.fault.is_some());
            Ok(Seen::from_bool(injected && state == faultless.state, || {
                format!("injected: {injected}\n{state}\nexpected\n{}", faultless.state)
            }))
        })
        .await
    }

    /// Waits until the operator sends no more requests in these namespaces.
    async fn wait_silent(&self, namespaces: &RunNamespaces, start: usize) -> Result<()> {
        let (mut last, mut silent) = (0, 0);
        until_every(PAUSE, "the operator sends no more requests", SOON, || {
            let now = self.requests(namespaces, start).len();
            silent = if now == last { silent + 1 } else { 0 };
            last = now;
            let is_silent = silent >= FINISHED;
            async move { Ok(Seen::from_bool(is_silent, || format!("{now} requests"))) }
        })
        .await
    }

    fn requests(&self, namespaces: &RunNamespaces, start: usize) -> Vec<Request> {
        self.proxy.requests_where(start, |it| is_about(it, &namespaces.prefix))
    }

    fn state(&self, namespaces: &RunNamespaces) -> Result<String> {
        let present = |kind| {
            let here = self.recorder.present(|it| it.kind == kind && is_in(it, &namespaces.prefix));
            here.map(|all| all.into_iter().map(|it| it.object).collect::<Vec<_>>())
        };
        state::describe(&namespaces.prefix, present(Kind::ConfigMap)?, &present(Kind::Sync)?)
    }

    fn finished(&self, namespaces: &RunNamespaces, start: usize) -> Run {
        let prefix = namespaces.prefix.clone();
        Run {
            end: self.recorder.last_revision(),
            requests: self.requests(namespaces, start),
            prefix,
        }
    }

    fn next_namespaces(&self) -> RunNamespaces {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        RunNamespaces { fixture: self.cluster.fixture(), prefix: format!("run-{number}-") }
    }
}

/// Allows every ServiceAccount to read and write ConfigMaps.
async fn permit_accounts(control_plane: &ControlPlane) -> Result<()> {
    let version = "rbac.authorization.k8s.io/v1";
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "e2e-accounts"});
    let verbs = ["get", "create", "update", "delete"];
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    let role = json!({
        "apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules,
    });
    control_plane.apply(role).await?;
    let subject = json!({"apiGroup": group, "kind": "Group", "name": "system:serviceaccounts"});
    let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": "e2e-accounts"});
    control_plane
        .apply(json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": role, "subjects": [subject],
        }))
        .await?;
    let update = Permission { namespace: None, group: "", resource: "configmaps", verb: "update" };
    until("every ServiceAccount may write ConfigMaps", SOON, || async {
        let allowed = control_plane.may("system:serviceaccount:any:copier", update).await?;
        Ok(Seen::from_bool(allowed, || "not allowed".to_owned()))
    })
    .await
}

fn creates(events: &[Event], prefix: &str) -> usize {
    let writes = writes_by_operator(events).into_iter();
    let creates = writes.filter(|it| {
        let is_create = it.verb == "create" && it.resource() == "configmaps" && it.succeeded();
        is_create && it.namespace().starts_with(prefix)
    });
    creates.count()
}

fn is_in(change: &Change, prefix: &str) -> bool {
    change.at.namespace.starts_with(prefix)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.key, self.fault)?;
        if self.times > 1 { write!(f, ", {} times", self.times) } else { Ok(()) }
    }
}
