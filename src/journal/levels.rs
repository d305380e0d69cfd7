//! The journal of one engine: every change in order, written before it counts.
//!
//! [`Journal::append`] hands a record to the log, in the order of the calls. What that promises is the [`Level`]:
//!
//! * `process`: the record has reached the operating system. It survives the end of the process, however sudden.
//! * `power`: besides, [`Journal::settle`] (or the hook of [`Journal::on_settled`]) says when it has reached the disk. One
//!   thread syncs whenever something new was written and the sync before is done, so the more callers there are, the more
//!   records share one sync; no timer is involved.
//!
//! **When writing fails.** A full disk refuses the record and nothing else: nothing was changed, and the next one is tried
//! anew. Whatever leaves open whether a record was written, and a sync that fails, stop the journal for good: no further
//! record is taken, since nobody could say after which it comes. Reading on is allowed; a restart finds out what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::{AppendError, Keys, Log, LogError};

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Written to the operating system: survives the end of the process.
    Process,
    /// Synced to the disk: survives a loss of power.
    Power,
}

impl Level {
    /// Returns its name in settings and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// Why a change was not written, and so not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// There is no room for it now.
    #[error("the journal did not take it ({0}); nothing was changed; try again when there is room on its disk")]
    Refused(Arc<str>),
    /// Nothing is written any more.
    #[error("the journal has stopped: {0}; nothing is recorded until the server is started anew")]
    Stopped(Arc<str>),
    /// It was written, and then the disk failed.
    #[error(
        "the journal has stopped: {0}; whether this call is recorded shows when the server is started anew: repeat it then, with the \
         same request id"
    )]
    Unsettled(Arc<str>),
}

/// How far the disk has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The number of the last record that survives a loss of power.
    pub number: u64,
    /// Why no further one will, if that is so.
    pub stopped: Option<Arc<str>>,
}

type Hook = Box<dyn Fn(&Settled) + Send + Sync>;

/// The journal.
pub struct Journal {
    shared: Arc<Shared>,
    keys: Keys,
    epoch: u64,
    first: u64,
    level: Level,
    /// The number of the next record.
    next: Mutex<u64>,
    /// The number of the last record that was written, for readers without the lock.
    written: AtomicU64,
    bytes: AtomicU64,
    syncing: Option<JoinHandle<()>>,
}

struct Shared {
    log: Box<dyn Log>,
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the thread that syncs.
    wanted: Condvar,
    is_stopped: AtomicBool,
    refused: AtomicU64,
    hook: Mutex<Option<Hook>>,
    syncs: AtomicU64,
}

#[derive(Default)]
struct State {
    wanted: u64,
    settled: Settled,
    is_ending: bool,
}

