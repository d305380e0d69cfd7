//! What happens when more is asked than can be answered: the excess is refused before it is read, the least important first.
//!
//! A decision is made in one go and takes some ten microseconds, so there are never many *at work*; what grows under overload
//! is the number of calls that *wait for their turn*, from the headers until a thread begins the work. Both are measured: how
//! many wait, and how long each did.
//!
//! **The server is overloaded** when for [`STANDING`] there was no pause of [`PAUSE`] without a call that had waited for longer
//! than [`Bounds::wait`](super::limits::Bounds) while more than [`FEW`] others did. A burst is no overload: it is worked off
//! before. Nor is a slow disk or a thread that the system took away: then few wait, and to refuse them would win nothing.
//!
//! **Then** a page view that has waited for longer than that is refused, before its message is read. Those that waited less are answered, so the server goes on at its top rate and what it answers, it answers in
//! time. (A fixed number of calls at a time would do neither on all machines.) Calls of less importance are refused
//! whatever they waited; those of more wait up to [`PATIENCE`] times as long; health, a person's rights and what operates the server are
//! not refused.
//! The class of each method stands in its row ([`Class`]).
//!
//! **A refusal has a price too**: reading and answering a call that does nothing costs up to half of what a page view from the
//! cache costs. So if every refusal were told at once, callers that come again at once would leave no time for the others. At once
//! are told [`AT_ONCE`] in [`WINDOW`]; any other is held back for [`HELD`], which costs nothing, and meanwhile takes one of the
//! streams that its connection may have: a caller that floods waits for its own refusals. At most [`HELD_MAX`] are held, and
//! [`HELD_OF_ONE_MAX`] of a connection, which has streams left for what matters more; a report is told at once, and everybody while
//! he still waits.
//!
//! **However it is** no more than [`Bounds::waiting`](super::limits::Bounds) calls wait, which bounds their memory: of page views
//! a quarter of that, of the least important a sixteenth. What is not refused has [`VITAL_MAX`] places of its own; beyond them it is a
//! page view.
//!
//! Over HTTP/1 a connection has one call at a time, which begins as soon as it is read: such calls do not wait here, and what
//! bounds them is the number of connections. What waits in a socket's buffer is not seen either: a connection takes 8 KiB when its
//! turn comes ([`super::turns`]), some thirty page views. So a flood over one connection alone is no overload: it waits in its own socket.
//!
//! A call whose caller does not wait any longer when its turn comes is not begun either ([`super::deadline`]). The items of
//! a stream are read one by one, so a stream holds back its own caller.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::access::table::Class;
use super::limits::Bounds;

/// For how long calls have to be slow until it is an overload and no burst.
const STANDING: Duration = Duration::from_millis(100);
/// After how long without a slow call an overload is over.
const PAUSE: Duration = Duration::from_millis(25);
/// So many calls are worked off in a few milliseconds; a call that is slow while no more wait was held up by something else.
const FEW: usize = 128;
/// How many calls are refused at once in each [`WINDOW`]: a refusal costs some ten microseconds, so these are a fiftieth of
/// a thread's time.
const AT_ONCE: u64 = 200;
/// See [`AT_ONCE`].
const WINDOW: Duration = Duration::from_millis(100);
/// How long any other refusal is held back.
const HELD: Duration = Duration::from_millis(200);
/// How many calls are held back at a time: each is a timer and headers.
const HELD_MAX: usize = 12_288;
/// How many of one connection: three quarters of the streams that it has by default, so that it can call meanwhile.
const HELD_OF_ONE_MAX: usize = 192;
/// How many calls that are never refused may wait at a time: more are not asked by whoever operates a server.
const VITAL_MAX: usize = 256;
/// How many times as long as a page view a call that reports or serves may wait.
const PATIENCE: u32 = 20;

/// The calls that wait for their turn.
#[derive(Debug)]
pub(super) struct Queue {
    began: Instant,
    waiting_max: usize,
    wait: Duration,
    waiting: AtomicUsize,
    /// Those of [`Class::Vital`], which take no place of others.
    vital: AtomicUsize,
    /// Microseconds from the beginning to the last slow call.
    slow_at: AtomicU64,
    /// The same to the first of those without a pause between them.
    slow_since: AtomicU64,
    /// The number of the window, and how many were refused at once in it (the last 20 bits).
    at_once: AtomicU64,
    held: AtomicUsize,
}

