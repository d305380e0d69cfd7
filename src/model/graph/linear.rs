//! Weighted sums, and what is done to columns before them.

use super::wire::{Operator, Tensor};
use super::{Chain, Core, NotRead};
use crate::decision::specialised::{Adjust, Body, Finish, Linear};

/// `LinearClassifier`: a weighted sum for each class.
pub(super) fn classifier(operator: &Operator, column: usize, features: usize) -> Result<Core, NotRead> {
    let coefficients = operator.floats("coefficients");
    let intercepts = operator.floats("intercepts");
    let two = [
        operator.ints("classlabels_ints").len(),
        operator
            .attribute("classlabels_strings")
            .map_or(0, |labels| labels.texts.len()),
    ];
    if !two.contains(&2) || coefficients.len() != 2 * features || !(intercepts.is_empty() || intercepts.len() == 2) {
        return Err(operator.has("not two classes with a weight for each column"));
    }
    let of = |class: usize| Linear {
        weights: coefficients[class * features..][..features].to_vec(),
        bias: intercepts.get(class).copied().unwrap_or_default(),
    };
    let (own, other) = (of(column.min(1)), of(1 - column.min(1)));
    let opposite = |(one, other): (&f32, &f32)| (one + other).abs() <= 1e-6 * one.abs();
    let is_opposite = own.weights.iter().zip(&other.weights).all(opposite) && opposite((&own.bias, &other.bias));
    let (linear, finish) = match operator.text("post_transform")?.unwrap_or("NONE") {
        "NONE" => (own, Vec::new()),
        "LOGISTIC" => (own, vec![Finish::Logistic]),
        // Of two classes: the logistic function of the difference.
        "SOFTMAX" => {
            let weights = own.weights.iter().zip(&other.weights).map(|(own, other)| own - other);
            let bias = own.bias - other.bias;
            (
                Linear {
                    weights: weights.collect(),
                    bias,
                },
                vec![Finish::Softmax],
            )
        }
        transform => return Err(operator.has(format!("the transform {transform}"))),
    };
    Ok(Core {
        body: Body::Linear(linear),
        is_pair: !finish.is_empty() && is_opposite,
        finish,
    })
}

/// `LinearRegressor`: a weighted sum for each target.
pub(super) fn regressor(operator: &Operator, column: usize, features: usize) -> Result<Core, NotRead> {
    if operator
        .text("post_transform")?
        .is_some_and(|transform| transform != "NONE")
    {
        return Err(operator.has("a transform"));
    }
    let targets = usize::try_from(operator.int("targets")?.unwrap_or(1)).unwrap_or(0);
    let (coefficients, intercepts) = (operator.floats("coefficients"), operator.floats("intercepts"));
    let is_right = column < targets
        && targets.checked_mul(features) == Some(coefficients.len())
        && (intercepts.is_empty() || intercepts.len() == targets);
    if !is_right {
        return Err(operator.has("not a weight for each column"));
    }
    Ok(sum(
        coefficients[column * features..][..features].to_vec(),
        intercepts.get(column).copied().unwrap_or_default(),
    ))
}

/// `Gemm`: rows times weights plus bias.
pub(super) fn gemm(chain: &Chain<'_>, operator: &Operator) -> Result<Core, NotRead> {
    let is_one = |name: &str| {
        operator
            .attribute(name)
            .is_none_or(|attribute| attribute.float.to_bits() == 1.0_f32.to_bits())
    };
    let is_turned = operator.int("transB")?.unwrap_or(0) != 0;
    if operator.int("transA")?.unwrap_or(0) != 0 || !is_one("alpha") || !is_one("beta") {
        return Err(operator.has("factors or turned rows"));
    }
    let (weights, shape) = weights(chain, operator, is_turned)?;
    let bias = match operator.inputs.get(2).filter(|name| !name.is_empty()) {
        Some(_) => bias(&chain.constant(operator, 2)?.0, shape, chain.column),
        None => Some(0.0),
    };
    Ok(sum(
        weights,
        bias.ok_or_else(|| operator.has("a bias of another shape"))?,
    ))
}

/// `MatMul`: rows times weights, and perhaps a bias that is added.
pub(super) fn product(chain: &Chain<'_>, operator: &Operator, added: Option<&Tensor>) -> Result<Core, NotRead> {
    let (weights, columns) = weights(chain, operator, false)?;
    let bias = match added {
        Some(added) => bias(&added.numbers()?, columns, chain.column),
        None => Some(0.0),
    };
    Ok(sum(
        weights,
        bias.ok_or_else(|| operator.has("a bias of another shape"))?,
    ))
}

/// Returns the weights of the column that is asked for, and how many columns there are.
fn weights(chain: &Chain<'_>, operator: &Operator, is_turned: bool) -> Result<(Vec<f32>, usize), NotRead> {
    let (numbers, shape) = chain.constant(operator, 1)?;
    let size = |length: i64| usize::try_from(length).unwrap_or(usize::MAX);
    let (inner, columns) = match *shape {
        [columns, inner] if is_turned => (size(inner), size(columns)),
        [inner, columns] => (size(inner), size(columns)),
        _ => return Err(operator.has("weights that are no table")),
    };
    if inner != chain.features || chain.column >= columns {
        return Err(operator.has("weights of another shape"));
    }
    let weight = |at: usize| {
        if is_turned {
            numbers[chain.column * inner + at]
        } else {
            numbers[at * columns + chain.column]
        }
    };
    Ok(((0..inner).map(weight).collect(), columns))
}

fn bias(numbers: &[f32], columns: usize, column: usize) -> Option<f32> {
    match numbers {
        [one] => Some(*one),
        numbers if numbers.len() == columns => Some(numbers[column]),
        _ => None,
    }
}

const fn sum(weights: Vec<f32>, bias: f32) -> Core {
    Core {
        body: Body::Linear(Linear { weights, bias }),
        finish: Vec::new(),
        is_pair: false,
    }
}

/// `Scaler`: `(number - offset) * scale` for each column.
pub(super) fn scaler(operator: &Operator, features: usize) -> Result<Vec<Adjust>, NotRead> {
    let offsets = operator.by_column("offset", features)?;
    let scales = operator.by_column("scale", features)?;
    let both = offsets.into_iter().zip(scales);
    Ok(both.map(|(offset, scale)| Adjust::Scale { offset, scale }).collect())
}

/// `Sub`: a number of each column is taken away.
pub(super) fn moved(chain: &Chain<'_>, operator: &Operator) -> Result<Vec<Adjust>, NotRead> {
    let (offsets, shape) = chain.constant(operator, 1)?;
    let columns = i64::try_from(chain.features).unwrap_or(i64::MAX);
    if *shape != [columns] && *shape != [1, columns] {
        return Err(operator.has("another shape than a number for each column"));
    }
    let moved = |offset| Adjust::Scale { offset, scale: 1.0 };
    Ok(offsets.into_iter().map(moved).collect())
}

/// `Imputer` of missing numbers.
pub(super) fn imputer(operator: &Operator, features: usize) -> Result<Vec<Adjust>, NotRead> {
    let replaced = operator.attribute("replaced_value_float");
    if !replaced.is_some_and(|attribute| attribute.float.is_nan()) {
        return Err(operator.has("another value to replace than NaN"));
    }
    let imputed = operator.by_column("imputed_value_floats", features)?;
    Ok(imputed.into_iter().map(Adjust::Impute).collect())
}
