//! Every name that appears in a cluster: API group, labels, annotations, policies, conditions.
//!
//! The other modules take these names from here and never spell them out.

/// API group of `ConfigMapSync` and `ConfigMapSyncLeader`.
pub const GROUP: &str = "apps.nishaf.info";
/// Name of the `CustomResourceDefinition` of `ConfigMapSync`.
pub const CUSTOM_RESOURCE_DEFINITION: &str = "configmapsyncs.apps.nishaf.info";

/// Prefix of the keys of the operator's labels and annotations.
pub const PREFIX: &str = "apps.nishaf.info/";
/// Label on a copy: uid of its `ConfigMapSync`. Copies are listed, watched and fenced by it.
pub const LABEL_SYNC_UID: &str = "apps.nishaf.info/configmapsync-uid";
/// Annotation on a copy: `namespace/name` of its `ConfigMapSync`.
pub const ANNOTATION_SYNC: &str = "apps.nishaf.info/configmapsync";
/// Annotation on a copy: `namespace/name` of its source.
pub const ANNOTATION_SOURCE: &str = "apps.nishaf.info/source";
/// Annotation on a copy: `namespace/name` of the copy itself. On a `ConfigMap` cloned from a copy
/// it names another object, so the clone is not mistaken for a copy.
pub const ANNOTATION_COPY: &str = "apps.nishaf.info/copy";
/// Annotation on a copy: hash of the desired content and metadata.
pub const ANNOTATION_CONTENT_HASH: &str = "apps.nishaf.info/content-hash";
/// Annotation on a copy: `"true"` if the operator created the object. Set when it is created, and
/// never later.
pub const ANNOTATION_CREATED: &str = "apps.nishaf.info/created";
/// Annotation on a copy: `Delete` if that is the `deletionPolicy` of its `ConfigMapSync`; absent
/// otherwise.
pub const ANNOTATION_DELETION_POLICY: &str = "apps.nishaf.info/deletion-policy";
/// Annotation on a copy: the labels and annotations that `destinationMetadata` has put there, each
/// with a hash of its value, as JSON; absent if there are none.
pub const ANNOTATION_STAMPED: &str = "apps.nishaf.info/stamped";
/// Annotation that the owner of a source sets to `"true"` to forbid copying it.
pub const ANNOTATION_NO_COPY: &str = "apps.nishaf.info/no-copy";
/// Annotation that the owner of a namespace sets to `"true"` to forbid copies in it.
pub const ANNOTATION_NO_COPIES: &str = "apps.nishaf.info/no-copies";
/// Annotation on an Event: the trace of the reconcile that reports it.
pub const ANNOTATION_TRACE_ID: &str = "apps.nishaf.info/trace-id";
/// Annotation on a `ConfigMapSync`: the W3C `traceparent` of the span, of a pipeline for example, that
/// its next generation belongs to.
pub const ANNOTATION_TRACE_PARENT: &str = "apps.nishaf.info/traceparent";
/// Finalizer on a `ConfigMapSync`, removed once its copies are cleaned up.
pub const FINALIZER: &str = "apps.nishaf.info/cleanup";

/// Recommended Kubernetes label: the application that an object belongs to.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Recommended Kubernetes label: the tool that manages an object. Set when a copy is created, for
/// information only.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Recommended Kubernetes label: the application that an object is a part of. Set by `rights`, so that
/// the Roles and bindings can be found.
pub const LABEL_PART_OF: &str = "app.kubernetes.io/part-of";

/// Value of [`LABEL_NAME`] on the operator's pods, and of [`LABEL_PART_OF`].
pub const APPLICATION: &str = "configmapsync";
/// Name of the operator's container in its pod.
pub const CONTAINER: &str = "operator";
/// Value of [`LABEL_MANAGED_BY`] on copies.
pub const MANAGED_BY: &str = "configmapsync";
/// Field manager of every write.
pub const FIELD_MANAGER: &str = "configmapsync";
/// Name of the leader election Lease, unless a flag sets another.
pub const LEASE_NAME: &str = "configmapsync";
/// Name of the one `ConfigMapSyncLeader` object.
pub const LEADER_NAME: &str = "configmapsync";
/// Namespace, Deployment, `ServiceAccount`, roles and flow schema of an installation under its
/// default names.
pub const INSTALLATION: &str = "configmapsync";
/// Name of the controller and of its queue in metrics.
pub const CONTROLLER_NAME: &str = "configmapsync";
/// Service name and tracer name in traces, unless `OTEL_SERVICE_NAME` sets another service name.
pub const SERVICE_NAME: &str = "configmapsync";
/// Reporting controller of the operator's Events.
pub const EVENT_CONTROLLER: &str = "apps.nishaf.info/configmapsync";

/// Extra attribute that the API server adds to a caller whose token is bound to a pod: uid of
/// that pod.
pub const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// RBAC verb on `configmapsyncs` that allows setting ownership markers. No API call uses this
/// verb; the policy [`POLICY_MARKS`] checks whether the caller is granted it.
pub const VERB_STAMP: &str = "stamp";
/// Default of the protected namespaces, which never receive copies.
pub const PROTECTED_NAMESPACES: &str = "kube-system,kube-public,kube-node-lease";
/// Policy and binding that allow only the leader's pod to write copies.
pub const POLICY_FENCE: &str = "configmapsync-fence";
/// Policy and binding that check the permissions of the author of a `ConfigMapSync`.
pub const POLICY_CONSENT: &str = "configmapsync-consent";
/// Policy and binding that restrict who may set ownership markers on a `ConfigMap`.
pub const POLICY_MARKS: &str = "configmapsync-marks";
/// Policy and binding that restrict the operator to its own copies.
pub const POLICY_BOUNDS: &str = "configmapsync-bounds";
/// Reason of the Event that reports too many orphans for automatic collection.
pub const EVENT_SWEEP_HELD: &str = "SweepHeld";

/// `ConfigMap` that Kubernetes publishes in every namespace; never a destination.
pub const KUBE_ROOT_CA: &str = "kube-root-ca.crt";

/// Condition type: every copy equals its source.
pub const CONDITION_READY: &str = "Ready";
/// Condition type: user intervention is required.
pub const CONDITION_STALLED: &str = "Stalled";
