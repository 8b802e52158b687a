//! A plan as text, and as JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json as object;
use strum::VariantNames as _;

use crate::commands::plan::forecast::Forecast;
use crate::commands::plan::forecast::ForecastStep;
use crate::commands::plan::planned_sync::PlannedSync;
use crate::commands::table::printable;
use crate::commands::table::table;
use crate::decide::Action;
use crate::decide::plan::FinalizerStep;
use crate::decide::reason::Reason;

/// The plan as text. Copies in sync are only counted.
#[must_use]
pub fn text(planned: &[PlannedSync]) -> String {
    let mut text: String = planned.iter().filter_map(section).collect();
    if planned.is_empty() {
        text.push_str("There are no ConfigMapSyncs.\n");
    } else {
        text.push_str(&summary(planned));
    }
    text
}

/// The lines about one sync; `None` if there is nothing to do, and nothing to report.
fn section(planned: &PlannedSync) -> Option<String> {
    let forecast = &planned.forecast;
    let mut rows = Vec::new();
    match forecast.finalizer {
        FinalizerStep::Add => rows.push(row("update", "", "our finalizer is added")),
        FinalizerStep::Remove => rows.push(row("update", "", "our finalizer is removed")),
        FinalizerStep::Keep | FinalizerStep::Wait(_) => {}
    }
    for (at, step) in &forecast.steps {
        if step.action != Action::Keep {
            rows.push(row(step.action.verb(), &at.to_string(), &why(step)));
        }
    }
    let report = &forecast.report;
    let is_fine = matches!(report.reason, Reason::Synced | Reason::Progressing);
    let is_explained = rows.iter().any(|[verb, ..]| verb == "leave");
    if rows.is_empty() && is_fine {
        return None;
    }
    let new = if planned.exists { "" } else { " (not created yet)" };
    let mut section = printable(&format!("ConfigMapSync {}{new}", planned.sync)) + "\n";
    if !rows.is_empty() {
        section.push_str(&table(["ACTION", "COPY", "WHY"], &rows));
    }
    if !is_fine && !is_explained {
        section.push_str(&printable(&format!("{}: {}", report.reason, report.message)));
        section.push('\n');
    }
    section.push('\n');
    Some(section)
}

fn row(verb: &str, copy: &str, why: &str) -> [String; 3] {
    [verb, copy, why].map(ToOwned::to_owned)
}

fn why(step: &ForecastStep) -> String {
    let why = match &step.action {
        Action::Create(_) => "it does not exist",
        Action::Update { .. } => "its content differs",
        Action::Restamp { .. } => "its ownership markers or its metadata differ",
        Action::Replace { .. } => "its content differs, and it is immutable",
        Action::Release { .. } => "it is no longer desired, and must not be deleted",
        Action::Delete { .. } => "it is no longer desired",
        Action::Keep => "it is in sync",
        Action::Leave(failure) => return format!("{}: {}", failure.reason, failure.message),
    };
    match &step.after {
        Some(replacement) => format!("{why}, once {replacement} is in sync"),
        None => why.to_owned(),
    }
}

fn summary(planned: &[PlannedSync]) -> String {
    let counts = counts(planned);
    let count = |verb| counts.get(verb).copied().unwrap_or_default();
    let blocked = count("leave") + planned.iter().filter(|it| is_blocked_without_steps(it)).count();
    format!(
        "Plan for {} ConfigMapSyncs: {} to create, {} to update, {} to replace, {} to delete, \
         {} to release; {} blocked, {} in sync.\n",
        planned.len(),
        count("create"),
        count("update") + count("restamp"),
        count("replace"),
        count("delete"),
        count("release"),
        blocked,
        count("keep"),
    )
}

/// Whether nothing can be planned, for example because the source may not be read.
fn is_blocked_without_steps(planned: &PlannedSync) -> bool {
    let Forecast { steps, report, .. } = &planned.forecast;
    steps.is_empty() && report.reason == Reason::NotPermitted
}

fn counts(planned: &[PlannedSync]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for &verb in Action::VARIANTS {
        counts.insert(verb, 0);
    }
    for step in planned.iter().flat_map(|planned| planned.forecast.steps.values()) {
        *counts.entry(step.action.verb()).or_default() += 1;
    }
    counts
}

/// The plan as JSON, with every step, and without values of `ConfigMaps`.
///
/// # Errors
/// It cannot be serialized.
pub fn json(planned: &[PlannedSync]) -> Result<String, serde_json::Error> {
    let syncs: Vec<_> = planned.iter().map(sync).collect();
    let text = serde_json::to_string_pretty(&object!({
        "configMapSyncs": syncs,
        "summary": counts(planned),
    }));
    Ok(text? + "\n")
}

fn sync(planned: &PlannedSync) -> Value {
    let forecast = &planned.forecast;
    let steps: Vec<_> = forecast
        .steps
        .iter()
        .map(|(at, step)| {
            let reason = match &step.action {
                Action::Leave(failure) => Some(failure.reason.as_str()),
                _ => None,
            };
            object!({
                "namespace": at.namespace,
                "name": at.name,
                "action": step.action.verb(),
                "reason": reason,
                "message": why(step),
            })
        })
        .collect();
    object!({
        "namespace": planned.sync.namespace,
        "name": planned.sync.name,
        "exists": planned.exists,
        "reason": forecast.report.reason.as_str(),
        "message": forecast.report.message,
        "finalizer": match forecast.finalizer {
            FinalizerStep::Add => "add",
            FinalizerStep::Remove => "remove",
            FinalizerStep::Keep | FinalizerStep::Wait(_) => "keep",
        },
        "steps": steps,
    })
}
