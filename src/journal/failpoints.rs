//! Named points at which the process can be told to die, so that a test may kill it in the middle of a write or of a
//! checkpoint. Only with the feature `failpoints`, which no release has: without it there is no point, and nothing to tell.
//!
//! One point of one process is enough for that, so this is one atomic counter and no library.

#[cfg(feature = "failpoints")]
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Every point.
#[cfg(feature = "failpoints")]
pub const POINTS: [&str; 19] = [
    "log::before_write",
    "log::after_write",
    "log::torn_write",
    "log::before_sync",
    "log::trim",
    "checkpoint::kept",
    "checkpoint::listed",
    "checkpoint::writing",
    "checkpoint::before_rename",
    "checkpoint::after_rename",
    "erase::recorded",
    "erase::kept",
    "erase::before_books",
    "erase::before_destroy",
    "keys::destroying",
    "merge::before_record",
    "merge::recorded",
    "unmerge::restored",
    "unmerge::recorded",
];

/// Which point kills, and how many more passes it takes.
#[cfg(feature = "failpoints")]
static ARMED: OnceLock<(String, AtomicU64)> = OnceLock::new();

/// Arms one point of this process: `log::after_write:37` ends it the 37th time that it comes there.
///
/// # Errors
/// When the text names no point, or something is armed already.
#[cfg(feature = "failpoints")]
pub fn arm(text: &str) -> Result<(), String> {
    let points = POINTS.join(", ");
    let (name, pass) = text
        .rsplit_once(':')
        .and_then(|(name, pass)| Some((name, pass.parse().ok().filter(|&pass: &u64| pass > 0)?)))
        .filter(|(name, _)| POINTS.contains(name))
        .ok_or_else(|| format!("`{text}` is no fail point; write one as log::after_write:37, with one of {points}"))?;
    let armed = ARMED.set((name.to_owned(), AtomicU64::new(pass)));
    armed.map_err(|_| "a fail point is armed already".to_owned())
}

/// Ends the process when this point is armed and it is time.
pub(crate) fn fail_point(name: &str) {
    #[cfg(test)]
    passing::pass(name);
    if is_due(name) {
        std::process::abort();
    }
}

/// Tells whether this point is armed and it is time; the process is to end in the middle of what follows.
#[cfg(feature = "failpoints")]
pub(super) fn is_due(name: &str) -> bool {
    let armed = ARMED.get().filter(|(armed, _)| armed == name);
    armed.is_some_and(|(_, left)| left.fetch_sub(1, Ordering::Relaxed) == 1)
}

/// Nothing is armed in a release.
#[cfg(not(feature = "failpoints"))]
pub(super) const fn is_due(_: &str) -> bool {
    false
}

/// What a test does in the middle of something, as another thread might.
#[cfg(test)]
pub(crate) mod passing {
    use std::cell::RefCell;

    type Work = Box<dyn FnOnce()>;

    thread_local! {
        static NEXT: RefCell<Option<(&'static str, Work)>> = RefCell::default();
    }

    /// Lets this thread do something once, when it comes to a point.
    pub(crate) fn at(name: &'static str, work: impl FnOnce() + 'static) {
        NEXT.set(Some((name, Box::new(work))));
    }

    /// Does what was to be done at this point.
    pub(super) fn pass(name: &str) {
        let is_due = NEXT.with_borrow(|next| next.as_ref().is_some_and(|(point, _)| *point == name));
        if is_due && let Some((_, work)) = NEXT.take() {
            work();
        }
    }
}
