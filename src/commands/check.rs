//! `configmapsync check`: are the objects installed, the policies enforced, the operator's
//! permissions granted, and the permissions of the authors of `ConfigMapSync`s checked?
//!
//! Reads with the permissions of the user, and writes nothing but access reviews. A check whose
//! objects the user cannot read has the state `Unknown`, and the command fails.

mod bound;
mod consented;
mod enforced;
mod finding;
mod format_findings;
mod installed;
mod outside;
mod permitted;
mod scope;
mod tenancy;

use k8s_openapi::api::apps::v1::Deployment;

use crate::args::Check;
use crate::args::Output;
use crate::commands::check::bound::bound;
use crate::commands::check::consented::consented;
use crate::commands::check::enforced::enforced;
use crate::commands::check::finding::FindingState;
use crate::commands::check::format_findings::json;
use crate::commands::check::format_findings::text;
use crate::commands::check::installed::installed;
use crate::commands::check::outside::outside;
use crate::commands::check::permitted::permitted;
use crate::commands::check::scope::scope;
use crate::commands::check::tenancy::tenancy;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::setting::Setting;
use crate::commands::setting::setting;
use crate::commands::terminal::print;
use crate::names;
use crate::policies::Operator;

/// Prints the findings. The exit code is 1 unless every check passes, with `--strict` without warnings.
///
/// # Errors
/// No cluster is configured, or standard output cannot be written. A failed request is reported as
/// a finding instead.
pub async fn check(flags: &Check) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let (deployment, mut findings) = installed(&client, flags).await;
    let (scope, finding) = scope(deployment.as_ref().map(Option::as_ref), &flags.namespace);
    findings.extend(finding);
    findings.extend(deployment.as_ref().ok().and_then(Option::as_ref).map(tenancy));
    let operator = operator(flags, deployment.ok().flatten().as_ref());
    findings.extend(enforced(&client, &operator).await);
    findings.extend(permitted(&client, &operator, &scope).await);
    findings.extend(bound(&client).await);
    findings.extend(outside(&client, &scope).await);
    findings.extend(consented(&client).await);
    print(&match flags.output {
        Output::Text => text(&findings),
        Output::Json => json(&findings)?,
    })?;
    let is_passed = findings.iter().all(|it| match it.state {
        FindingState::Ok => true,
        FindingState::Warning => !flags.strict,
        FindingState::Unknown | FindingState::Wrong => false,
    });
    Ok(if is_passed { Exit::Success } else { Exit::Failure })
}

/// The `ServiceAccount` and the protected namespaces of the operator: from its Deployment, or,
/// without a Deployment, the defaults.
fn operator(flags: &Check, deployment: Option<&Deployment>) -> Operator {
    let default = Operator::default();
    let namespace = &flags.namespace;
    let pod = deployment.and_then(|it| it.spec.as_ref()?.template.spec.as_ref());
    let account = pod.and_then(|pod| pod.service_account_name.clone());
    let protected = match deployment.map(|it| setting(it, "protected-namespaces")) {
        Some(Setting::Given(list)) => list,
        Some(Setting::Unknown(_) | Setting::Default) | None => {
            names::PROTECTED_NAMESPACES.to_owned()
        }
    };
    Operator {
        service_account: account.unwrap_or(default.service_account),
        protected_namespaces: with_item(&protected, namespace),
        namespace: namespace.clone(),
    }
}

/// The comma-separated `list`; `item` is appended if it is missing.
fn with_item(list: &str, item: &str) -> String {
    if list.split(',').any(|other| other == item) {
        list.to_owned()
    } else {
        format!("{list},{item}")
    }
}
