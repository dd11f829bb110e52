//! Ensembles of decision trees.
//!
//! Trees of few levels are filled up to [complete](super::complete) ones. The nodes of the others lie in one array; a leaf is
//! its own child, so that a tree is walked in as many equal steps as it is deep, without a branch that depends on the data.
//! Eight trees are walked at a time: one walk is a chain of loads that wait for each other, eight are not.
//!
//! Every comparison that ONNX knows is "less or equal" here: `x < t` is `x <= t'` with the float before `t`, "greater" is
//! its opposite, "equal" is two nodes. Which way a value goes that is no number is said by each node, because opposites
//! of comparisons are not opposites there.

use super::super::step::RowFunction;
use super::activation::Activation;
use super::complete::{Complete, Layout, TakeLeaf, VALUES};
use super::elementwise::spread;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TreeNode {
    pub(crate) threshold: f32,
    /// Which value is compared; the highest bit says that a value that is no number is "less or equal".
    pub(crate) feature: u32,
    /// Where to go: first where the value is greater.
    pub(crate) next: [u32; 2],
}

/// The flag in [`TreeNode::feature`].
pub(crate) const NAN_IS_LESS: u32 = 1 << 31;

/// All trees of an ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    pub(crate) input: usize,
    /// Where the values begin.
    pub(crate) from: u32,
    pub(crate) features: usize,
    pub(crate) nodes: Vec<TreeNode>,
    pub(crate) groups: Vec<Group>,
    /// How complete trees see the values.
    pub(crate) values: Option<Layout>,
    /// By node: its first vote. There is one entry more than nodes.
    pub(crate) votes_at: Vec<u32>,
    /// Score and weight.
    pub(crate) votes: Vec<(u32, f32)>,
    pub(crate) base: Vec<f32>,
    pub(crate) aggregation: Aggregation,
    pub(crate) finish: Finish,
}

/// Trees of the same depth.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    Complete(Complete),
    /// The depth, and the roots.
    Listed(usize, Vec<u32>),
}

impl Group {
    /// How many trees, and how deep they are.
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Complete(complete) => complete.shape(),
            Self::Listed(depth, roots) => (roots.len(), *depth),
        }
    }
}

/// How the votes for one score become it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    /// Divided by the number of trees.
    Average(u32),
    Min,
    Max,
}

/// What is made of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finish {
    /// A function of each.
    Each(Activation),
    /// A function of all.
    Row(RowFunction),
    /// The quantile of the normal distribution of each.
    Probit,
    /// One score, of which two probabilities are made.
    Two(TwoClasses),
}

/// How one score becomes two probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwoClasses {
    /// `1 - s`, `s`.
    Complement,
    /// `sigma(-s)`, `sigma(s)`.
    Logistic,
    /// `-s`, `s`.
    Opposite,
    /// `1 - p`, `p` with the quantile of the normal distribution.
    Probit,
}

/// Trees that are walked side by side.
const ABREAST: usize = 8;

impl Forest {
    pub(crate) fn output_len(&self) -> usize {
        match self.finish {
            Finish::Two(_) => 2,
            _ => self.base.len(),
        }
    }

    pub(crate) fn trees(&self) -> usize {
        self.groups.iter().map(|group| group.shape().0).sum()
    }

    /// How many comparisons an answer takes.
    pub(crate) fn comparisons(&self) -> usize {
        let of_group = |group: &Group| {
            let (trees, depth) = group.shape();
            trees * depth
        };
        self.groups.iter().map(of_group).sum()
    }

