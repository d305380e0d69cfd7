//! One call for offers as it is measured: all of them as a whole, and some of them stage by stage.

use super::desk::Desk;
use crate::domain::decision::Decision;
use crate::domain::request::OffersRequest;
use crate::engine::{self, Active, Watched};
use crate::telemetry::{ANSWER, CONVERT, Stopwatch, Traced, draw, ticks};

/// One call for offers.
pub(super) struct Look<'a> {
    desk: &'a Desk,
    took: Stopwatch,
    /// Of a call that is watched: when it began.
    watched_from: Option<u64>,
    /// Whether it is one of those that are counted.
    is_drawn: bool,
    /// When the engine was asked and had answered, and what it was busy with.
    seen: Option<(u64, Watched, u64)>,
}

impl<'a> Look<'a> {
    /// Begins, before the request is converted.
    pub(super) fn begin(desk: &'a Desk) -> Self {
        let is_drawn = desk.meters.is_watched(draw());
        Self {
            desk,
            took: Stopwatch::start(),
            watched_from: (is_drawn || Traced::is_current()).then(ticks),
            is_drawn,
            seen: None,
        }
    }

    /// Asks the engine.
    pub(super) fn ask<T>(&mut self, asking: impl FnOnce() -> T) -> T {
        if self.watched_from.is_none() {
            return asking();
        }
        let asked = ticks();
        let (answer, watched) = engine::watched(ticks, asking);
        self.seen = Some((asked, watched, ticks()));
        answer
    }

    /// Counts the decision that was made.
    pub(super) fn decided(&self, active: &Active, request: &OffersRequest, decision: &Decision) {
        self.desk.meters.decided(active, request, decision, self.took);
        if self.watched_from.is_some() && Traced::is_current() {
            let channel = active.catalog.channels[request.channel].id.to_string();
            Traced::about("nbo.channel", channel);
            Traced::about("nbo.rung", decision.rung.name().to_owned());
            Traced::about("nbo.cached", decision.cached.to_string());
            Traced::about("nbo.catalog", active.catalog.version.to_string());
        }
    }

    /// Ends, when the decision is in words.
    pub(super) fn end(self, active: &Active) {
        let (Some(from), Some((asked, seen, answered))) = (self.watched_from, self.seen) else {
            return;
        };
        let now = ticks();
        let steps = seen.laps.iter().map(|lap| (lap.step.name(), lap.from, lap.until));
        let stages = std::iter::once((CONVERT, from, asked)).chain(steps);
        Traced::note(stages.chain([(ANSWER, answered, now)]));
        if self.is_drawn {
            let seconds = |from: u64, until: u64| until.saturating_sub(from) as f64 / 1e9;
            let (before, after) = (seconds(from, asked), seconds(answered, now));
            self.desk.meters.watched(active, before, &seen, after);
        }
    }
}
