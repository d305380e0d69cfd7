//! Trees as masks of the leaves that can still be reached.
//!
//! The leaves of a tree are numbered from left to right, one bit each. A fork whose question a number fails rules out the
//! leaves on its left; when the masks of all failed forks are laid over each other, the lowest bit that is left is the
//! leaf that the row ends in (QuickScorer: C. Lucchese et al., SIGIR 2015). It does not matter in which order, or when:
//! so what an offer's columns rule out is kept for all decisions, what the customer's rule out is found once in each, and
//! an offer then costs one AND, one count of zeros, one look-up and one addition for each tree.
//!
//! Values are added in the order of the trees, in 32 bits, as ONNX Runtime adds them on one thread.

use super::formula::Ensemble;
use super::lanes::Lanes;
use super::pieces::{self, Piece, Question};

/// As many offers are added up side by side, so that one addition need not wait for the one before.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// A set of leaves.
pub(super) trait Word: Copy + std::fmt::Debug {
    /// The values of a tree's leaves, by bit.
    type Leaves: Clone + std::fmt::Debug;
    /// How many leaves there can be.
    const BITS: usize;
    /// All leaves.
    const ALL: Self;
    /// Returns all leaves but those from the first up to the second.
    fn all_but(from: u32, to: u32) -> Self;
    /// Returns what is in both.
    fn and(self, other: Self) -> Self;
    /// Returns the value of the first leaf of a set that is never empty.
    fn value(self, leaves: &Self::Leaves) -> f32;
    /// Returns the values by bit, from left to right; there are at most [`Word::BITS`].
    fn leaves(values: &[f32]) -> Self::Leaves;
    /// Returns sets of leaves and values of leaves as those of small trees, if that is what they are.
    fn as_small<'a>(masks: &'a [Self], leaves: &'a [Self::Leaves]) -> Option<(&'a [u32], &'a [[f32; 32]])>;
}

macro_rules! word {
    ($word:ty, $as_small:expr) => {
        impl Word for $word {
            type Leaves = [f32; <$word>::BITS as usize];
            const BITS: usize = <$word>::BITS as usize;
            const ALL: Self = <$word>::MAX;

            fn all_but(from: u32, to: u32) -> Self {
                (from..to).fold(Self::MAX, |set, leaf| set & !(1 << leaf))
            }

            #[inline]
            fn and(self, other: Self) -> Self {
                self & other
            }

            #[inline]
            fn value(self, leaves: &Self::Leaves) -> f32 {
                // The last bit is never the lowest of several, so setting it changes nothing, and spares a test for zero.
                let leaf = (self | 1 << (<$word>::BITS - 1)).trailing_zeros();
                leaves[leaf as usize % <Self as Word>::BITS]
            }

            fn leaves(values: &[f32]) -> Self::Leaves {
                std::array::from_fn(|leaf| values.get(leaf).copied().unwrap_or_default())
            }

            fn as_small<'a>(masks: &'a [Self], leaves: &'a [Self::Leaves]) -> Option<(&'a [u32], &'a [[f32; 32]])> {
                $as_small(masks, leaves)
            }
        }
    };
}

word!(u32, |masks, leaves| Some((masks, leaves)));
word!(u64, |_, _| None);

/// An ensemble by columns.
#[derive(Clone, Debug)]
pub(super) struct Forest<W: Word> {
    /// By column, what is asked of it.
    columns: Vec<Questions<W>>,
    /// By tree, or piece of a tree.
    leaves: Vec<W::Leaves>,
    divisor: Option<f32>,
    base: f32,
}

/// All questions that one column is asked.
#[derive(Clone, Debug)]
struct Questions<W> {
    /// The thresholds, in order, of the questions whether the number is at most that.
    thresholds: Vec<f32>,
    /// What each of them rules out when the number is above its threshold.
    above: Vec<Ruled<W>>,
    /// What is ruled out when the number is not this one.
    unequal: Vec<(f32, Ruled<W>)>,
    /// What is ruled out when the number is missing.
    missing: Vec<Ruled<W>>,
}

/// What a failed question leaves of a tree.
#[derive(Clone, Copy, Debug)]
struct Ruled<W> {
    tree: usize,
    left: W,
}

