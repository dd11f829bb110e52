//! Trees that were filled up to complete ones, so that children need no pointers: those of node `i` are `2i` and `2i + 1`.
//!
//! A walk is then one load of a node, one of a value, a comparison and a shift for each level, in a chain of about sixteen
//! cycles; eight trees at a time keep the processor busy meanwhile. Nodes that were added lead to the same leaf whatever
//! the value. Which way a value goes that is no number costs nothing: the values are laid out more than once, as what they
//! are, and as what such a node has to see in place of it.

use super::trees::{NAN_IS_LESS, TreeNode};

/// Trees of the same depth.
#[derive(Clone, Debug)]
pub(crate) struct Complete {
    depth: usize,
    /// By tree `1 << depth`. The first is none.
    nodes: Vec<Split>,
    /// By tree as many.
    leaves: Leaves,
}

/// A value greater than the threshold leads to the first child.
#[derive(Clone, Copy, Debug)]
struct Split {
    threshold: f32,
    place: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Leaves {
    /// Which leaf of the forest it is.
    Nodes(Vec<u32>),
    /// The one vote of each, and by tree for which score that is.
    Values(Vec<f32>, Vec<u32>),
}

/// Places of laid out values. A power of two that no masked index can leave.
pub(crate) const VALUES: usize = 256;

/// How values are laid out: one behind the other as what they are, then as what else nodes have to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    features: usize,
    copies: usize,
}

impl Layout {
    /// The one that those nodes need; `None` where there is not enough room.
    pub(crate) fn of(nodes: &[TreeNode], features: usize) -> Option<Self> {
        let copies = nodes.iter().map(|node| Self::copy(node) + 1).max()?;
        (features * copies <= VALUES).then_some(Self { features, copies })
    }

    /// Which copy a node looks at.
    fn copy(node: &TreeNode) -> usize {
        match (node.feature & NAN_IS_LESS != 0, node.threshold.is_nan()) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }

    /// Lays values out.
    #[inline(always)]
    pub(super) fn fill(self, x: &[f32], to: &mut [f32; VALUES]) {
        to[..self.features].copy_from_slice(x);
        if self.copies > 1 {
            // What is no number is less than every threshold here.
            for (value, x) in to[self.features..].iter_mut().zip(x) {
                *value = if x.is_nan() { f32::NEG_INFINITY } else { *x };
            }
        }
        if self.copies > 2 {
            // And here nothing else is.
            for (value, x) in to[2 * self.features..].iter_mut().zip(x) {
                *value = if x.is_nan() { f32::NEG_INFINITY } else { f32::INFINITY };
            }
        }
    }
}

