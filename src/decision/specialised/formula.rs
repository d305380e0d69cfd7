//! What a model computes, as its file says it: an ensemble of trees or a weighted sum, and what is done before and after.
//!
//! A formula knows nothing of a catalog. Whoever makes one has checked it: columns are below [`Formula::features`], and
//! the nodes of a tree come after their parents, each but the root with exactly one.

/// A model as arithmetic on one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// What is done to each column's number first; as many as a row is wide.
    pub adjust: Vec<Adjust>,
    /// What makes one number of the row.
    pub body: Body,
    /// What is done to that number, in order, to make it a propensity.
    pub finish: Vec<Finish>,
}

/// What is done to one column's number before anything else, in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjust {
    /// Nothing.
    Keep,
    /// A missing number, which is NaN, becomes this one.
    Impute(f32),
    /// `(number - offset) * scale`.
    Scale {
        /// What is taken away.
        offset: f32,
        /// What the rest is multiplied with.
        scale: f32,
    },
    /// First imputed, then scaled.
    ImputeAndScale {
        /// What a missing number becomes.
        imputed: f32,
        /// What is taken away.
        offset: f32,
        /// What the rest is multiplied with.
        scale: f32,
    },
}

/// What makes one number of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The sum of a leaf of each tree.
    Trees(Ensemble),
    /// The sum of the weighted columns.
    Linear(Linear),
}

/// An ensemble of trees: the leaves' values are added in the order of the trees, in 32 bits, and then the base.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The trees.
    pub trees: Vec<Tree>,
    /// What the sum is divided by, before the base is added.
    pub divisor: Option<f32>,
    /// What is added at the end.
    pub base: f32,
}

/// A tree: its root is the first node.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The nodes; a parent stands before its children.
    pub nodes: Vec<Node>,
}

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// An end, with its value.
    Leaf(f32),
    /// A fork.
    Split {
        /// The column that is looked at.
        column: usize,
        /// What is asked of its number.
        test: Test,
        /// Where a NaN goes, of which no test but [`Test::Differs`] holds: to `holds` when true.
        missing_holds: bool,
        /// The node that follows when the test holds.
        holds: usize,
        /// The node that follows when it does not.
        fails: usize,
    },
}

/// A comparison of a number with a threshold, which is never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// `number <= threshold`.
    AtMost(f32),
    /// `number < threshold`, which is above negative infinity.
    Below(f32),
    /// `number >= threshold`, which is above negative infinity.
    AtLeast(f32),
    /// `number > threshold`.
    Above(f32),
    /// `number == threshold`.
    Equals(f32),
    /// `number != threshold`, which also holds of NaN.
    Differs(f32),
}

/// A weighted sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// The weight of each column.
    pub weights: Vec<f32>,
    /// What is added.
    pub bias: f32,
}

/// A step from the body's number to the propensity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// `-number`.
    Negate,
    /// `1 - number`.
    Complement,
    /// `1 / (1 + exp(-number))`.
    Logistic,
    /// The same of a finite number, and NaN of an endless one: what a softmax makes of the difference of two sums.
    Softmax,
}

impl Formula {
    /// Returns how wide a row is.
    #[must_use]
    pub fn features(&self) -> usize {
        self.adjust.len()
    }
}

impl Adjust {
    /// Returns what becomes of a number.
    #[must_use]
    pub fn apply(self, number: f32) -> f32 {
        let imputed = |to: f32| if number.is_nan() { to } else { number };
        match self {
            Self::Keep => number,
            Self::Impute(to) => imputed(to),
            Self::Scale { offset, scale } => (number - offset) * scale,
            Self::ImputeAndScale {
                imputed: to,
                offset,
                scale,
            } => (imputed(to) - offset) * scale,
        }
    }
}

impl Finish {
    /// Returns what becomes of a number.
    #[must_use]
    pub fn apply(self, number: f32) -> f32 {
        match self {
            Self::Negate => -number,
            Self::Complement => 1.0 - number,
            Self::Softmax if number.is_infinite() => f32::NAN,
            Self::Logistic | Self::Softmax => super::logistic::logistic(number),
        }
    }
}

impl Tree {
    /// Returns how many leaves it has.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count()
    }
}
