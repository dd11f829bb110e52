//! Rows of features that belong together, for the self check of models: noise never looks like a book.
//!
//! The file is what the engine wrote of a generated market, its last rows:
//!
//! ```text
//! quantumflow sim --write-capture market.jsonl.zst --venue binance --symbol BTCUSDT --seed 7 --seconds 60
//! quantumflow features --venue binance --symbol BTCUSDT --depth 5000 market.jsonl.zst
//! ```

use super::contract::InputColumn;
use super::predict::normalise;
use crate::features::{FEATURE_COUNT, Feature};

/// A header of names and versions, then rows.
const FILE: &str = include_str!("recorded_rows.csv");

/// `count` windows of so many rows, normalised as the contract says, oldest row first; where a window is longer than the
/// recording it begins anew.
pub(super) fn windows(inputs: &[InputColumn], clip: f32, window: usize, count: usize) -> Vec<Vec<f32>> {
    let rows = rows();
    let of = |index: usize| {
        let rows = rows.iter().cycle().skip(index * rows.len() / count).take(window);
        let mut all = Vec::with_capacity(window * inputs.len());
        for row in rows {
            let from = all.len();
            all.resize(from + inputs.len(), 0.0);
            normalise(row, inputs, clip, &mut all[from..]);
        }
        all
    };
    (0..count).map(of).collect()
}

fn rows() -> Vec<[f32; FEATURE_COUNT]> {
    let mut lines = FILE.lines();
    let header = lines.next().unwrap_or_default();
    let columns: Vec<Option<Feature>> = header
        .split(',')
        .map(|name| Feature::from_name(name.split(':').next()?))
        .collect();
    let row = |line: &str| {
        let mut row = [0.0; FEATURE_COUNT];
        for (column, value) in columns.iter().zip(line.split(',')) {
            if let (Some(feature), Ok(value)) = (column, value.parse()) {
                row[*feature as usize] = value;
            }
        }
        row
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::registry::FEATURES;

    /// A feature that is added or changed wants rows written anew.
    #[test]
    fn the_recording_has_every_feature_in_its_version() {
        let header = FILE.lines().next().unwrap();
        let expected: Vec<String> = FEATURES
            .iter()
            .map(|def| format!("{}:{}", def.name, def.version))
            .collect();
        assert!(header.ends_with(&format!(",{}", expected.join(","))), "{header}");
        let rows = rows();
        assert!(rows.len() >= 64);
        for (place, def) in FEATURES.iter().enumerate() {
            let first = rows[0][place];
            assert!(rows.iter().all(|row| row[place].is_finite()), "{}", def.name);
            assert!(rows.iter().any(|row| row[place] != first), "{} does not move", def.name);
        }
    }

    #[test]
    fn a_window_is_rows_in_their_order_and_begins_anew_behind_the_last() {
        let column = |feature| InputColumn {
            feature,
            mean: 0.0,
            scale_inverse: 1.0,
        };
        let inputs = [FEATURES[0].feature, FEATURES[1].feature].map(column);
        let rows = rows();
        let windows = windows(&inputs, f32::MAX, rows.len() + 1, 4);
        assert_eq!(windows.len(), 4);
        for (index, window) in windows.iter().enumerate() {
            for (place, pair) in window.chunks_exact(2).enumerate() {
                let row = &rows[(index * rows.len() / 4 + place) % rows.len()];
                assert_eq!(pair, &row[..2]);
            }
        }
    }
}
