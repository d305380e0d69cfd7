//! Who watches whom.
//!
//! One [`tokio::sync::watch`] channel for each customer that is watched, made by the first watcher and removed by the
//! last, and one for the catalog. A channel carries no list: a watcher that wakes decides afresh. So one that reads slowly
//! holds up nobody, misses lists in between, and gets the newest. A change is marked as seen *before* the list is made,
//! so a change that comes meanwhile wakes the watcher again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;

use super::limits::WATCHERS_MAX;
use super::status::Refusal;
use crate::domain::ids::CustomerKey;

/// The watchers of one server.
#[derive(Debug)]
pub struct WatchHub {
    customers: DashMap<CustomerKey, watch::Sender<()>>,
    watchers: AtomicUsize,
    catalog: watch::Sender<()>,
    closing: watch::Sender<bool>,
}

impl Default for WatchHub {
    fn default() -> Self {
        Self {
            customers: DashMap::new(),
            watchers: AtomicUsize::new(0),
            catalog: watch::Sender::new(()),
            closing: watch::Sender::new(false),
        }
    }
}

impl WatchHub {
    /// Wakes the watchers of a customer. Costs one atomic load while nobody watches anybody.
    pub fn customer_changed(&self, customer: CustomerKey) {
        if self.watchers.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(sender) = self.customers.get(&customer) {
            sender.send_replace(());
        }
    }

    /// Wakes all watchers: another catalog or model is in force.
    pub fn catalog_changed(&self) {
        self.catalog.send_replace(());
    }

    /// Ends all watching: the server is going down.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns how many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Acquire)
    }

    /// Begins to watch a customer.
    ///
    /// # Errors
    /// When [`WATCHERS_MAX`] watch already.
    pub fn watch(self: &Arc<Self>, customer: CustomerKey) -> Result<Watcher, Refusal> {
        if self.watchers.fetch_add(1, Ordering::AcqRel) >= WATCHERS_MAX {
            self.watchers.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::TooManyWatchers(WATCHERS_MAX));
        }
        let changes = self
            .customers
            .entry(customer)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        let (catalog, closing) = (self.catalog.subscribe(), self.closing.subscribe());
        Ok(Watcher {
            hub: Arc::clone(self),
            customer,
            changes: Some(changes),
            catalog,
            closing,
        })
    }
}

/// What woke a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The customer changed.
    ByCustomer,
    /// The catalog or a model changed.
    ByCatalog,
    /// The server is going down.
    ByClosing,
}

/// One who watches a customer; dropping it ends the watching.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<WatchHub>,
    customer: CustomerKey,
    /// There until the end; gone first then, so that the last one can tell that it is the last.
    changes: Option<watch::Receiver<()>>,
    catalog: watch::Receiver<()>,
    closing: watch::Receiver<bool>,
}

impl Watcher {
    /// Marks all changes so far as seen; to be called before the list is made.
    pub fn mark_seen(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        self.catalog.mark_unchanged();
    }

    /// Waits for a change since [`Watcher::mark_seen`]. Nothing is lost when the wait is given up.
    pub async fn woken(&mut self) -> Woken {
        let Some(customer) = &mut self.changes else {
            return Woken::ByClosing;
        };
        // A sender that is gone went with the hub.
        tokio::select! {
            biased;
            _ = self.closing.wait_for(|closing| *closing) => Woken::ByClosing,
            told = self.catalog.changed() => told.map_or(Woken::ByClosing, |()| Woken::ByCatalog),
            told = customer.changed() => told.map_or(Woken::ByClosing, |()| Woken::ByCustomer),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.changes = None;
        self.hub
            .customers
            .remove_if(&self.customer, |_, sender| sender.receiver_count() == 0);
        self.hub.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CustomerId;

    fn key(name: &str) -> CustomerKey {
        CustomerId::known(name).unwrap().key()
    }

    #[tokio::test]
    async fn a_watcher_is_woken_by_its_customer_and_by_the_catalog_only() {
        let hub = Arc::new(WatchHub::default());
        let mut watcher = hub.watch(key("anna")).unwrap();
        hub.customer_changed(key("ben"));
        hub.customer_changed(key("anna"));
        assert_eq!(watcher.woken().await, Woken::ByCustomer);
        hub.catalog_changed();
        assert_eq!(watcher.woken().await, Woken::ByCatalog);
        hub.close();
        assert_eq!(watcher.woken().await, Woken::ByClosing);
    }

    #[tokio::test]
    async fn many_changes_wake_once_and_one_after_the_mark_is_not_lost() {
        let hub = Arc::new(WatchHub::default());
        let mut watcher = hub.watch(key("anna")).unwrap();
        hub.customer_changed(key("anna"));
        hub.customer_changed(key("anna"));
        watcher.mark_seen();
        hub.customer_changed(key("anna"));
        assert_eq!(watcher.woken().await, Woken::ByCustomer);
        hub.close();
        assert_eq!(watcher.woken().await, Woken::ByClosing, "nothing else was left");
    }

    #[test]
    fn the_last_watcher_of_a_customer_takes_the_channel_with_it() {
        let hub = Arc::new(WatchHub::default());
        let (one, other) = (hub.watch(key("anna")).unwrap(), hub.watch(key("anna")).unwrap());
        drop(one);
        assert_eq!((hub.watchers(), hub.customers.len()), (1, 1));
        drop(other);
        assert_eq!((hub.watchers(), hub.customers.len()), (0, 0));
    }

    #[test]
    fn one_watcher_too_many_is_refused_until_another_leaves() {
        let hub = Arc::new(WatchHub::default());
        let mut all: Vec<_> = (0..WATCHERS_MAX).map(|_| hub.watch(key("anna")).unwrap()).collect();
        assert_eq!(
            hub.watch(key("ben")).unwrap_err(),
            Refusal::TooManyWatchers(WATCHERS_MAX)
        );
        all.pop();
        assert!(hub.watch(key("ben")).is_ok());
    }
}