impl<W: Word> Forest<W> {
    /// Compiles an ensemble for rows of this width; `None` when a tree is too deep.
    pub(super) fn new(ensemble: &Ensemble, features: usize) -> Option<Self> {
        let cut = ensemble.trees.iter().map(|tree| pieces::cut(tree, W::BITS));
        let pieces: Vec<Piece> = cut.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
        let mut columns = vec![Questions::default(); features];
        for (tree, piece) in pieces.iter().enumerate() {
            for fork in &piece.forks {
                let ruled = Ruled {
                    tree,
                    left: W::all_but(fork.left.0, fork.left.1),
                };
                columns[fork.column].add(fork.question, fork.missing_left, ruled);
            }
        }
        columns.iter_mut().for_each(Questions::sort);
        Some(Self {
            columns,
            leaves: pieces.iter().map(|piece| W::leaves(&piece.leaves)).collect(),
            divisor: ensemble.divisor,
            base: ensemble.base,
        })
    }

    /// Returns how many trees, or pieces of trees, there are.
    pub(super) fn trees(&self) -> usize {
        self.leaves.len()
    }

    /// Tells whether a question is asked of the column.
    pub(super) fn asks(&self, column: usize) -> bool {
        let questions = &self.columns[column];
        !(questions.above.is_empty() && questions.unequal.is_empty())
    }

    /// Returns all numbers that the column's are compared with.
    pub(super) fn thresholds(&self, column: usize) -> impl Iterator<Item = f32> {
        let questions = &self.columns[column];
        let unequal = questions.unequal.iter().map(|(number, _)| *number);
        questions.thresholds.iter().copied().chain(unequal)
    }

    /// Rules out what the column's number rules out.
    pub(super) fn rule_out(&self, column: usize, number: f32, masks: &mut [W]) {
        let questions = &self.columns[column];
        let mut rule_out = |ruled: &Ruled<W>| masks[ruled.tree] = masks[ruled.tree].and(ruled.left);
        if number.is_nan() {
            questions.missing.iter().for_each(rule_out);
            return;
        }
        let above = questions.thresholds.partition_point(|&threshold| threshold < number);
        questions.above[..above].iter().for_each(&mut rule_out);
        for (equal, ruled) in &questions.unequal {
            #[expect(clippy::float_cmp, reason = "that is what the mode asks")]
            let is_equal = number == *equal;
            if !is_equal {
                rule_out(ruled);
            }
        }
    }

    /// Lays the sets of leaves of many offers out side by side, if they can be; see [`Lanes::new`].
    pub(super) fn lanes(&self, offers: &[W], rows: &[u32], groups: &[usize]) -> Option<Lanes> {
        let (masks, leaves) = W::as_small(offers, &self.leaves)?;
        Lanes::new(masks, leaves, rows, groups)
    }

    /// Adds up the leaves of some rows, each with its two sets of leaves by tree.
    pub(super) fn sums<const ROWS: usize>(&self, one: [&[W]; ROWS], other: [&[W]; ROWS]) -> [f32; ROWS] {
        let trees = self.leaves.len();
        let (one, other) = (one.map(|masks| &masks[..trees]), other.map(|masks| &masks[..trees]));
        let mut sums = [0.0_f32; ROWS];
        for (tree, leaves) in self.leaves.iter().enumerate() {
            for row in 0..ROWS {
                sums[row] += one[row][tree].and(other[row][tree]).value(leaves);
            }
        }
        sums.map(|sum| self.finished(sum))
    }

    /// Returns what a sum of leaves makes in the end.
    pub(super) fn finished(&self, sum: f32) -> f32 {
        self.divisor.map_or(sum, |divisor| sum / divisor) + self.base
    }
}

impl<W: Word> Default for Questions<W> {
    fn default() -> Self {
        Self {
            thresholds: Vec::new(),
            above: Vec::new(),
            unequal: Vec::new(),
            missing: Vec::new(),
        }
    }
}

impl<W: Word> Questions<W> {
    fn add(&mut self, question: Question, missing_left: bool, ruled: Ruled<W>) {
        match question {
            Question::AtMost(threshold) => {
                self.thresholds.push(threshold);
                self.above.push(ruled);
            }
            Question::Equals(number) => self.unequal.push((number, ruled)),
        }
        if !missing_left {
            self.missing.push(ruled);
        }
    }

    fn sort(&mut self) {
        let mut both: Vec<(f32, Ruled<W>)> = self.thresholds.drain(..).zip(self.above.drain(..)).collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        (self.thresholds, self.above) = both.into_iter().unzip();
    }
}