    /// What the buffer needs.
    pub(crate) fn len(&self) -> usize {
        // The scores are formed behind the outputs: the last function may need them all. Then the values, laid out.
        self.output_len() + self.base.len() + if self.values.is_some() { VALUES } else { 0 }
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32]) {
        let x = &input[self.from as usize..][..self.features];
        let (out, rest) = output.split_at_mut(self.output_len());
        let (scores, rest) = rest.split_at_mut(self.base.len());
        scores.fill(match self.aggregation {
            Aggregation::Sum | Aggregation::Average(_) => 0.0,
            Aggregation::Min => f32::INFINITY,
            Aggregation::Max => f32::NEG_INFINITY,
        });
        let values = rest.first_chunk_mut::<VALUES>();
        let values = values.zip(self.values).map(|(values, layout)| {
            layout.fill(x, values);
            &*values
        });
        let mut ballot = Ballot { forest: self, scores };
        for group in &self.groups {
            match (group, values) {
                (Group::Complete(trees), Some(values)) => trees.walk(values, &mut ballot),
                (Group::Complete(_), None) => debug_assert!(false, "there is room for what complete trees see"),
                (Group::Listed(depth, roots), _) => self.walk(*depth, roots, x, &mut ballot),
            }
        }
        let scores = ballot.scores;
        for (score, base) in scores.iter_mut().zip(&self.base) {
            if let Aggregation::Average(trees) = self.aggregation {
                *score /= trees as f32;
            }
            *score += base;
        }
        match self.finish {
            Finish::Each(function) => {
                for (out, score) in out.iter_mut().zip(&*scores) {
                    *out = function.of_one(*score);
                }
            }
            Finish::Row(function) => spread(function, scores, out),
            Finish::Probit => {
                for (out, score) in out.iter_mut().zip(&*scores) {
                    *out = probit(*score);
                }
            }
            Finish::Two(kind) => {
                let score = scores[0];
                let sigma = |x| Activation::Sigmoid.of_one(x);
                out.copy_from_slice(&match kind {
                    TwoClasses::Complement => [1.0 - score, score],
                    TwoClasses::Logistic => [sigma(-score), sigma(score)],
                    TwoClasses::Opposite => [-score, score],
                    TwoClasses::Probit => [1.0 - probit(score), probit(score)],
                });
            }
        }
    }

    /// Along the lists.
    fn walk(&self, depth: usize, roots: &[u32], x: &[f32], to: &mut Ballot<'_>) {
        let (abreast, rest) = roots.as_chunks::<ABREAST>();
        for roots in abreast {
            let mut at = *roots;
            for _ in 0..depth {
                for node in &mut at {
                    *node = self.step(x, *node);
                }
            }
            for leaf in at {
                to.node(leaf);
            }
        }
        for root in rest {
            to.node((0..depth).fold(*root, |node, _| self.step(x, node)));
        }
    }

    #[inline(always)]
    fn step(&self, x: &[f32], node: u32) -> u32 {
        let TreeNode {
            threshold,
            feature,
            next,
        } = self.nodes[node as usize];
        let value = x[(feature & !NAN_IS_LESS) as usize];
        let is_less = (value <= threshold) | ((feature & NAN_IS_LESS != 0) & value.is_nan());
        next[usize::from(is_less)]
    }
}

/// Votes for scores.
struct Ballot<'a> {
    forest: &'a Forest,
    scores: &'a mut [f32],
}

impl TakeLeaf for Ballot<'_> {
    #[inline(always)]
    fn node(&mut self, node: u32) {
        let forest = self.forest;
        let (first, last) = (forest.votes_at[node as usize], forest.votes_at[node as usize + 1]);
        for &(score, weight) in &forest.votes[first as usize..last as usize] {
            self.vote(score, weight);
        }
    }

    #[inline(always)]
    fn vote(&mut self, score: u32, weight: f32) {
        let score = &mut self.scores[score as usize];
        *score = match self.forest.aggregation {
            Aggregation::Sum | Aggregation::Average(_) => *score + weight,
            Aggregation::Min => score.min(weight),
            Aggregation::Max => score.max(weight),
        };
    }
}

/// What onnxruntime computes: the root of two times an approximation of the inverse error function (Winitzki 2008).
fn probit(score: f32) -> f32 {
    let x = 2.0 * score - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let root = (v * v - log / 0.147).sqrt() - v;
    std::f32::consts::SQRT_2 * root.sqrt().copysign(x)
}
