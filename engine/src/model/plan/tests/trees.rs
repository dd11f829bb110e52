//! Ensembles of random trees, against a walk that reads ONNX's lists as they stand.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tract_onnx::pb;

use super::super::Plan;
use super::super::kernels::trees::Group;
use super::super::step::Step;
use super::build::{Attribute, bytes, floats, model, node};

/// The lists of a `TreeEnsembleRegressor`.
#[derive(Clone, Debug, Default)]
struct Lists {
    tree_ids: Vec<i64>,
    node_ids: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f32>,
    modes: Vec<&'static str>,
    yes: Vec<i64>,
    no: Vec<i64>,
    nan_is_true: Vec<i64>,
    weights: Vec<f32>,
}

/// A node of a `TreeEnsemble`; a child is a place, and whether that is among the leaves.
#[derive(Clone, Debug, Default)]
struct Branch {
    mode: u8,
    feature: i64,
    threshold: f32,
    nan_is_true: i64,
    yes: (i64, i64),
    no: (i64, i64),
}

fn tensor(proto: pb::TensorProto) -> Attribute<'static> {
    Attribute::Tensor(Box::new(proto))
}

const MODES: [&str; 7] = [
    "BRANCH_LEQ",
    "BRANCH_LT",
    "BRANCH_GT",
    "BRANCH_GTE",
    "BRANCH_EQ",
    "BRANCH_NEQ",
    "LEAF",
];
const FEATURES: usize = 3;
/// Few values, so that equality happens.
const VALUES: [f32; 9] = [
    f32::NEG_INFINITY,
    -1.5,
    -0.0,
    0.0,
    f32::MIN_POSITIVE,
    0.5,
    2.0,
    f32::INFINITY,
    f32::NAN,
];

impl Lists {
    /// Adds a node and all below it; `dice` decides.
    fn grow(&mut self, tree: i64, depth: usize, dice: &mut impl Iterator<Item = usize>) -> i64 {
        let mut roll = |sides: usize| dice.next().map_or(0, |number| number % sides);
        let (mode, value, feature, nan) = (roll(MODES.len()), roll(VALUES.len() - 1), roll(FEATURES), roll(2));
        // Sums of such weights are exact in whatever order.
        let weight = roll(1000) as f32 / 128.0 - 4.0;
        let mode = if depth == 0 { "LEAF" } else { MODES[mode] };
        let place = self.tree_ids.len();
        let id = self.tree_ids.iter().filter(|known| **known == tree).count() as i64;
        self.tree_ids.push(tree);
        self.node_ids.push(id);
        self.features.push(feature as i64);
        self.thresholds.push(VALUES[value]);
        self.modes.push(mode);
        self.yes.push(0);
        self.no.push(0);
        self.nan_is_true.push(nan as i64);
        self.weights.push(weight);
        if mode != "LEAF" {
            self.yes[place] = self.grow(tree, depth - 1, dice);
            self.no[place] = self.grow(tree, depth - 1, dice);
        }
        id
    }

    /// What the specification says.
    fn walk(&self, aggregation: &str, x: &[f32]) -> f32 {
        let place = |tree: i64, id: i64| {
            (0..self.tree_ids.len())
                .find(|place| self.tree_ids[*place] == tree && self.node_ids[*place] == id)
                .unwrap()
        };
        let trees = self.tree_ids.iter().max().unwrap() + 1;
        let leaf = |tree: i64| {
            let mut at = place(tree, 0);
            while self.modes[at] != "LEAF" {
                let (value, threshold) = (x[self.features[at] as usize], self.thresholds[at]);
                let is_true = match self.modes[at] {
                    "BRANCH_LEQ" => value <= threshold,
                    "BRANCH_LT" => value < threshold,
                    "BRANCH_GT" => value > threshold,
                    "BRANCH_GTE" => value >= threshold,
                    "BRANCH_EQ" => value == threshold,
                    _ => value != threshold,
                };
                let is_true = is_true || (value.is_nan() && self.nan_is_true[at] != 0);
                at = place(tree, if is_true { self.yes[at] } else { self.no[at] });
            }
            self.weights[at]
        };
        let votes = (0..trees).map(leaf);
        match aggregation {
            "MIN" => votes.fold(f32::INFINITY, f32::min),
            "MAX" => votes.fold(f32::NEG_INFINITY, f32::max),
            "AVERAGE" => votes.sum::<f32>() / trees as f32,
            _ => votes.sum(),
        }
    }

