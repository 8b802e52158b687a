//! What the ServiceAccount of a `ConfigMapSync` must be allowed to do before the source is read or a
//! copy is written.
//!
//! Without a ServiceAccount, the permissions of the author count, which the policy
//! `configmapsync-consent` has checked at admission.

use std::collections::BTreeSet;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Failure;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::SourceContent;
use crate::decide::opt_out::OptOut;
use crate::decide::reason::Reason;
use crate::decide::verb::Verb;

/// Which ServiceAccount the permissions of a `ConfigMapSync` are those of.
#[derive(Clone, Debug, Default)]
pub struct Tenancy {
    /// The ServiceAccount of every `ConfigMapSync` that names none.
    pub default_service_account: Option<String>,
    /// The namespaces in which a `ConfigMapSync` without a ServiceAccount needs none.
    pub trusted_namespaces: NamespacePatterns,
}

// === impl Tenancy ===

impl Tenancy {
    /// The ServiceAccount whose permissions count for `sync`, in its own namespace; `None` if those
    /// of its author count.
    #[must_use]
    pub fn account_of(&self, sync: &ObservedSync) -> Option<NamespacedName> {
        let namespace = &sync.name.namespace;
        let own = sync.spec.as_ref().ok().and_then(|spec| spec.service_account_name.as_ref());
        let default = self.default_service_account.as_ref();
        let default = default.filter(|_| !self.trusted_namespaces.contains(namespace));
        own.or(default).map(|name| NamespacedName::new(namespace, name))
    }
}

/// The verbs that a ServiceAccount needs at a destination before `action` is taken there or what
/// prevents it is reported; `None`: what is to be written depends on the source, which is not read
/// yet. `is_ours`: a copy of this `ConfigMapSync` exists there.
///
/// An update of our copy needs no permission to create one. Everything else needs all three, as at
/// admission: what is at the destination must not show in which one is missing.
#[must_use]
pub fn verbs_needed(action: Option<&Action>, is_ours: bool) -> &'static [Verb] {
    match action {
        Some(Action::Keep | Action::Delete { .. } | Action::Release { .. }) => &[],
        Some(Action::Update { .. } | Action::Restamp { .. } | Action::Leave(_)) | None
            if is_ours =>
        {
            &[Verb::Update, Verb::Delete]
        }
        _ => &[Verb::Create, Verb::Update, Verb::Delete],
    }
}

/// Whether the status already reports everything that `source` shows, so that it reveals nothing to
/// a ServiceAccount that may no longer read the source: not even that an earlier content is back.
#[must_use]
pub fn is_reported(sync: &ObservedSync, source: &ObservedSource) -> bool {
    let ObservedSource::Existing(ExistingSource {
        version,
        no_copy: OptOut::Allowed,
        is_copy: false,
        content: SourceContent::Known(excerpt),
    }) = source
    else {
        return false;
    };
    let status = &sync.status;
    // The hash alone may be that of another source, reported under an earlier spec.
    status.observed_generation == sync.generation
        && status.source.as_ref() == Some(version)
        && status.content_hash.as_deref() == Some(excerpt.hash.to_string().as_str())
}

