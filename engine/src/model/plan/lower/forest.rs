//! From [listed](super::listing) nodes of trees to those that are walked: every comparison as "less or equal".

use std::collections::BTreeMap;

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::kernels::complete::{Complete, Layout};
use super::super::kernels::trees::{Aggregation, Finish, Forest, Group, NAN_IS_LESS, TreeNode, TwoClasses};
use super::super::onnx::Node;
use super::ensemble::finish;
use super::listing::{Kind, Listed, Listing, Mode, SCORES_MAX, Vote};

/// The forest of a node, which does not know yet where its input is.
pub(super) fn forest(node: Node<'_>, kind: Kind, features: usize) -> Result<Forest, PlanError> {
    let listing = match kind {
        Kind::Ensemble => Listing::by_place(node, features)?,
        Kind::Classifier | Kind::Regressor => Listing::by_name(node, kind, features)?,
    };
    let mut growing = Growing {
        node,
        listed: &listing.nodes,
        nodes: Vec::new(),
        votes: Vec::new(),
    };
    let mut groups: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for root in &listing.roots {
        let (root, depth) = growing.grow(*root, 0)?;
        groups.entry(depth).or_default().push(root);
    }
    let (scores, finish) = growing.scores(kind)?;
    let mut base = node.floats("base_values").to_vec();
    if base.is_empty() {
        base = vec![0.0; scores];
    }
    if base.len() != scores {
        return Err(node.refused(format!("it has {} base values for {scores} scores", base.len())));
    }
    let Growing {
        nodes, votes: by_node, ..
    } = growing;
    let mut votes_at = vec![0];
    let mut votes = Vec::new();
    for own in &by_node {
        votes.extend_from_slice(own);
        votes_at.push(votes.len() as u32);
    }
    // The only vote of a leaf.
    let vote = |leaf: u32| match by_node[leaf as usize][..] {
        [vote] => Some(vote),
        _ => None,
    };
    let values = Layout::of(&nodes, features);
    let group = |(depth, roots): (usize, Vec<u32>)| {
        let complete = values.and_then(|values| Complete::of(&nodes, &roots, depth, values, vote));
        complete.map_or(Group::Listed(depth, roots), Group::Complete)
    };
    let groups: Vec<Group> = groups.into_iter().map(group).collect();
    Ok(Forest {
        input: 0,
        from: 0,
        features,
        aggregation: aggregation(node, listing.roots.len()),
        groups,
        values,
        nodes,
        votes_at,
        votes,
        base,
        finish,
    })
}

/// A text of old, a number since.
fn aggregation(node: Node<'_>, trees: usize) -> Aggregation {
    match (node.text("aggregate_function", ""), node.int("aggregate_function", 1)) {
        ("AVERAGE", _) | ("", 0) if node.has("aggregate_function") => Aggregation::Average(trees as u32),
        ("MIN", _) | ("", 2) => Aggregation::Min,
        ("MAX", _) | ("", 3) => Aggregation::Max,
        _ => Aggregation::Sum,
    }
}

/// Nodes that are walked, on their way out of listed ones.
struct Growing<'a> {
    node: Node<'a>,
    listed: &'a [Listed],
    nodes: Vec<TreeNode>,
    /// By node.
    votes: Vec<Vec<Vote>>,
}

