//! More calls than a server can answer: what becomes of those that it answers, and of the others.
//!
//! Calls fall due at a rate above the top rate. There are far more under way on each connection than otherwise, so that the excess
//! reaches the server and does not wait in the generator. What falls due while all of them are under way is not
//! offered: the rate that was reached is told. Latency counts from the moment at which a call was sent, since the
//! generator's own delay would say nothing of the server here.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::CreationError;
use tokio::task::JoinSet;

use super::calls::{Call, Caller};
use super::figures::{Flooded, Tally};
use super::pacer::{Schedule, now};
use super::runner::Calls as _;

/// Calls under way on one connection: a few less than the streams that a server allows, so that none waits in the client.
const IN_FLIGHT_PER_CONNECTION: usize = 240;
/// How a refusal for lack of room is told.
const REFUSED: &str = "resource exhausted";

/// Makes calls at a rate for some time, the first with this number; returns what came of them, and how many there were.
pub(super) async fn flood(
    callers: &Rc<Vec<Caller>>,
    call: Call,
    rate: f64,
    duration: Duration,
    first: u64,
) -> Result<(Flooded, u64), CreationError> {
    let start = now();
    let schedule = Schedule {
        start,
        rate,
        calls: u64::MAX,
    };
    let next = Rc::new(RefCell::new(0));
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let mut workers = JoinSet::new();
    for worker in 0..callers.len() * IN_FLIGHT_PER_CONNECTION {
        let (callers, next, tally) = (Rc::clone(callers), Rc::clone(&next), Rc::clone(&tally));
        workers.spawn_local(async move {
            let caller = &callers[worker % callers.len()];
            loop {
                let sent = now();
                if sent.duration_since(start) >= duration {
                    return;
                }
                if *next.borrow() >= schedule.due_by(sent) {
                    tokio::task::yield_now().await;
                    continue;
                }
                let number = next.replace_with(|next| *next + 1);
                let result = caller.call(call, first + number).await;
                tally.borrow_mut().add(now().duration_since(sent), result);
            }
        });
    }
    while workers.join_next().await.is_some() {}
    let elapsed = now().duration_since(start);
    let mut tally = tally.borrow().clone();
    tally.elapsed = elapsed;
    let offered = *next.borrow();
    let refused = tally.errors.remove(REFUSED).map_or(0, |errors| errors.count);
    let flooded = Flooded {
        rate_wanted: rate,
        rate_offered: offered as f64 / elapsed.as_secs_f64(),
        rate: tally.succeeded as f64 / elapsed.as_secs_f64(),
        calls: tally.succeeded,
        refused,
        errors: tally.errors.clone(),
        latency_us: tally.latencies.quantiles(),
        resident_bytes: None,
    };
    Ok((flooded, offered))
}
