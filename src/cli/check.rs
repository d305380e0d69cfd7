//! `nbo check`: everything that is wrong with a catalog, before anybody is served by it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::catalog::{Diagnostic, Severity, Stages};
use crate::config::assembly::{Assembly, Place};
use crate::domain::symbol::Symbols;
use crate::engine::Active;
use crate::model::Runtime;

/// Checks a catalog: every fault of every file, with its place and what was probably meant. Models are run on their golden
/// rows.
///
/// The exit code is 1 when there is an error. A warning is no error: the catalog can be used, but does something that was
/// hardly meant.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo check rules/bank                                 the rules of this repository with its models
  nbo check /etc/nbo/rules --models /etc/nbo/models    those of a server
  nbo check rules/bank --json                          for a script or an editor")]
pub struct Args {
    /// The folder with the catalog's YAML files
    rules: PathBuf,
    /// The folder with a folder for each model
    #[arg(long, default_value = "models", value_name = "FOLDER")]
    models: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is in a catalog.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    version: String,
    offers: usize,
    groups: usize,
    rules: usize,
    caps: usize,
    cool_downs: usize,
    campaigns: usize,
    volumes: usize,
    placements: usize,
    aggregates: usize,
    intents: usize,
    models: Vec<Model>,
}

/// A model, and by which way it scores.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Model {
    name: String,
    version: String,
    path: &'static str,
    path_reason: String,
    shortlist: Option<Shortlist>,
}

/// A plan in two stages.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Shortlist {
    by: String,
    keep: usize,
}

/// The result as JSON has it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    errors: usize,
    warnings: usize,
    catalog: Option<Summary>,
    diagnostics: &'a [Diagnostic],
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let (catalog, diagnostics) = self.check();
        Report::new(catalog, &diagnostics).write(&self.rules.display().to_string(), self.json, out)
    }
}

/// Shows everything that is wrong with a catalog that another command was to use, as this one does.
///
/// # Errors
/// When the result cannot be written.
pub(super) fn refuse(rules: &Path, diagnostics: &[Diagnostic], json: bool, out: &mut impl Write) -> Result<ExitCode> {
    Report::new(None, diagnostics).write(&rules.display().to_string(), json, out)
}

impl Args {
    /// Puts the version together as `nbo serve` would, models and all.
    fn check(&self) -> (Option<Summary>, Vec<Diagnostic>) {
        let place = Place::Folders {
            rules: self.rules.clone(),
            models: self.models.clone(),
        };
        let runtime = Runtime::load(None);
        let missing = runtime.as_ref().err().map(|error| {
            let message = format!("the models were not compared with ONNX Runtime: {error}");
            Diagnostic::of_file(&self.models.display().to_string(), Severity::Warning, message)
        });
        let mut assembly = Assembly::new(place, runtime.ok(), 1, None);
        match assembly.start(&Symbols::default()) {
            Ok(active) => {
                let catalog = &active.catalog;
                let missing = missing.filter(|_| !catalog.models.is_empty());
                let left_out = assembly.left_out().iter().map(|(model, why)| {
                    let message = format!("start propensities serve instead: {why}");
                    Diagnostic::of_file(&format!("models/{model}"), Severity::Warning, message)
                });
                let warnings = catalog.warnings.iter().cloned().chain(missing).chain(left_out);
                (Some(Summary::of(&active)), warnings.collect())
            }
            Err(diagnostics) => (None, diagnostics),
        }
    }
}

impl<'a> Report<'a> {
    fn new(catalog: Option<Summary>, diagnostics: &'a [Diagnostic]) -> Self {
        let errors = diagnostics.iter().filter(|each| each.severity == Severity::Error);
        let errors = errors.count();
        Self {
            errors,
            warnings: diagnostics.len() - errors,
            catalog,
            diagnostics,
        }
    }

