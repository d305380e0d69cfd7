//! A few threads that work off tasks; results are taken in the order of the tasks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// A task, and where its result goes.
pub(super) struct Task<J, D> {
    pub(super) job: J,
    pub(super) done: SyncSender<D>,
}

/// The threads' end of a pool.
pub(super) struct Tasks<J, D> {
    waiting: Mutex<Receiver<Task<J, D>>>,
    stopped: AtomicBool,
}

impl<J, D> Tasks<J, D> {
    pub(super) const fn new(waiting: Receiver<Task<J, D>>) -> Self {
        Self {
            waiting: Mutex::new(waiting),
            stopped: AtomicBool::new(false),
        }
    }

    /// Leaves the tasks that nobody has begun undone.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the next task; `None` when there will be no more.
    pub(super) fn next(&self) -> Option<Task<J, D>> {
        // A thread that died while it waited here left nothing half-done behind.
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.recv().ok().filter(|_| !self.stopped.load(Ordering::Relaxed))
    }
}

/// Tasks under way, in order.
pub(super) struct Queue<D>(VecDeque<Receiver<D>>);

impl<D> Default for Queue<D> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<D> Queue<D> {
    /// Hands in a task.
    pub(super) fn submit<J>(&mut self, tasks: &Sender<Task<J, D>>, job: J) {
        let (done, result) = sync_channel(1);
        // When no thread is left, the result says so.
        let _ = tasks.send(Task { job, done });
        self.0.push_back(result);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Waits for the result of the oldest task; `None` when there is none under way, `Some(None)` when its thread died.
    #[expect(
        clippy::option_option,
        reason = "whether there was a task, and whether it came to its end"
    )]
    pub(super) fn take(&mut self) -> Option<Option<D>> {
        Some(self.0.pop_front()?.recv().ok())
    }
}
