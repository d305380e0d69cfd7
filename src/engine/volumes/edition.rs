//! What counts against each volume, for each of the catalogs that calls run on.
//!
//! A view is made once for a catalog, from the whole ledger, and then kept up with every change. A reload does not end the
//! calls that began before it, so what was made for the catalogs before stays for a while: were there one set of views only, calls
//! on the old and on the new catalog would make them anew in turns.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::super::Active;
use super::books::{Cell, KINDS, Ledger};
use super::series::{begin, step};
use crate::catalog::{Catalog, Volume};
use crate::decision::calendar::Period;
use crate::decision::policy::reservation;
use crate::decision::volumes::window;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

/// Catalogs of which views are kept: the newest, and those before it that calls under way may still run on. Each one more costs
/// every change its share.
const EDITIONS_MAX: usize = 3;

/// For how long views of an older catalog are kept after somebody asked for them: longer than any call takes.
const KEPT_FOR: Millis = Millis::MINUTE;

/// What counts against one volume in the window in which somebody asked last.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) window: Period,
    pub(super) counted: u64,
    /// Those of them that lie behind the window, by steps: none unless a clock stepped back.
    ahead: BTreeMap<i32, u32>,
    /// How many are reserved at the latest instant of any call.
    held: u64,
    /// When how many reservations are over; those that are over by then are kept a while for calls of before.
    open: BTreeMap<Timestamp, u32>,
}

impl View {
    pub(super) fn count(&mut self, at: Timestamp, is_more: bool) {
        if step(at) >= step(self.window.start) {
            self.counted = if is_more {
                self.counted + 1
            } else {
                self.counted.saturating_sub(1)
            };
        }
        if step(at) >= step(self.window.end) {
            let ahead = self.ahead.entry(step(at)).or_default();
            *ahead = if is_more { *ahead + 1 } else { ahead.saturating_sub(1) };
            if *ahead == 0 {
                self.ahead.remove(&step(at));
            }
        }
    }

    /// Returns how many count that lie behind the window, ascending.
    pub(super) fn ahead(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.ahead.iter().map(|(&step, &number)| (begin(step), number))
    }

    pub(super) fn hold(&mut self, over_at: Timestamp, number: u32, latest: Timestamp) {
        *self.open.entry(over_at).or_default() += number;
        if latest < over_at {
            self.held += u64::from(number);
        }
    }

    pub(super) fn release(&mut self, over_at: Timestamp, latest: Timestamp) {
        let Some(open) = self.open.get_mut(&over_at) else {
            return;
        };
        if *open > 1 {
            *open -= 1;
        } else {
            self.open.remove(&over_at);
        }
        if latest < over_at {
            self.held = self.held.saturating_sub(1);
        }
    }

    /// Returns how many are reserved at an instant, which may lie before the latest.
    pub(super) fn held_at(&self, now: Timestamp, latest: Timestamp) -> u64 {
        self.held + self.over_between(now, latest)
    }

    /// Returns when how many of them are over, ascending.
    pub(super) fn open_after(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = (Timestamp, u32)> + Clone + '_ {
        let open = self.open.range((Bound::Excluded(now), Bound::Unbounded));
        open.map(|(&at, &number)| (at, number))
    }

    /// Counts those that are over after an instant and up to another.
    fn over_between(&self, after: Timestamp, upto: Timestamp) -> u64 {
        if upto <= after {
            return 0;
        }
        let over = self.open.range((Bound::Excluded(after), Bound::Included(upto)));
        over.map(|(_, &number)| u64::from(number)).sum()
    }

