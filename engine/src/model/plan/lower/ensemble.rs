//! Operators of `ai.onnx.ml`: scalers, linear classifiers, trees.

use super::super::PlanError;
use super::super::kernels::activation::Activation;
use super::super::kernels::complete::{Complete, Layout};
use super::super::kernels::trees::{Aggregation, Finish, Forest, Group, NAN_IS_LESS, TreeNode, TwoClasses};
use super::super::onnx::Node;
use super::super::step::{Binary, RowFunction, Step};
use super::super::tensor::{Data, Tensor, View};
use super::{Lowering, Value};

impl<'a> Lowering<'a> {
    pub(super) fn of_ml(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        match &*node.0.op_type {
            "Scaler" => self.scaler(node),
            "Normalizer" => {
                let function = match node.text("norm", "MAX") {
                    "L1" => RowFunction::NormalizeL1,
                    "L2" => RowFunction::NormalizeL2,
                    _ => RowFunction::NormalizeMax,
                };
                let view = self.computed(node, 0)?;
                Ok(Value::Computed(self.rows(view, function)))
            }
            "LinearRegressor" => {
                let targets = usize::try_from(node.int("targets", 1)).unwrap_or(1);
                let scores = self.linear(node, targets)?;
                self.finished(node, scores)
            }
            "LinearClassifier" => self.linear_classifier(node),
            "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => self.trees(node),
            _ => Err(PlanError::Unsupported {
                operator: node.op(),
                node: node.0.name.clone(),
            }),
        }
    }

    fn scaler(&mut self, node: Node<'_>) -> Result<Value, PlanError> {
        let value = self.value(node, 0)?.clone();
        let constant = |values: &[f32]| Value::Constant(Tensor::row(Data::F32(values.to_vec())));
        let (offset, scale) = (node.floats("offset"), node.floats("scale"));
        let moved = match offset {
            [] => value,
            offset => self.combined(node, Binary::Sub, value, constant(offset))?,
        };
        match scale {
            [] => Ok(moved),
            scale => self.combined(node, Binary::Mul, moved, constant(scale)),
        }
    }

    /// Scores: rows of coefficients, and intercepts.
    fn linear(&mut self, node: Node<'_>, rows: usize) -> Result<View, PlanError> {
        let coefficients = node.floats("coefficients");
        let input = self.computed(node, 0)?;
        let inputs = input.shape.last().copied().unwrap_or(0);
        if rows == 0 || inputs * rows != coefficients.len() {
            return Err(node.refused("it has another number of coefficients than its input and its classes make"));
        }
        let matrix = Tensor {
            shape: vec![rows, inputs],
            data: Data::F32(coefficients.to_vec()),
        };
        let matrix = matrix.through(&matrix.view().permuted(&[1, 0]));
        let scores = self.dense_layer(node, input, &matrix)?;
        let intercepts = node.floats("intercepts");
        if intercepts.is_empty() {
            return Ok(scores);
        }
        let intercepts = Value::Constant(Tensor::row(Data::F32(intercepts.to_vec())));
        match self.combined(node, Binary::Add, Value::Computed(scores), intercepts)? {
            Value::Computed(view) => Ok(view),
            _ => Err(node.refused("its intercepts do not fit its scores")),
        }
    }

    fn linear_classifier(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        if node.output(0).is_some_and(|label| self.uses.contains_key(label)) {
            return Err(node.refused("labels are not computed: take its second output"));
        }
        let classes = node
            .ints("classlabels_ints")
            .len()
            .max(node.texts("classlabels_strings").len());
        let rows = match node.floats("intercepts").len() {
            0 => classes,
            rows => rows,
        };
        if rows != classes {
            return Err(node.refused("one row of coefficients for two classes is not supported"));
        }
        let scores = self.linear(node, rows)?;
        let value = self.finished(node, scores)?;
        self.tell_second(node, value)
    }

    /// Scores through the function that the node names.
    fn finished(&mut self, node: Node<'_>, scores: View) -> Result<Value, PlanError> {
        Ok(Value::Computed(match finish(node)? {
            Finish::Each(Activation::Identity) => scores,
            Finish::Each(function) => self.mapped(scores, function),
            Finish::Row(function) => self.rows(scores, function),
            Finish::Probit | Finish::Two(_) => return Err(node.refused("PROBIT is supported for trees alone")),
        }))
    }

    /// A classifier's scores are its second output; what is returned goes to the first, which nobody reads.
    fn tell_second(&mut self, node: Node<'a>, value: Value) -> Result<Value, PlanError> {
        match node.output(1) {
            Some(name) => self.tell(name, value.clone()),
            None => return Err(node.refused("its second output, the scores, has no name")),
        }
        Ok(value)
    }

