//! The results as tables on the terminal.

use console::style;
use testbed::terminal::Screen;

use crate::measurement::Measurement;
use crate::results::Bound;
use crate::results::Results;
use crate::results::Row;

/// The width of the column with the names.
const NAME: usize = 44;

/// Prints the measurements, then the bounds.
pub fn print(results: &Results) {
    if !results.raw_write_rates.is_empty() {
        Screen::title("Raw writer: writes per second");
        println!("  {:>9} {:>9} {:>9} {:>9}", "in flight", "creates", "patches", "deletes");
        for it in &results.raw_write_rates {
            let (creates, patches, deletes) = (it.creates, it.patches, it.deletes);
            println!("  {:>9} {creates:>9.0} {patches:>9.0} {deletes:>9.0}", it.in_flight);
        }
    }
    Screen::title("Operator (medians; time and CPU in seconds, memory in MiB)");
    println!("{}", style(head()).dim());
    for row in &results.rows {
        println!("{}", line(row));
        for detail in row.rounds.first().map(details).unwrap_or_default() {
            println!("{}", style(format!("      {detail}")).dim());
        }
    }
    if !results.bounds.is_empty() {
        Screen::title("Bounds");
        for bound in &results.bounds {
            println!("{}", verdict(bound, results.is_checked(bound)));
        }
    }
    if !results.judged {
        println!();
        Screen::line(
            "Most bounds are not checked: they apply to the default sizes, which were changed by \
             arguments.",
        );
    }
    println!();
    Screen::line(&style(&results.machine).dim().to_string());
    for note in &results.notes {
        Screen::line(&style(note).dim().to_string());
    }
}

fn head() -> String {
    format!(
        "  {:NAME$} {:>8} {:>7} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6}",
        "", "time", "/s", "/raw", "writes", "KiB", "CPU", "RSS", "peak"
    )
}

fn line(row: &Row) -> String {
    let number = |decimals: usize, number: &dyn Fn(&Measurement) -> Option<f64>| {
        row.median(number).map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let positive = |value: f64| (value > 0.0).then_some(value);
    format!(
        "  {:NAME$} {:>8} {:>7} {:>5} {:>7} {:>8} {:>6} {:>6} {:>6}",
        row.what,
        number(3, &|it| positive(it.wall)),
        number(0, &|it| positive(it.per_second)),
        number(2, &|it| it.raw_ratio),
        number(0, &|it| Some(it.calls.writes().into())),
        number(0, &|it| positive(it.calls.kibibytes())),
        number(2, &|it| Some(it.cpu)),
        number(1, &|it| positive(it.rss)),
        number(1, &|it| positive(it.peak)),
    )
}

/// The values without a column: the requests, and values of single parts.
fn details(measured: &Measurement) -> Vec<String> {
    let more = measured.more.iter().map(|(what, value)| format!("{what}: {}", shown(*value)));
    let more = more.collect::<Vec<_>>().join(", ");
    [measured.calls.summary(), more].into_iter().filter(|line| !line.is_empty()).collect()
}

fn verdict(bound: &Bound, judged: bool) -> String {
    let word = match (bound.kept, judged) {
        (true, _) => style("ok").green(),
        (false, true) => style("NOT MET").red().bold(),
        (false, false) => style("(not met at this scale)").yellow(),
    };
    let (value, limit) = (shown(bound.value), shown(bound.limit));
    format!("  {:64} {value:>9} {:>2} {limit:<7} {word}", bound.what, bound.relation.sign())
}

/// Integers without decimals, other values with three or one.
fn shown(value: f64) -> String {
    if value.is_nan() {
        "missing".to_owned()
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
    fn numbers_are_shown_with_few_decimals() {
        assert_eq!(shown(1_000.0), "1000");
        assert_eq!(shown(0.7), "0.700");
        assert_eq!(shown(63.04), "63.0");
        assert_eq!(shown(f64::NAN), "missing");
    }
}
