//! With `E2E_SCOPE=1`, each operator that a test starts is limited to some namespaces, with permissions
//! there only: the same tests show that nothing else is needed.
//!
//! The namespaces exist from the start, so that their Roles do. The tests that create others, or delete
//! one and create it again, cannot run this way: `.ci/run` lists them.

use std::env;

use testbed::accounts::OPERATOR;

/// Every namespace that tests may create.
pub const NAMESPACES: [&str; 10] =
    ["a", "app", "b", "central", "doomed", "elsewhere", "no-create", "no-delete", "team", "web"];

/// Whether operators are limited.
#[must_use]
pub fn is_limited() -> bool {
    env::var_os("E2E_SCOPE").is_some_and(|value| value == "1")
}

/// Whether the namespace exists from the start.
#[must_use]
pub fn is_prepared(namespace: &str) -> bool {
    is_limited() && NAMESPACES.contains(&namespace)
}

/// A namespace in which the operator may create a `ConfigMap`.
#[must_use]
pub fn trial_namespace() -> &'static str {
    if is_limited() { "app" } else { "default" }
}

/// The arguments that limit an operator.
#[must_use]
pub fn arguments() -> Vec<String> {
    let list = NAMESPACES.iter().chain([&OPERATOR]).copied().collect::<Vec<_>>().join(",");
    if is_limited() { vec![format!("--namespaces={list}")] } else { Vec::new() }
}
