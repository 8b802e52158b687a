//! Were the permissions of the authors of ConfigMapSyncs checked?
//!
//! A sync that was created some seconds after the policy was checked at admission. One that is older, and whose
//! spec no manager has written since, was not. For one that is older and was written since, the
//! object does not show whether the write changed the spec, which would have been checked, or only
//! a label: `managedFields` records the time of the last write only. Such syncs are counted, but
//! not named. If the policy was deleted and created again, it is younger, and more syncs count as
//! older.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::ConfigMapSync;
use crate::api::metadata::Metadata;
use crate::api::metadata::MetadataOnly;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::kubernetes::error::has_code;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::names;

/// API servers enforce a policy within this time of its creation: they load new ones once a second.
const ENFORCED_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// How many unchecked syncs a message names.
const MAX_NAMES: usize = 10;
const SUBJECT: &str = "ConfigMapSyncs";

/// Whether the policy has checked the author of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthorCheck {
    /// Yes, at creation.
    AtCreation,
    /// Possibly, at a later write.
    Possible,
    /// No.
    Missing,
}

/// An entry of `managedFields`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Writer {
    subresource: Option<String>,
    time: Option<Time>,
    #[serde(default)]
    fields_v1: WrittenFields,
}

/// The fields of an entry.
#[derive(Default, Deserialize)]
struct WrittenFields {
    #[serde(rename = "f:spec")]
    spec: Option<IgnoredAny>,
}

/// Finds the syncs that are older than the policy.
pub async fn consented(client: &Client) -> Vec<Finding> {
    let finding = match find(client).await {
        Ok(finding) => finding,
        Err(error) => Finding::unknown(Question::Consented, SUBJECT, &error),
    };
    vec![finding]
}

async fn find(client: &Client) -> kube::Result<Finding> {
    let Some(since) = in_force_since(client).await? else {
        let message = format!(
            "not checked: the policy {} is missing: apply deploy/crds, or install the chart with \
             crds.install and policies.consent enabled",
            names::POLICY_CONSENT
        );
        return Ok(Finding::new(Question::Consented, SUBJECT, FindingState::Wrong, message));
    };
    let list = List::metadata::<ConfigMapSync>(None);
    let (mut unchecked, mut possible, mut all) = (Vec::new(), 0, 0);
    let listed = each_object(client, &list, |sync: MetadataOnly<Vec<Writer>>| {
        all += 1;
        match author_check(&sync.metadata, since) {
            AuthorCheck::AtCreation => {}
            AuthorCheck::Possible => possible += 1,
            AuthorCheck::Missing => unchecked.push(name(&sync.metadata)),
        }
    });
    match listed.await {
        // The kind is not installed, which is a separate finding.
        Err(error) if has_code(&error, 404) => {}
        listed => listed?,
    }
    unchecked.sort();
    Ok(summarize(&unchecked, possible, all))
}

/// The time since which the policy is enforced for certain; `None` if it or its binding is missing.
async fn in_force_since(client: &Client) -> kube::Result<Option<Timestamp>> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let policy = policies.get_metadata_opt(names::POLICY_CONSENT).await?;
    let binding = bindings.get_metadata_opt(names::POLICY_CONSENT).await?;
    let created = |metadata: ObjectMeta| metadata.creation_timestamp.map(|time| time.0);
    let policy = policy.and_then(|it| created(it.metadata));
    let binding = binding.and_then(|it| created(it.metadata));
    let installed = policy.zip(binding).map(|(policy, binding)| policy.max(binding));
    Ok(installed.map(|installed| installed.saturating_add(ENFORCED_WITHIN).unwrap_or(installed)))
}

/// `since`: when the policy was enforced for certain.
fn author_check(sync: &Metadata<Vec<Writer>>, since: Timestamp) -> AuthorCheck {
    let is_later = |time: Option<Timestamp>| time.is_some_and(|time| time > since);
    if is_later(sync.creation_timestamp.as_ref().map(|time| time.0)) {
        return AuthorCheck::AtCreation;
    }
    // The spec has never changed.
    if sync.generation == Some(1) {
        return AuthorCheck::Missing;
    }
    let wrote_later = sync.managed_fields.iter().any(|writer| {
        let wrote_spec = writer.subresource.is_none() && writer.fields_v1.spec.is_some();
        wrote_spec && is_later(writer.time.as_ref().map(|time| time.0))
    });
    let is_known = !sync.managed_fields.is_empty();
    if wrote_later || !is_known { AuthorCheck::Possible } else { AuthorCheck::Missing }
}

fn name(metadata: &Metadata<Vec<Writer>>) -> String {
    let [namespace, name] =
        [&metadata.namespace, &metadata.name].map(|it| it.clone().unwrap_or_default());
    format!("{namespace}/{name}")
}

fn summarize(unchecked: &[String], possible: usize, all: usize) -> Finding {
    let finding = |state, message| Finding::new(Question::Consented, SUBJECT, state, message);
    if unchecked.is_empty() && possible == 0 {
        return finding(FindingState::Ok, format!("{all}, all younger than the policy"));
    }
    let named = unchecked.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    let more = unchecked.len().saturating_sub(MAX_NAMES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = if unchecked.is_empty() { String::new() } else { format!(" ({named}{more})") };
    finding(
        FindingState::Warning,
        format!(
            "of {all}, {} are older than the policy, or less than {} s younger, and unchanged since{named}: \
             the permissions of their authors may not have been checked; {possible} are older and were \
             written since: possibly checked. Review them, and recreate those whose authors must be checked",
            unchecked.len(),
            ENFORCED_WITHIN.as_secs() + 1,
        ),
    )
}
