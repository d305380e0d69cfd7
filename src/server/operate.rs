//! What operators and their programs ask over HTTP: `GET /metrics`, `GET /healthz`, `GET /readyz`.
//!
//! `/healthz` says that the process answers, whatever else is wrong: who is restarted because the disk is full has to replay the
//! journal and is no better off. `/readyz` says whether to send calls here, and is the same truth as the gRPC health service:
//! no (503) while starting, while shutting down, and after the journal has stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::desk::Desk;
use crate::domain::time::Timestamp;
use crate::journal::Level;
use crate::telemetry::{CONTENT_TYPE, Found, FoundJournal, Reloaded};

/// How often histograms are drained: what they were told meanwhile waits in memory, 16 bytes each.
const UPKEEP_EVERY: Duration = Duration::from_secs(2);

/// Whether calls are taken, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Not yet.
    Starting,
    /// Yes.
    Ready,
    /// No more: it is going down.
    ShuttingDown,
    /// No: nothing is recorded any more.
    JournalStopped,
}

/// Returns the routes; they need nothing but the desk, so they may stand on any port.
pub(super) fn routes(desk: &Arc<Desk>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(desk))
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let rendering = tokio::task::spawn_blocking(move || {
        desk.meters.state.tell(&found(&desk));
        desk.meters.render(desk.clock.now())
    });
    match rendering.await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(desk): State<Arc<Desk>>) -> (StatusCode, &'static str) {
    let readiness = *desk.ready.borrow();
    match readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Readiness::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        Readiness::JournalStopped => (StatusCode::SERVICE_UNAVAILABLE, "the journal has stopped\n"),
    }
}

/// Keeps the numbers in order until it is dropped.
pub(super) async fn upkeep(desk: &Arc<Desk>) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        let desk = Arc::clone(desk);
        // A thread that dies is tried again: nothing depends on it but memory.
        let _ = tokio::task::spawn_blocking(move || desk.meters.upkeep(desk.clock.now())).await;
    }
}

/// Sends the spans that wait for their collector.
pub(super) async fn last_spans(desk: &Arc<Desk>) {
    if desk.traces.get().is_some() {
        let desk = Arc::clone(desk);
        let _ = tokio::task::spawn_blocking(move || desk.traces.get().map(crate::telemetry::Traces::stop)).await;
    }
}

/// Looks up what is not counted.
fn found(desk: &Desk) -> Found {
    let (active, now) = desk.begin();
    let reloads = desk.reloads.borrow().clone();
    let ago = |at: Timestamp| (now - at).get().max(0) as f64 / 1_000.0;
    let checkpoints = desk.checkpoints.get();
    Found {
        customers: desk.engine.customers(),
        erased: desk.engine.erased(),
        journal: desk.engine.journal().map(|journal| {
            let (written, settled) = (journal.written(), journal.settled());
            FoundJournal {
                level: journal.level().name(),
                written,
                settled: if journal.level() == Level::Power {
                    settled.number
                } else {
                    written
                },
                checkpointed: desk.engine.checkpointed(),
                bytes: journal.bytes(),
                syncs: journal.syncs(),
                refused: journal.refused(),
                stopped: settled.stopped.is_some(),
            }
        }),
        checkpoint: checkpoints.and_then(|log| log.last()),
        checkpoints: checkpoints.map(|log| log.counts()).unwrap_or_default(),
        generation: active.generation,
        catalog_age: ago(reloads.applied_at),
        reload_age: reloads.last.map(|(at, _)| ago(at)),
        reload_refused: reloads.last.is_some_and(|(_, result)| result == Reloaded::Refused),
        ready: *desk.ready.borrow() == Readiness::Ready,
        uptime: desk.since.seconds(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::decision::testing::{T0, catalog};
    use crate::engine::{Engine, Limits};
    use crate::server::Server;

    #[tokio::test]
    async fn whoever_takes_no_calls_says_so_and_is_alive_all_the_same() {
        let engine = Engine::new(crate::engine::Active::new(catalog(), Vec::new()), Limits::default());
        let desk = Server::new(Arc::new(engine), Arc::new(ManualClock::new(T0))).desk;
        for (readiness, status) in [
            (Readiness::Starting, 503),
            (Readiness::Ready, 200),
            (Readiness::ShuttingDown, 503),
            (Readiness::JournalStopped, 503),
        ] {
            desk.ready.send_replace(readiness);
            assert_eq!(ready(State(Arc::clone(&desk))).await.0, status, "{readiness:?}");
            assert_eq!(alive().await, "alive\n");
            assert_eq!(found(&desk).ready, status == 200);
        }
    }
}
