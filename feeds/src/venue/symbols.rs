//! Finds an instrument by its spelling: the one that came last first, then a scan over three words each. No hashing, and
//! no call to compare bytes: a spelling is too short to be worth one.

use crate::types::SymbolId;

/// The longest spelling that a venue uses, with room to spare.
pub(crate) const SYMBOL_BYTES_MAX: usize = 24;

type Key = [u64; SYMBOL_BYTES_MAX / 8];

/// Spellings in the order of their [`SymbolId`]s.
#[derive(Clone, Debug, Default)]
pub(crate) struct SymbolTable {
    spellings: Vec<Spelling>,
}

#[derive(Clone, Debug)]
struct Spelling {
    text: Box<[u8]>,
    key: Key,
    /// The bits of `key` that the text takes.
    mask: Key,
}

impl Spelling {
    fn new(text: &str) -> Self {
        let text = text.as_bytes();
        match (
            key(text),
            key(&[u8::MAX; SYMBOL_BYTES_MAX][..text.len().min(SYMBOL_BYTES_MAX)]),
        ) {
            (Some(key), Some(mask)) => Self {
                text: text.into(),
                key,
                mask,
            },
            // Nothing under no mask is all ones, and no text has that key.
            _ => Self {
                text: text.into(),
                key: [u64::MAX; 3],
                mask: [0; 3],
            },
        }
    }

    /// Whether `bytes` starts with it.
    #[inline]
    fn starts(&self, bytes: &[u8]) -> bool {
        let Some(front) = bytes.first_chunk() else {
            // Only a frame that is all but over has so little behind a symbol.
            return bytes.starts_with(&self.text);
        };
        let (front, mask) = (words(front), self.mask);
        [front[0] & mask[0], front[1] & mask[1], front[2] & mask[2]] == self.key
    }
}

impl SymbolTable {
    /// `spellings` are distinct and have 1 to [`SYMBOL_BYTES_MAX`] bytes; any other cannot be found.
    pub(crate) fn new<'a>(spellings: impl Iterator<Item = &'a str>) -> Self {
        Self {
            spellings: spellings.map(Spelling::new).collect(),
        }
    }

    /// The symbol whose spelling starts `bytes` and is followed by `end`, and the length of the spelling. `likely` is
    /// tried first.
    #[inline]
    pub(crate) fn scan(&self, bytes: &[u8], end: u8, likely: SymbolId) -> Option<(SymbolId, usize)> {
        if let Some(len) = self.starts_with(likely, bytes, end) {
            return Some((likely, len));
        }
        let len = bytes.iter().take(SYMBOL_BYTES_MAX + 1).position(|&byte| byte == end)?;
        Some((self.find(&bytes[..len])?, len))
    }

    /// Whether `bytes` starts with the spelling of `symbol` followed by `end`; its length if so.
    #[inline]
    pub(crate) fn starts_with(&self, symbol: SymbolId, bytes: &[u8], end: u8) -> Option<usize> {
        let spelling = self.spellings.get(symbol.index())?;
        let len = spelling.text.len();
        (bytes.get(len) == Some(&end) && spelling.starts(bytes)).then_some(len)
    }

    /// The symbol of that spelling.
    pub(crate) fn find(&self, spelling: &[u8]) -> Option<SymbolId> {
        let wanted = key(spelling)?;
        let index = self.spellings.iter().position(|spelling| spelling.key == wanted)?;
        u16::try_from(index).ok().map(SymbolId)
    }

    /// Every symbol with its spelling.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SymbolId, &[u8])> {
        (0_u16..)
            .map(SymbolId)
            .zip(self.spellings.iter().map(|spelling| &spelling.text[..]))
    }
}

/// The symbol that a frame of broken JSON names by `prefix`, its spelling and `end`.
#[cold]
pub(crate) fn named_in(frame: &[u8], symbols: &SymbolTable, prefix: &[u8], end: u8) -> Option<SymbolId> {
    let names = |spelling: &[u8]| {
        frame.windows(prefix.len() + spelling.len() + 1).any(|window| {
            window.starts_with(prefix) && window[prefix.len()..].starts_with(spelling) && window.last() == Some(&end)
        })
    };
    let mut named = symbols.iter().filter(|(_, spelling)| names(spelling));
    named.next().map(|(symbol, _)| symbol)
}

