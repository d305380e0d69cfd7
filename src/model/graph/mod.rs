//! Reads a model file as a [`Formula`], when it is one: trees or a weighted sum.
//!
//! What is recognised is a chain from the input to the output, as the exporters of LightGBM, XGBoost and scikit-learn and
//! the usual scripts write it:
//!
//! * first, any of `Imputer` (of NaN) and `Scaler` or `Sub`, in this order;
//! * then one of `TreeEnsembleClassifier` over two classes, `TreeEnsembleRegressor` and `TreeEnsemble` that add up or
//!   average, `LinearClassifier` over two classes, `LinearRegressor`, `Gemm`, and `MatMul` with or without an `Add`;
//! * then any of `Sigmoid`, and `Normalizer` (L1) behind a classifier;
//! * `Identity`, `Cast` to 32-bit floats and a multiplication with 1 anywhere.
//!
//! Anything else is not wrong: ONNX Runtime runs it, and the reason is one line. That what was read computes what the file
//! does is not believed but tried, in [`super::agreement`]. Operators follow the specification of ONNX and `ai.onnx.ml`,
//! and where it is silent, ONNX Runtime.

mod linear;
#[cfg(test)]
mod tests;
mod trees;
mod wire;
#[cfg(test)]
mod writing;

use std::collections::HashMap;

use prost::Message as _;

use crate::catalog::manifest::Manifest;
use crate::decision::specialised::{Adjust, Body, Finish, Formula};
use wire::{Attribute, Graph, Operator, Tensor};

/// Why a file is not read as a formula, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRead(String);

impl NotRead {
    fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What an operator makes of a row, and how its output becomes the one column that is asked for.
struct Core {
    body: Body,
    finish: Vec<Finish>,
    /// Whether its columns are two probabilities that add up to 1.
    is_pair: bool,
}

/// Reads the file of a manifest.
///
/// # Errors
/// When it is something else than a formula, in one line.
pub fn read(bytes: &[u8], manifest: &Manifest) -> Result<Formula, NotRead> {
    let model = wire::Model::decode(bytes).map_err(|error| NotRead::because(format!("it is no ONNX file: {error}")))?;
    if !model.functions.is_empty() {
        return Err(NotRead::because("it defines operators of its own"));
    }
    let graph = model.graph.ok_or_else(|| NotRead::because("it has no graph"))?;
    Chain::of(&graph, manifest)?.read()
}

/// A graph by the names of what flows through it.
struct Chain<'a> {
    makers: HashMap<&'a str, (&'a Operator, usize)>,
    constants: HashMap<&'a str, &'a Tensor>,
    input: &'a str,
    output: &'a str,
    features: usize,
    column: usize,
    steps_max: usize,
}

