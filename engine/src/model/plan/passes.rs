//! Which items of each step are computed, and when.
//!
//! Who looks at the last row of a convolution over a hundred rows needs one of its positions, and of the convolution before
//! it the few that this one looks at: a cone that widens towards the input. That is the pass over a window that comes
//! [alone](Passes::alone).
//!
//! But windows slide: the next one is the last one without its oldest row, and with a new one. An item whose inputs are
//! those of another item one row later has that item's value from before: the same weights, the same numbers, the same
//! kernel, so the same bits. Which ones these are is found from the input on: where the input of a step moves by one row,
//! its items are compared with those that lie one row further in what they read. Buffers become [rings](Ring), in which
//! such values stay where they are while the window moves over them, and the pass after a [slide](Passes::slide) computes
//! only the others: the newest row of each convolution, edges next to padding, and whatever depends on the whole window.
//! It needs older values than a cone has; the pass over a [whole](Passes::whole) window computes them too.

use std::collections::HashMap;
use std::ops::Range;

use super::items::Span;
use super::step::Step;
use super::tensor::View;

/// What of each step is computed on each occasion.
#[derive(Debug)]
pub(super) struct Passes {
    /// What leads to the output, nothing being known.
    pub(super) alone: Pass,
    /// After a slide by one row; `None` where that would not be less.
    pub(super) slide: Option<Pass>,
    /// What leads to the output, and what the next slide relies on. Nothing where there are no slides.
    pub(super) whole: Pass,
    /// Buffers that move with the window.
    pub(super) rings: Vec<Ring>,
}

/// In the order of the steps.
pub(super) type Pass = Vec<Work>;

/// What is computed of a step: items that follow each other.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) step: usize,
    pub(super) items: Range<usize>,
    /// The elements that they write; of rings alone.
    pub(super) writes: Vec<Range<usize>>,
}

/// How many items of a step are computed.
pub(super) fn items_of(pass: &[Work], step: usize) -> usize {
    let own = pass.iter().filter(|work| work.step == step);
    own.map(|work| work.items.len()).sum()
}

/// A buffer of twice its length. Its values lie from a base on that moves by `shift` with each slide, and each is written
/// twice, `len` apart, so that they are in one piece wherever the base is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) buffer: usize,
    pub(super) len: usize,
    pub(super) shift: usize,
}

/// How a buffer moves with the window.
struct Motion {
    /// In elements; 0 where it does not.
    shift: usize,
    /// By element: after a slide it is what the element `shift` further on was.
    is_kept: Vec<bool>,
}

impl Motion {
    fn none(len: usize) -> Self {
        Self {
            shift: 0,
            is_kept: vec![false; len],
        }
    }

    fn are_kept(&self, mut places: impl Iterator<Item = usize>) -> bool {
        self.shift > 0 && places.all(|place| self.is_kept[place])
    }
}

/// Elements of buffers that somebody reads.
#[derive(Clone)]
struct Needed(Vec<Vec<bool>>);

impl Needed {
    fn mark(&mut self, span: Span) {
        if let Some(buffer) = span.buffer {
            for place in span.places() {
                self.0[buffer][place] = true;
            }
        }
    }
}

/// Finds the passes of steps. `row`: how many elements of the input a slide moves by; 0 where the input is one row.
pub(super) fn passes(steps: &mut [Step], buffers: &[usize], output: &View, row: usize) -> Passes {
    let mut wanted = Needed(buffers.iter().map(|len| vec![false; *len]).collect());
    for place in output.places() {
        wanted.0[output.buffer][place] = true;
    }
    let motions = motions(steps, buffers, row);
    let alone = compute(steps, &motions, &mut wanted.clone(), |_, _| false);
    let mut known = wanted.clone();
    let slide = compute(steps, &motions, &mut known, |step, item| {
        motions[step + 1].keeps(&steps[step], item)
    });
    let count = |pass: &Pass| -> usize { pass.iter().map(|work| work.items.len()).sum() };
    let is_less = count(&slide) < count(&alone);
    // The input moves whether or not anything else does.
    let is_ring = |buffer: &usize| motions[*buffer].shift > 0 && (is_less || *buffer == 0);
    let ring = |buffer: usize| Ring {
        buffer,
        len: buffers[buffer],
        shift: motions[buffer].shift,
    };
    Passes {
        rings: (0..buffers.len()).filter(is_ring).map(ring).collect(),
        whole: if is_less {
            compute(steps, &motions, &mut known, |_, _| false)
        } else {
            Vec::new()
        },
        slide: is_less.then_some(slide),
        alone,
    }
}

impl Motion {
    fn keeps(&self, step: &Step, item: usize) -> bool {
        self.are_kept(step.writes(item))
    }
}