    fn write(&self, rules: &str, json: bool, out: &mut impl Write) -> Result<ExitCode> {
        if json {
            serde_json::to_writer_pretty(&mut *out, self)?;
            writeln!(out)?;
        } else {
            self.tell(rules, out)?;
        }
        Ok(if self.errors == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn tell(&self, rules: &str, out: &mut impl Write) -> std::io::Result<()> {
        for diagnostic in self.diagnostics {
            writeln!(out, "{diagnostic}\n")?;
        }
        if let Some(catalog) = &self.catalog {
            writeln!(out, "{rules}: {catalog}")?;
            for model in catalog.models.iter().filter(|model| !model.path_reason.is_empty()) {
                let path = model.path.replace('_', " ");
                writeln!(out, "model {}: scored by {path}: {}", model.name, model.path_reason)?;
            }
            for model in &catalog.models {
                if let Some(Shortlist { by, keep }) = &model.shortlist {
                    let name = &model.name;
                    writeln!(
                        out,
                        "model {name}: of more than {keep} offers it scores the best {keep} by the model {by}, which scores the others"
                    )?;
                }
            }
        }
        if self.errors + self.warnings > 0 {
            writeln!(
                out,
                "{rules}: {}, {}",
                counted(self.errors, "error"),
                counted(self.warnings, "warning")
            )?;
        }
        Ok(())
    }
}

impl Summary {
    fn of(active: &Active) -> Self {
        let catalog = &*active.catalog;
        let groups = catalog.groups.iter().map(|group| &group.stages);
        let stages = groups.chain(catalog.offers.iter().map(|offer| &offer.stages));
        let rules = |stages: &Stages| stages.eligibility.len() + stages.applicability.len() + stages.suitability.len();
        Self {
            version: catalog.version.as_ref().to_owned(),
            offers: catalog.offers.len(),
            groups: catalog.groups.len(),
            rules: stages.map(rules).sum(),
            caps: catalog.caps.len(),
            cool_downs: catalog.cool_downs.len(),
            campaigns: catalog.campaigns.len(),
            volumes: catalog.volumes.len(),
            placements: catalog.placements.len(),
            aggregates: catalog.aggregates.len(),
            intents: catalog.intents.len(),
            models: catalog
                .models
                .iter()
                .zip(&active.models)
                .map(|(plan, scorer)| Model {
                    name: plan.name.to_string(),
                    version: plan.version.to_string(),
                    path: scorer.as_ref().map_or("not_loaded", |scorer| scorer.path().name()),
                    path_reason: scorer.as_ref().map_or("", |scorer| scorer.why()).to_owned(),
                    shortlist: plan.shortlist.map(|shortlist| Shortlist {
                        by: catalog.models[shortlist.by].name.to_string(),
                        keep: shortlist.keep,
                    }),
                })
                .collect(),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models = if self.models.is_empty() {
            "no model".to_owned()
        } else {
            let named = self
                .models
                .iter()
                .map(|model| format!("{} {}", model.name, model.version));
            format!("model {}", named.collect::<Vec<_>>().join(", "))
        };
        write!(
            f,
            "{} in {}, {}, {}, {}, {}, {}, {}, {}, {}, {models}, version {}",
            counted(self.offers, "offer"),
            counted(self.groups, "group"),
            counted(self.rules, "rule"),
            counted(self.caps, "cap"),
            counted(self.cool_downs, "cool-down"),
            counted(self.campaigns, "campaign"),
            counted(self.volumes, "volume"),
            counted(self.placements, "placement"),
            counted(self.aggregates, "aggregate"),
            counted(self.intents, "intent"),
            self.version
        )
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rules: &Path, json: bool) -> (bool, String) {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut out = Vec::new();
        let code = Args {
            rules: rules.to_owned(),
            models,
            json,
        }
        .run(&mut out)
        .unwrap();
        (code == ExitCode::SUCCESS, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_catalog_is_summed_up_in_one_line_and_one_for_each_model() {
        let (good, text) = run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/bank"), false);
        assert!(good && text.lines().count() == 2, "{text}");
        let scored = "model bank: scored by factorised sum: agrees with ONNX Runtime 1.";
        assert!(text.contains(scored), "{text}");
        assert!(
            text.contains("104 offers in 10 groups") && text.contains("model bank"),
            "{text}"
        );
    }

    #[test]
    fn everything_that_limits_contacts_is_counted_in_the_summary() {
        let folder = tempfile::tempdir().unwrap();
        let bank = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/bank");
        for file in std::fs::read_dir(bank).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let counts = || {
            let (good, text) = run(folder.path(), true);
            assert!(good, "{text}");
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            ["caps", "cool_downs", "campaigns", "volumes"].map(|key| {
                let count = report["catalog"][key].as_u64().unwrap();
                usize::try_from(count).unwrap()
            })
        };
        let before = counts();
        let more = "caps: [{id: more_cap, at_most: 9, of: seen, within: 7d}]
cool_downs: [{id: more_rest, after: refused, rest: 1d}, {id: more_calm, after: accepted, rest: 1d}]
campaigns: [{id: more_campaign, name: More, attempts: {at_most: 3}}]
volumes: [{id: more_volume, at_most: 9, of: seen, per: day}]
";
        std::fs::write(folder.path().join("more.yaml"), more).unwrap();
        let after = counts();
        let added: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(added, [1, 2, 1, 1]);
        let (_, text) = run(folder.path(), false);
        let words = format!(
            "{} caps, {} cool-downs, {}, {}, ",
            after[0],
            after[1],
            counted(after[2], "campaign"),
            counted(after[3], "volume")
        );
        assert!(text.contains(&words), "{text}");
    }

    #[test]
    fn a_fault_is_shown_with_its_place_and_fails_the_command() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "ofers: []\n").unwrap();
        let (good, text) = run(folder.path(), false);
        assert!(!good);
        assert!(text.contains("a.yaml:1:1: error: unknown key `ofers`"), "{text}");
        assert!(text.contains("= did you mean `offers`?"), "{text}");
        assert!(text.ends_with("3 errors, 0 warnings\n"), "{text}");
    }

    #[test]
    fn a_model_file_that_was_cut_short_fails_the_command() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let bank = folder.path().join("bank");
        std::fs::create_dir(&bank).unwrap();
        let manifest = std::fs::read(root.join("models/bank/manifest.json")).unwrap();
        std::fs::write(bank.join("manifest.json"), manifest).unwrap();
        let model = std::fs::read(root.join("models/bank/propensity.onnx")).unwrap();
        std::fs::write(bank.join("propensity.onnx"), &model[..model.len() / 2]).unwrap();
        let mut out = Vec::new();
        let args = Args {
            rules: root.join("rules/bank"),
            models: folder.path().to_owned(),
            json: false,
        };
        assert_eq!(args.run(&mut out).unwrap(), ExitCode::FAILURE);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("SHA-256"), "{text}");
    }

    #[test]
    fn json_has_every_diagnostic_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "ofers: []\n").unwrap();
        let (good, text) = run(folder.path(), true);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!good);
        assert_eq!(report["errors"], 3);
        let found = report["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .find(|each| each["line"] == 1 && each["width"] == 5);
        assert_eq!(found.unwrap()["hint"], "did you mean `offers`?");
    }
}
