//! What happens when more is asked than can be answered: the excess is refused, the least important first.
//!
//! A decision is made in one go and takes some ten microseconds, so there are never many *at work*; what grows under overload
//! is the number of calls that *wait for their turn*, from the headers until a thread begins the work. Both are measured: how
//! many wait, and how long each did.
//!
//! **The server is overloaded** when for [`STANDING`] there was no pause of [`PAUSE`] without a call that had waited for [`LONG`] times as
//! long as a page view may while more than [`FEW`] others did. A burst is no overload: it is worked off
//! before. Nor is a slow disk or a thread that the system took away: then few wait, and to refuse them would win nothing.
//! It is over when of the calls of [`SHARE_OF`] less than one in [`SLOW_SHARE`] had waited for longer than a page view may and few
//! refusals are held back, or when none had waited so long for [`OVER`]: whose refusal was held back comes again after up to [`HELD_LONGEST`]. Were it over whenever few
//! wait, which refusals see to, all would be let in until calls stood for long once more.
//!
//! **Then** a page view that has waited for longer than it may is refused: longer than [`Bounds::wait`](super::limits::Bounds), and than
//! [`IN_LINE`] calls take, as is measured of those that waited, so that some are always in line however long one takes. Those that
//! waited less are answered, so the server goes on at its top rate and what it answers, it answers in time. (A fixed number of calls at a
//! time would do neither on all machines.) Calls of less importance are refused whatever they waited; those of more wait up to
//! [`PATIENCE`] times as long; health, a person's rights and what operates the server are not refused. The class of each method
//! stands in its row ([`Class`]).
//!
//! Many calls at once over one connection come as all their headers, then all their messages, then all their ends, so that a call has its
//! turn before its message was read. It is judged once more when that is whole, or no longer short, by how long it waited
//! since the connection had something to read: what a caller takes to send it is not the server's wait, as far as that
//! can be told, which it cannot of a connection that always has something to read. (Calls that look after who may make them
//! behind the door, as JSON, are only under overload.) So a burst of thousands is worked off until it has stood for too long, and
//! what is left of it is refused. How many messages may be on their way is bounded by the streams of all connections and the room for
//! unfinished requests. Whoever begins more than [`FEW`] and does not end them can have a server that is slow for another reason refuse
//! page views although few wait.
//!
//! **A refusal has a price too**: reading and answering a call that does nothing costs up to half of what a page view from the
//! cache costs. So if every refusal were told at once, callers that come again at once would leave no time for the others. At once
//! are told [`AT_ONCE`] in [`WINDOW`]; any other is held back for [`HELD`], and for longer the more are held, so that [`TOLD`] a second are
//! told, but for no longer than [`HELD_LONGEST`], nor than half of the time that its caller waits. That costs nothing, and meanwhile it takes
//! one of the streams that its connection may have: a caller that floods waits for its own refusals. At most [`HELD_MAX`] are held, and
//! [`OF_ONE`] of the streams of a connection, which has streams left for what matters more; a report is told at once, and everybody while
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

#[cfg(test)]
mod tests;

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
/// After how long without a slow call those before are no overload that begins.
const PAUSE: Duration = Duration::from_millis(25);
/// After how long without a slow call an overload is over: longer than [`HELD_LONGEST`].
const OVER: Duration = Duration::from_millis(1_200);
/// The calls of so long are looked at together.
const SHARE_OF: Duration = Duration::from_millis(250);
/// An overload is over when fewer of them than one in so many were slow: some are on a machine that stands still now and then.
const SLOW_SHARE: u64 = 10;
/// So many calls are worked off in a few milliseconds; a call that is slow while no more wait was held up by something else.
const FEW: usize = 128;
/// So many times as long as a page view may wait is no burst any more.
const LONG: u32 = 5;
/// How many calls of average length a page view may wait for, when that takes longer than [`Bounds::wait`](super::limits::Bounds).
const IN_LINE: u64 = 4;
/// The part of a new measurement in the average.
const NEW_PART: u64 = 8;
/// How many calls are refused at once in each [`WINDOW`]: a refusal costs some ten microseconds, so these are a hundredth of
/// a thread's time.
const AT_ONCE: u64 = 100;
/// See [`AT_ONCE`].
const WINDOW: Duration = Duration::from_millis(100);
/// How long any other refusal is held back at least, unless its caller waits for less than twice that.
const HELD: Duration = Duration::from_millis(200);
/// And at most: a page view is told to try again after as long.
const HELD_LONGEST: Duration = Duration::from_secs(1);
/// Those that were refused together, and are held for longer than [`HELD`], are told over so much of their time: were they told together,
/// they would come again together.
const SPREAD: f64 = 0.25;
/// The golden section.
const GOLDEN: f64 = 0.618_033_988_749_894_8;
/// How many of those that are held are told in a second, as far as [`HELD_LONGEST`] allows: a twentieth of a thread's time.
const TOLD: f64 = 3_300.0;
/// How many calls are held back at a time: each is a timer and headers.
const HELD_MAX: usize = 15_360;
/// How much of the streams of one connection: some are left for reports, which take them for a moment only.
const OF_ONE: (usize, usize) = (15, 16);
/// How many calls that are never refused may wait at a time: more are not asked by whoever operates a server.
const VITAL_MAX: usize = 256;
/// How many times as long as a page view a call that reports or serves may wait.
const PATIENCE: u32 = 100;

