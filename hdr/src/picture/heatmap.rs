//! Latency over time: how many values of which size in which minute, with the largest and the 99th percentile marked.

use hdrhistogram::{CreationError, Histogram};
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::axis::{Axis, count_label};
use super::frame::Frame;
use super::{Area, Drawn, INK, Picture};
use crate::distribution::value_at;
use crate::time::{SECOND_NS, rfc3339};

/// Counts by time and latency.
#[derive(Clone, Debug)]
pub(crate) struct Heatmap {
    title: String,
    from_ns: u64,
    to_ns: u64,
    /// Two digits are plenty for a picture, and bound the memory whatever the logs hold.
    columns: Vec<Histogram<u64>>,
    /// From values to nanoseconds.
    to_value_ns: f64,
}

/// Columns of a picture; each is at least two pixels wide.
const COLUMNS_MAX: u64 = 500;
/// Rows for each power of ten.
const ROWS_PER_DECADE: f64 = 20.0;
/// Room for the legend, in pixels.
const LEGEND_PX: i32 = 150;

const MAX_COLOR: RGBColor = RGBColor(0xb2, 0x18, 0x2b);
const P99_COLOR: RGBColor = RGBColor(0xe6, 0x7e, 0x00);
/// From few to many.
const SHADES: [(f64, f64, f64); 4] = [
    (222.0, 235.0, 247.0),
    (158.0, 202.0, 225.0),
    (66.0, 146.0, 198.0),
    (8.0, 48.0, 107.0),
];

impl Heatmap {
    /// An empty one from one time to another, its columns no shorter than `interval_ns`, the longest interval there is.
    pub(crate) fn new(
        title: &str,
        (from_ns, to_ns): (u64, u64),
        interval_ns: u64,
        to_value_ns: f64,
    ) -> Result<Self, CreationError> {
        let span = to_ns.saturating_sub(from_ns).max(1);
        let count = (span as f64 / interval_ns.max(1) as f64)
            .round()
            .clamp(1.0, COLUMNS_MAX as f64) as usize;
        let column = Histogram::new(2)?;
        Ok(Self {
            title: title.to_owned(),
            from_ns,
            to_ns: from_ns + span,
            columns: vec![column; count],
            to_value_ns,
        })
    }

    /// Adds an interval's values, at the middle of the interval. False where the counts are beyond what can be added.
    pub(crate) fn add(&mut self, interval: (u64, u64), histogram: &Histogram<u64>) -> bool {
        let middle = (interval.0 / 2 + interval.1 / 2).clamp(self.from_ns, self.to_ns - 1);
        let share = (middle - self.from_ns) as f64 / (self.to_ns - self.from_ns) as f64;
        let index = ((share * self.columns.len() as f64) as usize).min(self.columns.len() - 1);
        let column = &mut self.columns[index];
        column.len().saturating_add(histogram.len()) <= crate::log::COUNT_MAX && column.add(histogram).is_ok()
    }

    fn value_range(&self) -> (f64, f64) {
        let held = || self.columns.iter().filter(|column| !column.is_empty());
        let min = held().map(|column| column.min().max(1)).min().unwrap_or(1);
        let max = held().map(Histogram::max).max().unwrap_or(1);
        (min as f64 * self.to_value_ns, max as f64 * self.to_value_ns)
    }

    /// The counts of every column by row, `None` where there is nothing at all in a column.
    fn cells(&self, y: &Axis, row_count: usize) -> Vec<Vec<u64>> {
        let row_of = |ns: f64| ((y.place(ns) * row_count as f64) as usize).min(row_count - 1);
        let cells = self.columns.iter().map(|column| {
            let mut rows = vec![0; row_count];
            for bucket in column.iter_recorded() {
                let middle = column.median_equivalent(bucket.value_iterated_to());
                rows[row_of(middle as f64 * self.to_value_ns)] += bucket.count_at_value();
            }
            rows
        });
        cells.collect()
    }
}

