//! Hands out a few things that only one thread at a time may use, such as sessions.
//!
//! A thread waits only when everything is in use. Among what is free it takes the slot it has used before, since a
//! session's trees are then still in its processor's cache. Which slots are free is one word behind a lock that is held
//! for a few nanoseconds; the slot's own lock is never contended, and is there because Rust wants it said.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

/// The most sessions of one model: one bit each in a word. More than that many threads score at the same time only on
/// machines with more processors, and then some of them wait.
pub const SESSIONS_MAX: usize = 64;

/// The number that the next new thread gets.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's number, which picks its own slot in every pool.
    static THREAD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

/// A fixed number of slots, each lent to one thread at a time.
pub(super) struct Pool<T> {
    slots: Vec<Mutex<T>>,
    free: Mutex<u64>,
    returned: Condvar,
}

impl<T> Pool<T> {
    /// Makes a pool of the first [`SESSIONS_MAX`] of `slots`, which must not be empty.
    pub(super) fn new(slots: Vec<T>) -> Self {
        let slots: Vec<Mutex<T>> = slots.into_iter().take(SESSIONS_MAX).map(Mutex::new).collect();
        let free = (0..slots.len()).fold(0, |free, slot| free | 1 << slot);
        Self {
            slots,
            free: Mutex::new(free),
            returned: Condvar::new(),
        }
    }

    /// Lends a slot to `use_slot`, waiting for one when none is free.
    pub(super) fn with<R>(&self, use_slot: impl FnOnce(&mut T) -> R) -> R {
        let lent = self.take();
        use_slot(&mut self.slots[lent.slot].lock())
    }

    fn take(&self) -> Lent<'_, T> {
        let own = THREAD.get() % self.slots.len();
        let mut free = self.free.lock();
        while *free == 0 {
            self.returned.wait(&mut free);
        }
        let slot = if *free & (1 << own) == 0 {
            free.trailing_zeros() as usize
        } else {
            own
        };
        *free &= !(1 << slot);
        Lent { pool: self, slot }
    }
}

/// A slot in use; giving it back on drop keeps it from being lost to a panic.
struct Lent<'a, T> {
    pool: &'a Pool<T>,
    slot: usize,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        *self.pool.free.lock() |= 1 << self.slot;
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn as_many_threads_as_slots_work_at_the_same_time() {
        let pool = Pool::new(vec![(), (), ()]);
        let all_inside = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                // The barrier opens only when all three hold a slot at once.
                scope.spawn(|| pool.with(|()| all_inside.wait()));
            }
        });
    }

    #[test]
    fn more_threads_than_slots_take_turns_and_lose_nothing() {
        let pool = Pool::new(vec![0_u64, 0]);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| pool.with(|count| *count += 1)));
            }
        });
        assert_eq!(pool.slots.iter().map(|slot| *slot.lock()).sum::<u64>(), 8_000);
        assert_eq!(*pool.free.lock(), 0b11);
    }

    #[test]
    fn a_panic_gives_its_slot_back() {
        let pool = Pool::new(vec![()]);
        let result = thread::scope(|scope| scope.spawn(|| pool.with(|()| panic!("on purpose"))).join());
        assert!(result.is_err());
        assert_eq!(pool.with(|()| 7), 7);
    }

    #[test]
    fn a_thread_keeps_to_its_own_slot() {
        let pool = Pool::new(vec![0_u64; 5]);
        for _ in 0..10 {
            pool.with(|count| *count += 1);
        }
        let counts: Vec<u64> = pool.slots.iter().map(|slot| *slot.lock()).collect();
        assert!(counts.contains(&10), "{counts:?}");
    }
}
