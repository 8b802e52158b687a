//! Exploring a model, and what comes of it.

use std::env;
use std::time::Instant;

use stateright::Checker as _;
use stateright::HasDiscoveries;
use stateright::Model as _;

use crate::election::Election;
use crate::election::ONE_WRITER;
use crate::election::SOMEBODY_LEADS;
use crate::election::TERMS_FOLLOW;
use crate::election::WRITES_COME_LATE;
use crate::rules::Rules;
use crate::tell::tell;

/// One property of the model, by its name.
pub type Asked = &'static [&'static str; 1];

/// Whether a test takes the large sizes. Says so if it does not.
pub fn is_full() -> bool {
    let is_full = env::var_os("E2E_FULL").is_some_and(|value| value == "1");
    if !is_full {
        eprintln!("something is left out: E2E_FULL=1 takes it");
    }
    is_full
}

/// The rules, with a change.
pub fn with(mut rules: Rules, change: impl FnOnce(&mut Rules)) -> Rules {
    change(&mut rules);
    rules
}

/// Makes sure that no world that can be reached breaks the invariants, and that those are reached
/// where they matter.
pub fn holds(what: &str, rules: &Rules) {
    const PROMPT: &[&str] = &[ONE_WRITER, SOMEBODY_LEADS, TERMS_FOLLOW];
    const DELAYED: &[&str] = &[ONE_WRITER, SOMEBODY_LEADS, TERMS_FOLLOW, WRITES_COME_LATE];
    let begin = Instant::now();
    let asked = if rules.world.delays_writes { DELAYED } else { PROMPT };
    let election = Election::new(rules.clone(), asked).by_any_name();
    let checker = election.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (count, steps) = (checker.unique_state_count(), checker.state_count());
    eprintln!("{what}: {count} worlds, {steps} steps, {:.1} s", begin.elapsed().as_secs_f32());
    let invariants: [Asked; 2] = [&[ONE_WRITER], &[SOMEBODY_LEADS]];
    let broken = invariants.into_iter().find(|asked| checker.discovery(asked[0]).is_some());
    if let Some(asked) = broken {
        let lines = breaks(what, rules.clone(), asked);
        panic!("{what}: not so that {}:\n{}", asked[0], lines.join("\n"));
    }
    checker.assert_properties();
}

/// The shortest way to break a property, a step a line.
pub fn breaks(what: &str, rules: Rules, asked: Asked) -> Vec<String> {
    let election = Election::new(rules, asked);
    let checker = election.clone().checker().spawn_bfs().join();
    let count = checker.unique_state_count();
    let Some(path) = checker.discovery(asked[0]) else {
        panic!("{what}: in {count} worlds, {} was not broken", asked[0]);
    };
    let lines = tell(&election, &path.into_vec());
    eprintln!("{what}: not so that {}:\n  {}", asked[0], lines.join("\n  "));
    lines
}