impl Journal {
    /// Takes over a log whose first record has the number `first`, and the keys with which its records are sealed.
    ///
    /// # Errors
    /// When the log cannot be taken over.
    pub fn begin(log: Box<dyn Log>, keys: Keys, first: u64, level: Level) -> Result<Self, LogError> {
        let claim = log.acquire()?;
        let last = claim.next - 1;
        let shared = Arc::new(Shared {
            log,
            state: Mutex::default(),
            changed: Condvar::new(),
            wanted: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            hook: Mutex::default(),
            syncs: AtomicU64::new(0),
        });
        // What was there when the log was opened is on the disk.
        {
            let mut state = shared.state.lock();
            state.wanted = last;
            state.settled.number = last;
        }
        let syncing = (level == Level::Power)
            .then(|| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name("nbo-sync".to_owned())
                    .spawn(move || shared.keep_syncing())
            })
            .transpose()
            .map_err(|error| LogError::Stopped {
                why: format!("no thread can be started: {error}"),
            })?;
        Ok(Self {
            shared,
            keys,
            epoch: claim.epoch,
            first,
            level,
            next: Mutex::new(claim.next),
            written: AtomicU64::new(last),
            bytes: AtomicU64::new(0),
            syncing,
        })
    }

    /// Returns what an acknowledgement promises.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Returns the keys with which records are sealed.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Writes a record; on return it has reached the operating system. Returns its number.
    ///
    /// # Errors
    /// When it was not written; then it never will be.
    pub fn append(&self, record: &[u8]) -> Result<u64, NotWritten> {
        let mut next = self.next.lock();
        let number = *next;
        if self.shared.is_stopped.load(Ordering::Acquire) {
            return Err(NotWritten::Stopped(self.stopped().unwrap_or_default()));
        }
        match self.shared.log.append(self.epoch, number, record) {
            Ok(()) => {}
            Err(AppendError::Refused(error)) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                return Err(NotWritten::Refused(error.to_string().into()));
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                self.shared.stop(&why);
                return Err(NotWritten::Stopped(why));
            }
        }
        *next = number + 1;
        self.written.store(number, Ordering::Release);
        drop(next);
        self.bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        if self.level == Level::Power {
            let mut state = self.shared.state.lock();
            state.wanted = state.wanted.max(number);
            drop(state);
            self.shared.wanted.notify_one();
        }
        Ok(number)
    }

    /// Returns the number of the first record that there was at the beginning.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the last record that was written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Returns how many bytes of records were written since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many records were refused since the start, as by a full disk.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Returns how often the disk was synced since the start.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }

    /// Returns how far the disk has got; of use at the level `power` only.
    #[must_use]
    pub fn settled(&self) -> Settled {
        self.shared.state.lock().settled.clone()
    }

    /// Returns why nothing is written any more, if that is so.
    #[must_use]
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.shared.state.lock().settled.stopped.clone()
    }

    /// Calls `hook` now, and whenever the disk has got further or the journal has stopped, from the thread that found out.
    pub fn on_settled(&self, hook: Hook) {
        let state = self.shared.state.lock();
        // What happened before is told as well, so that nothing falls between asking and listening.
        hook(&state.settled);
        *self.shared.hook.lock() = Some(hook);
    }

    /// Waits until everything written so far is as safe as the level promises.
    ///
    /// # Errors
    /// When the journal has stopped before.
    pub fn settle(&self) -> Result<(), NotWritten> {
        let wanted = self.written();
        if self.level == Level::Process {
            return Ok(());
        }
        let mut state = self.shared.state.lock();
        while state.settled.number < wanted {
            if let Some(why) = &state.settled.stopped {
                return Err(NotWritten::Unsettled(Arc::clone(why)));
            }
            self.shared.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Lets another owner take the log over, so that this journal takes nothing any more.
    ///
    /// # Errors
    /// When the log cannot be taken over.
    #[cfg(test)]
    pub(crate) fn fence(&self) -> Result<(), LogError> {
        self.shared.log.acquire().map(drop)
    }

    /// Syncs the disk now, whatever the level.
    ///
    /// # Errors
    /// When it fails; the journal has stopped then.
    pub fn sync(&self) -> Result<u64, LogError> {
        self.shared.sync()
    }

    /// Reads the records from a number on, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> std::ops::ControlFlow<()>,
    ) -> Result<(), LogError> {
        self.shared.log.read(from, visit)
    }

    /// Gives up the records before a number; some of them may stay.
    ///
    /// # Errors
    /// When the log cannot be shortened; it is as good as before.
    pub fn trim(&self, before: u64) -> Result<(), LogError> {
        self.shared.log.trim(before)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.state.lock().is_ending = true;
        self.shared.wanted.notify_one();
        if let Some(syncing) = self.syncing.take() {
            // A thread that died has stopped the journal, and there is nobody left to tell.
            let _ = syncing.join();
        }
    }
}

/// Stops the journal when the thread that syncs dies of a fault.
struct StopWhenDead<'a>(&'a Shared);

impl Drop for StopWhenDead<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(&"the thread that syncs has died".into());
        }
    }
}

impl Shared {
    fn keep_syncing(&self) {
        // Should this thread die, nobody is to wait for it for ever.
        let _guard = StopWhenDead(self);
        loop {
            {
                let mut state = self.state.lock();
                while state.wanted <= state.settled.number && !state.is_ending {
                    self.wanted.wait(&mut state);
                }
                if state.wanted <= state.settled.number || state.settled.stopped.is_some() {
                    return;
                }
            }
            if self.sync().is_err() {
                return;
            }
        }
    }

    fn sync(&self) -> Result<u64, LogError> {
        let synced = self.log.sync();
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match &synced {
            Ok(number) => {
                let mut state = self.state.lock();
                state.settled.number = state.settled.number.max(*number);
                self.tell(&state.settled.clone());
            }
            Err(error) => self.stop(&error.to_string().into()),
        }
        self.changed.notify_all();
        synced
    }

    fn stop(&self, why: &Arc<str>) {
        self.is_stopped.store(true, Ordering::Release);
        let mut state = self.state.lock();
        let first = Arc::clone(why);
        state.settled.stopped.get_or_insert(first);
        self.tell(&state.settled.clone());
        drop(state);
        self.changed.notify_all();
    }

    fn tell(&self, settled: &Settled) {
        if let Some(hook) = &*self.hook.lock() {
            hook(settled);
        }
    }
}
