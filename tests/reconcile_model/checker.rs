//! Explores a model, and reports violations.

use std::env;
use std::time::Instant;

use stateright::Checker as _;
use stateright::HasDiscoveries;
use stateright::Model as _;

use crate::config::Config;
use crate::model::ReconcileModel;
use crate::model::SAFE;
use crate::model::SETTLES;
use crate::settle;
use crate::trace::describe;

/// Whether to explore the large bounds. Reports on stderr if not.
pub fn is_full() -> bool {
    let is_full = env::var_os("E2E_FULL").is_some_and(|value| value == "1");
    if !is_full {
        eprintln!("the large bounds are skipped: E2E_FULL=1 explores them");
    }
    is_full
}

/// Asserts that every reachable state is safe, and settles.
pub fn assert_holds(what: &str, config: &Config) {
    if explore(what, config, &[SAFE, SETTLES]).is_some() {
        // With one property, the checker reports the shortest path.
        let of = |property| explore(what, config, property);
        let lines = of(&[SAFE]).or_else(|| of(&[SETTLES])).unwrap_or_default();
        panic!("{what}:\n{}", lines.join("\n"));
    }
}

/// Asserts that every reachable state is safe.
pub fn assert_is_safe(what: &str, config: &Config) {
    if let Some(lines) = explore(what, config, &[SAFE]) {
        panic!("{what}:\n{}", lines.join("\n"));
    }
}

/// The shortest path that violates a property, one line per step, and what is violated.
pub fn counterexample(
    what: &str,
    config: &Config,
    property: &'static [&'static str],
) -> Vec<String> {
    explore(what, config, property).unwrap_or_else(|| panic!("{what}: no counterexample"))
}

fn explore(
    what: &str,
    config: &Config,
    properties: &'static [&'static str],
) -> Option<Vec<String>> {
    let start = Instant::now();
    let model = ReconcileModel::new(config.clone(), properties);
    let decisions = std::sync::Arc::clone(&model.decisions);
    let bounds = format!("{} actions, {} faults", config.actions, config.faults);
    let checker = model.clone().checker();
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    eprintln!(
        "{what}: {bounds}: {} states, {} steps, {} decisions, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        decisions.count(),
        start.elapsed().as_secs_f32(),
    );
    let property = properties.iter().find(|property| checker.discovery(property).is_some())?;
    let path = checker.discovery(property)?.into_vec();
    let mut lines = describe(&path);
    let last = path.last().map(|(state, _)| *state);
    lines.extend(last.and_then(|state| match state.violation {
        Some(violation) => Some(violation.to_string()),
        None => settle::complaint(&model, &state),
    }));
    eprintln!("{what}: violated: {property}:\n  {}", lines.join("\n  "));
    Some(lines)
}
