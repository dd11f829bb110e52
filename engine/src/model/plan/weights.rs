//! Matrices of weights, laid out as kernels read them.
//!
//! A kernel forms the sums of a few neighbouring columns over all its inputs, then those of the next few. So once a plan is
//! made its weights lie in tiles: columns side by side, row by row, and behind them the next tile. A loop over inputs then
//! reads straight on, and needs no arithmetic to find its next row.

use super::step::LANES;

/// A row for each input, a column for each output; columns are filled up with zeros to a multiple of [`LANES`].
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    values: Vec<f32>,
    rows: usize,
    /// Columns, with those that fill up.
    width: usize,
    in_tiles: bool,
}

impl Weights {
    /// Of rows that are filled up already.
    pub(super) fn of_rows(values: Vec<f32>, width: usize) -> Self {
        debug_assert!(width.is_multiple_of(LANES) && (width == 0 || values.len().is_multiple_of(width)));
        Self {
            rows: values.len() / width.max(1),
            values,
            width,
            in_tiles: false,
        }
    }

    /// Of rows of `columns`.
    pub(super) fn padded(values: &[f32], columns: usize) -> Self {
        let width = columns.next_multiple_of(LANES);
        let mut padded = Vec::with_capacity(values.len() / columns.max(1) * width);
        for row in values.chunks_exact(columns) {
            padded.extend_from_slice(row);
            padded.resize(padded.len().next_multiple_of(width), 0.0);
        }
        Self::of_rows(padded, width)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Multiplies each column. Before they lie in tiles.
    pub(super) fn scale(&mut self, by: &[f32]) {
        debug_assert!(by.len() == self.width && !self.in_tiles);
        for row in self.values.chunks_exact_mut(by.len()) {
            row.iter_mut().zip(by).for_each(|(weight, by)| *weight *= by);
        }
    }

    /// Lays them out in tiles: as many of `widest` columns as there are whole ones, then each half as wide as the one
    /// before it where that fits, down to [`LANES`].
    pub(super) fn lay_out(&mut self, widest: usize) {
        debug_assert!((widest / LANES).is_power_of_two() && !self.in_tiles);
        let mut values = Vec::with_capacity(self.values.len());
        let (mut at, mut tile) = (0, widest);
        while at < self.width {
            if self.width - at < tile {
                tile /= 2;
                continue;
            }
            for row in 0..self.rows {
                values.extend_from_slice(&self.values[row * self.width + at..][..tile]);
            }
            at += tile;
        }
        (self.values, self.in_tiles) = (values, true);
    }

    /// The tile of so many columns from the one `at` that place.
    #[inline(always)]
    pub(super) fn tile(&self, at: usize, columns: usize) -> &[f32] {
        &self.values[self.rows * at..][..self.rows * columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_the_rows_of_its_columns() {
        let (rows, columns) = (3, 7 * LANES - 5);
        let value = |row: usize, column: usize| (row * 1000 + column) as f32;
        let all: Vec<f32> = (0..rows * columns)
            .map(|place| value(place / columns, place % columns))
            .collect();
        let mut weights = Weights::padded(&all, columns);
        weights.lay_out(4 * LANES);
        assert_eq!(weights.rows(), rows);
        for (at, width) in [(0, 4 * LANES), (4 * LANES, 2 * LANES), (6 * LANES, LANES)] {
            let tile = weights.tile(at, width);
            assert_eq!(tile.len(), rows * width);
            for (row, tile) in tile.chunks_exact(width).enumerate() {
                for (place, weight) in tile.iter().enumerate() {
                    let column = at + place;
                    assert_eq!(
                        *weight,
                        if column < columns { value(row, column) } else { 0.0 },
                        "{row} {column}"
                    );
                }
            }
        }
    }
}
