//! What both of Coinbase's feeds have in common: how a product is spelled, asked for and refused, and flat objects.

use std::fmt::Write;

use crate::types::{Instrument, Side, SymbolId};
use crate::venue::facts::is_plain;
use crate::venue::json::Json;
use crate::venue::message::{Answer, ParseError};
use crate::venue::symbols::SymbolTable;

/// `BTC-USD`: letters and digits with at least one hyphen between them (`BTC-PERP-INTX` has two).
pub(in crate::venue) fn is_product(symbol: &str) -> bool {
    is_plain(symbol, b"-") && symbol.contains('-') && symbol.split('-').all(|word| !word.is_empty())
}

/// Appends `"product_ids":["BTC-USD","ETH-USD"]`.
pub(in crate::venue) fn push_product_ids(text: &mut String, instruments: &[Instrument]) {
    text.push_str("\"product_ids\":[");
    for (index, instrument) in instruments.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma}\"{}\"", instrument.symbol);
    }
    text.push(']');
}

/// A message `{"type":"error","message":…,"reason":…}`. The only trace of the product is in its words.
#[cold]
pub(in crate::venue) fn refusal(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Answer, ParseError> {
    let texts = json.get(["message", "reason"]).ok_or(ParseError::Malformed)?;
    let named = |text: &str| {
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
            .find_map(|word| symbols.find(word.as_bytes()))
    };
    let mut texts = texts.into_iter().flatten().filter_map(Json::str);
    Ok(Answer {
        symbol: texts.find_map(named),
        ..Answer::REFUSED
    })
}

/// The aggressor of a trade whose `side` is the maker's, as both feeds print it: in small letters or in capitals.
pub(in crate::venue) fn aggressor(maker_side: &[u8]) -> Option<Side> {
    match maker_side {
        b"buy" | b"BUY" => Some(Side::Ask),
        b"sell" | b"SELL" => Some(Side::Bid),
        _ => None,
    }
}

/// The only symbol that a frame of broken JSON names. Where it names several, nobody knows which of them it spares.
#[cold]
pub(in crate::venue) fn only_product_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId> {
    const KEY: &[u8] = b"\"product_id\":\"";
    let mut named = frame
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, window)| *window == KEY);
    let at = named.next()?.0 + KEY.len();
    if named.next().is_some() {
        return None;
    }
    let len = frame[at..].iter().position(|&byte| byte == b'"')?;
    symbols.find(&frame[at..at + len])
}

/// Reads an object of plain strings and whole numbers from its opening brace at `at`, whatever the order of its keys, and
/// returns the values of `keys` as they stand there, quotes included, and where the frame goes on behind the closing
/// brace. `None` where one of them is absent or comes twice, and for anything that only a JSON parser can judge.
#[inline]
pub(in crate::venue) fn flat_object<'a, const N: usize>(
    frame: &'a [u8],
    at: usize,
    keys: [&[u8]; N],
) -> Option<([&'a [u8]; N], usize)> {
    let mut found = [None; N];
    let mut rest = frame.get(at..)?.strip_prefix(b"{")?;
    loop {
        let (key, behind) = split_string(rest)?;
        rest = behind.strip_prefix(b":")?;
        let value = match rest.first()? {
            b'"' => {
                let (_, behind) = split_string(rest)?;
                &rest[..rest.len() - behind.len()]
            }
            _ => {
                let (_, len) = crate::decimal::scan_u64(rest)?;
                &rest[..len]
            }
        };
        rest = &rest[value.len()..];
        if let Some(slot) = keys.iter().position(|wanted| *wanted == key)
            && found[slot].replace(value).is_some()
        {
            return None;
        }
        match rest.first()? {
            b',' => rest = &rest[1..],
            b'}' => break,
            _ => return None,
        }
    }
    let end = frame.len() - rest.len() + 1;
    let mut values = [&[][..]; N];
    for (value, found) in values.iter_mut().zip(found) {
        *value = found?;
    }
    Some((values, end))
}

/// The text between quotes.
#[inline]
pub(in crate::venue) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A value that was scanned, if it is all of its text.
#[inline]
pub(in crate::venue) fn whole<T>(scanned: Option<(T, usize)>, text: &[u8]) -> Option<T> {
    scanned.and_then(|(value, len)| (len == text.len()).then_some(value))
}

/// The text of a string of plain ASCII, and what is left behind its closing quote.
#[inline]
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = bytes.strip_prefix(b"\"")?;
    let len = text
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ' || !byte.is_ascii())?;
    (text[len] == b'"').then(|| (&text[..len], &text[len + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_objects_are_read_in_any_order_and_nothing_else() {
        let check = |text: &str, expected: Option<([&str; 2], usize)>| {
            let found = flat_object(text.as_bytes(), 0, [b"a", b"b"]);
            let expected = expected.map(|(values, end)| (values.map(str::as_bytes), end));
            assert_eq!(found, expected, "{text}");
        };
        check("{\"a\":\"x\",\"b\":7}]", Some((["\"x\"", "7"], 15)));
        check("{\"b\":0,\"c\":\"\",\"a\":\"\"}", Some((["\"\"", "0"], 21)));
        for text in [
            "",
            "{}",
            "{\"a\":\"x\"}",
            "{\"a\":\"x\",\"b\":7",
            "{\"a\":\"x\",\"b\":7,}",
            "{\"a\":\"x\",\"b\":7,\"a\":\"x\"}",
            "{\"a\":\"x\",\"b\":07}",
            "{\"a\":\"x\",\"b\":7.5}",
            "{\"a\":\"x\",\"b\":-7}",
            "{\"a\":\"x\",\"b\":[7]}",
            "{\"a\":\"x\\n\",\"b\":7}",
            "{\"a\":\"x\n\",\"b\":7}",
            "{ \"a\":\"x\",\"b\":7}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn products_have_a_hyphen_between_words() {
        for symbol in ["BTC-USD", "00-USD", "BTC-PERP-INTX"] {
            assert!(is_product(symbol), "{symbol}");
        }
        for symbol in ["", "-", "BTC", "BTC-", "-USD", "BTC--USD", "BTC/USD", "BTC-USD\""] {
            assert!(!is_product(symbol), "{symbol}");
        }
    }
}