impl<'a> Chain<'a> {
    fn of(graph: &'a Graph, manifest: &'a Manifest) -> Result<Self, NotRead> {
        let features = manifest.input.features;
        let constants: HashMap<_, _> = graph
            .initializers
            .iter()
            .map(|tensor| (&*tensor.name, tensor))
            .collect();
        let mut inputs = graph
            .inputs
            .iter()
            .filter(|input| !constants.contains_key(&*input.name));
        let (Some(input), None) = (inputs.next(), inputs.next()) else {
            return Err(NotRead::because("it has not exactly one input"));
        };
        let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
        let sizes = tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| &*shape.sizes);
        let is_right = input.name == manifest.input.name
            && tensor.is_some_and(|tensor| tensor.kind == wire::FLOAT)
            && matches!(sizes, Some([rows, width]) if rows.value == 0 && usize::try_from(width.value) == Ok(features));
        if !is_right {
            let expected = &manifest.input.name;
            return Err(NotRead::because(format!(
                "its input is not `{expected}`, any number of rows of {features} 32-bit floats"
            )));
        }
        if !graph.outputs.iter().any(|output| output.name == manifest.output.name) {
            return Err(NotRead::because(format!("it has no output `{}`", manifest.output.name)));
        }
        let mut makers = HashMap::new();
        for operator in &graph.nodes {
            for (at, output) in operator
                .outputs
                .iter()
                .enumerate()
                .filter(|(_, output)| !output.is_empty())
            {
                if makers.insert(&**output, (operator, at)).is_some() {
                    return Err(NotRead::because(format!("two operators make `{output}`")));
                }
            }
        }
        Ok(Self {
            makers,
            constants,
            input: &input.name,
            output: &manifest.output.name,
            features,
            column: manifest.output.column,
            steps_max: graph.nodes.len(),
        })
    }

    /// Goes from the output to the input.
    fn read(&self) -> Result<Formula, NotRead> {
        let mut finish = Vec::new();
        let mut is_normalised = false;
        let mut value = self.output;
        for _ in 0..=self.steps_max {
            let (operator, output) = self.maker(value)?;
            value = match self.passed(operator)? {
                Some(through) => through,
                None if operator.is_of("", "Sigmoid") => {
                    finish.push(Finish::Logistic);
                    operator.input(0)?
                }
                None if operator.is_of(ML, "Normalizer")
                    && finish.is_empty()
                    && operator.text("norm")? == Some("L1") =>
                {
                    is_normalised = true;
                    operator.input(0)?
                }
                None => {
                    let (core, from) = self.core(operator, output)?;
                    if is_normalised && !core.is_pair {
                        return Err(NotRead::because(
                            "its Normalizer is not behind a classifier of two classes",
                        ));
                    }
                    finish.extend(core.finish.iter().rev());
                    finish.reverse();
                    return Ok(Formula {
                        adjust: self.adjust(from)?,
                        body: core.body,
                        finish,
                    });
                }
            };
        }
        Err(NotRead::because("its operators go round in a circle"))
    }

    /// Reads the operator that makes a number of a row, and returns what it reads.
    fn core(&self, operator: &'a Operator, output: usize) -> Result<(Core, &'a str), NotRead> {
        let from = operator.input(0);
        let known = match (&*operator.domain, &*operator.kind, output) {
            (ML, "TreeEnsembleClassifier", 1) => trees::classifier(operator, self.column, self.features),
            (ML, "TreeEnsembleRegressor", 0) => trees::regressor(operator, self.column, self.features),
            (ML, "TreeEnsemble", 0) => trees::ensemble(operator, self.column, self.features),
            (ML, "LinearClassifier", 1) => linear::classifier(operator, self.column, self.features),
            (ML, "LinearRegressor", 0) => linear::regressor(operator, self.column, self.features),
            ("" | "ai.onnx", "Gemm", 0) => linear::gemm(self, operator),
            ("" | "ai.onnx", "MatMul", 0) => linear::product(self, operator, None),
            ("" | "ai.onnx", "Add", 0) => return self.sum(operator),
            _ => Err(operator.unknown()),
        };
        Ok((known?, from?))
    }

    /// Reads an `Add` behind a `MatMul`.
    fn sum(&self, operator: &'a Operator) -> Result<(Core, &'a str), NotRead> {
        let (one, other) = (operator.input(0)?, operator.input(1)?);
        let (product, bias) = match (self.constants.get(one), self.constants.get(other)) {
            (None, Some(bias)) => (one, bias),
            (Some(bias), None) => (other, bias),
            _ => return Err(operator.unknown()),
        };
        let (product, _) = self.maker(product)?;
        if !product.is_of("", "MatMul") {
            return Err(operator.unknown());
        }
        Ok((linear::product(self, product, Some(bias))?, product.input(0)?))
    }

    /// Reads what is done to the columns first, from `value` to the input.
    fn adjust(&self, mut value: &'a str) -> Result<Vec<Adjust>, NotRead> {
        let mut adjust = vec![Adjust::Keep; self.features];
        for _ in 0..=self.steps_max {
            if value == self.input {
                return Ok(adjust);
            }
            let (operator, _) = self.maker(value)?;
            if let Some(through) = self.passed(operator)? {
                value = through;
                continue;
            }
            let later = std::mem::take(&mut adjust);
            let before = match &*operator.kind {
                "Imputer" if operator.domain == ML => linear::imputer(operator, self.features)?,
                "Scaler" if operator.domain == ML => linear::scaler(operator, self.features)?,
                "Sub" if operator.is_of("", "Sub") => linear::moved(self, operator)?,
                _ => return Err(operator.unknown()),
            };
            let both = before.into_iter().zip(later).map(|(before, later)| both(before, later));
            adjust = both.collect::<Option<_>>().ok_or_else(|| operator.unknown())?;
            value = operator.input(0)?;
        }
        Err(NotRead::because("its operators go round in a circle"))
    }

    fn maker(&self, value: &str) -> Result<(&'a Operator, usize), NotRead> {
        let found = self.makers.get(value).copied();
        found.ok_or_else(|| NotRead::because(format!("nothing makes `{value}`")))
    }

    /// Returns what an operator reads that leaves numbers as they are; `None` for any other.
    fn passed(&self, operator: &'a Operator) -> Result<Option<&'a str>, NotRead> {
        let is_passed = operator.is_of("", "Identity")
            || (operator.is_of("", "Cast") && operator.int("to")? == Some(wire::FLOAT.into()));
        if is_passed {
            return operator.input(0).map(Some);
        }
        if operator.is_of("", "Mul")
            && let (Ok(one), Ok(other)) = (operator.input(0), operator.input(1))
        {
            let is_one = |name: &str| {
                let numbers = self.constants.get(name).and_then(|tensor| tensor.numbers().ok());
                numbers.is_some_and(|numbers| numbers.len() == 1 && numbers[0].to_bits() == 1.0_f32.to_bits())
            };
            return Ok(is_one(other).then_some(one).or(is_one(one).then_some(other)));
        }
        Ok(None)
    }

    /// Returns a constant input of an operator with its shape.
    fn constant(&self, operator: &'a Operator, at: usize) -> Result<(Vec<f32>, &'a [i64]), NotRead> {
        let name = operator.input(at)?;
        let tensor = self
            .constants
            .get(name)
            .ok_or_else(|| NotRead::because(format!("input {at} of its operator {} is no constant", operator.kind)))?;
        Ok((tensor.numbers()?, &tensor.shape))
    }
}

