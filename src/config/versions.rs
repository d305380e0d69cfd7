//! Giving up kept versions of catalogs that nothing can need any more.
//!
//! A version is needed as long as a record is kept that its catalog folded: to recover, when the record lies behind a checkpoint, and to
//! make a decision again. Records say by which activation they were made only to who has their keys, so what is known here is which one was
//! in force when the first kept record was written: by the first activation that the journal still has, or by the newest checkpoint. A call
//! that was under way when a catalog came into force, or a campaign run of hours, may have written a record by an earlier one later; so
//! nothing is given up that was in force within the time for which records are kept, or [`SLACK`] before it. Copies have versions of
//! their own.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::data::DataFolder;
use crate::domain::time::Timestamp;
use crate::engine::Activation;
use crate::journal::files as steps;
use crate::journal::read_offline;
use crate::whatif::activation;

/// How long a call may go on with the catalog that it began with: no campaign run takes two days.
pub const SLACK: Duration = Duration::from_hours(48);

impl DataFolder {
    /// Gives up the versions that were out of force before an instant, and that no kept record was made by; returns which.
    /// `activations` are all that there are, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read or removed; what is needed is there in any case.
    pub fn give_up_versions(&self, activations: &[Activation], before: SystemTime) -> io::Result<Vec<String>> {
        let kept = self.kept_before(before)?;
        let recent = in_force_since(activations, before);
        if kept.iter().all(|(name, _)| recent.contains(&**name)) {
            return Ok(Vec::new());
        }
        let first = self.first_generation(activations)?;
        // The one before is what calls may have gone on with that were under way.
        let is_needed = |activation: &&Activation| activation.generation + 1 >= first;
        let needed = activations.iter().filter(is_needed);
        let needed: HashSet<&str> = needed.map(|activation| &*activation.catalog).chain(recent).collect();
        let mut given_up = Vec::new();
        for (name, path) in kept {
            if !needed.contains(&*name) && give_up(&path, before)? {
                given_up.push(name);
            }
        }
        Ok(given_up)
    }

