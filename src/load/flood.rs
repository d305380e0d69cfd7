//! More calls than a server can answer: what becomes of those that it answers, and of the others.
//!
//! Calls fall due at a rate above the top rate. There are far more under way on each connection than otherwise, so that the excess
//! reaches the server and does not wait in the generator. What falls due while all of them are under way is not
//! offered: the rate that was reached is told. Latency counts from the moment at which a call was sent, since the
//! generator's own delay would say nothing of the server here. Slices of it take turns with the top rate, so that both see the same
//! minute of a shared machine.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::CreationError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::calls::{Call, Caller};
use super::figures::{Flooded, Tally};
use super::pacer::{Schedule, now};
use super::runner::Calls as _;
use super::windows::Windows;

/// Calls under way on one connection: a few less than the streams that a server allows, so that none waits in the client.
const IN_FLIGHT_PER_CONNECTION: usize = 240;
/// How a refusal for lack of room is told.
const REFUSED: &str = "resource exhausted";

/// What came of some slices.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    rate: f64,
    sent: u64,
    /// Those of `tally` that were answered before their slice was over.
    in_time: u64,
    tally: Tally,
}

impl Flood {
    /// Begins a flood at so many calls a second, of slices that take so long together.
    pub(super) fn over(all: Duration, rate: f64) -> Result<Self, CreationError> {
        let mut tally = Tally::new()?;
        tally.windows = Some(Windows::over(all)?);
        let (sent, in_time) = (0, 0);
        Ok(Self {
            rate,
            sent,
            in_time,
            tally,
        })
    }

    /// Returns how many calls were sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Tells what came of it, beside as many calls as can be answered, which were measured in turns with it.
    pub(super) fn told(mut self, top: &Tally) -> Flooded {
        let seconds = self.tally.elapsed.as_secs_f64();
        let refused = self.tally.errors.remove(REFUSED).map_or(0, |errors| errors.count);
        Flooded {
            top_rate: top.rate(),
            top_errors: top.errors.clone(),
            top_latency_us: top.latencies.quantiles(),
            rate_wanted: self.rate,
            rate_offered: self.sent as f64 / seconds,
            rate: self.in_time as f64 / seconds,
            calls: self.tally.succeeded,
            refused,
            latency_us: self.tally.latencies.quantiles(),
            windows: self.tally.windows.as_ref().and_then(Windows::told),
            errors: self.tally.errors,
            resident_bytes: None,
        }
    }
}

/// Floods for one more slice, with calls from the number `first` on.
pub(super) async fn flood(callers: &Rc<Vec<Caller>>, call: Call, slice: Duration, first: u64, flood: Flood) -> Flood {
    let start = now();
    let schedule = Schedule {
        start,
        rate: flood.rate,
        calls: u64::MAX,
    };
    let before = flood.tally.elapsed;
    let next = Rc::new(Cell::new(first));
    // Those who wait for a call to fall due.
    let free = Rc::new(Cell::new(0));
    let due = Rc::new(Semaphore::new(0));
    let flood = Rc::new(RefCell::new(flood));
    let mut workers = JoinSet::new();
    for worker in 0..callers.len() * IN_FLIGHT_PER_CONNECTION {
        let (callers, next, free) = (Rc::clone(callers), Rc::clone(&next), Rc::clone(&free));
        let (due, flood) = (Rc::clone(&due), Rc::clone(&flood));
        workers.spawn_local(async move {
            let caller = &callers[worker % callers.len()];
            loop {
                free.set(free.get() + 1);
                let Ok(permit) = due.acquire().await else {
                    return;
                };
                permit.forget();
                let sent = now();
                let number = next.replace(next.get() + 1);
                let result = caller.call(call, number).await;
                let answered = now();
                let latency = answered.duration_since(sent);
                let flood = &mut *flood.borrow_mut();
                if result.is_ok() {
                    flood.in_time += u64::from(answered.duration_since(start) < slice);
                    if let Some(windows) = &mut flood.tally.windows {
                        windows.add(before + sent.duration_since(start), latency);
                    }
                }
                flood.tally.add(latency, result);
            }
        });
    }
    let mut fallen_due = 0;
    while now().duration_since(start) < slice {
        let by_now = schedule.due_by(now());
        let new = by_now - fallen_due;
        fallen_due = by_now;
        let offered = free.get().min(usize::try_from(new).unwrap_or(usize::MAX));
        free.set(free.get() - offered);
        due.add_permits(offered);
        // As in `pacer::keep`.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
    due.close();
    while workers.join_next().await.is_some() {}
    let mut flood = flood.borrow().clone();
    flood.tally.elapsed += slice;
    flood.sent += next.get() - first;
    flood
}