/// The calls that wait for their turn.
#[derive(Debug)]
pub(super) struct Queue {
    began: Instant,
    waiting_max: usize,
    held_of_one_max: usize,
    wait: Duration,
    waiting: AtomicUsize,
    /// Those of [`Class::Vital`], which take no place of others.
    vital: AtomicUsize,
    /// How long a call takes whose turn has come, in nanoseconds, on average of those that had waited lately.
    takes: AtomicU64,
    /// Microseconds from the beginning to the last slow call.
    slow_at: AtomicU64,
    /// The same to the first of those without a pause between them.
    slow_since: AtomicU64,
    /// Of the calls of [`SHARE_OF`] under overload its number, how many were slow, and how many there were (20 bits each of the latter).
    share: AtomicU64,
    /// The number of the window, and how many were refused at once in it (the last 20 bits).
    at_once: AtomicU64,
    held: AtomicUsize,
    /// Those whose turn came before their message.
    coming: AtomicUsize,
}

impl Queue {
    pub(super) fn new(bounds: &Bounds) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            waiting_max: bounds.waiting,
            held_of_one_max: bounds.streams_per_connection as usize * OF_ONE.0 / OF_ONE.1,
            wait: bounds.wait,
            waiting: AtomicUsize::new(0),
            vital: AtomicUsize::new(0),
            takes: AtomicU64::new(0),
            slow_at: AtomicU64::new(0),
            slow_since: AtomicU64::new(0),
            share: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            coming: AtomicUsize::new(0),
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
        let held = self.held.load(Ordering::Relaxed);
        let longest = Duration::from_secs_f64(held as f64 / TOLD).min(HELD_LONGEST);
        // Multiples of the golden section lie evenly between 0 and 1.
        let part = (held as f64 * GOLDEN).fract();
        let long = longest.mul_f64(1.0 - SPREAD * part).max(HELD);
        let span = deadline.map_or(long, |deadline| long.min(deadline / 2));
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
        (all < HELD_MAX && of_one < self.held_of_one_max).then_some(held)
    }

    /// Counts a call whose message was not there when its turn came; not those of health, which everybody may begin and leave.
    pub(super) fn coming(&self, class: Class) -> Coming<'_> {
        // From here on it counts until this is dropped.
        if class != Class::Vital {
            self.coming.fetch_add(1, Ordering::Relaxed);
        }
        Coming { queue: self, class }
    }

    /// Judges a call that waited, `now` after the beginning, beside `others` that still do.
    fn judge(&self, class: Class, waited: Duration, others: usize, now: Duration) -> Result<(), Excess> {
        let wait = self.wait.max(self.in_line());
        let is_slow = waited > wait && class != Class::Vital;
        let is_overloaded = self.is_overloaded(now);
        if is_overloaded && class != Class::Vital {
            self.count(is_slow, now);
        }
        if is_slow && (is_overloaded || (waited > wait * LONG && others > FEW)) {
            self.note_slow(now);
        }
        let allowed = match class {
            Class::Vital => return Ok(()),
            Class::Report => wait * PATIENCE,
            Class::Page => wait,
            Class::Bulk => Duration::ZERO,
        };
        if waited > allowed && self.is_overloaded(now) {
            return Err(Excess(class));
        }
        Ok(())
    }

    /// Returns how long those take who are in line before a call.
    fn in_line(&self) -> Duration {
        let nanos = self.takes.load(Ordering::Relaxed).saturating_mul(IN_LINE);
        Duration::from_nanos(nanos).min(self.wait * PATIENCE)
    }

    /// Says how long a thread was at work for a call that had waited for its turn. What another thread says at the same time may be lost.
    pub(super) fn took(&self, span: Duration) {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let before = self.takes.load(Ordering::Relaxed);
        let after = before - before / NEW_PART + span / NEW_PART;
        self.takes.store(after, Ordering::Relaxed);
    }

    /// Who comes between the two stores of another thread sees a pause that was none, or none where one was: the next
    /// slow call puts it right.
    fn note_slow(&self, now: Duration) {
        let pause = if self.is_overloaded(now) { OVER } else { PAUSE };
        let now = micros(now);
        if now.saturating_sub(self.slow_at.load(Ordering::Relaxed)) > micros(pause) {
            self.slow_since.store(now, Ordering::Relaxed);
        }
        self.slow_at.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts a call under overload, and ends it when few calls were slow lately.
    fn count(&self, is_slow: bool, now: Duration) {
        const COUNT: u64 = 0xf_ffff;
        const NUMBER: u64 = 0xff_ffff;
        let number = (micros(now) / micros(SHARE_OF)) & NUMBER;
        let parts = |share: u64| (share >> 40, share >> 20 & COUNT, share & COUNT);
        let add = |before: u64| {
            let (of, slow, all) = parts(before);
            let (slow, all) = if of == number { (slow, all) } else { (0, 0) };
            Some(number << 40 | (slow + u64::from(is_slow)).min(COUNT) << 20 | (all + 1).min(COUNT))
        };
        let before = self.share.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let (of, slow, all) = parts(before.unwrap_or_default());
        let is_calm = slow * SLOW_SHARE < all && self.held.load(Ordering::Relaxed) < FEW;
        if (of + 1) & NUMBER == number && is_calm {
            self.end();
        }
    }

    /// Notes that there is no overload.
    fn end(&self) {
        self.slow_at.store(0, Ordering::Relaxed);
        self.slow_since.store(0, Ordering::Relaxed);
    }

    /// Tells whether more is asked than can be answered.
    pub(super) fn is_overloaded_now(&self) -> bool {
        self.has_stood() && self.is_overloaded(self.began.elapsed())
    }

    /// Tells whether there was an overload that nobody has found to be over: without a look at the clock.
    fn has_stood(&self) -> bool {
        let (since, at) = (
            self.slow_since.load(Ordering::Relaxed),
            self.slow_at.load(Ordering::Relaxed),
        );
        at.saturating_sub(since) >= micros(STANDING)
    }

    fn is_overloaded(&self, now: Duration) -> bool {
        if !self.has_stood() {
            return false;
        }
        let is_over = micros(now).saturating_sub(self.slow_at.load(Ordering::Relaxed)) > micros(OVER);
        if is_over {
            self.end();
        }
        !is_over
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
        if waited <= queue.wait && !queue.has_stood() {
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

/// A call whose message comes, until this is dropped.
#[derive(Debug)]
pub(super) struct Coming<'a> {
    queue: &'a Queue,
    class: Class,
}

impl Coming<'_> {
    /// Judges the call once more when its message is there, which the server has had to read since then at most.
    ///
    /// # Errors
    /// When it is too late for the call.
    pub(super) fn judge(self, since: Instant) -> Result<(), Excess> {
        let now = self.queue.began.elapsed();
        self.judge_at(since.elapsed(), now)
    }

    fn judge_at(self, waited: Duration, now: Duration) -> Result<(), Excess> {
        let own = usize::from(self.class != Class::Vital);
        let others = self.queue.coming.load(Ordering::Relaxed).saturating_sub(own);
        self.queue.judge(self.class, waited, others, now)
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        if self.class != Class::Vital {
            self.queue.coming.fetch_sub(1, Ordering::Relaxed);
        }
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
