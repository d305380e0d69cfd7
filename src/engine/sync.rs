//! The one way in which the engine's shared state is locked, so that the same code runs in production and under a checker
//! that tries interleavings of threads.

/// A value behind a lock.
pub(super) trait Locked<T> {
    /// Makes it.
    fn new(value: T) -> Self;

    /// Works on the value while nobody else can.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Locked<T> for parking_lot::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

#[cfg(test)]
impl<T> Locked<T> for shuttle::sync::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock().unwrap())
    }
}