    /// Counts anew. When reservations are over, the newest catalog says.
    fn make(
        catalog: &Catalog,
        newest: &Catalog,
        volume: &Volume,
        ledger: &Ledger,
        (now, latest): (Timestamp, Timestamp),
    ) -> Self {
        let window = window(catalog, volume, now);
        let mut view = Self {
            window,
            counted: counted(catalog, volume, ledger, window),
            ahead: ahead(catalog, volume, ledger, window),
            held: 0,
            open: BTreeMap::new(),
        };
        let Some(kind) = kind(volume) else { return view };
        for (&channel, queue) in &ledger.held {
            let reservation = reservation(newest, channel);
            for (held, open) in queue {
                if open[kind] > 0 && volume.counts(catalog, held.offer, channel) {
                    view.hold(held.decided_at + reservation, open[kind], latest);
                }
            }
        }
        view
    }
}

/// Counts what happened in a window of a volume.
fn counted(catalog: &Catalog, volume: &Volume, ledger: &Ledger, window: Period) -> u64 {
    let Some(kind) = kind(volume) else { return 0 };
    let series = ledger.series.iter();
    let concerned = series.filter(|(cell, _)| volume.counts(catalog, cell.offer, cell.channel));
    concerned.map(|(_, series)| series[kind].since(window.start)).sum()
}

/// Counts what happened behind a window of a volume, by steps.
fn ahead(catalog: &Catalog, volume: &Volume, ledger: &Ledger, window: Period) -> BTreeMap<i32, u32> {
    let mut ahead = BTreeMap::new();
    let Some(kind) = kind(volume) else { return ahead };
    let series = ledger.series.iter();
    for (_, series) in series.filter(|(cell, _)| volume.counts(catalog, cell.offer, cell.channel)) {
        for (step, number) in series[kind].steps_from(window.end) {
            *ahead.entry(step).or_default() += number;
        }
    }
    ahead
}

fn kind(volume: &Volume) -> Option<usize> {
    KINDS.iter().position(|&counted| counted == volume.counted)
}

/// The views of one catalog.
#[derive(Clone, Debug)]
pub(super) struct Edition {
    generation: u64,
    pub(super) catalog: Arc<Catalog>,
    /// Parallel to the catalog's volumes.
    pub(super) views: Vec<View>,
    asked_at: Timestamp,
}

impl Edition {
    fn make(active: &Active, newest: &Catalog, ledger: &Ledger, times: (Timestamp, Timestamp)) -> Self {
        let catalog = Arc::clone(&active.catalog);
        let volumes = catalog.volumes.iter();
        let views = volumes.map(|volume| View::make(&catalog, newest, volume, ledger, times));
        Self {
            generation: active.generation,
            views: views.collect(),
            catalog,
            asked_at: times.0,
        }
    }

    /// Goes over to the windows of now.
    pub(super) fn roll(&mut self, ledger: &Ledger, now: Timestamp) {
        for (volume, view) in self.catalog.volumes.iter().zip(&mut self.views) {
            if !view.window.contains(now) {
                view.window = window(&self.catalog, volume, now);
                view.counted = counted(&self.catalog, volume, ledger, view.window);
                view.ahead = ahead(&self.catalog, volume, ledger, view.window);
            }
        }
    }
}

/// The catalogs that there are views for, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Editions {
    list: Vec<Edition>,
    /// How often views were made from the ledger.
    #[cfg(test)]
    pub(super) made: usize,
}

impl Editions {
    /// Tells whether no catalog is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Tells whether the catalog of a call is newer than all that are known.
    pub(super) fn is_news(&self, active: &Active) -> bool {
        self.list
            .last()
            .is_none_or(|newest| newest.generation < active.generation)
    }

    /// Returns the views of a call's catalog, and makes them when there are none. `times` are the call's and the latest so far.
    pub(super) fn find(&mut self, active: &Active, ledger: &Ledger, times: (Timestamp, Timestamp)) -> &mut Edition {
        let (now, _) = times;
        if self.list.len() > 1 {
            let newest = self.list.last().map_or(0, |newest| newest.generation);
            // A clock that steps back keeps them a little longer.
            self.list
                .retain(|edition| edition.generation == newest || now < edition.asked_at + KEPT_FOR);
        }
        let generations = |edition: &Edition| edition.generation;
        let at = match self.list.binary_search_by_key(&active.generation, generations) {
            Ok(at) => at,
            Err(_) => self.add(active, ledger, times),
        };
        let edition = &mut self.list[at];
        edition.asked_at = now;
        edition
    }