impl Growing<'_> {
    /// How many scores there are, and what becomes of them.
    fn scores(&mut self, kind: Kind) -> Result<(usize, Finish), PlanError> {
        let node = self.node;
        let finish = finish(node)?;
        let listed = || {
            self.listed.iter().flat_map(|listed| match listed {
                Listed::Leaf(votes) => &votes[..],
                Listed::Branch { .. } => &[],
            })
        };
        let seen = listed().map(|vote| vote.0 as usize + 1).max().unwrap_or(0);
        if kind != Kind::Classifier {
            let targets = usize::try_from(node.int("n_targets", 1)).unwrap_or(1);
            let targets = (targets <= SCORES_MAX as usize).then_some(targets);
            let targets = targets.ok_or_else(|| node.refused("it has too many targets"))?;
            return Ok((targets.max(seen), finish));
        }
        let classes = node
            .ints("classlabels_int64s")
            .len()
            .max(node.texts("classlabels_strings").len());
        let first = listed().next().map_or(0, |vote| vote.0);
        let has_one_score = listed().all(|vote| vote.0 == first);
        if classes != 2 || !has_one_score {
            return Ok((classes.max(seen), finish));
        }
        // Two classes with one score: it is the second's.
        let is_positive = listed().all(|vote| vote.1 >= 0.0);
        for vote in self.votes.iter_mut().flatten() {
            vote.0 = 0;
        }
        Ok((
            1,
            Finish::Two(match (finish, is_positive) {
                (Finish::Probit, _) => TwoClasses::Probit,
                (_, true) => TwoClasses::Complement,
                (Finish::Each(Activation::Sigmoid), false) => TwoClasses::Logistic,
                (_, false) => TwoClasses::Opposite,
            }),
        ))
    }

    /// The node at a place with all below it: where it is now, and how deep that goes.
    fn grow(&mut self, place: usize, above: usize) -> Result<(u32, usize), PlanError> {
        if above > DEPTH_MAX || self.nodes.len() > NODES_MAX {
            return Err(self.node.refused("a tree is too deep, or goes round in a circle"));
        }
        let (mode, feature, threshold, yes, no, nan_is_yes) = match &self.listed[place] {
            Listed::Leaf(votes) => {
                let leaf = self.push(f32::NAN, 0, [0; 2]);
                self.nodes[leaf as usize].next = [leaf; 2];
                self.votes[leaf as usize].clone_from(votes);
                return Ok((leaf, 0));
            }
            Listed::Branch {
                mode,
                feature,
                threshold,
                yes,
                no,
                nan_is_yes,
            } => (mode, *feature, *threshold, *yes, *no, *nan_is_yes),
        };
        let below = just_below(threshold);
        let ((yes, yes_depth), (no, no_depth)) = (self.grow(yes, above + 1)?, self.grow(no, above + 1)?);
        let depth = yes_depth.max(no_depth) + 1;
        Ok(match mode {
            Mode::LessOrEqual => (self.branch(threshold, feature, yes, no, nan_is_yes), depth),
            Mode::Less => (self.branch(below, feature, yes, no, nan_is_yes), depth),
            Mode::Greater => (self.branch(threshold, feature, no, yes, !nan_is_yes), depth),
            Mode::GreaterOrEqual => (self.branch(below, feature, no, yes, !nan_is_yes), depth),
            Mode::Equal => (self.equal(threshold, feature, yes, no, nan_is_yes), depth + 1),
            // No number is equal to anything, and so it is not equal.
            Mode::NotEqual => (self.equal(threshold, feature, no, yes, false), depth + 1),
            Mode::Member(members) => {
                if above + 2 * members.len() > DEPTH_MAX {
                    return Err(self.node.refused("a node asks for too many values"));
                }
                // One question after the other; the first one, which is made last, knows about what is no number.
                let mut at = no;
                for (index, member) in members.iter().enumerate().rev() {
                    at = self.equal(*member, feature, yes, at, nan_is_yes && index == 0);
                }
                let questions = 2 * members.len();
                (
                    at,
                    if members.is_empty() {
                        no_depth
                    } else {
                        depth - 1 + questions
                    },
                )
            }
        })
    }

    /// Equal, another, and whether what is no number counts as equal.
    fn equal(&mut self, threshold: f32, feature: u32, same: u32, other: u32, nan_is_same: bool) -> u32 {
        let inner = self.branch(just_below(threshold), feature, other, same, !nan_is_same);
        self.branch(threshold, feature, inner, other, nan_is_same)
    }

    /// Less or equal, greater, and whether what is no number counts as less.
    fn branch(&mut self, threshold: f32, feature: u32, less: u32, greater: u32, nan_is_less: bool) -> u32 {
        let flag = if nan_is_less { NAN_IS_LESS } else { 0 };
        self.push(threshold, feature | flag, [greater, less])
    }

    fn push(&mut self, threshold: f32, feature: u32, next: [u32; 2]) -> u32 {
        self.nodes.push(TreeNode {
            threshold,
            feature,
            next,
        });
        self.votes.push(Vec::new());
        (self.nodes.len() - 1) as u32
    }
}

/// The greatest float below; nothing is below the least.
fn just_below(threshold: f32) -> f32 {
    match threshold {
        f32::NEG_INFINITY => f32::NAN,
        threshold => threshold.next_down(),
    }
}

/// Deeper trees are not read.
const DEPTH_MAX: usize = 256;

/// More nodes are not kept: at 16 bytes each they would not fit any cache.
const NODES_MAX: usize = 1 << 24;
