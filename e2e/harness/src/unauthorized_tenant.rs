//! A tenant who keeps trying to read and write the namespace of another tenant with ConfigMapSyncs.
//!
//! The tenant may do everything in its own namespace and nothing in any other. Its attempts run in the
//! background while a test installs, upgrades or removes the operator; every one of them is recorded.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use configmapsync::names::POLICY_CONSENT;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::ListParams;
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::users::Permission;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::attempt::Attempt;
use crate::attempt::AttemptResult;
use crate::attempt::syncs;
use crate::fixture::Fixture;
use crate::fixture::SOON;

/// 20 attempts a second.
const PERIOD: Duration = Duration::from_millis(50);
const TENANT: &str = "tenant";
const VICTIM: &str = "victim";
/// Data that only the namespace of the victim holds.
const SECRET: &str = "bytes-of-the-victim";
/// The names of the ConfigMapSyncs begin so.
const PREFIX: &str = "theft-";

/// The tenant. Its attempts end when it is dropped.
pub struct UnauthorizedTenant {
    admin: Fixture,
    tenant: Client,
    /// resourceVersion of the victim's ConfigMap.
    secret_version: Option<String>,
    responses: Arc<Mutex<Responses>>,
    attempts: JoinSet<()>,
}

/// What the API server has responded so far.
#[derive(Debug, Default)]
struct Responses {
    is_enforced: bool,
    /// Admitted before the policy consent was enforced for the first time.
    before: usize,
    /// Admitted since then.
    admitted: Vec<String>,
    /// How often each other response was given.
    counts: BTreeMap<String, usize>,
    /// The refusals to read, without the name of the source.
    refusals: BTreeSet<String>,
    /// The goals of attempts that the policy refused in the background.
    refused_in_background: BTreeSet<&'static str>,
}

// === impl UnauthorizedTenant ===

impl UnauthorizedTenant {
    /// Creates the two namespaces and the user, and starts the attempts.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let admin = Fixture::new(control_plane.client());
        admin.create_namespaces(&[TENANT, VICTIM]).await?;
        admin.create_config_map(TENANT, "own", &[("key", "mine")]).await?;
        let secret = admin.create_config_map(VICTIM, "secret", &[("key", SECRET)]).await?;
        let tenant = control_plane.user_client(TENANT).await?;
        let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        let last = Permission {
            namespace: Some(TENANT),
            group: names::GROUP,
            resource: "configmapsyncs",
            verb: "create",
        };
        control_plane.grant(TENANT, Some(TENANT), everything, last).await?;
        let responses = Arc::<Mutex<Responses>>::default();
        let mut attempts = JoinSet::new();
        attempts.spawn(attempt_forever(tenant.clone(), Arc::clone(&responses)));
        let secret_version = secret.metadata.resource_version;
        Ok(Self { admin, tenant, secret_version, responses, attempts })
    }

    /// Waits until the policy consent refuses an attempt: it is enforced, and the kind is served.
    pub async fn wait_enforced(&self) -> Result<()> {
        until("the policy consent refuses an attempt", SOON, || async {
            let responses = self.attempt_each().await?;
            let is_enforced = responses.iter().all(|(_, it)| it.is_refused_by(POLICY_CONSENT));
            Ok(Seen::from_bool(is_enforced, || format!("{responses:?}")))
        })
        .await
    }

    /// Waits until an attempt is admitted: the kind is served, and the policy does not exist yet.
    pub async fn wait_admitted(&self) -> Result<()> {
        until("an attempt is admitted", SOON, || async {
            let before = self.admitted_before();
            Ok(Seen::from_bool(before > 0, || format!("{:?}", self.responses.lock())))
        })
        .await
    }

    /// How many attempts were admitted before the policy was enforced for the first time.
    #[must_use]
    pub fn admitted_before(&self) -> usize {
        self.responses.lock().before
    }

    /// Fails unless the policy refuses every attempt at this moment, and admits a copy within the
    /// namespace of the tenant. `step` names the moment.
    pub async fn ensure_refused(&self, step: &str) -> Result<()> {
        for (goal, response) in self.attempt_each().await? {
            ensure!(response.is_refused_by(POLICY_CONSENT), "{step}: {goal}: {response}");
        }
        let path = format!("{}?dryRun=All", syncs(TENANT));
        let own = Attempt::create("own copy", path, sync(&json!({}))).send_as(&self.tenant).await?;
        ensure!(own.is_allowed(), "{step}: a copy within the namespace: {own}");
        Ok(())
    }

    async fn attempt_each(&self) -> Result<Vec<(&'static str, AttemptResult)>> {
        let mut responses = Vec::new();
        for (goal, attempt) in attempts() {
            let response = attempt.send_as(&self.tenant).await?;
            self.responses.lock().record(goal, &response);
            responses.push((goal, response));
        }
        Ok(responses)
    }

    /// Waits until the policy refused every kind of attempt in the background too, and stops the
    /// attempts. Fails if one was admitted since the policy was enforced for the first time, if
    /// something of the victim was read or written, or if a refusal shows whether a source exists.
    /// Returns the number of responses of each kind.
    pub async fn finish(mut self) -> Result<BTreeMap<String, usize>> {
        until("each attempt in the background is refused", SOON, || async {
            let responses = self.responses.lock();
            let all = responses.refused_in_background.len() == attempts().len();
            Ok(Seen::from_bool(all, || format!("{responses:?}")))
        })
        .await?;
        self.attempts.shutdown().await;
        let Responses { is_enforced, before, admitted, counts, refusals, .. } =
            std::mem::take(&mut *self.responses.lock());
        ensure!(is_enforced, "no attempt was refused by the policy: {counts:?}");
        ensure!(admitted.is_empty(), "admitted: {admitted:?}, others: {counts:?}");
        ensure!(refusals.len() == 1, "refusals differ if there is a source or none: {refusals:?}");
        let all = Api::<ConfigMapSync>::namespaced(self.admin.client(), TENANT);
        let stored = all.list(&ListParams::default()).await?;
        let stored = stored.iter().filter(|it| it.name_any().starts_with(PREFIX)).count();
        ensure!(stored == before, "{stored} ConfigMapSyncs exist, {before} were admitted before");
        if before == 0 {
            self.ensure_nothing_copied().await?;
        }
        Ok(counts)
    }

    /// Fails unless the data of the victim is unchanged and in no other namespace, and nothing was
    /// added to its namespace.
    async fn ensure_nothing_copied(&self) -> Result<()> {
        let all = Api::<ConfigMap>::all(self.admin.client()).list(&ListParams::default()).await?;
        let victims = all.iter().filter(|it| it.namespace().as_deref() == Some(VICTIM));
        let mut victims: Vec<_> = victims.map(ResourceExt::name_any).collect();
        victims.sort();
        ensure!(victims == [names::KUBE_ROOT_CA, "secret"], "{victims:?}");
        for map in &all {
            let has_secret = map.data.iter().flatten().any(|(_, value)| value.contains(SECRET));
            let is_victims = map.namespace().as_deref() == Some(VICTIM);
            ensure!(!has_secret || is_victims, "{:?} holds the data", map.metadata);
        }
        let secret = self.admin.config_map(VICTIM, "secret").await?.context("it was deleted")?;
        ensure!(secret.metadata.resource_version == self.secret_version, "{secret:?}");
        Ok(())
    }
}

