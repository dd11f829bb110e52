//! What the book did in the last moments of venue time: order flow and moves over two windows.
//!
//! Windows that count updates mean another time span on each venue and in each hour; these mean the same everywhere. One
//! ring holds the newest updates, and each window remembers where in it it begins.

use super::depth::{DEPTH_5, DEPTH_10, FLOW_COLUMNS, FLOW_TO_10};
use super::tape::SECOND_NS;
use super::window::{Sum, square};

/// Updates that the ring keeps; a window holds at most so many. A power of two, and small enough that the sum of so many
/// squared moves fits its type.
const RECENT_LEN: usize = 256;

const SPANS_NS: [u64; 2] = [SECOND_NS, 5 * SECOND_NS];

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    at_ns: u64,
    flow_1: i64,
    flow_to_10: i64,
    depth_5: i64,
    depth_10: i64,
    /// Of twice the mid price.
    move2: i64,
}

/// Sums over the newest entries of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UpdateWindow {
    /// The number, since the start, of the oldest update inside.
    tail: u64,
    count: u64,
    flow_1: Sum,
    flow_to_10: Sum,
    depth_5: Sum,
    depth_10: Sum,
    squared_moves: Sum,
}

impl UpdateWindow {
    /// Order flow of the best level, in mean queues of the best 5.
    pub(super) fn flow_1(&self) -> f64 {
        self.in_queues(self.flow_1, self.depth_5, 5.0)
    }

    /// Order flow of the best 10 levels, in their mean queues.
    pub(super) fn flow_to_10(&self) -> f64 {
        self.in_queues(self.flow_to_10, self.depth_10, 10.0)
    }

    /// The sum of the squared moves of twice the mid price.
    pub(super) fn squared_moves(&self) -> f64 {
        self.squared_moves.to_f64()
    }

    fn in_queues(&self, flow: Sum, depth: Sum, levels: f64) -> f64 {
        match self.count {
            0 => 0.0,
            count => flow.to_f64() / (depth.to_f64() / (2.0 * levels * count as f64)),
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        self.flow_1.slide(entry.flow_1, 0);
        self.flow_to_10.slide(entry.flow_to_10, 0);
        self.depth_5.slide(entry.depth_5, 0);
        self.depth_10.slide(entry.depth_10, 0);
        self.squared_moves.0 += square(entry.move2);
    }

    fn drop_oldest(&mut self, entry: &Entry) {
        self.count -= 1;
        self.tail += 1;
        self.flow_1.slide(0, entry.flow_1);
        self.flow_to_10.slide(0, entry.flow_to_10);
        self.depth_5.slide(0, entry.depth_5);
        self.depth_10.slide(0, entry.depth_10);
        self.squared_moves.0 -= square(entry.move2);
    }
}

/// The ring and its windows.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    entries: Box<[Entry]>,
    pushed: u64,
    windows: [UpdateWindow; 2],
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            entries: vec![Entry::default(); RECENT_LEN].into_boxed_slice(),
            pushed: 0,
            windows: [UpdateWindow::default(); 2],
        }
    }

    /// Forgets everything; the entries themselves need no wiping, no window reaches them.
    pub(super) fn clear(&mut self) {
        self.pushed = 0;
        self.windows = [UpdateWindow::default(); 2];
    }

    /// Adds what one update changed. Each update leaves a window once, so the cost per call is constant on average and
    /// bounded by the ring.
    pub(super) fn push(&mut self, flow: &[i64; FLOW_COLUMNS], move2: i64, now_ns: u64) {
        let entry = Entry {
            at_ns: now_ns,
            flow_1: flow[0],
            flow_to_10: flow[FLOW_TO_10],
            depth_5: flow[DEPTH_5],
            depth_10: flow[DEPTH_10],
            move2,
        };
        for (window, span_ns) in self.windows.iter_mut().zip(SPANS_NS) {
            while window.tail < self.pushed {
                let oldest = &self.entries[slot(window.tail)];
                if now_ns - oldest.at_ns < span_ns && window.count < RECENT_LEN as u64 {
                    break;
                }
                window.drop_oldest(oldest);
            }
            window.add(&entry);
        }
        self.entries[slot(self.pushed)] = entry;
        self.pushed += 1;
    }

    pub(super) fn last_1s(&self) -> &UpdateWindow {
        &self.windows[0]
    }

    pub(super) fn last_5s(&self) -> &UpdateWindow {
        &self.windows[1]
    }
}

fn slot(number: u64) -> usize {
    number as usize & (RECENT_LEN - 1)
}
