//! A trace drawn as a tree, with durations.

use crate::jaeger::trace::Span;
use crate::jaeger::trace::Trace;

/// The attributes that are drawn, in this order; the others would only be noise to a reader.
const ATTRIBUTES: &[&str] =
    &["sync", "reason", "destination", "resource_version", "http.response.status_code"];
/// The columns of the text of an error.
const WIDTH: usize = 96;

/// Draws the trace: one line for each span, children below their parents in order of time. Below, the text
/// of the error of its root.
///
/// A span whose parent is not in the trace is drawn as a root, so that nothing is left out.
#[must_use]
pub fn draw(trace: &Trace) -> Vec<String> {
    let rows = rows(trace);
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    let line = |(label, span): &(String, &Span)| {
        let attributes: Vec<_> = ATTRIBUTES.iter().filter_map(|key| span.tag(key)).collect();
        let (duration, attributes) = (milliseconds(span.duration), attributes.join("  "));
        format!("{label:width$}  {duration:>9}  {attributes}").trim_end().to_owned()
    };
    rows.iter().map(line).chain(error(trace)).collect()
}

/// The text of the error of the root; nothing if it is no error.
pub(super) fn error(trace: &Trace) -> Vec<String> {
    let root = trace.root().filter(|root| root.tag("error").as_deref() == Some("true"));
    let Some(text) = root.and_then(|root| root.tag("otel.status_description")) else {
        return Vec::new();
    };
    let mut lines = vec![String::new(), "error:".to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines
}

/// The spans in the order of the drawing, each with its branch of the tree and its name.
pub(super) fn rows(trace: &Trace) -> Vec<(String, &Span)> {
    let mut rows = Vec::new();
    let known = |id: &str| trace.spans.iter().any(|span| span.id == id);
    let roots = trace.spans.iter().filter(|span| !span.parent().is_some_and(known)).collect();
    rows_of(trace, roots, "", true, &mut rows);
    rows
}

fn rows_of<'a>(
    trace: &'a Trace,
    mut spans: Vec<&'a Span>,
    indent: &str,
    root: bool,
    rows: &mut Vec<(String, &'a Span)>,
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
        rows.push((format!("{indent}{branch}{}", span.name), span));
        let children =
            trace.spans.iter().filter(|child| child.parent() == Some(&span.id)).collect();
        rows_of(trace, children, &format!("{indent}{below}"), false, rows);
    }
}

/// Microseconds as milliseconds, with one digit.
pub(super) fn milliseconds(duration: u64) -> String {
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
    fn the_text_of_an_error_is_below_the_tree() {
        let mut trace = fixture();
        assert_eq!(error(&trace), Vec::<String>::new());
        let tag = |key: &str, value: serde_json::Value| {
            serde_json::from_value(serde_json::json!({"key": key, "value": value})).unwrap()
        };
        let root = trace.spans.iter_mut().find(|span| span.name == "reconcile").unwrap();
        root.tags.push(tag("error", true.into()));
        root.tags.push(tag("otel.status_description", "refused ".repeat(20).into()));
        let lines = error(&trace);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[1].starts_with("error: refused refused"), "{lines:#?}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{lines:#?}");
    }

    #[test]
    fn a_span_whose_parent_is_missing_is_a_root() {
        let mut trace = fixture();
        trace.spans.retain(|span| span.name != "reconcile");
        assert_eq!(draw(&trace).len(), trace.spans.len());
        assert!(draw(&trace)[0].starts_with("observe"));
    }
}
