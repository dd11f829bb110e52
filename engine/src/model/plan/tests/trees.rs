//! Ensembles of random trees, against a walk that reads ONNX's lists as they stand.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::super::Plan;
use super::super::kernels::trees::Group;
use super::super::step::Step;
use super::build::{Attribute, model, node};

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
}

/// What kinds of trees a plan has: complete ones, and ones that are walked along their lists.
fn kinds(plan: &Plan) -> [bool; 2] {
    let [Step::Forest(forest)] = &plan.steps[..] else {
        panic!("a forest is one step");
    };
    let is_complete = |group: &Group| matches!(group, Group::Complete(_));
    [
        forest.groups.iter().any(is_complete),
        !forest.groups.iter().all(is_complete),
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
        let plan = lists.plan(aggregation);
        let mut memory = plan.memory();
        for row in rows {
            plan.input(&mut memory).copy_from_slice(&row);
            prop_assert_eq!(plan.run(&mut memory)[0], lists.walk(aggregation, &row), "{:?}", row);
        }
    }
}

/// Of the nodes that the dice above make, so that the test above has seen both.
#[test]
fn shallow_trees_are_filled_up_and_deep_ones_are_not() {
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
