//! The ServiceAccounts of the operator, by their user names.

/// The namespace of the operator, and the name of its objects.
pub const OPERATOR: &str = "configmapsync";
/// User name of the operator.
pub const OPERATOR_USER: &str = "system:serviceaccount:configmapsync:configmapsync";
/// User name of the Job that runs `uninstall` for Helm.
pub const UNINSTALL_USER: &str = "system:serviceaccount:configmapsync:configmapsync-uninstall";
