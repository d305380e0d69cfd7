//! What a customer costs in memory.

use serde::Serialize;

use super::world;
use crate::catalog::Catalog;
use crate::domain::profile::Profile;
use crate::engine::Engine;
use crate::store::packed;

/// Bytes per customer, averages over all customers of the bench.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// The packed form.
    pub packed: f64,
    /// What each part takes of it.
    pub parts: Vec<(&'static str, f64)>,
    /// The packed form of 30 attributes, 10 aggregates and 10 contacts alone: without intents, sessions and remembered events.
    pub goal: f64,
    /// How much the process grew by each customer, with the map around it; unknown where the system does not tell.
    pub resident: Option<f64>,
}

/// Measures the packed form of some customers.
#[must_use]
pub fn measure(catalog: &Catalog, engine: &Engine, resident: Option<u64>) -> Memory {
    let customers = engine.customers().max(1) as f64;
    let sample = 0..1_000_usize.min(engine.customers());
    let count = sample.len().max(1) as f64;
    let mut parts: Vec<(&'static str, f64)> = Vec::new();
    for number in sample {
        for (at, (name, bytes)) in parts_of(&world::profile(catalog, number)).into_iter().enumerate() {
            if parts.len() == at {
                parts.push((name, 0.0));
            }
            parts[at].1 += bytes as f64 / count;
        }
    }
    let goal = parts
        .iter()
        .filter(|(name, _)| !matches!(*name, "intents" | "sessions" | "recent events" | "ids of older events"))
        .map(|(_, bytes)| bytes)
        .sum();
    Memory {
        packed: engine.store().packed_bytes() as f64 / customers,
        parts,
        goal,
        resident: resident.map(|bytes| bytes as f64 / customers),
    }
}

impl Memory {
    /// Returns the figures with their names.
    #[must_use]
    pub fn lines(&self) -> Vec<(String, f64)> {
        let mut lines = vec![("packed".to_owned(), self.packed)];
        lines.extend(self.parts.iter().map(|(name, bytes)| (format!("of it {name}"), *bytes)));
        lines.push(("30 attributes, 10 aggregates, 10 contacts alone".to_owned(), self.goal));
        lines.extend(
            self.resident
                .map(|bytes| ("growth of the process, map and id included".to_owned(), bytes)),
        );
        lines
    }
}

fn parts_of(profile: &Profile) -> Vec<(&'static str, usize)> {
    let empty = size(&Profile::default());
    let part = |take: &dyn Fn(&mut Profile)| {
        let mut only = Profile::default();
        take(&mut only);
        size(&only) - empty
    };
    vec![
        ("counters and lengths", empty),
        (
            "attributes",
            part(&|only| only.attributes.clone_from(&profile.attributes)),
        ),
        (
            "aggregates",
            part(&|only| {
                only.buckets.clone_from(&profile.buckets);
                only.latest.clone_from(&profile.latest);
            }),
        ),
        ("intents", part(&|only| only.traces.clone_from(&profile.traces))),
        ("sessions", part(&|only| only.sessions.clone_from(&profile.sessions))),
        ("recent events", part(&|only| only.events.clone_from(&profile.events))),
        (
            "ids of older events",
            part(&|only| only.older_event_ids.clone_from(&profile.older_event_ids)),
        ),
        ("contacts", part(&|only| only.contacts.clone_from(&profile.contacts))),
    ]
}

fn size(profile: &Profile) -> usize {
    let mut bytes = Vec::new();
    packed::pack(profile, &mut bytes);
    bytes.len()
}

/// Returns how much memory the process has now, in bytes, where the system tells.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    of_status("VmRSS:")
}

/// Returns the most memory that the process ever had, in bytes, where the system tells.
#[must_use]
pub fn resident_bytes_max() -> Option<u64> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1_024)
}
