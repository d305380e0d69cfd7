//! Which contact policies were in force when, for the export that is audited.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::Activation;

/// How many policies are remembered; an export judges the decisions since the oldest of them.
const POLICIES_KEPT: usize = 64;

/// How long a call that took the catalog before may still decide by it.
const UNDER_WAY_MAX: Millis = Millis::new(5_000);

/// Builds the catalog of an earlier activation again.
pub(super) type Rebuild = Box<dyn Fn(&Activation) -> Result<Arc<Catalog>, String> + Send + Sync>;

/// One policy and its time.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    /// The catalog.
    pub(super) catalog: Arc<Catalog>,
    /// From when on every decision was made by it.
    pub(super) from: Timestamp,
    /// Up to when every decision was made by it; `None` is until now.
    pub(super) until: Option<Timestamp>,
}

/// The same, with a catalog that may not have been built yet: that takes a while, and few ask.
struct Entry {
    catalog: Result<Arc<Catalog>, Activation>,
    from: Timestamp,
    until: Option<Timestamp>,
}

/// The policies since there is data.
pub(super) struct PolicyLog {
    entries: Mutex<VecDeque<Entry>>,
    rebuild: Option<Rebuild>,
}

impl PolicyLog {
    /// Begins with the policy that is in force at the start, and those before it: `history` has all activations up to this one,
    /// oldest first, or is empty when nothing is kept.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        now: Timestamp,
        history: Vec<Activation>,
        rebuild: Option<Rebuild>,
    ) -> Self {
        let times: Vec<Timestamp> = history.iter().map(Activation::at).collect();
        let entry = |(at, activation): (usize, Activation)| Entry {
            catalog: Err(activation),
            from: times[at] + if at == 0 { Millis::default() } else { UNDER_WAY_MAX },
            until: times.get(at + 1).copied(),
        };
        let mut entries: VecDeque<Entry> = history.into_iter().enumerate().map(entry).collect();
        let from = entries.pop_back().map_or(now, |last| last.from);
        entries.push_back(Entry {
            catalog: Ok(catalog),
            from,
            until: None,
        });
        entries.drain(..entries.len().saturating_sub(POLICIES_KEPT));
        Self {
            entries: Mutex::new(entries),
            rebuild,
        }
    }

    /// Notes that another catalog came into force between two instants.
    pub(super) fn changed(&self, catalog: Arc<Catalog>, before: Timestamp, after: Timestamp) {
        let mut entries = self.entries.lock();
        if let Some(last) = entries.back_mut() {
            last.until = Some(before);
        }
        entries.push_back(Entry {
            catalog: Ok(catalog),
            from: after + UNDER_WAY_MAX,
            until: None,
        });
        if entries.len() > POLICIES_KEPT {
            entries.pop_front();
        }
    }

    /// Returns the policies, oldest first; without those whose catalog cannot be built any more. Blocks while catalogs are
    /// built.
    pub(super) fn all(&self) -> Vec<InForce> {
        let mut entries = self.entries.lock();
        let in_force = |entry: &mut Entry| {
            if let (Err(activation), Some(rebuild)) = (&entry.catalog, &self.rebuild) {
                match rebuild(activation) {
                    Ok(catalog) => entry.catalog = Ok(catalog),
                    Err(why) => tracing::warn!(
                        catalog = activation.catalog,
                        why,
                        "decisions by this catalog cannot be audited"
                    ),
                }
            }
            Some(InForce {
                catalog: Arc::clone(entry.catalog.as_ref().ok()?),
                from: entry.from,
                until: entry.until,
            })
        };
        entries.iter_mut().filter_map(in_force).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{T0, catalog, catalog_with};
    use crate::engine::Active;

    #[test]
    fn policies_of_earlier_processes_are_judged_by_as_those_of_this_one() {
        let day = Millis::DAY;
        let (first, second) = (
            catalog(),
            catalog_with("caps: [{ id: a, because: b, at_most: 1, of: seen, within: 1d }]"),
        );
        let activation = |generation, since, catalog: &Arc<Catalog>| {
            Activation::of(&Active {
                generation,
                since,
                ..Active::new(Arc::clone(catalog), Vec::new())
            })
        };
        let history = vec![
            activation(1, T0, &first),
            activation(2, T0 + day, &second),
            activation(3, T0 + day.times(2), &first),
        ];
        let rebuild: Rebuild = Box::new(|activation| match activation.generation {
            1 => Ok(catalog()),
            _ => Err("its files are gone".to_owned()),
        });
        let log = PolicyLog::new(Arc::clone(&first), T0 + day.times(9), history, Some(rebuild));
        log.changed(second, T0 + day.times(10), T0 + day.times(10));
        let told = log.all().into_iter().map(|policy| (policy.from, policy.until));
        let told: Vec<_> = told.collect();
        let after = |days| T0 + day.times(days) + UNDER_WAY_MAX;
        assert_eq!(
            told,
            [
                (T0, Some(T0 + day)),
                (after(2), Some(T0 + day.times(10))),
                (after(10), None)
            ]
        );
        let anew = PolicyLog::new(first, T0, Vec::new(), None).all();
        assert_eq!((anew.len(), anew[0].from, anew[0].until), (1, T0, None));
    }
}
