//! The summary of a run, as a table.

use crate::memory_use::MAX_GROWTH;
use crate::run::Outcome;

/// Violations that are printed.
const PRINTED: usize = 20;

/// Prints the outcome. Returns whether all guarantees were met.
pub fn print(outcome: &Outcome) -> bool {
    println!("\n| what | count |\n|---|---|");
    for (edit, (done, refused)) in &outcome.edits {
        println!("| {} | {done}, refused {refused} |", edit.name());
    }
    for (disturbance, count) in &outcome.disturbances {
        println!("| {} | {count} |", disturbance.name());
    }
    println!("| replicas started again | {} |", outcome.restarts);
    println!("| writes by the operator | {} |", outcome.writes);
    for (reason, count) in &outcome.reasons {
        println!("| in the end {reason} | {count} |");
    }
    let is_bounded = print_memory(outcome);
    println!("| violations | {} |", outcome.violations.len());
    for violation in outcome.violations.iter().take(PRINTED) {
        println!("\n{violation}");
    }
    let is_met = outcome.violations.is_empty() && is_bounded;
    let result = if is_met { "all guarantees were met" } else { "a guarantee was violated" };
    println!("\n{result}; repeat this run with --seed {}", outcome.seed);
    is_met
}

/// Prints the growth of the memory. Returns `false` if it exceeds its bound.
fn print_memory(outcome: &Outcome) -> bool {
    let Some(growth) = outcome.memory.growth(outcome.length) else { return true };
    let [third, last] = [growth.third_sixth, growth.last_sixth].map(|it| f64::from(it) / 1024.0);
    let verdict = match growth.is_bounded {
        Some(true) => "within the bound",
        Some(false) => "TOO MUCH",
        None => "not judged in a short run",
    };
    println!(
        "| median memory of the leader in the third and in the last sixth, at most {MAX_GROWTH} times as \
         much | {third:.1} and {last:.1} MiB, {verdict} |"
    );
    growth.is_bounded != Some(false)
}
