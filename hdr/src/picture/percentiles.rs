//! Latency by percentile, one curve per distribution, every nine as wide as the one before.

use hdrhistogram::Histogram;
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::axis::{Axis, count_label};
use super::frame::{Frame, text_width};
use super::{Area, Drawn, Picture};
use crate::distribution::{Step, percentile_steps};

/// A curve's name and its points.
#[derive(Clone, Debug)]
struct Curve {
    label: String,
    count: u64,
    /// `1 / (1 - q)` and nanoseconds.
    points: Vec<(f64, f64)>,
}

/// Percentile curves on common axes.
#[derive(Clone, Debug)]
pub(crate) struct PercentilePlot {
    title: String,
    is_linear: bool,
    curves: Vec<Curve>,
}

/// Colours that colour-blind readers tell apart (Tol, "bright" and "vibrant").
const COLORS: [RGBColor; 10] = [
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0xee, 0x66, 0x77),
    RGBColor(0x22, 0x88, 0x33),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0x33, 0xbb, 0xee),
    RGBColor(0xaa, 0x33, 0x77),
    RGBColor(0xee, 0x77, 0x33),
    RGBColor(0x55, 0x55, 0x55),
    RGBColor(0x00, 0x99, 0x88),
    RGBColor(0x99, 0x66, 0x33),
];

/// Curves of one picture: each colour once whole, once dashed.
pub(crate) const CURVES_MAX: usize = 2 * COLORS.len();

impl PercentilePlot {
    pub(crate) fn new(title: &str, is_linear: bool) -> Self {
        Self {
            title: title.to_owned(),
            is_linear,
            curves: Vec::new(),
        }
    }

    /// Adds a distribution; one without a record is left out. `to_ns` leads from its values to nanoseconds.
    pub(crate) fn add(&mut self, label: String, histogram: &Histogram<u64>, to_ns: f64) {
        if histogram.is_empty() {
            return;
        }
        let count = histogram.len();
        let point = |step: Step| {
            // The last step is 100 %, which is infinitely far: the largest value stands where it is one in `count`.
            let inverse = (100.0 / (100.0 - step.percentile)).min(count as f64).max(1.0);
            (inverse, step.value as f64 * to_ns)
        };
        let points = percentile_steps(histogram, 10).into_iter().map(point).collect();
        self.curves.push(Curve { label, count, points });
    }

    fn value_range(&self) -> (f64, f64) {
        let values = || {
            self.curves
                .iter()
                .flat_map(|curve| curve.points.iter().map(|(_, ns)| *ns))
        };
        (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
    }
}

impl Picture for PercentilePlot {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn {
        let (min, max) = self.value_range();
        let y = if self.is_linear {
            Axis::linear_latency(max)
        } else {
            Axis::log_latency(min.min(max), max)
        };
        let count_max = self.curves.iter().map(|curve| curve.count).max().unwrap_or(1);
        let labels: Vec<String> = self
            .curves
            .iter()
            .map(|curve| format!("{} ({})", curve.label, count_label(curve.count as f64)))
            .collect();
        let legend_px = labels
            .iter()
            .map(|label| text_width(area, label, 14))
            .max()
            .unwrap_or(0)
            + 64;
        let legend_px = legend_px.min(520);
        let x = (Axis::nines(count_max as f64), "Percentile");
        let frame = Frame::draw(area, &self.title, x, (y, "Latency"), legend_px)?;
        let (legend_x, legend_y) = frame.legend_corner();
        for (index, (curve, label)) in self.curves.iter().zip(&labels).enumerate().rev() {
            let (color, is_dashed) = (COLORS[index % COLORS.len()], index >= COLORS.len());
            let path: Vec<_> = curve
                .points
                .iter()
                .map(|(x, ns)| (frame.x_of(*x), frame.y_of(*ns)))
                .collect();
            let y = legend_y + 24 * index as i32;
            let key = vec![(legend_x + 16, y + 8), (legend_x + 42, y + 8)];
            for path in [path, key] {
                match is_dashed {
                    true => dashes(&path)
                        .into_iter()
                        .try_for_each(|dash| frame.path(dash, &color, 2))?,
                    false => frame.path(path, &color, 2)?,
                }
            }
            frame.text(label, (legend_x + 50, y), 14, HPos::Left)?;
        }
        frame.close()
    }
}

/// A path cut into strokes and gaps of six pixels.
fn dashes(path: &[(i32, i32)]) -> Vec<Vec<(i32, i32)>> {
    const STROKE: f64 = 6.0;
    let mut dashes = Vec::new();
    let mut walked = 0.0;
    for pair in path.windows(2) {
        let (dx, dy) = (f64::from(pair[1].0 - pair[0].0), f64::from(pair[1].1 - pair[0].1));
        let length = dx.hypot(dy);
        let at = |distance: f64| {
            let share = if length > 0.0 { distance / length } else { 0.0 };
            (
                pair[0].0 + (dx * share).round() as i32,
                pair[0].1 + (dy * share).round() as i32,
            )
        };
        let mut from = 0.0;
        while from < length {
            let phase = (walked + from) % (2.0 * STROKE);
            let to = (from
                + if phase < STROKE {
                    STROKE - phase
                } else {
                    2.0 * STROKE - phase
                })
            .min(length)
            .max(from + 0.01);
            if phase < STROKE {
                dashes.push(vec![at(from), at(to)]);
            }
            from = to;
        }
        walked += length;
    }
    dashes
}