    fn plan(&self, aggregation: &str) -> Plan {
        let leaves: Vec<usize> = (0..self.modes.len())
            .filter(|place| self.modes[*place] == "LEAF")
            .collect();
        let of = |list: &[i64]| leaves.iter().map(|place| list[*place]).collect::<Vec<_>>();
        let (trees, ids, targets) = (of(&self.tree_ids), of(&self.node_ids), vec![0; leaves.len()]);
        let weights: Vec<f32> = leaves.iter().map(|place| self.weights[*place]).collect();
        let node = node(
            "TreeEnsembleRegressor",
            "ai.onnx.ml",
            &["x"],
            &["y"],
            &[
                ("n_targets", Attribute::Int(1)),
                ("aggregate_function", Attribute::Text(aggregation)),
                ("nodes_treeids", Attribute::Ints(&self.tree_ids)),
                ("nodes_nodeids", Attribute::Ints(&self.node_ids)),
                ("nodes_featureids", Attribute::Ints(&self.features)),
                ("nodes_values", Attribute::Floats(&self.thresholds)),
                ("nodes_modes", Attribute::Texts(self.modes.clone())),
                ("nodes_truenodeids", Attribute::Ints(&self.yes)),
                ("nodes_falsenodeids", Attribute::Ints(&self.no)),
                ("nodes_missing_value_tracks_true", Attribute::Ints(&self.nan_is_true)),
                ("target_treeids", Attribute::Ints(&trees)),
                ("target_nodeids", Attribute::Ints(&ids)),
                ("target_ids", Attribute::Ints(&targets)),
                ("target_weights", Attribute::Floats(&weights)),
            ],
        );
        Plan::of_proto(&model(&[1, FEATURES], vec![node], Vec::new()), "y", &[1, FEATURES]).unwrap()
    }

    /// As a `TreeEnsemble` of version 5.
    fn plan_by_place(&self, aggregation: i64) -> Plan {
        let count = self.tree_ids.len();
        let is_leaf = |place: usize| self.modes[place] == "LEAF";
        // The place of each among the nodes, or among the leaves.
        let mut seen = [0_i64; 2];
        let own: Vec<i64> = (0..count)
            .map(|place| {
                let next = &mut seen[usize::from(is_leaf(place))];
                *next += 1;
                *next - 1
            })
            .collect();
        let of =
            |tree: i64, id: i64| (0..count).find(|place| (self.tree_ids[*place], self.node_ids[*place]) == (tree, id));
        let mut nodes = Vec::new();
        let (mut roots, mut leaves) = (Vec::new(), Vec::new());
        for place in 0..count {
            let child = |ids: &[i64]| {
                let child = of(self.tree_ids[place], ids[place]).unwrap();
                (own[child], i64::from(is_leaf(child)))
            };
            if is_leaf(place) {
                leaves.push(self.weights[place]);
            } else {
                let mode = MODES_BY_NUMBER
                    .iter()
                    .position(|mode| *mode == self.modes[place])
                    .unwrap() as u8;
                nodes.push(Branch {
                    mode,
                    feature: self.features[place],
                    threshold: self.thresholds[place],
                    nan_is_true: self.nan_is_true[place],
                    yes: child(&self.yes),
                    no: child(&self.no),
                });
                if self.node_ids[place] == 0 {
                    roots.push(own[place]);
                }
            }
        }
        // A tree of one leaf: a node whose children are both that leaf.
        for place in (0..count).filter(|place| self.node_ids[*place] == 0 && is_leaf(*place)) {
            roots.push(nodes.len() as i64);
            let leaf = (own[place], 1);
            nodes.push(Branch {
                yes: leaf,
                no: leaf,
                ..Branch::default()
            });
        }
        let list = |pick: fn(&Branch) -> i64| nodes.iter().map(pick).collect::<Vec<_>>();
        let modes: Vec<u8> = nodes.iter().map(|node| node.mode).collect();
        let splits: Vec<f32> = nodes.iter().map(|node| node.threshold).collect();
        let node = node(
            "TreeEnsemble",
            "ai.onnx.ml",
            &["x"],
            &["y"],
            &[
                ("n_targets", Attribute::Int(1)),
                ("aggregate_function", Attribute::Int(aggregation)),
                ("tree_roots", Attribute::Ints(&roots)),
                ("nodes_modes", tensor(bytes("modes", &modes))),
                ("nodes_splits", tensor(floats("splits", &[splits.len()], &splits))),
                ("nodes_featureids", Attribute::Ints(&list(|node| node.feature))),
                (
                    "nodes_missing_value_tracks_true",
                    Attribute::Ints(&list(|node| node.nan_is_true)),
                ),
                ("nodes_truenodeids", Attribute::Ints(&list(|node| node.yes.0))),
                ("nodes_trueleafs", Attribute::Ints(&list(|node| node.yes.1))),
                ("nodes_falsenodeids", Attribute::Ints(&list(|node| node.no.0))),
                ("nodes_falseleafs", Attribute::Ints(&list(|node| node.no.1))),
                ("leaf_targetids", Attribute::Ints(&vec![0; leaves.len()])),
                ("leaf_weights", tensor(floats("weights", &[leaves.len()], &leaves))),
            ],
        );
        Plan::of_proto(&model(&[1, FEATURES], vec![node], Vec::new()), "y", &[1, FEATURES]).unwrap()
    }
}