impl Picture for Heatmap {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn {
        let (min, max) = self.value_range();
        let y = Axis::log_latency(min, max);
        let (low, high) = y.ends();
        let row_count = ((high / low).log10() * ROWS_PER_DECADE).ceil().clamp(1.0, 400.0) as usize;
        let cells = self.cells(&y, row_count);
        let most = cells.iter().flatten().copied().max().unwrap_or(1).max(1);
        // A log that does not say when it was begun counts from zero.
        let is_dated = self.from_ns > 365 * 86_400 * SECOND_NS;
        let x_title = match is_dated {
            true => format!(
                "Time, UTC, from {}",
                rfc3339(self.from_ns).replace('T', " ").trim_end_matches('Z')
            ),
            false => "Time since the log's zero".to_owned(),
        };
        let x = (Axis::time(self.from_ns, self.to_ns), x_title.as_str());
        let frame = Frame::draw(area, &self.title, x, (y, "Latency"), LEGEND_PX)?;

        let column_ns = (self.to_ns - self.from_ns) as f64 / cells.len() as f64;
        let x_of = |column: usize| frame.x_of(column as f64 * column_ns);
        let y_of = |row: usize| frame.y_of(low * (high / low).powf(row as f64 / row_count as f64));
        for (column, rows) in cells.iter().enumerate() {
            let (left, right) = (x_of(column), x_of(column + 1));
            for (row, count) in rows.iter().enumerate().filter(|(_, count)| **count > 0) {
                let corners = [(left, y_of(row + 1)), (right.max(left + 1), y_of(row))];
                frame.fill(corners, &shade(*count as f64, most as f64))?;
            }
        }
        // A dash for each column: a line from one to the next would hide what lies between them.
        for (index, column) in self.columns.iter().enumerate().filter(|(_, column)| !column.is_empty()) {
            let (left, right) = (x_of(index), x_of(index + 1));
            for (color, of) in [(MAX_COLOR, 100.0), (P99_COLOR, 99.0)] {
                let y = frame.y_of(value_at(column, of) as f64 * self.to_value_ns);
                frame.fill([(left, y - 1), (right.max(left + 1), y + 1)], &color)?;
            }
        }
        self.legend(&frame, most)?;
        frame.close()
    }
}

impl Heatmap {
    fn legend<DB: DrawingBackend>(&self, frame: &Frame<'_, DB>, most: u64) -> Drawn {
        let (x, y) = frame.legend_corner();
        let x = x + 16;
        for (index, (color, label)) in [(MAX_COLOR, "max"), (P99_COLOR, "p99")].iter().enumerate() {
            let y = y + 24 * index as i32;
            frame.line([(x, y + 8), (x + 26, y + 8)], color, 2)?;
            frame.text(label, (x + 34, y), 14, HPos::Left)?;
        }
        frame.text("values per cell", (x, y + 64), 14, HPos::Left)?;
        const BAR_PX: i32 = 200;
        let top = y + 92;
        for step in 0..BAR_PX {
            let count = (most as f64).powf(1.0 - f64::from(step) / f64::from(BAR_PX - 1));
            frame.fill([(x, top + step), (x + 22, top + step + 1)], &shade(count, most as f64))?;
        }
        frame.path(
            vec![
                (x, top),
                (x + 22, top),
                (x + 22, top + BAR_PX),
                (x, top + BAR_PX),
                (x, top),
            ],
            &INK,
            1,
        )?;
        for share in [0.0, 0.5, 1.0] {
            let label = count_label((most as f64).powf(1.0 - share).round());
            frame.text(
                &label,
                (x + 30, top + (share * f64::from(BAR_PX)) as i32 - 8),
                15,
                HPos::Left,
            )?;
        }
        Ok(())
    }
}

/// The colour of a count, on a logarithmic scale.
fn shade(count: f64, most: f64) -> RGBColor {
    let share = if most > 1.0 {
        (count.max(1.0).ln() / most.ln()).clamp(0.0, 1.0)
    } else {
        1.0
    };
    let place = share * (SHADES.len() - 1) as f64;
    let index = (place as usize).min(SHADES.len() - 2);
    let (from, to, part) = (SHADES[index], SHADES[index + 1], place - index as f64);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}
