//! Trees, from the ways in which ONNX lists them.
//!
//! Classifiers and regressors name nodes by tree and number, leaves among them; since version 5 of `ai.onnx.ml` nodes name
//! each other by their places, and leaves have lists of their own. Both become the same branches here, and of these grow the
//! nodes that are walked: every comparison as "less or equal".

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::kernels::complete::{Complete, Layout};
use super::super::kernels::trees::{Aggregation, Finish, Forest, Group, NAN_IS_LESS, TreeNode, TwoClasses};
use super::super::onnx::Node;
use super::ensemble::finish;

/// The operators that have trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Classifier,
    Regressor,
    /// Of version 5.
    Ensemble,
}

/// Score and weight.
type Vote = (u32, f32);

/// A node as it is listed.
enum Listed {
    Leaf(Vec<Vote>),
    Branch {
        mode: Mode,
        feature: u32,
        threshold: f32,
        /// Places of the children.
        yes: usize,
        no: usize,
        nan_is_yes: bool,
    },
}

enum Mode {
    LessOrEqual,
    Less,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    /// One of these.
    Member(Vec<f32>),
}

/// All nodes, and the places of the roots.
struct Listing {
    nodes: Vec<Listed>,
    roots: Vec<usize>,
}

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

fn score_of(node: Node<'_>, id: i64) -> Result<u32, PlanError> {
    let score = u32::try_from(id).ok().filter(|score| *score < SCORES_MAX);
    score.ok_or_else(|| node.refused(format!("{id} is no number of a score")))
}

fn feature_of(node: Node<'_>, id: i64, features: usize) -> Result<u32, PlanError> {
    let feature = u32::try_from(id).ok().filter(|feature| (*feature as usize) < features);
    feature.ok_or_else(|| node.refused(format!("it looks at value {id} of {features}")))
}

impl Listing {
    /// Nodes that are named by tree and number.
    fn by_name(node: Node<'_>, kind: Kind, features: usize) -> Result<Self, PlanError> {
        if [
            "nodes_values_as_tensor",
            "class_weights_as_tensor",
            "target_weights_as_tensor",
            "base_values_as_tensor",
        ]
        .iter()
        .any(|name| node.has(name))
        {
            return Err(node.refused("it computes in doubles: convert it for floats"));
        }
        let (tree_ids, node_ids) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
        let (feature_ids, thresholds) = (node.ints("nodes_featureids"), node.floats("nodes_values"));
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"));
        let nan_is_true = node.ints("nodes_missing_value_tracks_true");
        let modes: Vec<&str> = node.texts("nodes_modes").collect();
        let count = tree_ids.len();
        let names = tree_ids.iter().zip(node_ids).enumerate();
        let places: HashMap<(i64, i64), usize> = names.map(|(place, (tree, id))| ((*tree, *id), place)).collect();
        let lens = [
            node_ids.len(),
            feature_ids.len(),
            thresholds.len(),
            modes.len(),
            yes.len(),
            no.len(),
        ];
        if count == 0 || lens != [count; 6] || places.len() != count {
            return Err(node.refused("its lists of nodes are of different lengths, or name a node twice"));
        }
        let word = if kind == Kind::Classifier { "class" } else { "target" };
        let list = |name: &str| node.ints(&format!("{word}_{name}"));
        let (vote_trees, vote_nodes, scores) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = node.floats(&format!("{word}_weights"));
        if [vote_nodes.len(), scores.len(), weights.len()] != [vote_trees.len(); 3] {
            return Err(node.refused("its lists of weights are of different lengths"));
        }
        let mut votes: Vec<Vec<Vote>> = vec![Vec::new(); count];
        for (index, weight) in weights.iter().enumerate() {
            let place = places.get(&(vote_trees[index], vote_nodes[index]));
            let place = place.ok_or_else(|| node.refused("a weight belongs to no node"))?;
            votes[*place].push((score_of(node, scores[index])?, *weight));
        }
        let mut nodes = Vec::with_capacity(count);
        for (place, own_votes) in votes.into_iter().enumerate() {
            let mode = match modes[place] {
                "LEAF" => {
                    nodes.push(Listed::Leaf(own_votes));
                    continue;
                }
                "BRANCH_LEQ" => Mode::LessOrEqual,
                "BRANCH_LT" => Mode::Less,
                "BRANCH_GT" => Mode::Greater,
                "BRANCH_GTE" => Mode::GreaterOrEqual,
                "BRANCH_EQ" => Mode::Equal,
                "BRANCH_NEQ" => Mode::NotEqual,
                other => return Err(node.refused(format!("mode {other} is not known"))),
            };
            let child = |ids: &[i64]| {
                let child = places.get(&(tree_ids[place], ids[place])).copied();
                child.ok_or_else(|| node.refused(format!("node {} leads nowhere", node_ids[place])))
            };
            nodes.push(Listed::Branch {
                mode,
                feature: feature_of(node, feature_ids[place], features)?,
                threshold: thresholds[place],
                yes: child(yes)?,
                no: child(no)?,
                nan_is_yes: nan_is_true.get(place).is_some_and(|flag| *flag != 0),
            });
        }
        // A tree's root is the node that comes first in the list.
        let mut known = HashSet::new();
        let roots = (0..count).filter(|place| known.insert(tree_ids[*place])).collect();
        Ok(Self { nodes, roots })
    }

