//! Work beside live calls: how a thread steps back for them.

use std::thread;
use std::time::{Duration, Instant};

/// Lets live traffic go first: a lower priority for this thread, for good, so it must not be one that others use.
pub fn step_back() {
    // Only here a priority is a thread's own; elsewhere it is the whole process's. When it is refused, all stays as it was.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// At 10, the share of a core is a tenth of that of a thread at 0, and all of it while nobody else wants it. Lower still,
/// and a thread could be kept waiting long while it holds a customer's lock.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// How many times as long as a step a rest takes. Calls that fall on a step find the caches, the memory and the disk busy, and
/// are slower; with three rests to a step these are a quarter of all at most, and a checkpoint takes four times as long.
const RESTS: u32 = 3;
/// The longest rest: a step that took longer was itself kept waiting.
const REST_MAX: Duration = Duration::from_millis(20);

/// Works in steps, with rests between them as long as there are calls to make room for.
pub(super) struct Pace {
    is_gentle: bool,
    began: Instant,
    /// How far the journal was when the step began.
    written: u64,
}

impl Pace {
    /// Begins the first step; without rests unless `is_gentle`.
    pub(super) fn new(is_gentle: bool, written: u64) -> Self {
        Self {
            is_gentle,
            began: now(),
            written,
        }
    }

    /// Ends a step and begins the next one, after a rest when something was written meanwhile, so that there are callers.
    #[expect(
        clippy::disallowed_methods,
        reason = "it waits for nothing but leaves time to others"
    )]
    pub(super) fn step(&mut self, written: u64) {
        if !self.is_gentle {
            return;
        }
        if std::mem::replace(&mut self.written, written) != written {
            thread::sleep((self.began.elapsed() * RESTS).min(REST_MAX));
        }
        self.began = now();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took decides how long the rest is, and nothing else"
)]
fn now() -> Instant {
    Instant::now()
}
