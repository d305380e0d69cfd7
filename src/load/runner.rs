//! Makes the calls of one kind: as many as there can be, or as many as fall due.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::CreationError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::calls::{Answer, Call, Caller, Failure};
use super::figures::{Flooded, Tally};
use super::flood::{self, Flood};
use super::pacer::{self, Schedule, now};
use super::windows::Windows;

/// Calls that each connection has under way at most: well under the number of
/// streams that a server allows, so that none waits where it cannot be seen.
const IN_FLIGHT_PER_CONNECTION: usize = 32;
/// How many slices a top rate is measured in, in turns with the other kinds of calls.
pub(super) const SLICES: u32 = 5;
/// How many slices an overload is measured in, in turns with the top rate: few, since each has its beginning.
const FLOODS: u32 = 2;
/// How long the server rests after each.
const REST: Duration = Duration::from_millis(1_500);
/// Calls under way at most over all connections, or one on each when there are more of those, and always while the top rate is
/// measured: if a closed loop had more, many of them would wait in the server for as long as if it was overloaded, and be refused.
const IN_FLIGHT_MAX: usize = 128;
/// How long before the first call is due everything is in place.
const BEFORE_START: Duration = Duration::from_millis(10);
/// How long to wait after the last call was due for answers that are still out.
const OUTSTANDING_WAIT: Duration = Duration::from_secs(5);

/// What makes calls over one connection.
pub(super) trait Calls: 'static {
    /// Makes call `number` of a run. Returns what came back, or why it failed.
    fn call(&self, call: Call, number: u64) -> impl Future<Output = Result<Answer, Failure>>;
}

/// Makes calls over all connections.
pub(super) struct Runner<C = Caller> {
    callers: Rc<Vec<C>>,
    duration: Duration,
    /// How many calls were numbered so far: no number comes twice in a run.
    numbers: u64,
}

