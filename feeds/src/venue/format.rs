//! A [`Wire`] for venues whose frames are of one symbol, or of one first, in one spelling: a [`Format`] says what stands in
//! them, and this reads them.

use std::marker::PhantomData;

use crate::event::LevelChange;
use crate::types::{Scale, SymbolId};

use super::json::{Json, JsonReader};
use super::message::{Kind, Market, Message, MessageDecimals, Notice, ParseError, Print, Route};
use super::symbols::SymbolTable;
use super::wire::{ScalerTable, Wire};

/// What a scanner has found of a hot shape on its way to the symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub(super) symbol: SymbolId,
    pub(super) kind: Kind,
    /// Where the rest starts.
    pub(super) at: usize,
}

/// What stands in the frames of one venue.
pub(super) trait Format {
    /// Whether its numbers stand without quotes, so that the slow road has to read them as text to keep their digits.
    const HAS_BARE_NUMBERS: bool = false;

    /// Scans up to the symbol, and as far as costs nothing.
    fn head(frame: &[u8], symbols: &SymbolTable, likely: SymbolId) -> Option<Head>;

    /// Scans the rest; changes and trades are appended.
    fn body(
        frame: &[u8],
        head: &Head,
        symbols: &SymbolTable,
        scalers: &mut ScalerTable,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message>;

    /// A frame that is known whole: the heartbeat, or one that is no JSON.
    fn known(_frame: &[u8]) -> Option<Notice> {
        None
    }

    /// What a frame is about, on the slow road.
    fn subject(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<Subject, ParseError>;

    /// Reads a frame, on the slow road; changes and trades are appended.
    fn read(
        json: Json<'_, '_>,
        symbols: &SymbolTable,
        scalers: &ScalerTable,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError>;

    /// The decimals with which a frame prints its numbers.
    fn decimals(json: Json<'_, '_>, symbols: &SymbolTable) -> Result<MessageDecimals, ParseError>;

    /// Reads a REST snapshot, as [`Wire::rest_snapshot`] does.
    fn rest_snapshot(_json: Json<'_, '_>, _levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        Err(ParseError::Malformed)
    }

    /// The symbol that a frame of broken JSON names, if it names one in the way the venue would.
    fn symbol_in_wreckage(frame: &[u8], symbols: &SymbolTable) -> Option<SymbolId>;
}

/// What a frame is about.
pub(super) enum Subject {
    Market(SymbolId, Kind),
    Other(Notice),
}

impl Subject {
    pub(super) fn book(symbol: SymbolId, is_snapshot: bool) -> Self {
        Self::Market(symbol, if is_snapshot { Kind::Snapshot } else { Kind::Update })
    }
}

/// Reads frames of a [`Format`].
pub struct FormatReader<F> {
    symbols: SymbolTable,
    scalers: ScalerTable,
    likely: SymbolId,
    json: JsonReader,
    format: PhantomData<F>,
}

impl<F: Format> Wire for FormatReader<F> {
    type Head = Head;

    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        let symbols = SymbolTable::new(symbols);
        Self {
            scalers: ScalerTable::new(symbols.iter().count()),
            symbols,
            likely: SymbolId(0),
            json: JsonReader::new(),
            format: PhantomData,
        }
    }

    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        self.scalers.set(symbol, scale)
    }

    #[inline]
    fn route(&mut self, frame: &[u8]) -> Result<Route<Head>, ParseError> {
        if let Some(head) = F::head(frame, &self.symbols, self.likely) {
            self.likely = head.symbol;
            return Ok(Route::Market(Market::whole(head.symbol, head.kind, Some(head))));
        }
        match F::known(frame) {
            Some(notice) => Ok(Route::Notice(notice)),
            None => route_slowly(self, frame),
        }
    }

    #[inline]
    fn scan(
        &mut self,
        frame: &[u8],
        head: &Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        F::body(frame, head, &self.symbols, &mut self.scalers, changes, prints)
    }

    #[cold]
    #[inline(never)]
    fn read_slowly(
        &mut self,
        frame: &[u8],
        _part: u16,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        if let Some(notice) = F::known(frame) {
            return Ok(Message::Notice(notice));
        }
        let (symbols, scalers) = (&self.symbols, &self.scalers);
        read_json::<F, _>(&mut self.json, frame, |json| {
            F::read(json, symbols, scalers, changes, prints)
        })
    }

    #[cold]
    fn decimals(&mut self, frame: &[u8], _part: u16) -> Result<MessageDecimals, ParseError> {
        let symbols = &self.symbols;
        read_json::<F, _>(&mut self.json, frame, |json| F::decimals(json, symbols))
    }

    #[cold]
    fn rest_snapshot(&mut self, body: &[u8], levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        levels.clear();
        read_json::<F, _>(&mut self.json, body, |json| F::rest_snapshot(json, levels))
    }

    #[cold]
    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        F::symbol_in_wreckage(frame, &self.symbols)
    }
}

#[cold]
#[inline(never)]
fn route_slowly<F: Format>(reader: &mut FormatReader<F>, frame: &[u8]) -> Result<Route<Head>, ParseError> {
    let symbols = &reader.symbols;
    read_json::<F, _>(&mut reader.json, frame, |json| {
        Ok(match F::subject(json, symbols)? {
            Subject::Market(symbol, kind) => Route::Market(Market::whole(symbol, kind, None)),
            Subject::Other(notice) => Route::Notice(notice),
        })
    })
}

fn read_json<F: Format, T>(
    json: &mut JsonReader,
    text: &[u8],
    read: impl FnOnce(Json<'_, '_>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let read = match F::HAS_BARE_NUMBERS {
        true => json.read_with_numbers_as_text(text, read),
        false => json.read(text, read),
    };
    read.unwrap_or(Err(ParseError::Malformed))
}
