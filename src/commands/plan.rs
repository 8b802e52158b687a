//! `configmapsync plan`: what the operator would do, and why, without doing it.
//!
//! Looks at the cluster as the person who asks, and decides by the code of the operator.

mod asked;
mod forecast;
mod report;

pub use asked::Error as AskedError;

use std::sync::Arc;

use kube::Client;

use crate::api::namespaced_name::NamespacedName;
use crate::args::Output;
use crate::args::Plan;
use crate::cache::Reader;
use crate::commands::Error;
use crate::commands::Exit;
use crate::commands::connect;
use crate::commands::plan::asked::Asked;
use crate::commands::plan::asked::asked;
use crate::commands::plan::forecast::Forecast;
use crate::commands::plan::forecast::forecast;
use crate::commands::plan::report::json;
use crate::commands::plan::report::text;
use crate::commands::say;
use crate::commands::survey::Survey;
use crate::commands::survey::survey_everything;
use crate::controller::View;
use crate::controller::observe;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::names;

/// One sync, and what would be done for it.
pub struct Planned {
    /// Which.
    pub sync: NamespacedName,
    /// Whether the cluster has it already.
    pub exists: bool,
    /// What would be done.
    pub forecast: Forecast,
}

/// Prints what would be done, and tells by the exit code whether it is anything.
///
/// # Errors
/// Something that has to be known could not be read.
pub async fn plan(flags: &Plan) -> Result<Exit, Error> {
    let (client, namespace) = connect(&flags.cluster).await?;
    let survey = survey_everything(&client, &flags.protected_namespaces).await?;
    let mut planned = Vec::new();
    for asked in asked(flags, &survey, &namespace)? {
        planned.push(plan_one(&client, &survey, asked).await?);
    }
    say(&match flags.output {
        Output::Text => text(&planned),
        Output::Json => json(&planned)?,
    })?;
    let changes = planned.iter().any(|planned| planned.forecast.writes() > 0);
    Ok(if changes { Exit::Changes } else { Exit::Success })
}

async fn plan_one(client: &Client, survey: &Survey, asked: Asked) -> Result<Planned, Error> {
    let name = asked.name;
    let nothing = || Error::Plan { sync: name.clone(), why: "it has no uid".to_owned() };
    let mut sync = ObservedSync::of(&asked.stored).ok_or_else(nothing)?;
    survey.cache.apply_sync(&sync);
    // The operator adds its finalizer first, and then looks again.
    let lacks_finalizer = !sync.deleting && !sync.has_our_finalizer();
    if lacks_finalizer {
        sync.finalizers.push(names::FINALIZER.to_owned());
    }
    let reader = Reader::new(client.clone(), Arc::clone(&survey.cache));
    let observed = observe(View::new(&survey.cache, &reader), &sync, false).await.observed;
    if let Some(failure) = unread(&observed) {
        return Err(Error::Plan { sync: name, why: failure.message.clone() });
    }
    let forecast = forecast(&observed, lacks_finalizer);
    Ok(Planned { sync: name, exists: asked.exists, forecast })
}

/// What could not be read: with other rights than the operator's, that is no plan.
fn unread(observed: &Observed) -> Option<&Failure> {
    let source = match &observed.source {
        ObservedSource::Unreadable(failure) => Some(failure),
        ObservedSource::Missing { .. } | ObservedSource::Existing(_) => None,
    };
    let mut held =
        observed.destinations.values().filter_map(|destination| destination.pending_retry.as_ref());
    source.or_else(|| held.next().map(|held| &held.failure))
}
