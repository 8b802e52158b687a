//! Every name the cluster sees.
//!
//! Knows nothing of how the names are used. A label, an annotation, a reason or a field manager
//! that is not here does not exist.

/// API group of our kinds.
pub const GROUP: &str = "apps.nishaf.info";

/// How the keys of our labels and annotations begin.
pub const PREFIX: &str = "apps.nishaf.info/";

/// Label on a copy: the uid of its `ConfigMapSync`. What we list, watch and fence by.
pub const LABEL_SYNC_UID: &str = "apps.nishaf.info/configmapsync-uid";
/// Annotation on a copy: `namespace/name` of its `ConfigMapSync`.
pub const ANNOTATION_SYNC: &str = "apps.nishaf.info/configmapsync";
/// Annotation on a copy: `namespace/name` of its source.
pub const ANNOTATION_SOURCE: &str = "apps.nishaf.info/source";
/// Annotation on a copy: `namespace/name` of this very copy, so that a clone proves nothing.
pub const ANNOTATION_COPY: &str = "apps.nishaf.info/copy";
/// Annotation on a copy: hash of what its content should be.
pub const ANNOTATION_CONTENT_HASH: &str = "apps.nishaf.info/content-hash";
/// Annotation on a copy: `"true"` if our POST made it.
pub const ANNOTATION_CREATED: &str = "apps.nishaf.info/created";
/// Annotation on a copy: `Delete`, where that is the policy of its `ConfigMapSync`.
pub const ANNOTATION_DELETION_POLICY: &str = "apps.nishaf.info/deletion-policy";
/// Annotation that a source's owner sets to `"true"` to forbid copying.
pub const ANNOTATION_NO_COPY: &str = "apps.nishaf.info/no-copy";
/// Finalizer on a `ConfigMapSync`: its copies are not cleaned up yet.
pub const FINALIZER: &str = "apps.nishaf.info/cleanup";

/// Recommended label naming the application that an object belongs to; on the operator's pods.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Recommended label naming the tool that manages an object; set on create, for people.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`], field manager of every write, and controller name in metrics.
pub const CONFIGMAPSYNC: &str = "configmapsync";
/// Name of the definition of our kind.
pub const CUSTOM_RESOURCE_DEFINITION: &str = "configmapsyncs.apps.nishaf.info";
/// What the API server knows of a caller whose token is bound to a pod: the pod's uid.
pub const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// Verb on `configmapsyncs` that allows putting our marks on a `ConfigMap`. Nothing is asked for by
/// it: it only exists to be granted.
pub const VERB_STAMP: &str = "stamp";
/// Namespaces that are never written to, unless somebody says otherwise.
pub const PROTECTED_NAMESPACES: &str = "kube-system,kube-public,kube-node-lease";
/// Name of the policy, and of its binding, that lets only the announced pod write copies.
pub const POLICY_FENCE: &str = "configmapsync-fence";
/// Name of the policy, and of its binding, that lets nobody borrow the operator's rights.
pub const POLICY_CONSENT: &str = "configmapsync-consent";
/// Name of the policy, and of its binding, that says who may put our marks on a `ConfigMap`.
pub const POLICY_MARKS: &str = "configmapsync-marks";
/// Name of the policy, and of its binding, that keeps the operator to its own copies.
pub const POLICY_BOUNDS: &str = "configmapsync-bounds";
/// Reason of the Event that tells that orphans are not swept, since there are too many.
pub const EVENT_SWEEP_HELD: &str = "SweepHeld";
/// Reporting controller of our Events.
pub const EVENT_CONTROLLER: &str = "apps.nishaf.info/configmapsync";

/// Name of the `ConfigMap` that Kubernetes publishes in every namespace; never a destination.
pub const KUBE_ROOT_CA: &str = "kube-root-ca.crt";

/// Condition type: the copies equal the source.
pub const CONDITION_READY: &str = "Ready";
/// Condition type: only a person can help.
pub const CONDITION_STALLED: &str = "Stalled";
