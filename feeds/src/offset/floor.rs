//! The line below all points, from which they lie the least in sum.
//!
//! The sum of the distances of n points from a line below them is least where the line is highest at their mean time.
//! The highest that a line below all points can be at some time is their lower convex hull; so the answer is the edge of
//! the hull that spans the mean time. Points far above, messages that waited, are not on the hull: they have no vote.

use super::{BUCKETS, SECOND_NS, WINDOW_NS};

/// A message: local time, and local minus exchange time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) local: i64,
    pub(super) difference: i64,
}

/// The difference that the fastest message would have at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// A local time near those that are asked for,
    pub(super) anchor: i64,
    /// the difference then,
    pub(super) difference: i64,
    /// and by how many nanoseconds it grows per second.
    pub(super) drift_ppb: i64,
}

impl Line {
    /// The difference at a local time, zero or later. Two windows away from the anchor the line becomes level: no drift
    /// is known for so long.
    #[inline]
    pub(super) fn at(&self, local: i64) -> i64 {
        let away = (local - self.anchor).clamp(-2 * WINDOW_NS, 2 * WINDOW_NS);
        self.difference + away * self.drift_ppb / SECOND_NS
    }

    /// The highest line of that drift with no point below it; level and zero for no points.
    pub(super) fn below(points: &[Point], drift_ppb: i64) -> Self {
        let mut line = Self {
            anchor: points.last().map_or(0, |point| point.local),
            difference: 0,
            drift_ppb,
        };
        let residuals = points.iter().map(|point| point.difference - line.at(point.local));
        line.difference = residuals.min().unwrap_or(0);
        line
    }

    /// How far the points usually lie above the line. Up to half of them may have waited for long without being heard.
    pub(super) fn median_residual(&self, points: &[Point]) -> i64 {
        let mut residuals = [0; BUCKETS];
        let residuals = &mut residuals[..points.len().min(BUCKETS)];
        for (residual, point) in residuals.iter_mut().zip(points) {
            *residual = point.difference - self.at(point.local);
        }
        match residuals.len() {
            0 => 0,
            count => *residuals.select_nth_unstable(count / 2).1,
        }
    }
}

/// The drift of the line below all points with the least sum of distances, within ±[`DRIFT_MAX_PPB`]. The points are in
/// the order of time, no two of the same, at most [`BUCKETS`]; zero for fewer than two.
pub(super) fn drift_ppb(points: &[Point]) -> i64 {
    let Some(first) = points.first().filter(|_| points.len() >= 2) else {
        return 0;
    };
    let mut hull = [Point::default(); BUCKETS];
    let mut count = 0;
    for &point in points.iter().take(BUCKETS) {
        while count >= 2 && !turns_up(hull[count - 2], hull[count - 1], point) {
            count -= 1;
        }
        hull[count] = point;
        count += 1;
    }
    let sum: i128 = points.iter().map(|point| i128::from(point.local - first.local)).sum();
    let mean = first.local + (sum / points.len() as i128) as i64;
    let Some(edge) = hull[..count].windows(2).find(|edge| mean < edge[1].local) else {
        return 0;
    };
    let rise = i128::from(edge[1].difference - edge[0].difference) * i128::from(SECOND_NS);
    let drift = rise / i128::from(edge[1].local - edge[0].local);
    drift.clamp(i128::from(-DRIFT_MAX_PPB), i128::from(DRIFT_MAX_PPB)) as i64
}

/// Whether the way from `a` over `b` to `c` bends upwards at `b`, so that `b` is a corner of the hull.
fn turns_up(a: Point, b: Point, c: Point) -> bool {
    let slope = |to: Point, by: Point| i128::from(to.difference - a.difference) * i128::from(by.local - a.local);
    slope(c, b) > slope(b, c)
}

/// Kernels slew a clock by no more than 500 ppm; a quartz is off by less than 100.
pub(super) const DRIFT_MAX_PPB: i64 = 500_000;
