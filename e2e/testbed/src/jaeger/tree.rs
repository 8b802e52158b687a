//! A trace drawn as a tree, with durations.

use crate::jaeger::trace::Span;
use crate::jaeger::trace::Trace;

/// The attributes that are drawn, in this order; the others would only be noise to a reader.
const ATTRIBUTES: &[&str] =
    &["sync", "outcome", "destination", "resource_version", "http.response.status_code"];

/// Draws the trace: one line for each span, children below their parents in order of time.
///
/// A span whose parent is not in the trace is drawn as a root, so that nothing is left out.
#[must_use]
pub fn draw(trace: &Trace) -> Vec<String> {
    let mut rows = Vec::new();
    let known = |id: &str| trace.spans.iter().any(|span| span.id == id);
    let roots = trace.spans.iter().filter(|span| !span.parent().is_some_and(known)).collect();
    rows_of(trace, roots, "", true, &mut rows);
    let width = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or_default();
    rows.iter().map(|row| row.draw(width)).collect()
}

struct Row<'a> {
    label: String,
    span: &'a Span,
}

impl Row<'_> {
    fn draw(&self, width: usize) -> String {
        let attributes: Vec<_> = ATTRIBUTES.iter().filter_map(|key| self.span.tag(key)).collect();
        let Self { label, span } = self;
        let line = format!(
            "{label:width$}  {:>9}  {}",
            milliseconds(span.duration),
            attributes.join("  ")
        );
        line.trim_end().to_owned()
    }
}

fn rows_of<'a>(
    trace: &'a Trace,
    mut spans: Vec<&'a Span>,
    indent: &str,
    root: bool,
    rows: &mut Vec<Row<'a>>,
) {
    spans.sort_by_key(|span| span.start_time);
    let count = spans.len();
    for (index, span) in spans.into_iter().enumerate() {
        let last = index + 1 == count;
        let (branch, below) = match (root, last) {
            (true, _) => ("", ""),
            (false, false) => ("├─ ", "│  "),
            (false, true) => ("└─ ", "   "),
        };
        rows.push(Row { label: format!("{indent}{branch}{}", span.name), span });
        let children =
            trace.spans.iter().filter(|child| child.parent() == Some(&span.id)).collect();
        rows_of(trace, children, &format!("{indent}{below}"), false, rows);
    }
}

/// Microseconds as milliseconds, with one digit.
fn milliseconds(duration: u64) -> String {
    match (duration + 50) / 100 {
        0 => "< 0.1 ms".to_owned(),
        tenths => format!("{}.{} ms", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Trace {
        let answer = include_str!("fixture.json");
        serde_json::from_str::<crate::jaeger::trace::Answer>(answer)
            .unwrap()
            .data
            .unwrap()
            .remove(0)
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree_in_order_of_time() {
        let drawn = draw(&fixture()).join("\n");
        let expected = "\
reconcile                41.2 ms  default/my-config-sync  Synced
├─ observe                8.0 ms
│  └─ GET configmaps      7.0 ms  200
├─ plan                 < 0.1 ms
└─ create copy           12.0 ms  my-app-namespace/shared-config
   └─ POST configmaps    11.0 ms  201";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_span_whose_parent_is_missing_is_a_root() {
        let mut trace = fixture();
        trace.spans.retain(|span| span.name != "reconcile");
        assert_eq!(draw(&trace).len(), trace.spans.len());
        assert!(draw(&trace)[0].starts_with("observe"));
    }
}
