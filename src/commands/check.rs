//! `configmapsync check`: what is installed, enforced and permitted, and what came before.
//!
//! Reads as the person who asks, and writes nothing. What that person may not look at is unknown,
//! and unknown is not well.

mod consented;
mod enforced;
mod installed;
mod permitted;
mod report;

use k8s_openapi::api::apps::v1::Deployment;

use crate::args::Check;
use crate::args::Output;
use crate::commands::Error;
use crate::commands::Exit;
use crate::commands::check::consented::consented;
use crate::commands::check::enforced::enforced;
use crate::commands::check::installed::installed;
use crate::commands::check::permitted::permitted;
use crate::commands::check::report::json;
use crate::commands::check::report::text;
use crate::commands::connect;
use crate::commands::say;
use crate::kubernetes::error::ApiFailure;
use crate::names;
use crate::policies::Operator;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which question it answers.
    pub question: Question,
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// What was seen, and, unless it is well, what to do.
    pub message: String,
}

/// What a person wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is everything there, and does somebody lead?
    Installed,
    /// Does the API server refuse what it should?
    Enforced,
    /// Has the operator the rights that it needs?
    Permitted,
    /// Were the authors of ConfigMapSyncs asked for their own rights?
    Consented,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Well,
    /// Nothing to mend, and something to know.
    Note,
    /// It could not be told.
    Unknown,
    /// Not as it should be.
    Wrong,
}

/// Prints what was found, and tells by the exit code whether all is well.
///
/// # Errors
/// There is no cluster, or the terminal failed. What cannot be looked at is a finding.
pub async fn check(flags: &Check) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let (deployment, mut findings) = installed(&client, flags).await;
    let operator = operator(flags, deployment.as_ref());
    findings.extend(enforced(&client, &operator).await);
    findings.extend(permitted(&client, &operator).await);
    findings.extend(consented(&client).await);
    say(&match flags.output {
        Output::Text => text(&findings),
        Output::Json => json(&findings)?,
    })?;
    let all_well = findings.iter().all(|it| matches!(it.state, State::Well | State::Note));
    Ok(if all_well { Exit::Success } else { Exit::Failure })
}

/// The operator as its Deployment runs it; without one, as it is installed by default.
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
        protected_namespaces: with(protected, namespace),
        namespace: namespace.clone(),
    }
}

// === impl Finding ===

impl Finding {
    fn new(question: Question, subject: &str, state: State, message: impl Into<String>) -> Self {
        Self { question, subject: subject.to_owned(), state, message: message.into() }
    }

    /// What could not be looked at.
    fn unknown(question: Question, subject: &str, error: &kube::Error) -> Self {
        let refusal = ApiFailure::of_read(&format!("look at {subject}"), error);
        Self::new(question, subject, State::Unknown, refusal.failure.message)
    }
}

/// `list`, and `name` at its end unless it is in there.
fn with(list: &str, name: &str) -> String {
    if list.split(',').any(|other| other == name) {
        list.to_owned()
    } else {
        format!("{list},{name}")
    }
}