/// The modes of a `TreeEnsemble`, by number.
const MODES_BY_NUMBER: [&str; 6] = [
    "BRANCH_LEQ",
    "BRANCH_LT",
    "BRANCH_GTE",
    "BRANCH_GT",
    "BRANCH_EQ",
    "BRANCH_NEQ",
];

/// What kinds of trees with branches a plan has: complete ones, and ones that are walked along their lists.
fn kinds(plan: &Plan) -> [bool; 2] {
    let [Step::Forest(forest)] = &plan.steps[..] else {
        panic!("a forest is one step");
    };
    let has = |is: fn(&Group) -> bool| forest.groups.iter().any(is);
    [
        has(|group| matches!(group, Group::Complete(_))),
        has(|group| matches!(group, Group::Listed(1.., _))),
    ]
}

proptest! {
    #[test]
    fn a_forest_votes_as_its_lists_say(
        dice in prop::collection::vec(0_usize..1000, 500),
        (trees, depth) in (1_i64..20, 0_usize..8),
        aggregation in prop::sample::select(vec!["SUM", "AVERAGE", "MIN", "MAX"]),
        rows in prop::collection::vec(prop::array::uniform3(prop::sample::select(VALUES.to_vec())), 12),
    ) {
        let mut lists = Lists::default();
        let mut dice = dice.into_iter().cycle();
        for tree in 0..trees {
            lists.grow(tree, depth, &mut dice);
        }
        let number = ["AVERAGE", "SUM", "MIN", "MAX"].iter().position(|name| *name == aggregation);
        for plan in [lists.plan(aggregation), lists.plan_by_place(number.unwrap() as i64)] {
            let mut memory = plan.memory();
            for row in &rows {
                plan.input(&mut memory).copy_from_slice(row);
                prop_assert_eq!(plan.run(&mut memory)[0], lists.walk(aggregation, row), "{:?}", row);
            }
        }
    }
}