impl Queue {
    pub(super) fn new(bounds: &Bounds) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            waiting_max: bounds.waiting,
            wait: bounds.wait,
            waiting: AtomicUsize::new(0),
            vital: AtomicUsize::new(0),
            slow_at: AtomicU64::new(0),
            slow_since: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            held: AtomicUsize::new(0),
        })
    }

    /// Takes a call in, to wait for its turn. What would never be refused is a page view like others when there is too much of
    /// it: everybody may ask for health.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) fn arrive(self: &Arc<Self>, class: Class, at: Instant) -> Result<Waiting, Excess> {
        let waiting = |class| Waiting {
            queue: Arc::clone(self),
            class,
            at,
        };
        // From here on it counts until this is dropped.
        if class == Class::Vital {
            let before = self.vital.fetch_add(1, Ordering::Relaxed);
            let vital = waiting(class);
            if before < VITAL_MAX {
                return Ok(vital);
            }
        }
        let class = if class == Class::Vital { Class::Page } else { class };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = waiting(class);
        if before < self.places(class) {
            Ok(waiting)
        } else {
            Err(Excess(class))
        }
    }

    fn places(&self, class: Class) -> usize {
        match class {
            Class::Vital | Class::Report => self.waiting_max,
            Class::Page => self.waiting_max.div_ceil(4),
            Class::Bulk => self.waiting_max.div_ceil(16),
        }
    }

    /// Holds a refusal back, unless it may be told at once: because few were, because too many are held back already, or because
    /// it is of a call that reports. It is told while its caller, who waits until `deadline`, still listens. `own` counts
    /// those of its connection.
    pub(super) fn hold<'a>(
        &'a self,
        excess: Excess,
        deadline: Option<Duration>,
        own: &'a AtomicUsize,
    ) -> Option<Held<'a>> {
        let span = deadline.map_or(HELD, |deadline| HELD.min(deadline / 2));
        (excess.0 != Class::Report && !self.is_told_at_once(self.began.elapsed()))
            .then(|| self.held_back(span, own))
            .flatten()
    }

    fn is_told_at_once(&self, now: Duration) -> bool {
        let window = micros(now) / micros(WINDOW);
        let taken = self
            .at_once
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                let of_window = if before >> 20 == window { before & 0xf_ffff } else { 0 };
                (of_window < AT_ONCE).then_some(window << 20 | (of_window + 1))
            });
        taken.is_ok()
    }

    fn held_back<'a>(&'a self, span: Duration, own: &'a AtomicUsize) -> Option<Held<'a>> {
        // From here on it counts until this is dropped.
        let held = Held {
            span,
            counts: [&self.held, own],
        };
        let all = self.held.fetch_add(1, Ordering::Relaxed);
        let of_one = own.fetch_add(1, Ordering::Relaxed);
        (all < HELD_MAX && of_one < HELD_OF_ONE_MAX).then_some(held)
    }

    /// Judges a call that waited, `now` after the beginning, beside `others` that still do.
    fn judge(&self, class: Class, waited: Duration, others: usize, now: Duration) -> Result<(), Excess> {
        if waited > self.wait && others > FEW {
            self.note_slow(now);
        }
        let allowed = match class {
            Class::Vital => return Ok(()),
            Class::Report => self.wait * PATIENCE,
            Class::Page => self.wait,
            Class::Bulk => Duration::ZERO,
        };
        if waited > allowed && self.is_overloaded(now) {
            return Err(Excess(class));
        }
        Ok(())
    }

    /// Who comes between the two stores of another thread sees a pause that was none, or none where one was: the next
    /// slow call puts it right.
    fn note_slow(&self, now: Duration) {
        let now = micros(now);
        let before = self.slow_at.fetch_max(now, Ordering::Relaxed);
        if now.saturating_sub(before) > micros(PAUSE) {
            self.slow_since.store(now, Ordering::Relaxed);
        }
    }

    fn is_overloaded(&self, now: Duration) -> bool {
        let (since, at) = (
            self.slow_since.load(Ordering::Relaxed),
            self.slow_at.load(Ordering::Relaxed),
        );
        at.saturating_sub(since) >= micros(STANDING) && micros(now).saturating_sub(at) <= micros(PAUSE)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A call that waits for its turn, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: Arc<Queue>,
    class: Class,
    at: Instant,
}

