//! A trace drawn as a tree with a bar for each span, from its start to its end.

use console::style;

use crate::jaeger::trace::Span;
use crate::jaeger::trace::Trace;
use crate::jaeger::tree::error;
use crate::jaeger::tree::milliseconds;
use crate::jaeger::tree::rows;

/// The columns of the bars.
const COLUMNS: u64 = 48;

/// Draws the trace: one line for each span, children below their parents in order of time. The bars of
/// failed spans are red. Below, the text of the error of its root.
#[must_use]
pub fn timeline(trace: &Trace) -> Vec<String> {
    let begin = trace.spans.iter().map(|span| span.start_time).min().unwrap_or_default();
    let ends = trace.spans.iter().map(|span| span.start_time + span.duration);
    let length = (ends.max().unwrap_or_default() - begin).max(1);
    let rows = rows(trace);
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    let line = |(label, span): &(String, &Span)| {
        let column = |time: u64| usize::try_from((time - begin) * COLUMNS / length).unwrap_or(0);
        let (from, to) = (column(span.start_time), column(span.start_time + span.duration));
        let bar = "━".repeat((to - from).max(1));
        let after =
            " ".repeat(usize::try_from(COLUMNS).unwrap_or(0).saturating_sub(to.max(from + 1)));
        let is_failed = span.tag("error").as_deref() == Some("true");
        let bar = if is_failed { style(bar).red() } else { style(bar).cyan() };
        let bar = bar.force_styling(true);
        let duration = milliseconds(span.duration);
        format!("{label:width$}  {}{bar}{after}  {duration:>9}", " ".repeat(from))
    };
    rows.iter().map(line).chain(error(trace)).collect()
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;

    use super::*;

    #[test]
    fn each_span_has_a_bar_from_start_to_end() {
        let answer = include_str!("fixture.json");
        let answer: crate::jaeger::trace::Answer = serde_json::from_str(answer).unwrap();
        let lines = timeline(&answer.data.unwrap()[0]);
        let plain: Vec<_> = lines.iter().map(|line| strip_ansi_codes(line).into_owned()).collect();
        let bars = |line: &String| line.matches('━').count();
        assert!(plain[0].starts_with("reconcile"), "{plain:#?}");
        assert_eq!(bars(&plain[0]), 48, "{plain:#?}");
        assert!(plain.iter().all(|line| (1..=48).contains(&bars(line))), "{plain:#?}");
        assert!(plain.iter().all(|line| line.ends_with("ms")), "{plain:#?}");
    }
}
