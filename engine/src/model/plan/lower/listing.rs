//! Trees as ONNX lists them.
//!
//! Classifiers and regressors name nodes by tree and number, leaves among them; since version 5 of `ai.onnx.ml` nodes name
//! each other by their places, and leaves have lists of their own. Both become the same branches here.

use std::collections::{HashMap, HashSet};

use super::super::PlanError;
use super::super::onnx::Node;
use super::super::tensor::Data;

/// The operators that have trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Classifier,
    Regressor,
    /// Of version 5.
    Ensemble,
}

/// Score and weight.
pub(super) type Vote = (u32, f32);

/// A node as it is listed.
pub(super) enum Listed {
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

pub(super) enum Mode {
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
pub(super) struct Listing {
    pub(super) nodes: Vec<Listed>,
    pub(super) roots: Vec<usize>,
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
    pub(super) fn by_name(node: Node<'_>, kind: Kind, features: usize) -> Result<Self, PlanError> {
        // They are there for doubles alone.
        let tensors = [
            "nodes_values_as_tensor",
            "class_weights_as_tensor",
            "target_weights_as_tensor",
            "base_values_as_tensor",
        ];
        if tensors.iter().any(|name| node.has(name)) {
            return Err(node.refused(DOUBLES));
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
    pub(super) fn by_place(node: Node<'_>, features: usize) -> Result<Self, PlanError> {
        if ["nodes_splits", "leaf_weights", "membership_values"]
            .iter()
            .any(|name| node.is_double(name))
        {
            return Err(node.refused(DOUBLES));
        }
        let floats = |name: &str| match node.tensor_of(name)?.map(|tensor| tensor.data) {
            Some(Data::F32(values)) => Ok(values),
            None => Ok(Vec::new()),
            Some(Data::I64(_)) => Err(node.refused(format!("{name} is not of floats"))),
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

/// More scores are not formed.
pub(super) const SCORES_MAX: u32 = 1 << 16;

/// A threshold that is rounded may send a value the other way.
const DOUBLES: &str = "it computes in doubles: convert the model for floats";
