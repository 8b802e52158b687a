//! Whether the process works, and whether it is of use: `/livez`, `/readyz` and `/metrics`.
//!
//! Knows nothing of what it reports: each part of the operator says by [`Health::set`] whether it
//! is in order, and by [`Health::beat`] that it moves.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// A process whose election has not moved for so long is stuck, and better restarted.
const STUCK: Duration = Duration::from_mins(1);

/// What the parts of the operator say of themselves.
#[derive(Debug)]
pub struct Health {
    parts: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    last_beat: Mutex<Instant>,
}

// === impl Health ===

impl Health {
    /// A process that is not ready: the `parts` named have yet to say that they are in order.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let not_yet = |part: &&'static str| (*part, Err("not yet".to_owned()));
        Self {
            parts: Mutex::new(parts.iter().map(not_yet).collect()),
            last_beat: Mutex::new(Instant::now()),
        }
    }

    /// Notes whether `part` is in order; if not, why. Tells whether that is news.
    pub fn set(&self, part: &'static str, state: Result<(), String>) -> bool {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let news = parts.get(part) != Some(&state);
        parts.insert(part, state);
        news
    }

    /// Notes that the process moves.
    pub fn beat(&self) {
        *self.last_beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// `Ok` if the process moves.
    pub fn live(&self) -> Result<(), String> {
        let still = self.last_beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if still < STUCK { Ok(()) } else { Err(format!("nothing has moved for {still:?}")) }
    }

    /// `Ok` if every part is in order; otherwise what is not, a line each.
    pub fn ready(&self) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let complaints: Vec<_> = parts
            .iter()
            .filter_map(|(part, state)| state.as_ref().err().map(|why| format!("{part}: {why}")))
            .collect();
        if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
    }
}

#[derive(Clone)]
struct Served {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves `/livez`, `/readyz` and `/metrics` on `listener` until `shutdown` resolves.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route(
            "/livez",
            get(|State(served): State<Served>| async move { probe(served.health.live()) }),
        )
        .route(
            "/readyz",
            get(|State(served): State<Served>| async move { probe(served.health.ready()) }),
        )
        .route("/metrics", get(|State(served): State<Served>| async move { exposition(&served) }))
        .with_state(Served { health, metrics });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

fn probe(state: Result<(), String>) -> impl IntoResponse {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn exposition(served: &Served) -> impl IntoResponse + use<> {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, open_metrics)], served.metrics.exposition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_every_part_is_in_order() {
        let health = Health::new(&["lease"]);
        assert_eq!(health.ready(), Err("lease: not yet".to_owned()));
        assert!(health.set("lease", Ok(())));
        assert!(!health.set("lease", Ok(())), "the same again is no news");
        assert_eq!(health.ready(), Ok(()));
        health.set("watch", Err("forbidden".to_owned()));
        assert_eq!(health.ready(), Err("watch: forbidden".to_owned()));
    }

    #[test]
    fn it_is_live_as_long_as_it_moves() {
        let health = Health::new(&[]);
        assert_eq!(health.live(), Ok(()));
    }
}
