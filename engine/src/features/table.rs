//! Feature rows as CSV, from the engine's own code: what training reads is what serving computes.
//!
//! The columns are `exchange_time_ns,update_id,segment,bid,ask,beyond_horizon` and then one per feature, all of them or the
//! ones that were asked for, headed `name:version`. Rows begin where a model of these features would begin to speak: once
//! all of them are warm. `bid` and `ask` are mantissas at the decimals of the wire. `segment` counts the times that the features
//! began anew: a label must not look across one. `beyond_horizon` is 1 where features looked further into the book than it
//! is known ([`HorizonWatch`]), else 0: a model should not learn from such a row. Values are the shortest decimals that read back as the same `f32`.

use std::fmt::Write as _;
use std::io::{self, Write};

use quantumflow_feeds::{BookUpdate, Side, Sink, Stamps, Trade};

use super::engine::FeatureEngine;
use super::horizon::HorizonWatch;
use super::registry::{FEATURES, Feature, warm_up_of};

/// Writes one row per book update of one instrument; a [`Sink`], so that a replay can be let into it.
///
/// Calls of a sink cannot fail. An error is kept, nothing more is written, and [`finish`](Self::finish) returns it.
#[derive(Debug)]
pub struct FeatureTable<W> {
    out: W,
    symbol: String,
    features: Vec<Feature>,
    warm_up_updates: u16,
    engine: FeatureEngine,
    horizon: HorizonWatch,
    line: String,
    summary: TableSummary,
    failed: Option<io::Error>,
}

/// What went into a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Rows written.
    pub rows: u64,
    /// Of them those that looked further into the book than it is known.
    pub rows_beyond_horizon: u64,
    /// Book updates of the instrument, the ones during warm-up included.
    pub updates: u64,
    /// Trades of the instrument.
    pub trades: u64,
    /// Pieces without a gap.
    pub segments: u64,
    /// Calls for other instruments.
    pub others: u64,
}

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The output did not take it.
    #[error("write feature table after {rows} rows")]
    Write {
        /// Rows before the error.
        rows: u64,
        /// What the output said.
        source: io::Error,
    },
    /// Nothing was written because no update of the instrument came.
    #[error(
        "no book update of {symbol} in the input ({others} calls for other instruments): check the spelling, it is the venue's own, as BTCUSDT or BTC/USD"
    )]
    NoUpdates {
        /// The instrument that was asked for.
        symbol: String,
        /// Calls for other instruments.
        others: u64,
    },
}

impl<W: Write> FeatureTable<W> {
    /// A table of all features of the instrument with the venue's spelling `symbol`; writes the header. Give it a buffered
    /// writer.
    pub fn new(out: W, symbol: &str) -> Result<Self, TableError> {
        Self::of(out, symbol, FEATURES.map(|def| def.feature))
    }

    /// The same of some features, in the order of the registry whatever theirs is.
    pub fn of(mut out: W, symbol: &str, features: impl IntoIterator<Item = Feature>) -> Result<Self, TableError> {
        let mut features: Vec<Feature> = features.into_iter().collect();
        features.sort_unstable_by_key(|&feature| feature as usize);
        features.dedup();
        let mut header = String::from("exchange_time_ns,update_id,segment,bid,ask,beyond_horizon");
        for def in features.iter().map(|feature| feature.def()) {
            write!(header, ",{}:{}", def.name, def.version).expect("a String takes all that is written");
        }
        header.push('\n');
        out.write_all(header.as_bytes())
            .map_err(|source| TableError::Write { rows: 0, source })?;
        Ok(Self {
            out,
            symbol: symbol.to_owned(),
            warm_up_updates: warm_up_of(features.iter().copied()),
            engine: FeatureEngine::of(features.iter().copied()),
            horizon: HorizonWatch::new(features.iter().copied(), 1),
            features,
            line: String::with_capacity(512),
            summary: TableSummary::default(),
            failed: None,
        })
    }

    /// Flushes, and says what was written or why it was not.
    pub fn finish(mut self) -> Result<TableSummary, TableError> {
        let rows = self.summary.rows;
        if let Some(source) = self.failed {
            return Err(TableError::Write { rows, source });
        }
        self.out.flush().map_err(|source| TableError::Write { rows, source })?;
        if self.summary.updates == 0 {
            return Err(TableError::NoUpdates {
                symbol: self.symbol,
                others: self.summary.others,
            });
        }
        Ok(self.summary)
    }

    /// What went in so far, for a progress display.
    pub fn summary(&self) -> TableSummary {
        self.summary
    }
}

impl<W: Write> Sink for FeatureTable<W> {
    fn on_book(&mut self, update: &BookUpdate<'_>, _stamps: &Stamps) {
        if update.instrument.symbol != self.symbol {
            self.summary.others += 1;
            return;
        }
        self.summary.updates += 1;
        self.engine.on_book(update);
        let beyond_horizon = self.horizon.observe(self.engine.known_levels());
        let (Some(bid), Some(ask)) = (update.book.best(Side::Bid), update.book.best(Side::Ask)) else {
            return;
        };
        let Some(row) = self.engine.row_after(self.warm_up_updates) else {
            self.summary.segments += u64::from(self.engine.updates() == 1);
            return;
        };
        if self.failed.is_some() {
            return;
        }
        self.line.clear();
        write!(
            self.line,
            "{},{},{},{},{},{}",
            update.exchange_time.0,
            update.update_id,
            self.summary.segments,
            bid.price.0,
            ask.price.0,
            u8::from(beyond_horizon)
        )
        .expect("a String takes all that is written");
        for &feature in &self.features {
            write!(self.line, ",{}", row[feature as usize]).expect("a String takes all that is written");
        }
        self.line.push('\n');
        match self.out.write_all(self.line.as_bytes()) {
            Ok(()) => {
                self.summary.rows += 1;
                self.summary.rows_beyond_horizon += u64::from(beyond_horizon);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _stamps: &Stamps) {
        if trade.instrument.symbol != self.symbol {
            self.summary.others += 1;
            return;
        }
        self.summary.trades += 1;
        self.engine.on_trade(trade);
    }
}