/// Of the nodes that the dice above make, so that the test above has seen both.
#[test]
fn shallow_trees_are_filled_up_and_deep_ones_are_walked_along_their_lists() {
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut dice = std::iter::repeat_with(|| dice.next_u32() as usize % 1000);
    let mut of_depth = |depth: usize| {
        let mut lists = Lists::default();
        for tree in 0..16 {
            lists.grow(tree, depth, &mut dice);
        }
        kinds(&lists.plan("SUM"))
    };
    assert_eq!(of_depth(2), [true, false]);
    let deep = (0..20).map(|_| of_depth(7));
    assert!(deep.into_iter().any(|kinds| kinds == [true, true]));
}

/// A node that asks for one of several values, and what is no number.
#[test]
fn a_set_has_its_members() {
    let ensemble = |nan_is_true: i64| {
        let node = node(
            "TreeEnsemble",
            "ai.onnx.ml",
            &["x"],
            &["y"],
            &[
                ("n_targets", Attribute::Int(1)),
                ("tree_roots", Attribute::Ints(&[0])),
                ("nodes_modes", tensor(bytes("modes", &[6, 6]))),
                ("nodes_splits", tensor(floats("splits", &[2], &[0.0; 2]))),
                ("nodes_featureids", Attribute::Ints(&[0, 1])),
                ("nodes_missing_value_tracks_true", Attribute::Ints(&[nan_is_true, 0])),
                ("nodes_truenodeids", Attribute::Ints(&[0, 1])),
                ("nodes_trueleafs", Attribute::Ints(&[1, 1])),
                ("nodes_falsenodeids", Attribute::Ints(&[1, 2])),
                ("nodes_falseleafs", Attribute::Ints(&[0, 1])),
                ("leaf_targetids", Attribute::Ints(&[0; 3])),
                ("leaf_weights", tensor(floats("weights", &[3], &[10.0, 20.0, 30.0]))),
                (
                    "membership_values",
                    tensor(floats("members", &[6], &[1.0, 2.5, -7.0, f32::NAN, 4.0, f32::NAN])),
                ),
            ],
        );
        Plan::of_proto(&model(&[1, 2], vec![node], Vec::new()), "y", &[1, 2]).unwrap()
    };
    let answer = |plan: &Plan, x: [f32; 2]| {
        let mut memory = plan.memory();
        plan.input(&mut memory).copy_from_slice(&x);
        plan.run(&mut memory)[0]
    };
    let plan = ensemble(0);
    for (x, weight) in [
        ([1.0, 0.0], 10.0),
        ([2.5, 4.0], 10.0),
        ([-7.0, 0.0], 10.0),
        ([2.0, 4.0], 20.0),
        ([2.0, 1.0], 30.0),
        ([f32::NAN, f32::NAN], 30.0),
    ] {
        assert_eq!(answer(&plan, x), weight, "{x:?}");
    }
    assert_eq!(answer(&ensemble(1), [f32::NAN, 4.0]), 10.0);
}

#[test]
fn labels_are_refused_with_what_to_take_instead() {
    let mut lists = Lists::default();
    lists.grow(0, 0, &mut std::iter::empty());
    let attributes = [("nodes_treeids", Attribute::Ints(&lists.tree_ids))];
    let node = node("TreeEnsembleClassifier", "ai.onnx.ml", &["x"], &["y", "p"], &attributes);
    let refusal = Plan::of_proto(&model(&[1, 1], vec![node], Vec::new()), "y", &[1, 1]).unwrap_err();
    assert!(refusal.to_string().contains("take its second output"), "{refusal}");
}

#[test]
fn doubles_are_refused() {
    let splits = pb::TensorProto {
        dims: vec![1],
        data_type: pb::tensor_proto::DataType::Double as i32,
        double_data: vec![0.1],
        ..Default::default()
    };
    for (op, attribute) in [
        ("TreeEnsemble", "nodes_splits"),
        ("TreeEnsembleRegressor", "nodes_values_as_tensor"),
    ] {
        let node = node(op, "ai.onnx.ml", &["x"], &["y"], &[(attribute, tensor(splits.clone()))]);
        let refusal = Plan::of_proto(&model(&[1, 1], vec![node], Vec::new()), "y", &[1, 1]).unwrap_err();
        assert!(refusal.to_string().contains("doubles"), "{refusal}");
    }
}
