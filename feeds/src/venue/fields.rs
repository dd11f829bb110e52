//! The fields of a frame on the slow road: numbers as text, at a scale, checked.

use crate::decimal::{self, Decimals};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, UnixNanos};

use super::json::Json;
use super::message::{MessageDecimals, ParseError, Scalers};
use super::time::scan_rfc3339;

/// The value, which has to be there.
pub(super) fn required<T>(value: Option<T>) -> Result<T, ParseError> {
    value.ok_or(ParseError::Malformed)
}

/// The text of a string, or of a number where numbers are read as text.
pub(super) fn text<'text>(json: Option<Json<'_, 'text>>) -> Result<&'text str, ParseError> {
    required(json)?.str().ok_or(ParseError::Malformed)
}

/// A mantissa with that many decimals.
pub(super) fn decimal_of(json: Option<Json<'_, '_>>, decimals: u8) -> Result<i64, ParseError> {
    Ok(decimal::parse(text(json)?.as_bytes(), decimals)?)
}

/// The decimals that a number is printed with.
pub(super) fn decimals_of(json: Option<Json<'_, '_>>) -> Result<Decimals, ParseError> {
    Ok(decimal::decimals(text(json)?.as_bytes())?)
}

/// A whole number.
pub(super) fn whole(json: Option<Json<'_, '_>>) -> Result<u64, ParseError> {
    required(json)?.u64().ok_or(ParseError::Malformed)
}

/// A whole number that is text: in quotes, or where numbers are read as text.
pub(super) fn whole_text(json: Option<Json<'_, '_>>) -> Result<u64, ParseError> {
    let text = text(json)?;
    match decimal::scan_u64(text.as_bytes()) {
        Some((value, len)) if len == text.len() => Ok(value),
        _ => Err(ParseError::Malformed),
    }
}

/// A time in milliseconds since the epoch.
pub(super) fn millis(ms: u64) -> Result<UnixNanos, ParseError> {
    UnixNanos::from_millis(ms).ok_or(ParseError::NumberOutOfRange)
}

/// A time as in `2026-08-02T03:35:51.660084Z`.
pub(super) fn rfc3339(json: Option<Json<'_, '_>>) -> Result<UnixNanos, ParseError> {
    let text = text(json)?;
    match scan_rfc3339(text.as_bytes()) {
        Some((time, len)) if len == text.len() => Ok(time),
        _ => Err(ParseError::Malformed),
    }
}

/// Levels as a list; `split` finds the price and the quantity of one.
pub(super) fn levels<'tape, 'text>(
    json: Option<Json<'tape, 'text>>,
    side: Side,
    scalers: Scalers,
    split: impl Fn(Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]>,
    changes: &mut Vec<LevelChange>,
) -> Result<(), ParseError> {
    for level in required(json)?.items().ok_or(ParseError::Malformed)? {
        let [price, qty] = split(level).ok_or(ParseError::Malformed)?;
        let price = Price(decimal_of(price, scalers.price.decimals())?);
        let qty = Qty(decimal_of(qty, scalers.qty.decimals())?);
        changes.push(LevelChange { side, price, qty });
    }
    Ok(())
}

/// Raises `printed` to the decimals of a list of levels.
pub(super) fn level_decimals<'tape, 'text>(
    json: Option<Json<'tape, 'text>>,
    split: impl Fn(Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]>,
    printed: &mut MessageDecimals,
) -> Result<(), ParseError> {
    for level in required(json)?.items().ok_or(ParseError::Malformed)? {
        let [price, qty] = split(level).ok_or(ParseError::Malformed)?;
        printed.price = printed.price.max(decimals_of(price)?);
        printed.qty = printed.qty.max(decimals_of(qty)?);
    }
    Ok(())
}

/// Both sides of a whole book, bids first, at the scale that `scale_of` makes of the decimals in it.
pub(super) fn whole_book<'tape, 'text>(
    [bids, asks]: [Option<Json<'tape, 'text>>; 2],
    split: impl Fn(Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]> + Copy,
    scale_of: impl FnOnce(MessageDecimals) -> Result<Scale, ParseError>,
    changes: &mut Vec<LevelChange>,
) -> Result<Scale, ParseError> {
    let mut needed = MessageDecimals::default();
    level_decimals(bids, split, &mut needed)?;
    level_decimals(asks, split, &mut needed)?;
    let scale = scale_of(needed)?;
    let scalers = Scalers::new(scale).ok_or(ParseError::NumberOutOfRange)?;
    levels(bids, Side::Bid, scalers, split, changes)?;
    levels(asks, Side::Ask, scalers, split, changes)?;
    Ok(scale)
}

/// A level as `["price","qty"]`, perhaps with more behind it.
pub(super) fn pair<'tape, 'text>(level: Json<'tape, 'text>) -> Option<[Option<Json<'tape, 'text>>; 2]> {
    let (price, qty) = level.pair()?;
    Some([Some(price), Some(qty)])
}
