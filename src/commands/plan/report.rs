//! A plan for people, and for programs.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json as object;
use strum::VariantNames as _;

use crate::commands::plan::Planned;
use crate::commands::plan::forecast::Foreseen;
use crate::commands::table::printable;
use crate::commands::table::table;
use crate::decide::Action;
use crate::decide::plan::FinalizerStep;
use crate::decide::reason::Reason;

/// The plan as text: what is in order is only counted.
#[must_use]
pub fn text(planned: &[Planned]) -> String {
    let mut text: String = planned.iter().filter_map(section).collect();
    if planned.is_empty() {
        text.push_str("There are no ConfigMapSyncs.\n");
    } else {
        text.push_str(&summary(planned));
    }
    text
}

/// What there is to say of one sync.
fn section(planned: &Planned) -> Option<String> {
    let forecast = &planned.forecast;
    let mut rows = Vec::new();
    match forecast.finalizer {
        FinalizerStep::Add => rows.push(row("update", "", "our finalizer is added")),
        FinalizerStep::Remove => rows.push(row("update", "", "our finalizer is removed")),
        FinalizerStep::Keep => {}
    }
    for (at, step) in &forecast.steps {
        if step.action != Action::Keep {
            rows.push(row(step.action.verb(), &at.to_string(), &why(step)));
        }
    }
    let verdict = &forecast.verdict;
    let is_said = matches!(verdict.reason, Reason::Synced | Reason::Progressing);
    let is_of_a_place = rows.iter().any(|[verb, ..]| verb == "leave");
    if rows.is_empty() && is_said {
        return None;
    }
    let new = if planned.exists { "" } else { " (not created yet)" };
    let mut section = printable(&format!("ConfigMapSync {}{new}", planned.sync)) + "\n";
    if !rows.is_empty() {
        section.push_str(&table(["ACTION", "COPY", "WHY"], &rows));
    }
    if !is_said && !is_of_a_place {
        section.push_str(&printable(&format!("{}: {}", verdict.reason, verdict.message)));
        section.push('\n');
    }
    section.push('\n');
    Some(section)
}

fn row(verb: &str, copy: &str, why: &str) -> [String; 3] {
    [verb, copy, why].map(ToOwned::to_owned)
}

fn why(step: &Foreseen) -> String {
    let why = match &step.action {
        Action::Create(_) => "nothing stands there",
        Action::Update { .. } => "its content differs",
        Action::Restamp { .. } => "its markers or its metadata differ",
        Action::Replace { .. } => "its content differs, and it is immutable",
        Action::Release { .. } => "it is no longer wanted, and is to be kept or not ours to delete",
        Action::Delete { .. } => "it is no longer wanted",
        Action::Keep => "it is in order",
        Action::Leave(failure) => return format!("{}: {}", failure.reason, failure.message),
    };
    match &step.after {
        Some(replacement) => format!("{why}, once {replacement} is in order"),
        None => why.to_owned(),
    }
}

fn summary(planned: &[Planned]) -> String {
    let counts = counts(planned);
    let count = |verb| counts.get(verb).copied().unwrap_or_default();
    format!(
        "Plan for {} ConfigMapSyncs: {} to create, {} to update, {} to replace, {} to delete, \
         {} to release; {} left alone, {} in order.\n",
        planned.len(),
        count("create"),
        count("update") + count("restamp"),
        count("replace"),
        count("delete"),
        count("release"),
        count("leave"),
        count("keep"),
    )
}

fn counts(planned: &[Planned]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for &verb in Action::VARIANTS {
        counts.insert(verb, 0);
    }
    for step in planned.iter().flat_map(|planned| planned.forecast.steps.values()) {
        *counts.entry(step.action.verb()).or_default() += 1;
    }
    counts
}

/// The plan as JSON: everything, and no value of a `ConfigMap`.
///
/// # Errors
/// It cannot be written as JSON.
pub fn json(planned: &[Planned]) -> Result<String, serde_json::Error> {
    let syncs: Vec<_> = planned.iter().map(sync).collect();
    let text = serde_json::to_string_pretty(&object!({
        "configMapSyncs": syncs,
        "summary": counts(planned),
    }));
    Ok(text? + "\n")
}

fn sync(planned: &Planned) -> Value {
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
        "reason": forecast.verdict.reason.as_str(),
        "message": forecast.verdict.message,
        "finalizer": match forecast.finalizer {
            FinalizerStep::Add => "add",
            FinalizerStep::Remove => "remove",
            FinalizerStep::Keep => "keep",
        },
        "steps": steps,
    })
}
