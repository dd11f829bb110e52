//! How a venue's frames are read: found out whose they are, then read, quickly if they have a hot shape.
//!
//! Reading goes in two steps because of the decimals: a snapshot settles how many a symbol's numbers have, and only then
//! can its mantissas be read. The scanner of the hot shapes reads exactly the bytes that the venue sends; whatever
//! surprises it goes to the slow road, a JSON parser, which alone decides what is malformed.

use crate::event::LevelChange;
use crate::types::{Scale, SymbolId};

use super::levels::LevelScalers;
use super::message::{Market, Message, MessageDecimals, ParseError, Print, Route, Scalers};

/// Reads the frames of one connection to one venue. Keeps every buffer: after the first messages it allocates nothing.
pub trait Wire: Sized {
    /// What the scanner has found on its way to the symbol; the rest is read from there.
    type Head: Copy;

    /// Whether every frame of a connection is counted, in [`sequence`](Self::sequence).
    const COUNTS_FRAMES: bool = false;

    /// A reader for these symbols, spelled as in the venue's messages. Their scales are zero decimals until they are set.
    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self;

    /// Settles the decimals of a symbol's mantissas; false where the symbol or the scale does not exist.
    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool;

    /// Finds whose frame it is.
    ///
    /// # Errors
    /// [`ParseError`]
    fn route(&mut self, frame: &[u8]) -> Result<Route<Self::Head>, ParseError>;

    /// The part behind `part` of a frame that has more. `None`, too, where a damaged frame has none after all.
    fn part_behind(&mut self, _frame: &[u8], _part: u16) -> Option<Market<Self::Head>> {
        None
    }

    /// Whether the frame that was asked for its parts last is damaged in a way that hides whose they are.
    fn has_hidden_parts(&self) -> bool {
        false
    }

    /// The number of the frame that was routed last, where the venue counts them and it has one.
    fn sequence(&self) -> Option<u64> {
        None
    }

    /// Reads the rest of a hot shape behind what `route` has found. Levels and trades are appended, also where the frame
    /// turns out not to be one and `None` is returned.
    fn scan(
        &mut self,
        frame: &[u8],
        head: &Self::Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message>;

    /// Reads any frame, or that part of it, by the slow road. Gives the same result for every frame that the scanner
    /// reads. The buffers are empty before.
    ///
    /// # Errors
    /// [`ParseError`]; the buffers then mean nothing.
    fn read_slowly(
        &mut self,
        frame: &[u8],
        part: u16,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError>;

    /// Reads a frame that was routed. The buffers are emptied and get the levels of a book message, or the trades, in
    /// their order.
    ///
    /// # Errors
    /// As [`read_slowly`](Self::read_slowly).
    #[inline]
    fn read(
        &mut self,
        frame: &[u8],
        market: &Market<Self::Head>,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        changes.clear();
        prints.clear();
        if let Some(head) = &market.head {
            if let Some(message) = self.scan(frame, head, changes, prints) {
                return Ok(message);
            }
            changes.clear();
            prints.clear();
        }
        self.read_slowly(frame, market.part, changes, prints)
    }

    /// The decimals with which a frame prints its numbers, whatever the scale is.
    ///
    /// # Errors
    /// [`ParseError`]
    fn decimals(&mut self, frame: &[u8], part: u16) -> Result<MessageDecimals, ParseError>;

    /// Reads a REST snapshot: its last update id, the scale that holds its numbers without their trailing zeros, and its
    /// levels at that scale into `levels`, bids first, best first.
    ///
    /// # Errors
    /// [`ParseError`], also where the venue has no such snapshots.
    fn rest_snapshot(&mut self, _body: &[u8], _levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        Err(ParseError::Malformed)
    }

    /// The symbol that a frame of broken JSON names, if it names one in the way the venue would.
    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId>;

    /// Reads one frame of one part at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    fn parse(
        &mut self,
        frame: &[u8],
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        match self.route(frame)? {
            Route::Market(market) => self.read(frame, &market, changes, prints),
            Route::Notice(notice) => {
                changes.clear();
                prints.clear();
                Ok(Message::Notice(notice))
            }
        }
    }

    /// The same by the slow road alone.
    ///
    /// # Errors
    /// As [`read_slowly`](Self::read_slowly).
    fn parse_slowly(
        &mut self,
        frame: &[u8],
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        changes.clear();
        prints.clear();
        self.read_slowly(frame, 0, changes, prints)
    }
}

/// How to read the numbers of each symbol.
pub(super) struct ScalerTable(Vec<LevelScalers>);

impl ScalerTable {
    pub(super) fn new(symbol_count: usize) -> Self {
        let zero = Scalers::new(Scale::default()).expect("zero decimals are below the most");
        Self(vec![LevelScalers::new(zero); symbol_count])
    }

    /// False where the symbol or the scale does not exist.
    pub(super) fn set(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        match (self.0.get_mut(symbol.index()), Scalers::new(scale)) {
            (Some(slot), Some(scalers)) => {
                *slot = LevelScalers::new(scalers);
                true
            }
            _ => false,
        }
    }

    /// Of a symbol of the table.
    #[inline]
    pub(super) fn of(&mut self, symbol: SymbolId) -> &mut LevelScalers {
        &mut self.0[symbol.index()]
    }

    /// The same without a memory of shapes.
    pub(super) fn plain(&self, symbol: SymbolId) -> Scalers {
        self.0[symbol.index()].plain()
    }
}
