//! The traces of a term: one when it begins and one when it ends. A single span for the whole term
//! would be exported at its end only, and never if the process is killed.

use opentelemetry::trace::SpanContext;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::app::error::Error;
use crate::election::Lost;

/// A term, from its election to its end.
pub struct TermTrace {
    holder: String,
    /// Its number in the leader record, once that is published.
    term: Option<i64>,
    /// The span of the election, until the leader record is published.
    election: Span,
    /// For the link from the end of the term.
    elected: SpanContext,
}

// === impl TermTrace ===

impl TermTrace {
    /// Begins the span `elected` of the process `holder`.
    #[must_use]
    pub fn begin(holder: &str) -> Self {
        let election = tracing::info_span!(parent: None, "elected", holder, term = Empty);
        let elected = election.context().span().span_context().clone();
        Self { holder: holder.to_owned(), term: None, election, elected }
    }

    /// The span `elected`; none once it has ended.
    #[must_use]
    pub fn election(&self) -> Span {
        self.election.clone()
    }

    /// Ends the span `elected`. `term` is none where there is no leader record.
    pub fn published(&mut self, term: Option<i64>) {
        self.term = term;
        std::mem::replace(&mut self.election, Span::none()).record("term", term);
    }

    /// Records the end of the term: the span `stopped`, or the span `lost` as an error.
    pub fn end(self, result: &Result<(), Error>) {
        let Self { holder, term, elected, .. } = self;
        let span = match result {
            Ok(()) => tracing::info_span!(parent: None, "stopped", holder, term),
            Err(error) => tracing::info_span!(
                parent: None,
                "lost",
                holder,
                term,
                "error.type" = error_type(error),
                otel.status_code = "ERROR",
                otel.status_description = %error,
            ),
        };
        span.add_link(elected);
    }
}

/// The class of an error that ended a term.
const fn error_type(error: &Error) -> &'static str {
    match error {
        Error::Lost(Lost::LeaseHeldBy(_)) => "LeaseHeldByAnother",
        Error::Lost(Lost::RecordNames(_)) => "LeaderRecordNamesAnother",
        Error::Lost(Lost::Deadline) => "RenewDeadlineExceeded",
        Error::Controller => "ControllerEnded",
        _ => "_OTHER",
    }
}