/// The operators of classical models.
const ML: &str = "ai.onnx.ml";

fn both(before: Adjust, later: Adjust) -> Option<Adjust> {
    Some(match (before, later) {
        (before, Adjust::Keep) => before,
        (Adjust::Keep, later) => later,
        (Adjust::Impute(imputed), Adjust::Scale { offset, scale }) => Adjust::ImputeAndScale { imputed, offset, scale },
        _ => return None,
    })
}

impl Operator {
    /// Tells whether it is this one; the usual operators have two names for their domain.
    fn is_of(&self, domain: &str, kind: &str) -> bool {
        let own = if self.domain == "ai.onnx" { "" } else { &*self.domain };
        own == domain && self.kind == kind
    }

    fn unknown(&self) -> NotRead {
        NotRead::because(format!(
            "its operator {} is not one that is specialised, here",
            self.kind
        ))
    }

    /// Says what of it is not specialised.
    fn has(&self, what: impl std::fmt::Display) -> NotRead {
        NotRead::because(format!(
            "its operator {} has {what}, which is not specialised",
            self.kind
        ))
    }

    fn input(&self, at: usize) -> Result<&str, NotRead> {
        let name = self.inputs.get(at).filter(|name| !name.is_empty());
        name.map(String::as_str)
            .ok_or_else(|| NotRead::because(format!("its operator {} has no input {at}", self.kind)))
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Refuses attributes that would change what it computes.
    fn without(&self, names: &[&str]) -> Result<(), NotRead> {
        let found = names.iter().find(|name| self.attribute(name).is_some());
        found.map_or(Ok(()), |name| Err(self.has(format!("the attribute {name}"))))
    }

    #[expect(clippy::unnecessary_wraps, reason = "one shape for all kinds of attributes")]
    fn int(&self, name: &str) -> Result<Option<i64>, NotRead> {
        Ok(self.attribute(name).map(|attribute| attribute.int))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, NotRead> {
        let text = self
            .attribute(name)
            .map(|attribute| std::str::from_utf8(&attribute.text));
        text.transpose().map_err(|_| self.has(format!("no text in {name}")))
    }

    fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    fn floats(&self, name: &str) -> &[f32] {
        self.attribute(name).map_or(&[], |attribute| &attribute.floats)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, NotRead> {
        let tensor = self.attribute(name).and_then(|attribute| attribute.tensor.as_ref());
        tensor.ok_or_else(|| self.has(format!("no {name}")))
    }

    /// Returns one number for each column: as many as there are, or one for all.
    fn by_column(&self, name: &str, features: usize) -> Result<Vec<f32>, NotRead> {
        match self.floats(name) {
            [one] => Ok(vec![*one; features]),
            floats if floats.len() == features => Ok(floats.to_vec()),
            floats => Err(self.has(format!("{} numbers in {name} for {features} columns", floats.len()))),
        }
    }
}

impl Tensor {
    /// Returns 32-bit floats.
    fn numbers(&self) -> Result<Vec<f32>, NotRead> {
        let size = self.size();
        if self.kind != wire::FLOAT || self.location != 0 {
            return Err(NotRead::because(format!(
                "its constant `{}` is not of 32-bit floats in the file",
                self.name
            )));
        }
        let numbers = if self.raw.is_empty() {
            self.floats.clone()
        } else {
            let (floats, _) = self.raw.as_chunks::<4>();
            floats.iter().copied().map(f32::from_le_bytes).collect()
        };
        if Some(numbers.len()) == size {
            Ok(numbers)
        } else {
            Err(NotRead::because(format!(
                "its constant `{}` has not as many numbers as it says",
                self.name
            )))
        }
    }

    /// Returns bytes.
    fn bytes(&self) -> Result<Vec<u8>, NotRead> {
        let bytes = if self.raw.is_empty() {
            let bytes = self.ints.iter().copied().map(u8::try_from);
            bytes.collect::<Result<_, _>>().unwrap_or_default()
        } else {
            self.raw.clone()
        };
        if self.kind == wire::UINT8 && self.location == 0 && Some(bytes.len()) == self.size() {
            Ok(bytes)
        } else {
            Err(NotRead::because(format!(
                "its constant `{}` is not of bytes in the file",
                self.name
            )))
        }
    }

    fn size(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |size, &length| size.checked_mul(usize::try_from(length).ok()?))
    }
}