    /// Returns the versions that nobody kept, or meant to keep, since an instant.
    fn kept_before(&self, before: SystemTime) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(self.path().join("versions")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut kept = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What is begun, or being given up, has an ending.
            if path.extension().is_none() && fs::metadata(&path)?.modified()? < before {
                kept.push((name, path));
            }
        }
        Ok(kept)
    }

    /// Returns which activation was in force when the first kept record was written, or an earlier one.
    fn first_generation(&self, activations: &[Activation]) -> io::Result<u64> {
        let mut first = None;
        read_offline(&self.path().join("journal"), u64::MAX, &mut |_, record| {
            first = activation(record);
            if first.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(io::Error::other)?;
        let before_first = first.map(|first| first.generation.saturating_sub(1));
        let last = activations.last().map_or(0, |last| last.generation);
        Ok(before_first.unwrap_or(last))
    }
}

/// Returns the versions that were in force at an instant or later.
fn in_force_since(activations: &[Activation], instant: SystemTime) -> HashSet<&str> {
    let since_1970 = instant.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let instant = Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
    let ends = activations.iter().skip(1).map(|next| Some(next.at()));
    let all = activations.iter().zip(ends.chain([None]));
    all.filter(|(_, end)| end.is_none_or(|end| end >= instant))
        .map(|(activation, _)| &*activation.catalog)
        .collect()
}

/// Removes a version, whole or not at all, unless somebody means to keep it since a moment ago; tells whether it is gone.
fn give_up(path: &std::path::Path, before: SystemTime) -> io::Result<bool> {
    let going = path.with_extension("begun");
    if going.exists() {
        steps::remove_folder(&going)?;
    }
    steps::rename(path, &going)?;
    if fs::metadata(&going)?.modified()? >= before {
        steps::rename(&going, path)?;
        return Ok(false);
    }
    if let Some(versions) = path.parent() {
        steps::sync_folder(versions)?;
    }
    steps::remove_folder(&going)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::super::upkeep::verify;
    use super::super::upkeep_tests::{start_with, write};
    use std::fs::File;

    use super::*;
    use crate::catalog::load;
    use crate::decision::testing::{T0, base_files};
    use crate::domain::symbol::Symbols;
    use crate::engine::{Active, Engine};
    use crate::journal::cuts::{contents, cut_everywhere};
    use crate::journal::files::{note, steps_of};
    use rand::SeedableRng as _;
    use rand_pcg::Pcg64Mcg;

    /// Rules that differ by their comment, so that each has a version of its own.
    fn files(number: u32) -> Files {
        let mut files = Files {
            catalog: base_files(),
            ..Files::default()
        };
        for text in files.catalog.rules.values_mut() {
            *text = format!("{text}\npurposes: [{{ id: purpose{number}, consent: assumed }}]\n");
        }
        files
    }

    /// Puts a catalog in force at a moment.
    fn activate(engine: &Engine, data: &DataFolder, number: u32, at: Timestamp) -> String {
        let files = files(number);
        let symbols = Symbols::from(engine.activations().last().unwrap().symbols.clone());
        let catalog = load(&files.catalog, &symbols).unwrap();
        let version = catalog.version.to_string();
        data.keep(&version, &files).unwrap();
        let active = Active {
            since: at,
            ..Active::new(catalog.into(), Vec::new())
        };
        engine.activate(active).unwrap();
        version
    }

    fn versions(data: &DataFolder) -> HashSet<String> {
        let entries = fs::read_dir(data.path().join("versions")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn versions_that_no_kept_record_can_need_are_given_up_and_all_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        let (engine, data) = start_with(&folder, &files(0)).unwrap();
        let hour = crate::domain::time::Millis::HOUR;
        let mut all = vec![engine.activations()[0].catalog.clone()];
        for number in 1..6 {
            write(&engine, number);
            all.push(activate(&engine, &data, number, T0 + hour.times(i64::from(number))));
        }
        assert_eq!(versions(&data), all.iter().cloned().collect());
        // All are of a moment ago.
        let long_after = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 200);
        let give_up = |before| data.give_up_versions(&engine.activations(), before).unwrap();
        assert!(give_up(SystemTime::UNIX_EPOCH).is_empty());
        // All are old, and the journal still has a record by each.
        assert!(give_up(long_after).is_empty(), "records need them");
        // Two checkpoints give up the segments of before; a start begins a new segment.
        let activations = engine.activations();
        drop(engine);
        let (engine, data) = start_with(&folder, &files(5)).unwrap();
        assert_eq!(engine.activations(), activations);
        for number in 10..13 {
            write(&engine, number);
            engine.checkpoint(&data.checkpoints(), u64::MAX).unwrap();
        }
        let gone: HashSet<String> = data
            .give_up_versions(&activations, long_after)
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(gone, all[..4].iter().cloned().collect());
        assert_eq!(
            versions(&data),
            all[4..].iter().cloned().collect(),
            "the last, and the one before it"
        );
        drop(engine);
        let verified = verify(&folder, &mut |_, _| {}).unwrap();
        assert!(verified.damages.is_empty() && verified.versions == 2, "{verified:?}");
        assert!(start_with(&folder, &files(5)).is_ok());
    }

    #[test]
    fn whenever_the_power_goes_a_kept_version_is_whole_or_not_there_and_one_that_was_needed_is_there() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::take(&root.path().join("data")).unwrap();
        let versions = [1, 2].map(|number| {
            let catalog = load(&files(number).catalog, &Symbols::default()).unwrap();
            catalog.version.to_string()
        });
        let [first, second] = &versions;
        let start = contents(data.path());
        let steps = steps_of(|| {
            data.keep(first, &files(1)).unwrap();
            note(1);
            data.keep(second, &files(2)).unwrap();
            note(2);
            let kept = data.path().join("versions").join(first);
            let later = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 200);
            assert!(give_up(&kept, later).unwrap());
            note(3);
        });
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let states = cut_everywhere(data.path(), &start, &steps, 12, &mut random, &mut |left, promised| {
            let kept = left.join("versions");
            for version in &versions {
                let kept = kept.join(version);
                if kept.exists() {
                    let read = super::super::files::read(&kept.join("rules"), &kept.join("models")).unwrap();
                    let catalog = load(&read.catalog, &Symbols::default()).unwrap();
                    assert_eq!(&*catalog.version, version);
                }
            }
            assert!(!promised.contains(&2) || kept.join(second).exists());
            assert!(promised != [1] || kept.join(first).exists());
            assert!(!promised.contains(&3) || !kept.join(first).exists());
            // Whatever is left, both can be kept.
            let data = DataFolder::take(left).unwrap();
            data.keep(first, &files(1)).unwrap();
            data.keep(second, &files(2)).unwrap();
        });
        assert!(states > 200, "{states} states");
    }

    #[test]
    fn a_version_that_is_kept_again_meanwhile_stays() {
        let root = tempfile::tempdir().unwrap();
        let (engine, data) = start_with(&root.path().join("data"), &files(0)).unwrap();
        let version = engine.activations()[0].catalog.clone();
        let kept = data.path().join("versions").join(&version);
        let old = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        File::open(&kept).unwrap().set_modified(old).unwrap();
        data.keep(&version, &files(0)).unwrap();
        assert!(fs::metadata(&kept).unwrap().modified().unwrap() > old + SLACK);
        assert!(!give_up(&kept, old + SLACK).unwrap() && kept.exists());
        File::open(&kept).unwrap().set_modified(old).unwrap();
        assert!(give_up(&kept, old + SLACK).unwrap() && !kept.exists());
    }
}
