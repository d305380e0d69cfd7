//! A model that scores without ONNX Runtime, taken apart for a catalog, and the choice between the two.
//!
//! ONNX Runtime stays the reference. A file that is read as a [`Formula`] is taken apart for each catalog and tried: it
//! serves only when it agrees with ONNX Runtime on every row of [`super::agreement`]. Without ONNX Runtime there are the
//! golden rows to agree with, which the training script scored with it. Any other model is served by ONNX Runtime, and the
//! reason is kept.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::agreement::{self, Agreement};
use super::graph::{self, NotRead};
use super::onnx::{Model, ModelError};
use super::path::Path;
use super::runtime::Runtime;
use super::scorer::{ScoreError, Scorer, check_range, check_shape};
use crate::catalog::Catalog;
use crate::catalog::manifest::Manifest;
use crate::decision::features::Parts;
use crate::decision::specialised::{Formula, Scratch, Specialised};

/// A model file as it was loaded, whatever the catalog: proved, and read as far as it can be.
pub struct Loaded {
    manifest: Manifest,
    sha256: String,
    reference: Option<(Arc<Model>, String)>,
    formula: Result<Formula, NotRead>,
}

/// Which way may serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The faster one that is right.
    #[default]
    Best,
    /// This arithmetic ([`Path::arithmetic`]), by which a decision was made.
    Arithmetic(String),
}

impl Loaded {
    /// Loads and proves a file: its checksum, and with a runtime everything that [`Model::load`] does.
    ///
    /// # Errors
    /// [`ModelError`] when the file is not the manifest's, or does not do what the manifest says.
    pub fn load(
        runtime: Option<&Runtime>,
        bytes: &[u8],
        manifest: &Manifest,
        sessions: usize,
    ) -> Result<Self, ModelError> {
        let sha256 = format!("{:x}", Sha256::digest(bytes));
        let reference = match runtime {
            Some(runtime) => {
                let model = Arc::new(Model::load(runtime, bytes, manifest, sessions)?);
                Some((model, format!("ONNX Runtime {}", runtime.version())))
            }
            None if sha256 != manifest.sha256 => {
                let (file, expected, found) = (manifest.file.clone(), manifest.sha256.clone(), sha256);
                return Err(ModelError::Checksum { file, expected, found });
            }
            None => None,
        };
        Ok(Self {
            manifest: manifest.clone(),
            sha256,
            reference,
            formula: graph::read(bytes, manifest),
        })
    }

    /// Returns the file's SHA-256 in lowercase hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the model as ONNX Runtime runs it.
    #[must_use]
    pub fn reference(&self) -> Option<&Arc<Model>> {
        self.reference.as_ref().map(|(model, _)| model)
    }

    /// Returns what scores the offers of this catalog, in which the model has this position.
    ///
    /// # Errors
    /// Why nothing can: without ONNX Runtime, a model that is not factorised; or no scorer has the wanted arithmetic.
    pub fn scorer(&self, catalog: &Catalog, position: usize, wanted: &Wanted) -> Result<Arc<dyn Scorer>, String> {
        let factorised = match wanted {
            Wanted::Best => self.factorised(catalog, position).and_then(|specialised| {
                let agreement = self.agreement(&specialised, catalog, position)?;
                Ok((specialised, agreement.to_string()))
            }),
            Wanted::Arithmetic(arithmetic) if arithmetic == super::path::ROWS => {
                let missing = "the decision was made by ONNX Runtime, which is missing";
                self.reference().map_or(Err(missing.to_owned()), |_| Ok(()))?;
                Err("the decision was made by it".to_owned())
            }
            Wanted::Arithmetic(arithmetic) => {
                // It is what served then, so whether it agrees now does not matter.
                let specialised = self.factorised(catalog, position)?;
                let factorised = self.served(specialised, "the decision was made by it".to_owned());
                let own = factorised.path().arithmetic();
                return if own == *arithmetic {
                    Ok(Arc::new(factorised))
                } else {
                    Err(format!(
                        "the arithmetic was `{arithmetic}` then, this release has `{own}`"
                    ))
                };
            }
        };
        match (factorised, &self.reference) {
            (Ok((specialised, why)), _) => Ok(Arc::new(self.served(specialised, why))),
            (Err(why), Some((model, _))) => Ok(Arc::new(Reference {
                model: Arc::clone(model),
                why,
            })),
            (Err(why), None) => Err(format!(
                "it is not factorised, since {why}, and ONNX Runtime is missing"
            )),
        }
    }

    fn served(&self, specialised: Specialised, why: String) -> Factorised {
        Factorised {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            specialised,
            why,
        }
    }

    fn factorised(&self, catalog: &Catalog, position: usize) -> Result<Specialised, String> {
        let formula = self.formula.as_ref().map_err(ToString::to_string)?;
        Specialised::new(formula, catalog, position).map_err(|unfit| unfit.to_string())
    }

    fn agreement(&self, specialised: &Specialised, catalog: &Catalog, position: usize) -> Result<Agreement, String> {
        let reference = self.reference.as_ref().map(|(model, name)| (&**model, &**name));
        agreement::check(specialised, catalog, position, &self.manifest, reference)
    }
}

/// A model that is taken apart for a catalog.
pub struct Factorised {
    name: String,
    version: String,
    specialised: Specialised,
    why: String,
}

impl fmt::Debug for Factorised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factorised")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl Scorer for Factorised {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        check_shape(&self.name, self.features(), rows, scores)?;
        let mut scratch = Scratch::default();
        for (row, score) in rows.chunks_exact(self.features()).zip(&mut *scores) {
            *score = self.specialised.score_row(row, &mut scratch);
        }
        check_range(&self.name, scores)
    }

    fn score_parts(
        &self,
        parts: &Parts,
        catalog: &Catalog,
        offers: &[u16],
        scratch: &mut Scratch,
        scores: &mut Vec<f32>,
    ) -> Option<Result<(), ScoreError>> {
        self.specialised.score(parts, catalog, offers, scratch, scores);
        Some(check_range(&self.name, scores))
    }

    fn features(&self) -> usize {
        self.specialised.features()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn path(&self) -> Path {
        if self.specialised.is_trees() {
            Path::FactorisedTrees
        } else {
            Path::FactorisedSum
        }
    }

    fn why(&self) -> &str {
        &self.why
    }
}

/// A model that ONNX Runtime runs, with the reason.
struct Reference {
    model: Arc<Model>,
    why: String,
}

impl Scorer for Reference {
    /// ONNX Runtime takes other ways for few rows than for many.
    fn is_by_row(&self) -> bool {
        false
    }

    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        self.model.score(rows, scores)
    }

    fn features(&self) -> usize {
        self.model.features()
    }

    fn name(&self) -> &str {
        self.model.name()
    }

    fn version(&self) -> &str {
        self.model.version()
    }

    fn path(&self) -> Path {
        Path::OnnxRuntime
    }

    fn why(&self) -> &str {
        &self.why
    }
}
