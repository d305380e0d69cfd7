//! Makes the calls of one kind: as many as there can be, or as many as fall due.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::CreationError;
use tokio::task::JoinSet;

use super::calls::{Call, Caller, Failure};
use super::figures::Tally;
use super::pacer::{self, Schedule, now};

/// Calls that each connection keeps under way while the top rate is measured.
const IN_FLIGHT_PER_CONNECTION: usize = 32;
/// Calls under way at most at a fixed rate: beyond that the server is lost, and further calls count as not sent.
const IN_FLIGHT_MAX: usize = 10_000;
/// How long to wait after the last call was due for answers that are still out.
const OUTSTANDING_WAIT: Duration = Duration::from_secs(5);

/// Makes calls over all connections.
pub(super) struct Runner {
    callers: Rc<Vec<Caller>>,
    duration: Duration,
    /// How many calls were numbered so far: no number comes twice in a run.
    numbers: u64,
}

impl Runner {
    pub(super) fn new(callers: Vec<Caller>, duration: Duration) -> Self {
        Self {
            callers: Rc::new(callers),
            duration,
            numbers: 0,
        }
    }

    /// Finds out which events move a list, and reads every reader's list once; faults will show up when it is measured.
    pub(super) async fn prepare(&mut self, customers: usize) {
        self.numbers += self.callers[0].find_moving().await;
        let next = Rc::new(RefCell::new(0..customers));
        let mut workers = JoinSet::new();
        for worker in 0..self.callers.len() * IN_FLIGHT_PER_CONNECTION {
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

    /// Keeps the same number of calls under way for some time.
    pub(super) async fn closed(&mut self, call: Call, duration: Duration, tally: Tally) -> Tally {
        let numbers = Rc::new(RefCell::new(self.numbers));
        let tally = Rc::new(RefCell::new(tally));
        let begun = now();
        let mut workers = JoinSet::new();
        for worker in 0..self.callers.len() * IN_FLIGHT_PER_CONNECTION {
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

    /// Makes calls that fall due at a fixed rate, whatever becomes of those before.
    pub(super) async fn open(&mut self, call: Call, rate: f64) -> Result<Tally, CreationError> {
        let calls = calls_in(rate, self.duration);
        let schedule = Schedule {
            start: now() + Duration::from_millis(10),
            rate,
            calls,
        };
        let (mut due, _pacer) = pacer::start(schedule);
        let tally = Rc::new(RefCell::new(Tally::new()?));
        let mut under_way = JoinSet::new();
        let mut begun = 0;
        while let Some(until) = due.recv().await {
            for number in begun..until {
                while under_way.try_join_next().is_some() {}
                if under_way.len() >= IN_FLIGHT_MAX {
                    tally
                        .borrow_mut()
                        .fail(Failure::new("not sent", "too many calls were under way"));
                    continue;
                }
                let due_at = schedule.due_at(number);
                let at = usize::try_from(number).unwrap_or(0) % self.callers.len();
                let (callers, tally, number) = (Rc::clone(&self.callers), Rc::clone(&tally), self.numbers + number);
                under_way.spawn_local(async move {
                    tally.borrow_mut().lateness.add(now().saturating_duration_since(due_at));
                    let result = callers[at].call(call, number).await;
                    tally.borrow_mut().add(now().saturating_duration_since(due_at), result);
                });
            }
            begun = until;
        }
        let all = async { while under_way.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(OUTSTANDING_WAIT, all).await;
        for _ in 0..under_way.len() {
            tally.borrow_mut().fail(Failure::new(
                "no answer",
                "it had not come five seconds after the last call",
            ));
        }
        under_way.shutdown().await;
        self.numbers += calls;
        let mut tally = settled(tally);
        tally.elapsed = now().duration_since(schedule.start);
        Ok(tally)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate times a span; `as` saturates"
)]
fn calls_in(rate: f64, duration: Duration) -> u64 {
    ((rate * duration.as_secs_f64()) as u64).max(1)
}

/// Takes the tally back from those who shared it.
fn settled(tally: Rc<RefCell<Tally>>) -> Tally {
    Rc::try_unwrap(tally).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner)
}