/// The spelling padded with zeros. One that ends with a zero of its own, which a peer may well send, has no key: it would
/// be that of a shorter one.
fn key(spelling: &[u8]) -> Option<Key> {
    if spelling.last().is_none_or(|&last| last == 0) || spelling.len() > SYMBOL_BYTES_MAX {
        return None;
    }
    let mut padded = [0; SYMBOL_BYTES_MAX];
    padded[..spelling.len()].copy_from_slice(spelling);
    Some(words(&padded))
}

#[inline]
fn words(bytes: &[u8; SYMBOL_BYTES_MAX]) -> Key {
    let (words, _) = bytes.as_chunks::<8>();
    [
        u64::from_le_bytes(words[0]),
        u64::from_le_bytes(words[1]),
        u64::from_le_bytes(words[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_spelling_and_no_prefix_of_it() {
        let names = ["BTCUSDT", "BTCUSD", "ETHUSDT", "1000SATSUSDT"];
        let table = SymbolTable::new(names.into_iter());
        for (index, name) in names.iter().enumerate() {
            let symbol = SymbolId(index as u16);
            assert_eq!(table.find(name.as_bytes()), Some(symbol));
            let text = format!("{name}\",\"U\":1");
            for likely in 0..names.len() {
                assert_eq!(
                    table.scan(text.as_bytes(), b'"', SymbolId(likely as u16)),
                    Some((symbol, name.len()))
                );
            }
        }
        for unknown in [
            "",
            "BTC",
            "BTCUSDTX",
            "btcusdt",
            "BTCUSDT\0",
            "A-SPELLING-LONGER-THAN-ANY-VENUE-USES",
        ] {
            assert_eq!(table.find(unknown.as_bytes()), None, "{unknown}");
            assert_eq!(
                table.scan(format!("{unknown}\"").as_bytes(), b'"', SymbolId(0)),
                None,
                "{unknown}"
            );
        }
        assert_eq!(table.scan(b"BTCUSDT", b'"', SymbolId(0)), None, "no end");
    }

    #[test]
    fn what_stands_behind_a_spelling_changes_nothing() {
        let longest = "X".repeat(SYMBOL_BYTES_MAX);
        let names: Vec<&str> = (1..=SYMBOL_BYTES_MAX).map(|len| &longest[..len]).collect();
        let table = SymbolTable::new(names.iter().copied());
        for (index, name) in names.iter().enumerate() {
            let symbol = SymbolId(index as u16);
            for behind in 0..2 * SYMBOL_BYTES_MAX {
                let text = format!("{name}\"{}", "X".repeat(behind)).into_bytes();
                for likely in (0..names.len() as u16).map(SymbolId) {
                    let expected = Some(name.len()).filter(|_| likely == symbol);
                    assert_eq!(table.starts_with(likely, &text, b'"'), expected, "{name} as {likely:?}");
                    assert_eq!(table.scan(&text, b'"', likely), Some((symbol, name.len())));
                }
                // One byte of it is another.
                for at in 0..name.len() {
                    let mut text = text.clone();
                    text[at] = b'Y';
                    assert_eq!(table.starts_with(symbol, &text, b'"'), None, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_spelling_that_is_too_long_is_never_found() {
        let too_long = "X".repeat(SYMBOL_BYTES_MAX + 1);
        let table = SymbolTable::new([too_long.as_str(), ""].into_iter());
        for likely in [SymbolId(0), SymbolId(1), SymbolId(2)] {
            let behind = "\"".repeat(SYMBOL_BYTES_MAX);
            assert_eq!(table.scan(format!("{too_long}{behind}").as_bytes(), b'"', likely), None);
            assert_eq!(table.scan(behind.as_bytes(), b'"', likely), None);
        }
    }
}
