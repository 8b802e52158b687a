//! Settings of the rooms, from the flags.

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::scope::Scope;
use crate::args::Run;
use crate::controller;
use crate::decide::consent::Tenancy;
use crate::election;
use crate::election::HolderIdentity;

/// Settings of the election, with a new holder identity.
pub fn election(flags: &Run) -> election::Settings {
    let times = &flags.leader_election;
    election::Settings {
        namespace: flags.namespace.clone(),
        lease_name: times.lease_name.clone(),
        holder: HolderIdentity::new(&flags.pod_name, &flags.pod_uid, rand::random()),
        pod_uid: flags.pod_uid.clone(),
        lease_duration: times.lease_duration,
        renew_deadline: times.renew_deadline,
        retry_period: times.retry_period,
    }
}

/// The namespaces that the operator works in.
fn scope(flags: &Run) -> Scope {
    Scope::of(&flags.namespaces, &flags.namespace)
}

/// Namespace of the dry run that tests the fence. If the operator may not write to the one that the flag
/// names, one that it may write to.
pub fn fence_trial_namespace(flags: &Run) -> String {
    let named = &flags.fence_trial_namespace;
    let mut others = flags.namespaces.iter().filter(|it| !it.is_empty() && **it != flags.namespace);
    let first = if scope(flags).contains(named) { None } else { others.next() };
    first.unwrap_or(named).clone()
}

/// Settings of the controller. The operator's own namespace is always protected.
pub fn controller(flags: Run) -> controller::Settings {
    let scope = scope(&flags);
    let protected: NamespacePatterns = flags.protected_namespaces.into_iter().collect();
    controller::Settings {
        scope,
        protected_namespaces: protected.with(&flags.namespace),
        namespace: flags.namespace,
        pod_name: flags.pod_name,
        pod_uid: flags.pod_uid,
        tenancy: Tenancy {
            default_service_account: flags.default_service_account,
            trusted_namespaces: flags.trusted_namespaces.into_iter().collect(),
        },
        resync_period: flags.resync_period,
        sweep_period: flags.sweep_period,
        orphan_grace: flags.orphan_grace,
        max_concurrent_writes: usize::from(flags.max_concurrent_writes),
    }
}