/// From the output backwards: the items that somebody reads, and what they read. An item that `is_known` is not computed;
/// it was, one row further on, so that one is needed too.
fn compute(steps: &[Step], motions: &[Motion], needed: &mut Needed, is_known: impl Fn(usize, usize) -> bool) -> Pass {
    let mut pass = Pass::new();
    for (index, step) in steps.iter().enumerate().rev() {
        // Step n writes buffer n + 1.
        let motion = &motions[index + 1];
        let mut order: Vec<usize> = (0..step.items()).collect();
        // What is known leads to items behind.
        order.sort_by_key(|item| step.writes(*item).start);
        let mut items = Vec::new();
        for item in order {
            let own = step.writes(item);
            if !needed.0[index + 1][own.clone()].contains(&true) {
                continue;
            }
            if is_known(index, item) {
                for place in own {
                    needed.0[index + 1][place + motion.shift] = true;
                }
                continue;
            }
            items.push(item);
            for span in step.reads(item) {
                needed.mark(span);
            }
        }
        // From the last to the first, as the steps come.
        items.sort_unstable_by(|a, b| b.cmp(a));
        for item in items {
            let writes = (motion.shift > 0).then(|| step.writes(item));
            match pass.last_mut() {
                Some(next) if next.step == index && next.items.start == item + 1 => {
                    next.items.start = item;
                    writes
                        .into_iter()
                        .for_each(|writes| put_before(&mut next.writes, writes));
                }
                _ => pass.push(Work {
                    step: index,
                    items: item..item + 1,
                    writes: writes.into_iter().collect(),
                }),
            }
        }
    }
    pass.reverse();
    pass
}

/// Adds a range to a list, joined to the last one where that follows it.
fn put_before(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        Some(next) if next.start == range.end => next.start = range.start,
        _ => ranges.push(range),
    }
}

/// How each buffer moves when the input moves by a row.
fn motions(steps: &mut [Step], buffers: &[usize], row: usize) -> Vec<Motion> {
    let mut input = Motion::none(buffers[0]);
    if row > 0 && row < buffers[0] && buffers[0].is_multiple_of(row) {
        input.shift = row;
        input.is_kept[..buffers[0] - row].fill(true);
    }
    let mut motions = vec![input];
    for (index, step) in steps.iter_mut().enumerate() {
        if buffers[index + 1] > MOVED_MAX {
            motions.push(Motion::none(buffers[index + 1]));
            continue;
        }
        step.cut(
            |buffer, stride| match buffer.map_or(0, |buffer| motions[buffer].shift) {
                shift if shift > 0 && stride > 0 => (shift / stride as usize).max(1),
                _ => usize::MAX,
            },
        );
        motions.push(motion(step, buffers[index + 1], &motions));
    }
    motions
}

/// How the output of a step moves.
fn motion(step: &Step, len: usize, motions: &[Motion]) -> Motion {
    let still = Motion::none(len);
    let count = step.items();
    let reads: Vec<Vec<Span>> = (0..count).map(|item| step.reads(item)).collect();
    // What each item reads one row later, if all of that was there before.
    let moved = |spans: &[Span]| -> Option<Vec<Span>> {
        let moved = |span: &Span| match span.buffer {
            None => Some(*span),
            Some(buffer) if motions[buffer].are_kept(span.places()) => Some(Span {
                from: span.from + motions[buffer].shift,
                ..*span
            }),
            Some(_) => None,
        };
        spans.iter().map(moved).collect()
    };
    let moved: Vec<Option<Vec<Span>>> = reads.iter().map(|spans| moved(spans)).collect();
    let mut by_reads: HashMap<&[Span], usize> = HashMap::new();
    let mut by_output: HashMap<usize, usize> = HashMap::new();
    let mut is_written = vec![false; len];
    for (item, spans) in reads.iter().enumerate() {
        by_reads.entry(spans).or_insert(item);
        by_output.insert(step.writes(item).start, item);
        is_written[step.writes(item)].fill(true);
    }
    // The distance that most of them agree upon.
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (item, spans) in moved.iter().enumerate() {
        let later = spans.as_deref().and_then(|spans| by_reads.get(spans));
        let distance = later.and_then(|later| step.writes(*later).start.checked_sub(step.writes(item).start));
        if let Some(distance) = distance.filter(|distance| *distance > 0 && len.is_multiple_of(*distance)) {
            *votes.entry(distance).or_default() += 1;
        }
    }
    let Some((shift, _)) = votes.into_iter().max_by_key(|(distance, votes)| (*votes, *distance)) else {
        return still;
    };
    // What no item writes is zero and has to stay so: nothing else may come to lie there.
    if (0..len).any(|place| !is_written[place] && is_written[(place + shift) % len]) {
        return still;
    }
    let mut motion = Motion { shift, ..still };
    for (item, spans) in moved.iter().enumerate() {
        let own = step.writes(item);
        let later = by_output.get(&(own.start + shift)).copied();
        let is_same =
            later.is_some_and(|later| step.writes(later).len() == own.len() && spans.as_deref() == Some(&reads[later]));
        if is_same {
            motion.is_kept[own].fill(true);
        }
    }
    motion
}

/// Larger buffers do not move: no model that keeps up with a book has one, and to look for what moves takes memory for each
/// item.
const MOVED_MAX: usize = 1 << 20;
