//! Which instruments are predicted to move most: all of a shard, ranked once a second.
//!
//! The score is the champion's probability of up less that of down: the expected direction. All instruments have one model
//! and one label rule, so its order is that of the predicted moves in the label's own unit. An instrument whose book is
//! withdrawn, or whose last prediction is old, is not ranked: no number of it is shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quantumflow_region::{GaugeF64, GaugeI64, Histogram, RegionWriter, RegisterError, ThreadWriter, catalogue};

use crate::hot::{ColdSide, Score, SymbolOrigin};
use crate::os::wall_clock;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How often the thread looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A prediction older than this says nothing about the next move.
const AGE_MAX_S: u32 = 60;

/// The thread's state.
#[derive(Debug)]
pub struct Ranking {
    cells: Cells,
    /// Of the last round, by place in the shard.
    scores: Vec<Option<Score>>,
    /// Places, the strongest predicted rise first.
    order: Vec<usize>,
}

#[derive(Debug)]
struct Cells {
    /// By place in the shard.
    symbols: Vec<(GaugeF64, GaugeF64)>,
    processed: GaugeI64,
    duration: Histogram,
}

impl Ranking {
    /// For these instruments.
    ///
    /// # Errors
    /// The region has no room for its series.
    pub fn new(region: &RegionWriter, symbols: &[SymbolOrigin]) -> Result<Self, RegisterError> {
        let thread = region.writer("ranking")?;
        Ok(Self {
            cells: Cells::register(&thread, symbols)?,
            scores: Vec::new(),
            order: Vec::new(),
        })
    }

    /// Ranks until `stop` is set.
    pub fn run(mut self, cold: &ColdSide, stop: &AtomicBool) {
        let mut next = Instant::now() + EVERY;
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next {
                next += EVERY;
                let started = Instant::now();
                self.rank(cold.scores(), unix_seconds());
                self.cells.duration.record(started.elapsed().as_nanos() as u64);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn rank(&mut self, scores: impl Iterator<Item = Option<Score>>, now_s: u32) {
        let is_fresh = |score: &Score| now_s.saturating_sub(score.unix_s) <= AGE_MAX_S && !score.lean.is_nan();
        self.scores.clear();
        self.scores.extend(scores.map(|score| score.filter(is_fresh)));
        self.order.clear();
        let places = 0..self.scores.len();
        self.order.extend(places.filter(|place| self.scores[*place].is_some()));
        let lean = |place: &usize| self.scores[*place].map_or(0.0, |score| score.lean);
        self.order.sort_by(|a, b| lean(b).total_cmp(&lean(a)));
        for (score, (cell, rank)) in self.scores.iter().zip(&self.cells.symbols) {
            match score {
                Some(score) => cell.set(f64::from(score.lean)),
                None => {
                    cell.set_unknown();
                    rank.set_unknown();
                }
            }
        }
        for (rank, place) in self.order.iter().enumerate() {
            if let Some((_, cell)) = self.cells.symbols.get(*place) {
                cell.set((rank + 1) as f64);
            }
        }
        self.cells.processed.set(self.order.len() as i64);
    }
}

impl Cells {
    fn register(thread: &ThreadWriter, symbols: &[SymbolOrigin]) -> Result<Self, RegisterError> {
        let of_symbol = |origin: &SymbolOrigin| {
            let labels = [origin.venue.name(), &*origin.symbol];
            Ok((
                thread.gauge_f64(&catalogue::RANKING_SCORE, &labels)?,
                thread.gauge_f64(&catalogue::RANKING_RANK, &labels)?,
            ))
        };
        Ok(Self {
            symbols: symbols.iter().map(of_symbol).collect::<Result<_, RegisterError>>()?,
            processed: thread.gauge_i64(&catalogue::RANKING_SYMBOLS, &[])?,
            duration: thread.histogram(&catalogue::RANKING_DURATION, &[])?,
        })
    }
}

fn unix_seconds() -> u32 {
    u32::try_from(wall_clock().0 / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use quantumflow_feeds::VenueId;
    use quantumflow_region::{RegionOptions, RegionReader};

    use super::*;

    fn score(lean: f32, unix_s: u32) -> Option<Score> {
        Some(Score { lean, unix_s })
    }

    #[test]
    fn the_strongest_rise_is_first_and_who_has_no_fresh_prediction_is_not_there() {
        let origin = |symbol: &str| SymbolOrigin {
            feed: 0,
            venue: VenueId::BinanceSpot,
            symbol: symbol.to_owned(),
        };
        let names = ["A", "B", "C", "D", "E", "F"];
        let region = RegionWriter::private(&RegionOptions::new("test", 1)).expect("a region");
        let mut ranking = Ranking::new(&region, &names.map(origin)).expect("room");
        let mut ranks = |scores: [Option<Score>; 6]| {
            ranking.rank(scores.into_iter(), 1_000);
            let snapshot = RegionReader::of(&region)
                .and_then(|mut reader| reader.snapshot())
                .expect("a snapshot");
            let of = |metric: &quantumflow_region::Metric, symbol: &str| {
                snapshot
                    .family(metric.name)
                    .find(|series| series.meta.label("symbol") == Some(symbol))
                    .and_then(|series| series.value.as_f64())
                    .filter(|value| !value.is_nan())
            };
            let processed = snapshot.total(catalogue::RANKING_SYMBOLS.name, &[]);
            let seen = names.map(|name| (of(&catalogue::RANKING_SCORE, name), of(&catalogue::RANKING_RANK, name)));
            (seen, processed)
        };
        let (seen, processed) = ranks([
            score(-0.5, 1_000),
            score(0.75, 950),
            None,
            score(0.9, 939),
            score(f32::NAN, 1_000),
            score(0.0, 1_001),
        ]);
        assert_eq!(processed, 3.0);
        assert_eq!(seen[0], (Some(-0.5), Some(3.0)));
        assert_eq!(seen[1], (Some(0.75), Some(1.0)));
        assert_eq!(seen[2], (None, None), "no prediction");
        assert_eq!(seen[3], (None, None), "61 seconds old");
        assert_eq!(seen[4], (None, None), "no number");
        assert_eq!(seen[5], (Some(0.0), Some(2.0)));

        let (seen, _) = ranks([None, None, score(0.1, 1_000), None, None, None]);
        assert_eq!(seen[2], (Some(f64::from(0.1_f32)), Some(1.0)));
        assert_eq!(seen[1], (None, None), "what was ranked before is gone");
    }
}
