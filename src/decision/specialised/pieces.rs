//! Cuts a tree into pieces with as many leaves as a word has bits.
//!
//! A piece keeps a run of the tree's leaves and every fork on the way to them; each subtree outside the run shrinks to one
//! leaf of value 0. So for every row exactly one piece gives the tree's value, the others give 0, and their sum is the
//! tree's value to the bit. A tree that fits is one piece, whole.
//!
//! Forks are first turned so that all ask `number <= threshold` or `number == threshold`, and the number for which that
//! holds goes left; leaves are numbered from left to right.

use super::formula::{Node, Test, Tree};

/// What a turned fork asks; where it holds, the row goes left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Question {
    /// `number <= threshold`.
    AtMost(f32),
    /// `number == threshold`.
    Equals(f32),
}

/// A fork of a piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fork {
    /// The column that is looked at.
    pub(super) column: usize,
    /// What is asked.
    pub(super) question: Question,
    /// Whether NaN goes left.
    pub(super) missing_left: bool,
    /// The leaves on the left: the first, and the one after the last.
    pub(super) left: (u32, u32),
}

/// A piece of a tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// The forks.
    pub(super) forks: Vec<Fork>,
    /// The leaves' values, from left to right.
    pub(super) leaves: Vec<f32>,
}

/// A turned tree.
struct Turned {
    forks: Vec<TurnedFork>,
    leaves: Vec<f32>,
    /// By leaf: how many forks on the way to it go right, and how many go left.
    turns: Vec<(usize, usize)>,
}

/// A fork with its leaves in the whole tree: `from` up to `middle` on its left, `middle` up to `to` on its right.
struct TurnedFork {
    fork: Fork,
    from: usize,
    middle: usize,
    to: usize,
}

/// Cuts a tree into pieces of at most `leaves_max` leaves; `None` when the way to one of its leaves is too long for that.
pub(super) fn cut(tree: &Tree, leaves_max: usize) -> Option<Vec<Piece>> {
    let turned = turn(tree);
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < turned.leaves.len() {
        let to = end_of_run(&turned, from, leaves_max)?;
        pieces.push(piece(&turned, from, to));
        from = to;
    }
    Some(pieces)
}

/// Returns where the longest run of leaves ends that begins at `from` and makes a piece which is not too large.
fn end_of_run(turned: &Turned, from: usize, leaves_max: usize) -> Option<usize> {
    let last = turned.leaves.len().min(from + leaves_max);
    let before = turned.turns[from].0;
    (from + 1..=last)
        .rev()
        .find(|&to| before + (to - from) + turned.turns[to - 1].1 <= leaves_max)
}

fn piece(turned: &Turned, from: usize, to: usize) -> Piece {
    // The subtrees outside the run that shrink to a leaf, by where they begin.
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let crosses = |fork: &&TurnedFork| fork.from < to && from < fork.to;
    for fork in turned.forks.iter().filter(crosses) {
        if fork.middle <= from {
            before.push(fork.from);
        }
        if to <= fork.middle {
            after.push(fork.middle);
        }
    }
    // The number of the piece's leaf that begins where the tree's leaf `at` does.
    let place = |at: usize| {
        let shrunk = before.iter().chain(&after).filter(|&&begin| begin < at).count();
        narrow(shrunk + at.clamp(from, to) - from)
    };
    let forks = turned.forks.iter().filter(crosses).map(|fork| Fork {
        left: (place(fork.from), place(fork.middle)),
        ..fork.fork
    });
    let zeros = |count: usize| std::iter::repeat_n(0.0, count);
    let kept = turned.leaves[from..to].iter().copied();
    Piece {
        forks: forks.collect(),
        leaves: zeros(before.len()).chain(kept).chain(zeros(after.len())).collect(),
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Turns all forks and numbers the leaves, without recursion, since a tree may be as deep as it has nodes.
fn turn(tree: &Tree) -> Turned {
    let counts = leaf_counts(tree);
    let mut begins = vec![0; tree.nodes.len()];
    let mut turns_to = vec![(0, 0); tree.nodes.len()];
    let leaves = counts.first().copied().unwrap_or_default();
    let mut turned = Turned {
        forks: Vec::new(),
        leaves: vec![0.0; leaves],
        turns: vec![(0, 0); leaves],
    };
    for (at, node) in tree.nodes.iter().enumerate() {
        let from = begins[at];
        match *node {
            Node::Leaf(value) => {
                turned.leaves[from] = value;
                turned.turns[from] = turns_to[at];
            }
            Node::Split {
                column,
                test,
                missing_holds,
                holds,
                fails,
            } => {
                let (question, is_swapped, missing_holds) = turned_test(test, missing_holds);
                let (left, right) = if is_swapped { (fails, holds) } else { (holds, fails) };
                let middle = from + counts[left];
                begins[left] = from;
                begins[right] = middle;
                let (rights, lefts) = turns_to[at];
                turns_to[left] = (rights, lefts + 1);
                turns_to[right] = (rights + 1, lefts);
                turned.forks.push(TurnedFork {
                    fork: Fork {
                        column,
                        question,
                        missing_left: missing_holds != is_swapped,
                        left: (0, 0),
                    },
                    from,
                    middle,
                    to: from + counts[at],
                });
            }
        }
    }
    turned
}

/// How many leaves there are below each node; children stand behind their parents.
fn leaf_counts(tree: &Tree) -> Vec<usize> {
    let mut counts = vec![1; tree.nodes.len()];
    for (at, node) in tree.nodes.iter().enumerate().rev() {
        if let Node::Split { holds, fails, .. } = *node {
            counts[at] = counts[holds] + counts[fails];
        }
    }
    counts
}

/// Returns the question, whether the side where the test holds is on the right, and whether the test holds of NaN.
fn turned_test(test: Test, missing_holds: bool) -> (Question, bool, bool) {
    match test {
        Test::AtMost(threshold) => (Question::AtMost(threshold), false, missing_holds),
        // No number lies between a 32-bit float and the next one below.
        Test::Below(threshold) => (Question::AtMost(threshold.next_down()), false, missing_holds),
        Test::AtLeast(threshold) => (Question::AtMost(threshold.next_down()), true, missing_holds),
        Test::Above(threshold) => (Question::AtMost(threshold), true, missing_holds),
        Test::Equals(threshold) => (Question::Equals(threshold), false, missing_holds),
        Test::Differs(threshold) => (Question::Equals(threshold), true, true),
    }
}
