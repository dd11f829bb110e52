//! In what Binance's products differ: addresses, the rule of the chain, and what stands between the same parts of a
//! message.
//!
//! A product is a type that implements [`Product`], in one file that reads like its fact sheet. Parser and scanner are
//! made for each product at compile time: a hook that finds nothing costs nothing.

use crate::event::LevelChange;
use crate::types::Scale;
use crate::venue::json::Json;
use crate::venue::message::{BookMessage, MessageDecimals, ParseError};
use crate::venue::rules::{Standing, Verdict};

/// One product of the venue.
///
/// The hooks of the scanner are given a frame and a place in it, and return the place behind what the product has
/// there; `None` where something else stands there. What they pass over, the slow road does not read either.
pub(super) trait Product {
    /// The path of the combined streams.
    const STREAM_PATH: &'static str;

    /// The stream of the diffs, behind the `@`.
    const DEPTH_STREAM: &'static str;

    /// The path of the REST snapshot.
    const SNAPSHOT_PATH: &'static str;

    /// Levels per side of the REST book that a shown one is held against: the most of the cheapest request.
    const CHECKPOINT_DEPTH: u32;

    /// The event that a best bid and ask is named; `None` where it is not.
    const TICKER_EVENT: Option<&'static str>;

    /// The first bytes of a best bid and ask, up to its update id.
    const TICKER_OPEN: &'static [u8];

    /// Whether event time, first id and last id are all the numbers in front of a diff's levels: then the text between
    /// them is remembered and compared as a whole.
    const HAS_PLAIN_FRONT: bool;

    /// What a REST snapshot of that many levels costs.
    fn snapshot_weight(depth: u32) -> u32;

    /// How a diff relates to a book that stands there.
    fn judge(standing: Standing, diff: &BookMessage) -> Verdict;

    /// The name of a stream of diffs and the key behind it, up to the payload.
    fn depth_stream(frame: &[u8], at: usize) -> Option<usize>;

    /// Whether a stream of that name has diffs.
    fn is_depth_stream(name: &str) -> bool;

    /// The time of the transaction, behind that of the event; zero where there is none.
    fn transaction_time(frame: &[u8], at: usize) -> Option<(u64, usize)>;

    /// What stands between the symbol and the next key, up to the quote that closes it.
    fn behind_symbol(frame: &[u8], at: usize) -> Option<usize>;

    /// The last id of the diff before, behind the ids of this one.
    fn previous_id(frame: &[u8], at: usize) -> Option<(Option<u64>, usize)>;

    /// What stands behind the numbers of a best bid and ask.
    fn behind_ticker(rest: &[u8]) -> Option<&[u8]>;

    /// What stands behind the quantity of a trade: its time (or `transaction_time_ms`, which stood in front), whether
    /// the buyer was the maker, and where the payload goes on.
    fn trade_end(rest: &[u8], transaction_time_ms: u64) -> Option<(u64, bool, usize)>;

    /// What may stand in front of the brace that ends a payload.
    fn behind_payload(rest: &[u8]) -> &[u8];

    /// What stands between the id of a REST snapshot and its bids.
    fn behind_snapshot_id(body: &[u8], at: usize) -> Option<usize>;

    /// The last id of the diff before, by the slow road.
    ///
    /// # Errors
    /// [`ParseError::Malformed`] where it should be there and is not.
    fn read_previous_id(diff: Json<'_, '_>) -> Result<Option<u64>, ParseError>;

    /// Whether what is called a trade is one, by the slow road.
    ///
    /// # Errors
    /// [`ParseError::Malformed`]
    fn is_trade(trade: Json<'_, '_>) -> Result<bool, ParseError>;

    /// The scale for a book whose REST snapshot prints these decimals, its first level and all of it.
    fn snapshot_scale(first: MessageDecimals, all: MessageDecimals) -> Scale;

    /// Reads a REST snapshot of the exact shape: its id, and the scale that [`snapshot_scale`](Self::snapshot_scale)
    /// gives. Levels are appended, also where it turns out to be of another shape.
    fn scan_snapshot(body: &[u8], levels: &mut Vec<LevelChange>) -> Option<(u64, Scale)>;
}
