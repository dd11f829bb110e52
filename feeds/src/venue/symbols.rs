//! Finds an instrument by its spelling: the one that came last first, then a scan over three words each. No hashing.

use crate::types::SymbolId;

/// The longest spelling that a venue uses, with room to spare.
pub(crate) const SYMBOL_BYTES_MAX: usize = 24;

type Key = [u64; SYMBOL_BYTES_MAX / 8];

/// Spellings in the order of their [`SymbolId`]s.
#[derive(Clone, Debug, Default)]
pub(crate) struct SymbolTable {
    spellings: Vec<Box<[u8]>>,
    keys: Vec<Key>,
}

impl SymbolTable {
    /// `spellings` are distinct and have 1 to [`SYMBOL_BYTES_MAX`] bytes; any other cannot be found.
    pub(crate) fn new<'a>(spellings: impl Iterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        for spelling in spellings {
            table.spellings.push(spelling.as_bytes().into());
            table.keys.push(key(spelling.as_bytes()).unwrap_or([u64::MAX; 3]));
        }
        table
    }

    /// The symbol whose spelling starts `bytes` and is followed by `end`, and the length of the spelling. `likely` is
    /// tried first.
    #[inline]
    pub(crate) fn scan(&self, bytes: &[u8], end: u8, likely: SymbolId) -> Option<(SymbolId, usize)> {
        let spelling = self.spellings.get(likely.index())?;
        if bytes.starts_with(spelling) && bytes.get(spelling.len()) == Some(&end) {
            return Some((likely, spelling.len()));
        }
        let len = bytes.iter().take(SYMBOL_BYTES_MAX + 1).position(|&byte| byte == end)?;
        Some((self.find(&bytes[..len])?, len))
    }

    /// Whether `bytes` starts with the spelling of `symbol` followed by `end`; its length if so.
    #[inline]
    pub(crate) fn starts_with(&self, symbol: SymbolId, bytes: &[u8], end: u8) -> Option<usize> {
        let spelling = self.spellings.get(symbol.index())?;
        (bytes.starts_with(spelling) && bytes.get(spelling.len()) == Some(&end)).then_some(spelling.len())
    }

    /// The symbol of that spelling.
    pub(crate) fn find(&self, spelling: &[u8]) -> Option<SymbolId> {
        let wanted = key(spelling)?;
        let index = self.keys.iter().position(|key| *key == wanted)?;
        u16::try_from(index).ok().map(SymbolId)
    }

    /// Every symbol with its spelling.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SymbolId, &[u8])> {
        (0_u16..)
            .map(SymbolId)
            .zip(self.spellings.iter().map(|spelling| &spelling[..]))
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
    let (words, _) = padded.as_chunks::<8>();
    Some([
        u64::from_le_bytes(words[0]),
        u64::from_le_bytes(words[1]),
        u64::from_le_bytes(words[2]),
    ])
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
}