// === impl Responses ===

impl Responses {
    fn record_in_background(&mut self, goal: &'static str, response: &AttemptResult) {
        self.record(goal, response);
        if response.is_refused_by(POLICY_CONSENT) {
            self.refused_in_background.insert(goal);
        }
    }

    fn record(&mut self, goal: &str, response: &AttemptResult) {
        if response.is_refused_by(POLICY_CONSENT) {
            self.is_enforced = true;
            if goal.starts_with("read") {
                // Before it is the generated name.
                let text = response.message.split_once("denied request: ").unwrap_or_default().1;
                self.refusals.insert(text.replace("nothing", "secret"));
            }
        }
        if response.is_allowed() {
            if self.is_enforced {
                self.admitted.push(goal.to_owned());
            } else {
                self.before += 1;
            }
            return;
        }
        let kind = match response.code {
            403 if response.is_refused_by(POLICY_CONSENT) => "refused by the policy".to_owned(),
            code => code.to_string(),
        };
        *self.counts.entry(kind).or_default() += 1;
    }
}

async fn attempt_forever(tenant: Client, responses: Arc<Mutex<Responses>>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for (goal, attempt) in attempts() {
            ticks.tick().await;
            match attempt.send_as(&tenant).await {
                Ok(response) => responses.lock().record_in_background(goal, &response),
                Err(_) => {
                    *responses.lock().counts.entry("no response".to_owned()).or_default() += 1;
                }
            }
        }
    }
}

/// What the tenant attempts.
fn attempts() -> Vec<(&'static str, Attempt)> {
    let goals = [
        ("read a ConfigMap", json!({"sourceNamespace": VICTIM, "configMapName": "secret"})),
        (
            "read what does not exist",
            json!({"sourceNamespace": VICTIM, "configMapName": "nothing"}),
        ),
        ("write", json!({"destinationNamespace": VICTIM})),
        (
            "write everywhere",
            json!({"destinationNamespace": null, "destinationNamespaceSelector": {}}),
        ),
    ];
    goals.map(|(goal, patch)| (goal, Attempt::create(goal, syncs(TENANT), sync(&patch)))).into()
}

/// A ConfigMapSync of the tenant within its namespace, with a merge patch of its spec.
fn sync(patch: &Value) -> Value {
    let mut spec = json!({
        "sourceNamespace": TENANT,
        "configMapName": "own",
        "destinationNamespace": TENANT,
        "destinationName": "stolen",
    });
    json_patch::merge(&mut spec, patch);
    json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"generateName": PREFIX},
        "spec": spec,
    })
}