    fn trees(&mut self, node: Node<'a>) -> Result<Value, PlanError> {
        let is_classifier = node.0.op_type == "TreeEnsembleClassifier";
        if is_classifier && node.output(0).is_some_and(|label| self.uses.contains_key(label)) {
            return Err(node.refused("labels are not computed: take its second output"));
        }
        let input = self.computed(node, 0)?;
        let [1, features] = input.shape[..] else {
            return Err(node.refused(format!("its input has to be one row, is {:?}", input.shape)));
        };
        let input = self.with_dense_axis(input, 1);
        let mut forest = Growing::read(node, is_classifier, features)?.forest(node, is_classifier)?;
        (forest.input, forest.from) = (input.buffer, input.offset as u32);
        let out_len = forest.output_len();
        let output = self.push(forest.len(), Step::Forest(forest));
        let value = Value::Computed(View::whole(output, vec![1, out_len]));
        if is_classifier {
            self.tell_second(node, value)
        } else {
            Ok(value)
        }
    }
}

/// The nodes of an ensemble as ONNX lists them.
struct Growing<'a> {
    node: Node<'a>,
    features: usize,
    tree_ids: &'a [i64],
    node_ids: &'a [i64],
    feature_ids: &'a [i64],
    thresholds: &'a [f32],
    modes: Vec<&'a str>,
    less: &'a [i64],
    other: &'a [i64],
    nan_is_true: &'a [i64],
    /// By tree and node: the place in these lists.
    places: std::collections::HashMap<(i64, i64), usize>,
    /// By place: score and weight.
    votes: Vec<Vec<(u32, f32)>>,
    scores: usize,
    nodes: Vec<TreeNode>,
    node_votes: Vec<Vec<(u32, f32)>>,
}

impl<'a> Growing<'a> {
    fn read(node: Node<'a>, is_classifier: bool, features: usize) -> Result<Self, PlanError> {
        let (tree_ids, node_ids) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
        let modes: Vec<&str> = node.texts("nodes_modes").collect();
        let count = tree_ids.len();
        let mut growing = Self {
            node,
            features,
            tree_ids,
            node_ids,
            feature_ids: node.ints("nodes_featureids"),
            thresholds: node.floats("nodes_values"),
            modes,
            less: node.ints("nodes_truenodeids"),
            other: node.ints("nodes_falsenodeids"),
            nan_is_true: node.ints("nodes_missing_value_tracks_true"),
            places: tree_ids
                .iter()
                .zip(node_ids)
                .enumerate()
                .map(|(place, (tree, id))| ((*tree, *id), place))
                .collect(),
            votes: vec![Vec::new(); count],
            scores: 0,
            nodes: Vec::new(),
            node_votes: Vec::new(),
        };
        let lens = [
            node_ids.len(),
            growing.feature_ids.len(),
            growing.thresholds.len(),
            growing.modes.len(),
            growing.less.len(),
            growing.other.len(),
        ];
        if count == 0 || lens != [count; 6] || growing.places.len() != count {
            return Err(node.refused("its lists of nodes are of different lengths, or name a node twice"));
        }
        let kind = if is_classifier { "class" } else { "target" };
        let list = |name: &str| node.ints(&format!("{kind}_{name}"));
        let (trees, ids, scores) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = node.floats(&format!("{kind}_weights"));
        if [ids.len(), scores.len(), weights.len()] != [trees.len(); 3] {
            return Err(node.refused("its lists of weights are of different lengths"));
        }
        for (index, weight) in weights.iter().enumerate() {
            let place = growing.places.get(&(trees[index], ids[index]));
            let score = u32::try_from(scores[index]).ok().filter(|score| *score < SCORES_MAX);
            let (Some(place), Some(score)) = (place, score) else {
                return Err(node.refused("a weight belongs to no node, or to no score"));
            };
            growing.votes[*place].push((score, *weight));
            growing.scores = growing.scores.max(score as usize + 1);
        }
        Ok(growing)
    }

    fn forest(mut self, node: Node<'_>, is_classifier: bool) -> Result<Forest, PlanError> {
        let mut groups: std::collections::BTreeMap<usize, Vec<u32>> = std::collections::BTreeMap::new();
        // A tree's root is the node that comes first in the list.
        let mut known = std::collections::HashSet::new();
        let roots: Vec<usize> = (0..self.tree_ids.len())
            .filter(|place| known.insert(self.tree_ids[*place]))
            .collect();
        for root in &roots {
            let (root, depth) = self.grow(*root, 0)?;
            groups.entry(depth).or_default().push(root);
        }
        let (scores, finish) = self.scores(node, is_classifier)?;
        let mut base = node.floats("base_values").to_vec();
        if base.is_empty() {
            base = vec![0.0; scores];
        }
        if base.len() != scores {
            return Err(node.refused(format!("it has {} base values for {scores} scores", base.len())));
        }
        let mut votes_at = vec![0];
        let mut votes = Vec::new();
        for own in &self.node_votes {
            votes.extend_from_slice(own);
            votes_at.push(votes.len() as u32);
        }
        // The only vote of a leaf.
        let vote = |leaf: u32| match self.node_votes[leaf as usize][..] {
            [vote] => Some(vote),
            _ => None,
        };
        let values = Layout::of(&self.nodes, self.features);
        let group = |(depth, roots): (usize, Vec<u32>)| {
            let complete = values.and_then(|values| Complete::of(&self.nodes, &roots, depth, values, vote));
            complete.map_or(Group::Listed(depth, roots), Group::Complete)
        };
        let groups: Vec<Group> = groups.into_iter().map(group).collect();
        let aggregation = match node.text("aggregate_function", "SUM") {
            "AVERAGE" => Aggregation::Average(roots.len() as u32),
            "MIN" => Aggregation::Min,
            "MAX" => Aggregation::Max,
            _ => Aggregation::Sum,
        };
        Ok(Forest {
            input: 0,
            from: 0,
            features: self.features,
            nodes: self.nodes,
            groups,
            values,
            votes_at,
            votes,
            base,
            aggregation,
            finish,
        })
    }

