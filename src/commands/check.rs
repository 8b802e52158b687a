//! `configmapsync check`: what is installed, enforced, permitted and consented to.
//!
//! Reads with the permissions of the user, and writes nothing. What the user cannot read is
//! unknown, and unknown does not pass.

mod consented;
mod enforced;
mod finding;
mod format_findings;
mod installed;
mod permitted;

use k8s_openapi::api::apps::v1::Deployment;

use crate::args::Check;
use crate::args::Output;
use crate::commands::check::consented::consented;
use crate::commands::check::enforced::enforced;
use crate::commands::check::finding::FindingState;
use crate::commands::check::format_findings::json;
use crate::commands::check::format_findings::text;
use crate::commands::check::installed::installed;
use crate::commands::check::permitted::permitted;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::terminal::print;
use crate::names;
use crate::policies::Operator;

/// Prints the findings. Fails unless every check passes.
///
/// # Errors
/// There is no cluster, or the terminal failed. A check that cannot be made is a finding.
pub async fn check(flags: &Check) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let (deployment, mut findings) = installed(&client, flags).await;
    let operator = operator(flags, deployment.as_ref());
    findings.extend(enforced(&client, &operator).await);
    findings.extend(permitted(&client, &operator).await);
    findings.extend(consented(&client).await);
    print(&match flags.output {
        Output::Text => text(&findings),
        Output::Json => json(&findings)?,
    })?;
    let is_passed =
        findings.iter().all(|it| matches!(it.state, FindingState::Ok | FindingState::Note));
    Ok(if is_passed { Exit::Success } else { Exit::Failure })
}

/// The operator as its Deployment runs it; without a Deployment, as it is installed by default.
fn operator(flags: &Check, deployment: Option<&Deployment>) -> Operator {
    let default = Operator::default();
    let namespace = &flags.namespace;
    let pod = deployment.and_then(|it| it.spec.as_ref()?.template.spec.as_ref());
    let account = pod.and_then(|pod| pod.service_account_name.clone());
    let mut arguments =
        pod.iter().flat_map(|pod| &pod.containers).flat_map(|it| &it.args).flatten();
    let protected = arguments.find_map(|it| it.strip_prefix("--protected-namespaces="));
    let protected = protected.unwrap_or(names::PROTECTED_NAMESPACES);
    Operator {
        service_account: account.unwrap_or(default.service_account),
        protected_namespaces: with_item(protected, namespace),
        namespace: namespace.clone(),
    }
}

/// The comma-separated `list`, with `item` added unless it contains it.
fn with_item(list: &str, item: &str) -> String {
    if list.split(',').any(|other| other == item) {
        list.to_owned()
    } else {
        format!("{list},{item}")
    }
}
