//! Compares the permissions granted to the operator with those that a run of all tests has used.
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
use testbed::audit::granted;

fn main() -> Result<ExitCode> {
    let file = std::env::args().nth(1).context("missing argument; usage: rights FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let used: BTreeSet<_> = text.lines().map(str::to_owned).collect();
    let operator = [manifests::cluster_rules(), manifests::namespace_rules()].concat();
    let uninstall = manifests::uninstall_rules();
    let granted: BTreeSet<_> = granted("operator", &operator)
        .chain(granted("uninstall", &uninstall))
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
        println!("{permission:<70} {finding}");
    }
    Ok(code)
}
