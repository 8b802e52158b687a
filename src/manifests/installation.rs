//! The names that differ between installations.

use crate::names;
use crate::policies::Operator;

/// The name of the Deployment in the chart, as a template action.
///
/// Template actions quote strings by backquotes, which YAML does not interpret.
pub(super) const DEPLOYMENT: &str = "{{ include `configmapsync.fullname` . }}";

/// The name of the cluster-scoped objects in the chart, as a template action.
pub(super) const CLUSTER_NAME: &str = "{{ include `configmapsync.clusterName` . }}";

/// An installation of the operator.
pub(super) struct Installation {
    /// What the policies depend on.
    pub operator: Operator,
    /// The name of its cluster-scoped objects.
    pub cluster_name: String,
    /// The name of its `FlowSchema`.
    pub flow_schema: String,
}

impl Default for Installation {
    /// The installation in `deploy`.
    fn default() -> Self {
        Self {
            operator: Operator::default(),
            cluster_name: names::INSTALLATION.to_owned(),
            flow_schema: names::INSTALLATION.to_owned(),
        }
    }
}

impl Installation {
    /// A release of the chart, as template actions.
    pub fn of_a_release() -> Self {
        let template = |text: &str| format!("{{{{ {text} }}}}");
        Self {
            operator: Operator {
                namespace: template(".Release.Namespace"),
                service_account: template("include `configmapsync.serviceAccountName` ."),
                protected_namespaces: template(
                    "append .Values.protectedNamespaces .Release.Namespace | uniq | join `,`",
                ),
            },
            cluster_name: CLUSTER_NAME.to_owned(),
            // Unlike RBAC names, the name of a FlowSchema must not contain a colon.
            flow_schema: template("include `configmapsync.clusterName` . | replace `:` `-`"),
        }
    }
}