impl Runner {
    /// Finds out which events move a list, and reads every reader's list once; faults will show up when it is measured.
    pub(super) async fn prepare(&mut self, customers: usize) {
        self.numbers += self.callers[0].find_moving().await;
        let next = Rc::new(RefCell::new(0..customers));
        let mut workers = JoinSet::new();
        for worker in 0..self.in_flight() {
            let (callers, next) = (Rc::clone(&self.callers), Rc::clone(&next));
            workers.spawn_local(async move {
                let caller = &callers[worker % callers.len()];
                loop {
                    let Some(customer) = next.borrow_mut().next() else {
                        return;
                    };
                    let _ = caller.warm(customer).await;
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    /// Makes calls at a rate that the server cannot answer, in turns with as many as it can.
    pub(super) async fn flood(&mut self, call: Call, rate: f64) -> Result<Flooded, CreationError> {
        let before = self.callers[0].resident_bytes().await;
        let slice = self.duration / FLOODS;
        let mut top = Tally::new()?;
        let mut flood = Flood::over(self.duration, rate)?;
        for at in 0..FLOODS {
            // Every second time the other way round: histories grow with each call, and what that costs is to be in both.
            let is_first = at % 2 == 0;
            if is_first {
                top = self.closed(call, slice, top).await;
            }
            let sent = flood.sent();
            flood = flood::flood(&self.callers, call, slice, self.numbers, flood).await;
            self.numbers += flood.sent() - sent;
            // Until the server finds that it is over.
            tokio::time::sleep(REST).await;
            if !is_first {
                top = self.closed(call, slice, top).await;
            }
        }
        let mut flooded = flood.told(&top);
        flooded.resident_bytes = before.zip(self.callers[0].resident_bytes().await);
        Ok(flooded)
    }
}

impl<C: Calls> Runner<C> {
    pub(super) fn new(callers: Vec<C>, duration: Duration) -> Self {
        Self {
            callers: Rc::new(callers),
            duration,
            numbers: 0,
        }
    }

    /// Returns how many calls are under way at most.
    fn in_flight(&self) -> usize {
        let connections = self.callers.len();
        (connections * IN_FLIGHT_PER_CONNECTION).min(IN_FLIGHT_MAX.max(connections))
    }

    /// Returns the first of those who make the calls.
    pub(super) fn first(&self) -> Option<&C> {
        self.callers.first()
    }

    /// Keeps the same number of calls under way for some time.
    pub(super) async fn closed(&mut self, call: Call, duration: Duration, tally: Tally) -> Tally {
        let numbers = Rc::new(RefCell::new(self.numbers));
        let tally = Rc::new(RefCell::new(tally));
        let begun = now();
        let mut workers = JoinSet::new();
        for worker in 0..self.in_flight() {
            let (callers, numbers, tally) = (Rc::clone(&self.callers), Rc::clone(&numbers), Rc::clone(&tally));
            workers.spawn_local(async move {
                let caller = &callers[worker % callers.len()];
                let mut sent = now();
                while sent.duration_since(begun) < duration {
                    let number = numbers.replace_with(|number| *number + 1);
                    let result = caller.call(call, number).await;
                    let answered = now();
                    tally.borrow_mut().add(answered.duration_since(sent), result);
                    sent = answered;
                }
            });
        }
        while workers.join_next().await.is_some() {}
        self.numbers = *numbers.borrow();
        let mut tally = settled(tally);
        tally.elapsed += now().duration_since(begun);
        tally
    }

    /// Makes calls that fall due at a fixed rate, whatever becomes of those before. Calls that are due while as many as may
    /// be are under way wait here, where it costs nothing, and their waiting counts.
    pub(super) async fn open(&mut self, call: Call, rate: f64) -> Result<Tally, CreationError> {
        let calls = calls_in(rate, self.duration);
        let schedule = Schedule {
            start: now() + BEFORE_START,
            rate,
            calls,
        };
        let due = Rc::new(Semaphore::new(0));
        let begun = Rc::new(Cell::new(0));
        let mut tally = Tally::new()?;
        tally.windows = Some(Windows::over(self.duration)?);
        let tally = Rc::new(RefCell::new(tally));
        let mut workers = JoinSet::new();
        for worker in 0..self.in_flight() {
            let (callers, numbers) = (Rc::clone(&self.callers), self.numbers);
            let (due, begun, tally) = (Rc::clone(&due), Rc::clone(&begun), Rc::clone(&tally));
            workers.spawn_local(async move {
                let caller = &callers[worker % callers.len()];
                while let Ok(permit) = due.acquire().await {
                    permit.forget();
                    let number = begun.get();
                    begun.set(number + 1);
                    if number + 1 == calls {
                        due.close();
                    }
                    let due_at = schedule.due_at(number);
                    tally.borrow_mut().lateness.add(now().saturating_duration_since(due_at));
                    let result = caller.call(call, numbers + number).await;
                    let latency = now().saturating_duration_since(due_at);
                    let mut tally = tally.borrow_mut();
                    if let Some(windows) = tally.windows.as_mut().filter(|_| result.is_ok()) {
                        windows.add(due_at.saturating_duration_since(schedule.start), latency);
                    }
                    tally.add(latency, result);
                }
            });
        }
        let pacer = tokio::task::spawn_local(pacer::keep(schedule, Rc::clone(&due)));
        let all = async { while workers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.duration + BEFORE_START + OUTSTANDING_WAIT, all).await;
        due.close();
        pacer.abort();
        workers.shutdown().await;
        self.numbers += calls;
        let mut tally = settled(tally);
        if let Some(windows) = &mut tally.windows {
            windows.miss(&schedule);
        }
        tally.elapsed = now().duration_since(schedule.start);
        tally.lose(calls);
        Ok(tally)
    }
}

/// Takes the tally back from those who shared it.
fn settled(tally: Rc<RefCell<Tally>>) -> Tally {
    Rc::try_unwrap(tally).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate times a span; `as` saturates"
)]
fn calls_in(rate: f64, duration: Duration) -> u64 {
    ((rate * duration.as_secs_f64()) as u64).max(1)
}
