//! Were the authors of ConfigMapSyncs asked for their own rights?
//!
//! What can be told: a sync that was created before the policy was in force, and of whose spec no
//! manager has written anything since, was never held to it. Where somebody has written since,
//! nobody can tell from the object whether that changed the spec, or only a label: what they wrote
//! last is all that `managedFields` tells. Those are counted, not accused. What was created later
//! was held to it, if the policy was there all the time: how long it was once missing, before it
//! was created anew, is not recorded either, but then it is younger, and this list longer.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::api::ListParams;

use crate::api::StoredConfigMapSync;
use crate::commands::check::Finding;
use crate::commands::check::Question;
use crate::commands::check::State;
use crate::kubernetes::pages::each_page;
use crate::names;

/// How many are named.
const NAMED: usize = 10;
const SUBJECT: &str = "ConfigMapSyncs";

/// What is known of when a sync was held to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// When it was created.
    AtCreation,
    /// Perhaps, when somebody wrote it later.
    Perhaps,
    /// Never.
    Never,
}

/// Looks for syncs that are older than the policy.
pub async fn consented(client: &Client) -> Vec<Finding> {
    let finding = match look(client).await {
        Ok(finding) => finding,
        Err(error) => Finding::unknown(Question::Consented, SUBJECT, &error),
    };
    vec![finding]
}

async fn look(client: &Client) -> kube::Result<Finding> {
    let Some(since) = in_force_since(client).await? else {
        let message = format!("nobody is asked: the policy {} is missing", names::POLICY_CONSENT);
        return Ok(Finding::new(Question::Consented, SUBJECT, State::Wrong, message));
    };
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let (mut never, mut perhaps, mut all) = (Vec::new(), 0, 0);
    let list = async |page| api.list_metadata(&page).await;
    let listed = each_page(ListParams::default(), list, async |page| {
        for sync in page {
            all += 1;
            match asked(&sync.metadata, since) {
                Asked::AtCreation => {}
                Asked::Perhaps => perhaps += 1,
                Asked::Never => never.push(name(&sync.metadata)),
            }
        }
    });
    match listed.await {
        // Without the kind there is none, and that is a finding of its own.
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        listed => listed?,
    }
    never.sort();
    Ok(verdict(&never, perhaps, all))
}

/// Since when both the policy and its binding are there.
async fn in_force_since(client: &Client) -> kube::Result<Option<Timestamp>> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let policy = policies.get_metadata_opt(names::POLICY_CONSENT).await?;
    let binding = bindings.get_metadata_opt(names::POLICY_CONSENT).await?;
    let created = |metadata: ObjectMeta| metadata.creation_timestamp.map(|time| time.0);
    let policy = policy.and_then(|it| created(it.metadata));
    let binding = binding.and_then(|it| created(it.metadata));
    Ok(policy.zip(binding).map(|(policy, binding)| policy.max(binding)))
}

/// Times are whole seconds: within one, the policy may not have been in force yet.
fn asked(sync: &ObjectMeta, since: Timestamp) -> Asked {
    let is_later = |time: Option<Timestamp>| time.is_some_and(|time| time > since);
    if is_later(sync.creation_timestamp.as_ref().map(|time| time.0)) {
        return Asked::AtCreation;
    }
    // A spec that was never changed is of the first generation.
    if sync.generation == Some(1) {
        return Asked::Never;
    }
    let mut writers = sync.managed_fields.iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.subresource.is_none() && fields.is_some_and(|fields| !fields["f:spec"].is_null())
    });
    let is_known = sync.managed_fields.as_ref().is_some_and(|entries| !entries.is_empty());
    let wrote_later = writers.any(|entry| is_later(entry.time.as_ref().map(|time| time.0)));
    if wrote_later || !is_known { Asked::Perhaps } else { Asked::Never }
}

fn name(metadata: &ObjectMeta) -> String {
    let [namespace, name] =
        [&metadata.namespace, &metadata.name].map(|it| it.clone().unwrap_or_default());
    format!("{namespace}/{name}")
}

fn verdict(never: &[String], perhaps: usize, all: usize) -> Finding {
    let finding = |state, message| Finding::new(Question::Consented, SUBJECT, state, message);
    if never.is_empty() && perhaps == 0 {
        return finding(State::Well, format!("{all}, all younger than the policy"));
    }
    let named = never.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = never.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = if never.is_empty() { String::new() } else { format!(" ({named}{more})") };
    finding(
        State::Note,
        format!(
            "of {all}, {} are older than the policy and unchanged since{named}, so that nobody \
             asked whether their authors may read the source and write the copies; {perhaps} are \
             older and were written since, which may have been asked about: look at them, and \
             create anew what has to be asked about",
            never.len(),
        ),
    )
}