impl Complete {
    /// How many trees, and how deep they are.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.nodes.len() >> self.depth, self.depth)
    }

    /// The trees below those roots; `None` where they are too deep, or would grow by too much. `vote`: the only one of a
    /// leaf, if it has one.
    pub(crate) fn of(
        nodes: &[TreeNode],
        roots: &[u32],
        depth: usize,
        layout: Layout,
        vote: impl Fn(u32) -> Option<(u32, f32)>,
    ) -> Option<Self> {
        if !(1..=DEPTH_MAX).contains(&depth) {
            return None;
        }
        let mut own = Self {
            depth,
            nodes: vec![
                Split {
                    threshold: 0.0,
                    place: 0
                };
                roots.len() << depth
            ],
            leaves: Leaves::Nodes(Vec::new()),
        };
        let mut leaves = vec![0; roots.len() << depth];
        let mut count = 0;
        for (tree, root) in roots.iter().enumerate() {
            // Each node with its place in the tree; leaves lie behind the nodes.
            let mut open = vec![(*root, 1_usize)];
            while let Some((index, place)) = open.pop() {
                let node = &nodes[index as usize];
                let is_leaf = node.next == [index; 2];
                count += usize::from(is_leaf);
                if let Some(leaf) = place.checked_sub(1 << depth) {
                    leaves[(tree << depth) + leaf] = index;
                    continue;
                }
                if is_leaf {
                    // All leaves that lie below it.
                    let below = depth - place.ilog2() as usize;
                    let first = (place << below) - (1 << depth);
                    leaves[(tree << depth) + first..][..1 << below].fill(index);
                    continue;
                }
                let copy = Layout::copy(node);
                let feature = (node.feature & !NAN_IS_LESS) as usize;
                own.nodes[(tree << depth) + place] = Split {
                    threshold: if copy == 2 { 0.0 } else { node.threshold },
                    place: (copy * layout.features + feature) as u32,
                };
                open.extend([(node.next[0], 2 * place), (node.next[1], 2 * place + 1)]);
            }
        }
        if leaves.len() > GROWTH_MAX * count {
            return None;
        }
        own.leaves = Self::values(&leaves, depth, vote).unwrap_or(Leaves::Nodes(leaves));
        Some(own)
    }

    /// The votes, where each leaf has one and those of a tree are for one score.
    fn values(leaves: &[u32], depth: usize, vote: impl Fn(u32) -> Option<(u32, f32)>) -> Option<Leaves> {
        let votes: Option<Vec<(u32, f32)>> = leaves.iter().map(|leaf| vote(*leaf)).collect();
        let votes = votes?;
        let trees = votes.chunks_exact(1 << depth);
        let scores: Option<Vec<u32>> = trees
            .map(|votes| votes.iter().all(|vote| vote.0 == votes[0].0).then_some(votes[0].0))
            .collect();
        Some(Leaves::Values(votes.iter().map(|vote| vote.1).collect(), scores?))
    }

    /// Walks all trees, in their order.
    #[inline(always)]
    pub(super) fn walk(&self, x: &[f32; VALUES], to: &mut impl TakeLeaf) {
        match self.depth {
            1 => self.walk_sized::<2>(x, to),
            2 => self.walk_sized::<4>(x, to),
            3 => self.walk_sized::<8>(x, to),
            4 => self.walk_sized::<16>(x, to),
            5 => self.walk_sized::<32>(x, to),
            6 => self.walk_sized::<64>(x, to),
            7 => self.walk_sized::<128>(x, to),
            _ => self.walk_sized::<256>(x, to),
        }
    }

    fn walk_sized<const N: usize>(&self, x: &[f32; VALUES], to: &mut impl TakeLeaf) {
        let (trees, _) = self.nodes.as_chunks::<N>();
        let (abreast, rest) = trees.as_chunks::<ABREAST>();
        let mut tree = 0;
        for trees in abreast {
            let mut at = [1; ABREAST];
            // A size of the type, so that the loop is unrolled.
            for _ in 0..N.ilog2() {
                for (at, nodes) in at.iter_mut().zip(trees) {
                    *at = step(nodes, x, *at);
                }
            }
            for at in at {
                self.take(tree, at - N, to);
                tree += 1;
            }
        }
        for nodes in rest {
            let at = (0..N.ilog2()).fold(1, |at, _| step(nodes, x, at));
            self.take(tree, at - N, to);
            tree += 1;
        }
    }

    #[inline(always)]
    fn take(&self, tree: usize, leaf: usize, to: &mut impl TakeLeaf) {
        let place = (tree << self.depth) + leaf;
        match &self.leaves {
            Leaves::Nodes(nodes) => to.node(nodes[place]),
            Leaves::Values(values, scores) => to.vote(scores[tree], values[place]),
        }
    }
}

/// What becomes of the leaves that walks end at.
pub(super) trait TakeLeaf {
    /// A leaf of the forest.
    fn node(&mut self, node: u32);
    /// Its only vote.
    fn vote(&mut self, score: u32, weight: f32);
}

#[inline(always)]
fn step<const N: usize>(nodes: &[Split; N], x: &[f32; VALUES], at: usize) -> usize {
    // Masks instead of checks: they change nothing, and the compiler sees that nothing is left.
    let Split { threshold, place } = nodes[at & (N - 1)];
    2 * at + usize::from(x[place as usize & (VALUES - 1)] <= threshold)
}

/// Trees that are walked side by side.
const ABREAST: usize = 8;

/// Deeper trees are walked along their lists: a complete one would have more than 256 leaves.
const DEPTH_MAX: usize = 8;

/// Trees that would have more than so many times their leaves are walked along their lists.
const GROWTH_MAX: usize = 4;