    /// How many scores there are, and what becomes of them.
    fn scores(&mut self, node: Node<'_>, is_classifier: bool) -> Result<(usize, Finish), PlanError> {
        let finish = finish(node)?;
        if !is_classifier {
            let targets = usize::try_from(node.int("n_targets", 1)).unwrap_or(1);
            return Ok((targets.max(self.scores), finish));
        }
        let classes = node
            .ints("classlabels_int64s")
            .len()
            .max(node.texts("classlabels_strings").len());
        let mut votes = self.votes.iter().flatten();
        let first = votes.next().map_or(0, |vote| vote.0);
        let has_one_score = votes.all(|vote| vote.0 == first);
        if classes != 2 || !has_one_score {
            return Ok((classes.max(self.scores), finish));
        }
        // Two classes with one score: it is the second's.
        let is_positive = self.votes.iter().flatten().all(|vote| vote.1 >= 0.0);
        for vote in self.node_votes.iter_mut().flatten() {
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
        let mode = self.modes[place];
        if mode == "LEAF" {
            let leaf = self.push(f32::NAN, 0, [0; 2]);
            self.nodes[leaf as usize].next = [leaf; 2];
            self.node_votes[leaf as usize].clone_from(&self.votes[place]);
            return Ok((leaf, 0));
        }
        let child = |ids: &[i64]| self.places.get(&(self.tree_ids[place], ids[place])).copied();
        let feature = u32::try_from(self.feature_ids[place])
            .ok()
            .filter(|feature| (*feature as usize) < self.features);
        let (Some(yes), Some(no), Some(feature)) = (child(self.less), child(self.other), feature) else {
            return Err(self.node.refused(format!(
                "node {} leads nowhere, or looks at a value that is not there",
                self.node_ids[place]
            )));
        };
        let nan_is_true = self.nan_is_true.get(place).is_some_and(|flag| *flag != 0);
        let threshold = self.thresholds[place];
        // The greatest float below it; nothing is below the least.
        let below = if threshold == f32::NEG_INFINITY {
            f32::NAN
        } else {
            threshold.next_down()
        };
        let ((yes, yes_depth), (no, no_depth)) = (self.grow(yes, above + 1)?, self.grow(no, above + 1)?);
        let depth = yes_depth.max(no_depth) + 1;
        let node = match mode {
            "BRANCH_LEQ" => self.branch(threshold, feature, yes, no, nan_is_true),
            "BRANCH_LT" => self.branch(below, feature, yes, no, nan_is_true),
            "BRANCH_GT" => self.branch(threshold, feature, no, yes, !nan_is_true),
            "BRANCH_GTE" => self.branch(below, feature, no, yes, !nan_is_true),
            "BRANCH_EQ" | "BRANCH_NEQ" => {
                // No number is equal to anything, and so it is not equal.
                let is_equal = mode == "BRANCH_EQ";
                let (same, other) = if is_equal { (yes, no) } else { (no, yes) };
                let nan_is_same = is_equal && nan_is_true;
                let inner = self.branch(below, feature, other, same, !nan_is_same);
                return Ok((self.branch(threshold, feature, inner, other, nan_is_same), depth + 1));
            }
            other => return Err(self.node.refused(format!("mode {other} is not known"))),
        };
        Ok((node, depth))
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
        self.node_votes.push(Vec::new());
        (self.nodes.len() - 1) as u32
    }
}

fn finish(node: Node<'_>) -> Result<Finish, PlanError> {
    Ok(match node.text("post_transform", "NONE") {
        "NONE" => Finish::Each(Activation::Identity),
        "LOGISTIC" => Finish::Each(Activation::Sigmoid),
        "SOFTMAX" => Finish::Row(RowFunction::Softmax),
        "SOFTMAX_ZERO" => Finish::Row(RowFunction::SoftmaxZero),
        "PROBIT" => Finish::Probit,
        other => return Err(node.refused(format!("its last function {other} is not known"))),
    })
}

/// Deeper trees are not read.
const DEPTH_MAX: usize = 256;

/// More nodes are not kept: at 16 bytes each they would not fit any cache.
const NODES_MAX: usize = 1 << 24;

/// More scores are not formed.
const SCORES_MAX: u32 = 1 << 16;
