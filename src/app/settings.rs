//! Settings of the rooms, from the flags.

use crate::api::namespace_patterns::NamespacePatterns;
use crate::args::Run;
use crate::controller;
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

/// Namespace of the dry run that tests the fence. If the operator may not write to the one that the flag
/// names, one that it may write to.
pub fn fence_trial_namespace(flags: &Run) -> String {
    let named = &flags.fence_trial_namespace;
    let (own, boundaries) = (&flags.namespace, &flags.boundaries);
    let mut others = boundaries.namespaces.iter().filter(|it| !it.is_empty() && *it != own);
    let is_writable = boundaries.scope_of_operator(own).contains(named);
    let first = if is_writable { None } else { others.next() };
    first.unwrap_or(named).clone()
}

/// Settings of the controller. The operator's own namespace is always protected.
pub fn controller(flags: Run) -> controller::Settings {
    let protected: NamespacePatterns = flags.protected_namespaces.into_iter().collect();
    controller::Settings {
        scope: flags.boundaries.scope_of_operator(&flags.namespace),
        tenancy: flags.boundaries.tenancy(),
        protected_namespaces: protected.with(&flags.namespace),
        namespace: flags.namespace,
        pod_name: flags.pod_name,
        pod_uid: flags.pod_uid,
        resync_period: flags.resync_period,
        sweep_period: flags.sweep_period,
        orphan_grace: flags.orphan_grace,
        max_concurrent_writes: usize::from(flags.max_concurrent_writes),
    }
}