/// The failure of a `ConfigMapSync` whose `account` may not do `verbs` on the `ConfigMap` at `at`. It
/// is the same whether the `ConfigMap` exists or not. `is_default`: the account is that of the flag
/// `--default-service-account`.
#[must_use]
pub fn not_permitted(
    account: &NamespacedName,
    is_default: bool,
    verbs: &BTreeSet<Verb>,
    at: &NamespacedName,
    sync: &NamespacedName,
) -> Failure {
    let verbs: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
    let verbs = match verbs.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    };
    let NamespacedName { namespace, name } = at;
    let flag = if is_default {
        format!(" --default-service-account {}", account.name)
    } else {
        String::new()
    };
    let message = format!(
        "ServiceAccount {account} is not allowed to {verbs} ConfigMap {name} in namespace \
         {namespace}: apply the Roles and RoleBindings that `configmapsync rights {sync}{flag}` prints"
    );
    Failure::new(Reason::NotPermitted, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ConfigMapSyncSpec;
    use crate::api::SourceVersion;
    use crate::decide::ContentHash;
    use crate::decide::excerpt::Excerpt;
    use crate::decide::simulation::cluster::SimulatedCluster;

    fn sync(service_account_name: Option<&str>) -> ObservedSync {
        let service_account_name = service_account_name.map(str::to_owned);
        let spec = ConfigMapSyncSpec { service_account_name, ..ConfigMapSyncSpec::default() };
        SimulatedCluster::new(spec).observe().sync
    }

    #[test]
    fn the_own_account_comes_before_the_default() {
        let locked = Tenancy {
            default_service_account: Some("default".to_owned()),
            trusted_namespaces: "other,te*".parse().unwrap(),
        };
        let untrusted = Tenancy { trusted_namespaces: "t,eam".parse().unwrap(), ..locked.clone() };
        let account = |tenancy: &Tenancy, own| {
            tenancy.account_of(&sync(own)).map(|account| account.to_string())
        };
        assert_eq!(account(&Tenancy::default(), None), None);
        assert_eq!(account(&Tenancy::default(), Some("own")).as_deref(), Some("team/own"));
        assert_eq!(account(&locked, None), None, "its namespace is trusted");
        assert_eq!(account(&locked, Some("own")).as_deref(), Some("team/own"));
        assert_eq!(account(&untrusted, None).as_deref(), Some("team/default"));
        assert_eq!(account(&untrusted, Some("own")).as_deref(), Some("team/own"));
    }

    #[test]
    fn only_what_the_status_reports_is_used_without_permission() {
        let hash = ContentHash::from_text("v1:a");
        let content = SourceContent::Known(Excerpt { hash, keys: 1, missing: Vec::new() });
        let version = SourceVersion { uid: "u".to_owned(), resource_version: "2".to_owned() };
        let existing =
            ExistingSource { version, no_copy: OptOut::Allowed, is_copy: false, content };
        let source = ObservedSource::Existing(existing.clone());
        let mut sync = sync(Some("own"));
        sync.status.observed_generation = sync.generation;
        sync.status.content_hash = Some("v1:a".to_owned());
        assert!(!is_reported(&sync, &source), "the hash of an earlier source");
        let earlier = SourceVersion { uid: "u".to_owned(), resource_version: "1".to_owned() };
        sync.status.source = Some(earlier);
        assert!(!is_reported(&sync, &source), "that the same content is back is not reported");
        sync.status.source = Some(existing.version.clone());
        assert!(is_reported(&sync, &source));
        let is_shown = |existing| is_reported(&sync, &ObservedSource::Existing(existing));
        for no_copy in [OptOut::Forbidden, OptOut::Unclear] {
            assert!(!is_shown(ExistingSource { no_copy, ..existing.clone() }));
        }
        assert!(!is_shown(ExistingSource { is_copy: true, ..existing.clone() }));
        assert!(!is_shown(ExistingSource { content: SourceContent::Unread, ..existing }));
        for unknown in [ObservedSource::Unknown, ObservedSource::Missing { confirmed: true }] {
            assert!(!is_reported(&sync, &unknown));
        }
        sync.status.content_hash = Some("v1:b".to_owned());
        assert!(!is_reported(&sync, &source));
        sync.status.content_hash = Some("v1:a".to_owned());
        sync.generation = Some(7);
        assert!(!is_reported(&sync, &source));
    }

    #[test]
    fn a_denial_names_account_verbs_object_and_remedy() {
        let names = ["team/copier", "central/shared", "team/sync"].map(|it| it.parse().unwrap());
        let [account, at, sync] = &names;
        let denied = |verbs: &[Verb]| {
            not_permitted(account, false, &verbs.iter().copied().collect(), at, sync).message
        };
        assert_eq!(
            denied(&[Verb::Delete, Verb::Create, Verb::Update]),
            "ServiceAccount team/copier is not allowed to create, update and delete ConfigMap \
             shared in namespace central: apply the Roles and RoleBindings that `configmapsync \
             rights team/sync` prints"
        );
        assert!(denied(&[Verb::Get]).contains("not allowed to get ConfigMap shared in namespace"));
        let by_default = not_permitted(account, true, &[Verb::Get].into(), at, sync).message;
        let command = "`configmapsync rights team/sync --default-service-account copier`";
        assert!(by_default.contains(command), "{by_default}");
    }
}
