//! By which way a model's scores are made.

use std::fmt;

use crate::decision::specialised::REVISION;

/// By which way a model's scores are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Its trees are taken apart for the catalog ([`crate::decision::specialised`]).
    FactorisedTrees,
    /// Its weighted sum is taken apart for the catalog.
    FactorisedSum,
    /// ONNX Runtime runs its rows.
    OnnxRuntime,
    /// Something else scores rows: in tests, benches and the simulator.
    Rows,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::FactorisedTrees,
        Self::FactorisedSum,
        Self::OnnxRuntime,
        Self::Rows,
    ];

    /// Returns its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FactorisedTrees => "factorised_trees",
            Self::FactorisedSum => "factorised_sum",
            Self::OnnxRuntime => "onnx_runtime",
            Self::Rows => "rows",
        }
    }

    /// Returns the name of the arithmetic, which a decision that is made again must use as well: the two that are factorised
    /// have the number of their revision.
    #[must_use]
    pub fn arithmetic(self) -> String {
        match self {
            Self::FactorisedTrees | Self::FactorisedSum => format!("factorised {REVISION}"),
            Self::OnnxRuntime | Self::Rows => ROWS.to_owned(),
        }
    }
}

/// The arithmetic of all scorers of whole rows, and of all that were before there was another.
pub const ROWS: &str = "rows";

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FactorisedTrees => "factorised trees",
            Self::FactorisedSum => "a factorised sum",
            Self::OnnxRuntime => "ONNX Runtime",
            Self::Rows => "rows",
        })
    }
}
