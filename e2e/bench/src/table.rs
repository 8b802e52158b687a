//! The numbers, for people.

use console::style;
use testbed::terminal::Screen;

use crate::ledger::Bound;
use crate::ledger::Ledger;
use crate::ledger::Row;
use crate::measured::Measured;

/// Columns of the name of something measured.
const NAME: usize = 44;

/// Prints what was measured, then what was promised.
pub fn print(ledger: &Ledger) {
    if !ledger.limits.is_empty() {
        Screen::title("What the API server takes from the raw writer, in a second");
        println!("  {:>9} {:>9} {:>9} {:>9}", "in flight", "creates", "patches", "deletes");
        for it in &ledger.limits {
            let (creates, patches, deletes) = (it.creates, it.patches, it.deletes);
            println!("  {:>9} {creates:>9.0} {patches:>9.0} {deletes:>9.0}", it.in_flight);
        }
    }
    Screen::title("What the operator does (medians; CPU in seconds, memory in MiB)");
    println!("{}", style(head()).dim());
    for row in &ledger.rows {
        println!("{}", line(row));
        for detail in row.rounds.first().map(details).unwrap_or_default() {
            println!("{}", style(format!("      {detail}")).dim());
        }
    }
    if !ledger.bounds.is_empty() {
        Screen::title("What is promised");
        for bound in &ledger.bounds {
            println!("{}", verdict(bound, ledger.judged));
        }
    }
    if !ledger.judged {
        println!();
        Screen::line(&format!(
            "Not judged: sizes were scaled by {}, and promises speak of full size.",
            ledger.scale
        ));
    }
    println!();
    for note in &ledger.notes {
        Screen::line(&style(note).dim().to_string());
    }
}

fn head() -> String {
    format!(
        "  {:NAME$} {:>8} {:>7} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6}",
        "", "time", "/s", "of W", "writes", "KiB", "CPU", "RSS", "peak"
    )
}

fn line(row: &Row) -> String {
    let number = |decimals: usize, number: &dyn Fn(&Measured) -> Option<f64>| {
        row.median(number).map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let positive = |value: f64| (value > 0.0).then_some(value);
    format!(
        "  {:NAME$} {:>8} {:>7} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6}",
        row.what,
        number(3, &|it| positive(it.wall)),
        number(0, &|it| positive(it.per_second)),
        number(2, &|it| it.of_limit),
        number(0, &|it| Some(it.calls.writes().into())),
        number(0, &|it| positive(it.calls.kibibytes())),
        number(2, &|it| Some(it.cpu)),
        number(1, &|it| positive(it.rss)),
        number(1, &|it| positive(it.peak)),
    )
}

/// What has no column: the calls, and what only some rows have.
fn details(measured: &Measured) -> Vec<String> {
    let more = measured.more.iter().map(|(what, value)| format!("{what}: {}", shown(*value)));
    let more = more.collect::<Vec<_>>().join(", ");
    [measured.calls.shown(), more].into_iter().filter(|line| !line.is_empty()).collect()
}

fn verdict(bound: &Bound, judged: bool) -> String {
    let word = match (bound.kept, judged) {
        (true, _) => style("ok").green(),
        (false, true) => style("BROKEN").red().bold(),
        (false, false) => style("(not at this scale)").yellow(),
    };
    let (value, limit) = (shown(bound.value), shown(bound.limit));
    format!("  {:64} {value:>9} {:>2} {limit:<7} {word}", bound.what, bound.relation.sign())
}

/// Counts without decimals, ratios with two.
fn shown(value: f64) -> String {
    if value.is_nan() {
        "nothing".to_owned()
    } else if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_short_as_they_can_be() {
        assert_eq!(shown(1_000.0), "1000");
        assert_eq!(shown(0.7), "0.700");
        assert_eq!(shown(63.04), "63.0");
        assert_eq!(shown(f64::NAN), "nothing");
    }
}
