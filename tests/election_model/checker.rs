//! Explores a model, and reports violations.

use std::env;
use std::time::Instant;

use stateright::Checker as _;
use stateright::HasDiscoveries;
use stateright::Model as _;

use crate::config::Config;
use crate::model::ElectionModel;
use crate::model::NO_LATE_CREATE;
use crate::model::ONE_WRITER;
use crate::model::RECOVERS;
use crate::model::TERMS_CHANGE;
use crate::model::WRITES_ARE_LATE;
use crate::trace::describe;

/// The name of one property.
pub type PropertyName = &'static [&'static str; 1];

/// Whether to include the configurations that take minutes. Reports on stderr if not.
pub fn is_full() -> bool {
    let is_full = env::var_os("E2E_FULL").is_some_and(|value| value == "1");
    if !is_full {
        eprintln!("some configurations are skipped: E2E_FULL=1 includes them");
    }
    is_full
}

/// `config` with a change.
pub fn with(mut config: Config, change: impl FnOnce(&mut Config)) -> Config {
    change(&mut config);
    config
}

/// Asserts that every reachable state satisfies the invariants, and that the exploration reaches
/// the states in which they could be violated.
pub fn assert_holds(what: &str, config: &Config) {
    const PROMPT: &[&str] = &[ONE_WRITER, RECOVERS, TERMS_CHANGE];
    const DELAYED: &[&str] = &[ONE_WRITER, RECOVERS, TERMS_CHANGE, WRITES_ARE_LATE];
    let properties = if config.environment.delays_writes { DELAYED } else { PROMPT };
    assert_properties(what, config, properties, &[&[ONE_WRITER], &[RECOVERS]]);
}

/// Asserts that in every reachable state, no copy was created after its finalizer was removed, and a
/// replica can lead again.
pub fn assert_no_late_create(what: &str, config: &Config) {
    let properties = &[NO_LATE_CREATE, RECOVERS, TERMS_CHANGE];
    assert_properties(what, config, properties, &[&[NO_LATE_CREATE], &[RECOVERS]]);
}

fn assert_properties(
    what: &str,
    config: &Config,
    properties: &'static [&'static str],
    invariants: &[PropertyName],
) {
    let start = Instant::now();
    let model = ElectionModel::new(config.clone(), properties).with_symmetry();
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (count, steps) = (checker.unique_state_count(), checker.state_count());
    eprintln!("{what}: {count} states, {steps} steps, {:.1} s", start.elapsed().as_secs_f32());
    let mut invariants = invariants.iter().copied();
    let violated = invariants.find(|property| checker.discovery(property[0]).is_some());
    if let Some(property) = violated {
        let lines = counterexample(what, config.clone(), property);
        panic!("{what}: violated: {}:\n{}", property[0], lines.join("\n"));
    }
    checker.assert_properties();
}

/// The shortest path that violates a property, one line per step.
pub fn counterexample(what: &str, config: Config, property: PropertyName) -> Vec<String> {
    let model = ElectionModel::new(config, property);
    let checker = model.clone().checker().spawn_bfs().join();
    let count = checker.unique_state_count();
    let Some(path) = checker.discovery(property[0]) else {
        panic!("{what}: no counterexample in {count} states to: {}", property[0]);
    };
    let lines = describe(&model, &path.into_vec());
    eprintln!("{what}: violated: {}:\n  {}", property[0], lines.join("\n  "));
    lines
}
