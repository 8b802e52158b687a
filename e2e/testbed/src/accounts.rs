//! The accounts of the operator, as the API server names them.

/// The namespace that the operator lives in, and the name of all that is installed.
pub const OPERATOR: &str = "configmapsync";
/// How the API server knows the operator.
pub const OPERATOR_USER: &str = "system:serviceaccount:configmapsync:configmapsync";
/// How the API server knows who runs `uninstall` for Helm.
pub const UNINSTALL_USER: &str = "system:serviceaccount:configmapsync:configmapsync-uninstall";