    /// Nodes that name each other by their places; leaves, which have lists of their own, come to stand behind them.
    fn by_place(node: Node<'_>, features: usize) -> Result<Self, PlanError> {
        let floats = |name: &str| match node.tensor_of(name)?.map(|tensor| tensor.data) {
            Some(super::Data::F32(values)) => Ok(values),
            None => Ok(Vec::new()),
            Some(super::Data::I64(_)) => Err(node.refused(format!("{name} is not of floats"))),
        };
        let (thresholds, weights, members) = (
            floats("nodes_splits")?,
            floats("leaf_weights")?,
            floats("membership_values")?,
        );
        let modes = node.tensor_of("nodes_modes")?;
        let modes = modes.as_ref().and_then(|tensor| tensor.i64s()).unwrap_or(&[]);
        let feature_ids = node.ints("nodes_featureids");
        let children = ["true", "false"].map(|side| {
            let ids = node.ints(&format!("nodes_{side}nodeids"));
            (ids, node.ints(&format!("nodes_{side}leafs")))
        });
        let nan_is_true = node.ints("nodes_missing_value_tracks_true");
        let scores = node.ints("leaf_targetids");
        let count = modes.len();
        let lens = children.map(|(ids, leafs)| [ids.len(), leafs.len()]);
        if count == 0 || [feature_ids.len(), thresholds.len()] != [count; 2] || lens != [[count; 2]; 2] {
            return Err(node.refused("its lists of nodes are of different lengths"));
        }
        if scores.len() != weights.len() {
            return Err(node.refused("its lists of leaves are of different lengths"));
        }
        // One list of values after the other, each ended by what is no number.
        let mut members = members.split(|value| value.is_nan());
        let mut nodes = Vec::with_capacity(count + scores.len());
        for place in 0..count {
            let mode = match modes[place] {
                0 => Mode::LessOrEqual,
                1 => Mode::Less,
                2 => Mode::GreaterOrEqual,
                3 => Mode::Greater,
                4 => Mode::Equal,
                5 => Mode::NotEqual,
                6 => Mode::Member(members.next().unwrap_or(&[]).to_vec()),
                other => return Err(node.refused(format!("mode {other} is not known"))),
            };
            let child = |(ids, leafs): (&[i64], &[i64])| {
                let (from, len) = if leafs[place] != 0 {
                    (count, scores.len())
                } else {
                    (0, count)
                };
                let child = usize::try_from(ids[place]).ok().filter(|child| *child < len);
                child
                    .map(|child| from + child)
                    .ok_or_else(|| node.refused(format!("node {place} leads nowhere")))
            };
            nodes.push(Listed::Branch {
                mode,
                feature: feature_of(node, feature_ids[place], features)?,
                threshold: thresholds[place],
                yes: child(children[0])?,
                no: child(children[1])?,
                nan_is_yes: nan_is_true.get(place).is_some_and(|flag| *flag != 0),
            });
        }
        for (score, weight) in scores.iter().zip(&weights) {
            nodes.push(Listed::Leaf(vec![(score_of(node, *score)?, *weight)]));
        }
        let root = |root: &i64| usize::try_from(*root).ok().filter(|root| *root < count);
        let roots: Option<Vec<usize>> = node.ints("tree_roots").iter().map(root).collect();
        let roots = roots.filter(|roots| !roots.is_empty());
        Ok(Self {
            nodes,
            roots: roots.ok_or_else(|| node.refused("its roots are no nodes"))?,
        })
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

/// More scores are not formed.
const SCORES_MAX: u32 = 1 << 16;
