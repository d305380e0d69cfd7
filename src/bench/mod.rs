//! The benches: how long a decision takes, stage by stage and as a whole, and what a customer costs in memory.
//!
//! Scenarios are named and seeded. Their inputs come from many customers, so that no branch predictor learns them, and
//! each scenario prints a hash of its answers: a change that only makes things faster changes no hash (on the same kind
//! of processor; ONNX Runtime sums differently on others). `nbo bench` runs what fits into a minute, `cargo bench` the
//! same scenarios with more calls and more sizes of catalog.
//!
//! One thread asks, since on a shared machine a second one measures the neighbours. The figures that stand are the
//! ratios within one run, and those of single calls in the report's goals; what is seldom, such as the 99.9th
//! percentile, is the machine's as much as the program's.

pub mod agreement;
pub mod campaign;
pub mod catalog;
pub mod durability;
pub mod engine;
pub mod measure;
pub mod memory;
pub mod report;
pub mod restart;
pub mod scorers;
pub mod stages;
pub mod table;
mod templates;
pub mod transport;
pub mod what_if;
pub mod world;

use std::sync::Arc;

use crate::catalog::{Catalog, CatalogFiles, Diagnostic, load};
use crate::domain::symbol::Symbols;
use catalog::Conditions;
use engine::Bench;
use report::{Report, Section};

/// The catalog sizes on which the stages are measured by `cargo bench`.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many customers the store has; at least 8, since scenarios share them out.
    pub customers: usize,
    /// How many offers the catalog has.
    pub offers: usize,
    /// Which conditions they have.
    pub conditions: Conditions,
    /// How many calls each scenario makes at most; each has an eighth of the customers.
    pub calls: usize,
    /// How many contacts each customer has, at most as many as are kept.
    pub contacts: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            customers: 100_000,
            offers: 100,
            conditions: Conditions::default(),
            calls: 12_500,
            contacts: world::CONTACTS,
        }
    }
}

/// Is told what is about to be measured.
pub type Progress<'a> = &'a dyn Fn(&str);

/// Runs everything once: what `nbo bench` shows.
///
/// # Errors
/// When something that the benches bring along does not fit together.
pub fn run(options: &Options, progress: Progress<'_>) -> anyhow::Result<Report> {
    let mut report = Report::new(options);
    report.sections.push(stages(options, &[options.offers], progress)?);
    let (section, memory) = whole_calls(options, progress)?;
    report.sections.push(section);
    report.memory = memory;
    Ok(report)
}

/// Measures the stages on catalogs of `SIZES`: what `cargo bench --bench decide` shows.
///
/// # Errors
/// As for [`run`].
pub fn run_stages(options: &Options, progress: Progress<'_>) -> anyhow::Result<Report> {
    let mut report = Report::new(options);
    report.sections.push(stages(options, &SIZES, progress)?);
    Ok(report)
}

/// Measures whole calls and the memory: what `cargo bench --bench engine` shows.
///
/// # Errors
/// As for [`run`].
pub fn run_engine(options: &Options, progress: Progress<'_>) -> anyhow::Result<Report> {
    let mut report = Report::new(options);
    let (section, memory) = whole_calls(options, progress)?;
    report.sections.push(section);
    report.memory = memory;
    Ok(report)
}

fn stages(options: &Options, sizes: &[usize], progress: Progress<'_>) -> anyhow::Result<Section> {
    let mut timings = Vec::new();
    for &offers in sizes {
        progress(&format!("the stages of a decision, {offers} offers"));
        timings.extend(stages::run(options, offers)?);
    }
    Ok(Section {
        title: "stages of one decision",
        timings,
    })
}

/// Measures whole calls; and the memory, of which something is wanted with as many contacts as there are unless others are asked for.
fn whole_calls(options: &Options, progress: Progress<'_>) -> anyhow::Result<(Section, Option<memory::Memory>)> {
    progress(&format!("{} customers", options.customers));
    let bench = Bench::new(options)?;
    let memory = (options.contacts == world::CONTACTS).then(|| bench.memory());
    let section = Section {
        title: "whole calls of the engine",
        timings: bench.run(progress)?,
    };
    Ok((section, memory))
}

/// Loads a catalog of the benches; the first are told of what would be wrong with it.
fn loaded(
    offers: usize,
    conditions: Conditions,
    model: Option<(&str, &str)>,
    previous: &Symbols,
) -> anyhow::Result<Arc<Catalog>> {
    loaded_from(&catalog::files(offers, conditions, model), previous)
}

/// Loads a catalog of these files.
fn loaded_from(files: &CatalogFiles, previous: &Symbols) -> anyhow::Result<Arc<Catalog>> {
    load(files, previous)
        .map(Arc::new)
        .map_err(|diagnostics: Vec<Diagnostic>| {
            let first: Vec<String> = diagnostics.iter().take(5).map(ToString::to_string).collect();
            anyhow::anyhow!("the catalog of the benches is faulty:\n{}", first.join("\n"))
        })
}
