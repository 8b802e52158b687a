//! Compares the permissions granted to the operator with those that a run of all tests has used: those of
//! an installation that works in all namespaces, and those of one that is limited to some.
//! Exits with 1 if they differ.
//!
//! Usage: `E2E_USED_RIGHTS=FILE cargo test --locked`, then `rights FILE`.

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use configmapsync::manifests;
use configmapsync::names;
use configmapsync::uninstall::access_to_delete;
use configmapsync::uninstall::access_to_stop;
use testbed::audit::granted;
use testbed::audit::limited;

/// The accounts in the file.
const OPERATOR: &str = "operator";
const UNINSTALL: &str = "uninstall";
/// The roles of an account that is limited to some namespaces.
const CLUSTER_ROLE: &str = "ClusterRole";
const ROLE: &str = "Role";

fn main() -> Result<ExitCode> {
    let file = std::env::args().nth(1).context("missing argument; usage: rights FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let shared = own_namespace_of_limited();
    let used = text.lines().map(str::to_owned).filter(|used| !shared.contains(used));
    let used: BTreeSet<_> = used.collect();
    let granted: BTreeSet<_> = all_granted()
        .into_iter()
        // No request has this verb: the policy on ownership markers checks it by an authorizer.
        .filter(|permission| !permission.contains(names::VERB_STAMP))
        .collect();
    let mut code = ExitCode::SUCCESS;
    for permission in granted.union(&used) {
        let finding = match (granted.contains(permission), used.contains(permission)) {
            (true, true) => "granted, used",
            (true, false) => "GRANTED, NEVER USED",
            _ => "USED, NOT GRANTED",
        };
        if finding != "granted, used" {
            code = ExitCode::FAILURE;
        }
        println!("{permission:<84} {finding}");
    }
    Ok(code)
}

/// What the manifests grant, without and with a scope.
fn all_granted() -> Vec<String> {
    let (operator, uninstall) = (manifests::scoped_rules(), manifests::scoped_uninstall_rules());
    let roles = [
        (OPERATOR.to_owned(), [manifests::cluster_rules(), manifests::namespace_rules()].concat()),
        (UNINSTALL.to_owned(), manifests::uninstall_rules()),
        (limited(OPERATOR, CLUSTER_ROLE), operator.cluster),
        (limited(OPERATOR, ROLE), operator.namespaced),
        (limited(UNINSTALL, CLUSTER_ROLE), uninstall.cluster),
        (limited(UNINSTALL, ROLE), [uninstall.namespaced, access_to_delete()].concat()),
    ];
    roles.iter().flat_map(|(account, rules)| granted(account, rules)).collect()
}

/// What the Roles in the operator's namespace grant with a scope: the same as without, where it is
/// compared.
fn own_namespace_of_limited() -> BTreeSet<String> {
    let (operator, uninstall) = (manifests::namespace_rules(), access_to_stop(OPERATOR));
    let operator = granted(&limited(OPERATOR, ROLE), &operator).collect::<Vec<_>>();
    operator.into_iter().chain(granted(&limited(UNINSTALL, ROLE), &uninstall)).collect()
}