    fn add(&mut self, active: &Active, ledger: &Ledger, times: (Timestamp, Timestamp)) -> usize {
        let is_news = self.is_news(active);
        let mut newest = Arc::clone(&active.catalog);
        if let Some(last) = self.list.last() {
            if is_news && !has_same_reservations(&last.catalog, &active.catalog) {
                // Theirs would be over at other times.
                self.list.clear();
            } else if !is_news {
                newest = Arc::clone(&last.catalog);
            }
        }
        if self.list.len() >= EDITIONS_MAX {
            let spared = usize::from(!is_news);
            let older = self.list.iter().enumerate().take(self.list.len() - spared);
            if let Some((at, _)) = older.min_by_key(|(_, edition)| edition.asked_at) {
                self.list.remove(at);
            }
        }
        let edition = Edition::make(active, &newest, ledger, times);
        let at = self.list.partition_point(|other| other.generation < edition.generation);
        self.list.insert(at, edition);
        #[cfg(test)]
        {
            self.made += 1;
        }
        at
    }

    /// Returns for how long an open contact of a channel counts as a reservation, by the newest catalog.
    pub(super) fn reservation(&self, channel: Symbol) -> Millis {
        self.list
            .last()
            .map_or(Millis::default(), |newest| reservation(&newest.catalog, channel))
    }

    /// Tells whether a volume that counts this has, or may have, more than its limit with one of that instant.
    pub(super) fn is_exceeded(&self, cell: Cell, kind: usize, at: Timestamp) -> bool {
        let views = self.list.iter().flat_map(|edition| {
            let volumes = edition.catalog.volumes.iter().zip(&edition.views);
            volumes.map(|(volume, view)| (&edition.catalog, volume, view))
        });
        views.into_iter().any(|(catalog, volume, view)| {
            // Of a window that is over, nobody knows now; and what a pace allowed is not the limit.
            let is_more = |limit| volume.is_paced || at < view.window.start || view.counted + view.held > limit;
            volume.counted == KINDS[kind]
                && volume.at_most.is_some_and(|limit| is_more(u64::from(limit)))
                && volume.counts(catalog, cell.offer, cell.channel)
        })
    }

    /// Lets the latest instant move on: what is over by then is no longer reserved.
    pub(super) fn pass(&mut self, from: Timestamp, to: Timestamp) {
        for view in self.list.iter_mut().flat_map(|edition| &mut edition.views) {
            view.held = view.held.saturating_sub(view.over_between(from, to));
        }
    }

    /// Forgets the reservations that were over by then.
    pub(super) fn forget(&mut self, by: Timestamp) {
        for view in self.list.iter_mut().flat_map(|edition| &mut edition.views) {
            while let Some(first) = view.open.first_entry()
                && *first.key() <= by
            {
                first.remove();
            }
        }
    }

    /// Tells whether there is any volume.
    pub(super) fn have_volumes(&self) -> bool {
        self.list.iter().any(|edition| !edition.catalog.volumes.is_empty())
    }

    /// Calls `change` for what counts against each volume that counts this.
    pub(super) fn each_view(&mut self, cell: Cell, kind: usize, mut change: impl FnMut(&mut View)) {
        for edition in &mut self.list {
            let catalog = &edition.catalog;
            for (volume, view) in catalog.volumes.iter().zip(&mut edition.views) {
                if volume.counted == KINDS[kind] && volume.counts(catalog, cell.offer, cell.channel) {
                    change(view);
                }
            }
        }
    }
}

fn has_same_reservations(one: &Catalog, other: &Catalog) -> bool {
    let channels = one.channels.iter().chain(&other.channels);
    channels
        .map(|channel| channel.symbol)
        .all(|channel| reservation(one, channel) == reservation(other, channel))
}
