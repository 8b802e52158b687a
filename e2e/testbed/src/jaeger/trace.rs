//! A trace as Jaeger's query API answers it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The answer to a query for traces.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) data: Option<Vec<Trace>>,
}

/// One trace.
#[derive(Clone, Debug, Deserialize)]
pub struct Trace {
    /// Its id, in 32 hex digits.
    #[serde(rename = "traceID")]
    pub id: String,
    /// Its spans, in no particular order.
    pub spans: Vec<Span>,
    /// The processes that sent its spans, by an id of the response.
    #[serde(default)]
    pub processes: BTreeMap<String, SpanProcess>,
}

/// A process that sent spans.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpanProcess {
    /// `service.name` of its resource.
    pub service_name: String,
    /// The other attributes of its resource.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// One span of a trace.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Its id, in 16 hex digits.
    #[serde(rename = "spanID")]
    pub id: String,
    /// What it was about.
    #[serde(rename = "operationName")]
    pub name: String,
    /// Other spans it refers to, its parent among them.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// When it began, in microseconds since 1970.
    pub start_time: u64,
    /// How long it took, in microseconds.
    pub duration: u64,
    /// Its attributes.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// How a span refers to another.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// `CHILD_OF`, where the other span is the parent.
    pub ref_type: String,
    /// The id of the other span.
    #[serde(rename = "spanID")]
    pub span_id: String,
}

/// An attribute of a span.
#[derive(Clone, Debug, Deserialize)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value: a string, a number or a boolean.
    pub value: Value,
}

impl Trace {
    /// The root span, once it has arrived.
    #[must_use]
    pub fn root(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.parent().is_none())
    }

    /// Whether it contains the creation of a copy, from the root span to the API call. Jaeger stores
    /// the spans of a batch in any order, so that each has to be checked.
    #[must_use]
    pub fn shows_creation(&self) -> bool {
        let named = |name: &str| self.spans.iter().find(|span| span.name == name);
        let has_child = |it: &Span| self.spans.iter().any(|span| span.parent() == Some(&it.id));
        let steps = ["observe", "plan"].into_iter().all(|name| named(name).is_some());
        self.root().is_some() && steps && named("create copy").is_some_and(has_child)
    }
}

impl Span {
    /// The id of the span's parent.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        let parent = self.references.iter().find(|reference| reference.ref_type == "CHILD_OF");
        parent.map(|reference| reference.span_id.as_str())
    }

    /// The value of an attribute, as text.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<String> {
        let tag = self.tags.iter().find(|tag| tag.key == key)?;
        Some(tag.value.as_str().map_or_else(|| tag.value.to_string(), str::to_owned))
    }

    /// The value of an attribute that is an integer, and not its text.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        self.tags.iter().find(|tag| tag.key == key)?.value.as_i64()
    }
}
