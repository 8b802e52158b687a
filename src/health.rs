//! `/livez`, `/readyz` and `/metrics`.
//!
//! Each part of the operator reports its state by [`Health::set`], and its progress by
//! [`Health::beat`]. Every attempt is progress, a failed one, too: the process is live while the API
//! server is unreachable or refuses everything.

mod beats;
mod listen;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

pub use listen::listen;

use crate::health::beats::Beats;
use crate::metrics::Metrics;

/// The states of all parts, and when each last made progress.
#[derive(Debug)]
pub struct Health {
    parts: Mutex<BTreeMap<String, Result<(), String>>>,
    beats: Beats,
}

// === impl Health ===

impl Health {
    /// A process that is not ready before each of `parts` has been reported as ready. Each must make
    /// progress from now on.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let starting = |part: &&'static str| ((*part).to_owned(), Err("starting".to_owned()));
        let health = Self {
            parts: Mutex::new(parts.iter().map(starting).collect()),
            beats: Beats::default(),
        };
        for part in parts {
            health.beat(part);
        }
        health
    }

    /// Reports the state of `part`: ready, or why not. Returns whether the state has changed.
    pub fn set(&self, part: &str, state: Result<(), String>) -> bool {
        let mut parts = self.parts.lock();
        let changed = parts.get(part) != Some(&state);
        parts.insert(part.to_owned(), state);
        changed
    }

    /// Reports that `part` makes progress. It must do so again and again, until the process ends.
    pub fn beat(&self, part: &str) {
        self.beats.beat(part);
    }

    /// Runs `work`, which makes progress whenever it is polled, and must do so until it returns.
    pub async fn during<T>(&self, name: String, work: impl Future<Output = T>) -> T {
        self.beats.during(name, work).await
    }

    /// The result of `/livez`.
    ///
    /// # Errors
    /// What has made no progress for a minute, one per line.
    pub fn live(&self) -> Result<(), String> {
        self.live_at(Instant::now())
    }

    /// The result of `/livez` at `now`.
    ///
    /// # Errors
    /// As [`Health::live`].
    pub fn live_at(&self, now: Instant) -> Result<(), String> {
        self.beats.check(now)
    }

    /// The result of `/readyz`.
    ///
    /// # Errors
    /// The parts that are not ready and why, one per line.
    pub fn ready(&self) -> Result<(), String> {
        let parts = self.parts.lock();
        let not_ready: Vec<_> = parts
            .iter()
            .filter_map(|(part, state)| state.as_ref().err().map(|why| format!("{part}: {why}")))
            .collect();
        if not_ready.is_empty() { Ok(()) } else { Err(not_ready.join("\n")) }
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_process_is_ready_when_every_part_is() {
        let health = Health::new(&["lease"]);
        assert_eq!(health.ready(), Err("lease: starting".to_owned()));
        assert!(health.set("lease", Ok(())));
        assert!(!health.set("lease", Ok(())), "unchanged");
        assert_eq!(health.ready(), Ok(()));
        health.set("watch", Err("forbidden".to_owned()));
        assert_eq!(health.ready(), Err("watch: forbidden".to_owned()));
    }

    #[test]
    fn a_process_that_makes_progress_is_live() {
        let health = Health::new(&["lease"]);
        assert_eq!(health.live(), Ok(()));
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(health.live_at(later), Err("lease: no progress for 60 s".to_owned()));
    }
}