impl Waiting {
    /// Says that the call's turn has come, and returns how long it waited.
    ///
    /// # Errors
    /// When it is too late for it.
    pub(super) fn begin(self) -> Result<Duration, Excess> {
        let queue = &*self.queue;
        let waited = self.at.elapsed();
        if waited <= queue.wait && self.class != Class::Bulk {
            return Ok(waited);
        }
        let own = usize::from(self.class != Class::Vital);
        let others = queue.waiting.load(Ordering::Relaxed).saturating_sub(own);
        queue
            .judge(self.class, waited, others, queue.began.elapsed())
            .map(|()| waited)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let count = match self.class {
            Class::Vital => &self.queue.vital,
            _ => &self.queue.waiting,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A refusal that is held back, until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    span: Duration,
    /// All that are held, and those of the connection.
    counts: [&'a AtomicUsize; 2],
}

impl Held<'_> {
    /// Waits until it may be told.
    pub(super) async fn over(self) {
        tokio::time::sleep(self.span).await;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for count in self.counts {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A call of a class for which there is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess(pub(super) Class);

impl Excess {
    /// Returns the status of the refusal. It is put together once: to refuse has to be cheap.
    pub(super) fn status(self) -> Status {
        static STATUSES: LazyLock<[Status; Class::ALL.len()]> = LazyLock::new(|| {
            Class::ALL.map(|class| {
                let after = retry_after(class);
                let message = format!("more is asked than can be answered; try again after {after:?}");
                let details = ErrorDetails::with_retry_info(Some(after));
                Status::with_error_details(Code::ResourceExhausted, message, details)
            })
        });
        STATUSES[self.0 as usize].clone()
    }
}

/// Returns when to try again: what was not told at all is lost, and a page is not looked at for long; the rest has time.
const fn retry_after(class: Class) -> Duration {
    match class {
        Class::Vital | Class::Report => Duration::from_millis(200),
        Class::Page => Duration::from_secs(1),
        Class::Bulk => Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Arc<Queue> {
        Queue::new(&Bounds {
            waiting: 64,
            wait: Duration::from_millis(5),
            ..Bounds::default()
        })
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Lets a slow call have its turn at each of these milliseconds, with many behind it.
    fn slow_at(queue: &Queue, times: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let judged = times
            .into_iter()
            .map(|now| queue.judge(Class::Page, ms(6), FEW + 1, ms(now)));
        judged.map(|judged| judged.is_err()).collect()
    }

    #[test]
    fn slow_calls_are_refused_after_they_stood_for_some_time_and_no_longer_after_a_pause() {
        let queue = queue();
        let refused = slow_at(&queue, (1_000..1_200).step_by(20));
        assert_eq!(
            refused,
            [false, false, false, false, false, true, true, true, true, true]
        );
        assert_eq!(queue.judge(Class::Page, ms(6), 0, ms(1_204)), Err(Excess(Class::Page)));
        assert_eq!(queue.judge(Class::Page, ms(6), 0, ms(1_206)), Ok(()));
        assert_eq!(slow_at(&queue, [1_210, 1_230]), [false, false]);
    }

    #[test]
    fn a_burst_and_a_few_calls_that_something_else_held_up_are_no_overload() {
        let queue = queue();
        // Four bursts of 80 ms, and pauses.
        for start in [0, 120, 240, 360] {
            let refused = slow_at(&queue, (start..start + 80).step_by(10));
            assert!(!refused.contains(&true), "{start}: {refused:?}");
        }
        for now in 1_000..1_500 {
            assert_eq!(queue.judge(Class::Page, ms(900), FEW, ms(now)), Ok(()));
        }
    }

    #[test]
    fn under_overload_the_least_important_is_refused_first_and_what_operates_the_server_never() {
        let queue = queue();
        slow_at(&queue, (0..=200).step_by(10));
        let is_answered = |class, waited| queue.judge(class, ms(waited), 0, ms(201)).is_ok();
        let passed = |class| [1, 6, 99, 101, 10_000].map(|waited| is_answered(class, waited));
        assert_eq!(passed(Class::Bulk), [false, false, false, false, false]);
        assert_eq!(passed(Class::Page), [true, false, false, false, false]);
        assert_eq!(passed(Class::Report), [true, true, true, false, false]);
        assert_eq!(passed(Class::Vital), [true, true, true, true, true]);
    }

    #[test]
    fn no_more_wait_than_there_are_places_for_and_the_less_important_have_fewer() {
        let queue = queue();
        let take = |class| queue.arrive(class, Instant::now());
        let mut waiting = Vec::new();
        for (class, places) in [(Class::Bulk, 4), (Class::Page, 16), (Class::Report, 64)] {
            while let Ok(one) = take(class) {
                waiting.push(one);
            }
            assert_eq!(waiting.len(), places, "{class:?}");
        }
        assert!(take(Class::Page).is_err() && take(Class::Vital).is_ok());
        // Who was refused holds no place, and a place is free again once it is left in any way.
        assert!(waiting.pop().unwrap().begin().is_ok());
        waiting.pop();
        assert!(take(Class::Report).is_ok());
        waiting.clear();
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn some_refusals_are_told_at_once_and_more_are_held_back_up_to_a_bound_for_all_and_for_each_connection() {
        let queue = queue();
        for window in [0, 7] {
            let now = WINDOW * window;
            let at_once = (0..=AT_ONCE).filter(|_| queue.is_told_at_once(now)).count();
            assert_eq!(at_once as u64, AT_ONCE);
        }
        let own: Vec<AtomicUsize> = (0..=HELD_MAX / HELD_OF_ONE_MAX).map(|_| AtomicUsize::new(0)).collect();
        let of_each = own.iter().map(|own| {
            let held: Vec<_> = (0..=HELD_OF_ONE_MAX)
                .map_while(|_| queue.held_back(HELD, own))
                .collect();
            held
        });
        let of_each: Vec<_> = of_each.collect();
        assert!(
            of_each[..HELD_MAX / HELD_OF_ONE_MAX]
                .iter()
                .all(|held| held.len() == HELD_OF_ONE_MAX)
        );
        assert!(of_each.last().is_some_and(Vec::is_empty));
        drop(of_each);
        let left = own
            .iter()
            .chain([&queue.held])
            .map(|count| count.load(Ordering::Relaxed));
        assert_eq!(left.max(), Some(0));
    }

    #[test]
    fn a_refusal_is_told_while_its_caller_still_waits_and_a_report_is_told_at_once() {
        let (queue, own) = (queue(), AtomicUsize::new(0));
        let span = |class, deadline| {
            while queue.is_told_at_once(queue.began.elapsed()) {}
            queue.hold(Excess(class), deadline, &own).map(|held| held.span)
        };
        assert_eq!(span(Class::Page, Some(ms(100))), Some(ms(50)));
        assert_eq!(span(Class::Page, Some(ms(60_000))), Some(HELD));
        assert_eq!(span(Class::Bulk, None), Some(HELD));
        assert_eq!(span(Class::Report, None), None);
    }

    #[test]
    fn what_is_never_refused_takes_no_place_of_others_and_has_a_bound_beyond_which_it_is_a_page_view() {
        let queue = queue();
        let take = |class| queue.arrive(class, Instant::now());
        let vital: Vec<_> = (0..VITAL_MAX).map(|_| take(Class::Vital).unwrap()).collect();
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        let pages: Vec<_> = (0..16).map(|_| take(Class::Vital).unwrap()).collect();
        assert_eq!(take(Class::Vital).err(), Some(Excess(Class::Page)));
        assert!(take(Class::Report).is_ok());
        drop((vital, pages));
        assert_eq!(
            queue.vital.load(Ordering::Relaxed) + queue.waiting.load(Ordering::Relaxed),
            0
        );
    }

    #[test]
    fn a_refusal_says_when_to_try_again() {
        for class in Class::ALL {
            let status = Excess(class).status();
            let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert_eq!(
                (status.code(), hint),
                (Code::ResourceExhausted, Some(retry_after(class)))
            );
        }
    }
}
