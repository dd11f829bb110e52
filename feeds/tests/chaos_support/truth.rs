//! The judge's own knowledge: the simulator's market, lived a second time, with every state of it remembered.
//!
//! A generated market depends on its seed alone, so a second run says what each book was after each event, without a
//! word from the simulator's dialects, faults or sockets. Of a state only the hash of its levels and its id are kept; for
//! the words of a failure the market is lived a third time.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use quantumflow_feeds::Side;
use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::sim::MarketConfig;
use quantumflow_feeds::sim::market::{Instrument, Market};
use quantumflow_feeds::{Scale, SymbolId};

/// All states of a market so far.
pub struct Truth {
    config: MarketConfig,
    market: Market,
    /// Levels of each side that are compared.
    depth: usize,
    /// Whose each event since the warm-up was.
    events: Vec<usize>,
    symbols: Vec<History>,
}

/// The states of one instrument, in their order.
#[derive(Default)]
struct History {
    /// The market's ids, which go up: no fault of the simulator restarts these.
    ids: Vec<u64>,
    hashes: Vec<u64>,
    places: HashMap<u64, Vec<usize>>,
}

/// Both sides of a book by side, price and quantity, at [`DECIMALS`].
type Levels = Vec<(bool, i64, i64)>;

impl Truth {
    pub fn new(config: &MarketConfig, depth: usize) -> Self {
        let market = warm(config);
        let mut truth = Self {
            config: config.clone(),
            depth,
            events: Vec::new(),
            symbols: market.instruments().iter().map(|_| History::default()).collect(),
            market,
        };
        (0..truth.symbols.len()).for_each(|index| truth.note(index));
        truth
    }

    /// The hash of the state after so many events since the warm-up.
    pub fn hash_after(&mut self, symbol: SymbolId, events: u64) -> u64 {
        while (self.events.len() as u64) < events {
            self.step();
        }
        let of_symbol = self.events.iter().take(events as usize);
        let place = of_symbol.filter(|index| **index == symbol.index()).count();
        self.symbols[symbol.index()].hashes[place]
    }

    /// The first state from `from` on that has this hash and an id that `is_right`, among all until `horizon` events.
    pub fn find(
        &mut self,
        symbol: SymbolId,
        hash: u64,
        from: usize,
        horizon: u64,
        is_right: impl Fn(&[u64], usize) -> bool,
    ) -> Option<usize> {
        loop {
            let History { ids, places, .. } = &self.symbols[symbol.index()];
            let mut places = places.get(&hash).into_iter().flatten().copied();
            match places.find(|place| *place >= from && is_right(ids, *place)) {
                None if (self.events.len() as u64) < horizon => self.step(),
                found => return found,
            }
        }
    }

    /// The market's id of a state.
    pub fn id(&self, symbol: SymbolId, place: usize) -> u64 {
        self.symbols[symbol.index()].ids[place]
    }

    /// What of a book is compared; `None` where its numbers have more decimals than any market's.
    pub fn hash(&self, book: &Book, scale: Scale) -> Option<u64> {
        self.levels(book, scale).as_deref().map(hash)
    }

    /// In what a book differs from the state that it is most like, among those around the one at `from`.
    pub fn difference(&self, symbol: SymbolId, book: &Book, scale: Scale, from: usize) -> String {
        let Some(shown) = self.levels(book, scale) else {
            return format!("{scale:?} is finer than the market");
        };
        let shown: BTreeMap<(bool, i64), i64> = shown.iter().map(|level| ((level.0, level.1), level.2)).collect();
        let mut market = warm(&self.config);
        let mut best: Option<(usize, usize, Vec<String>)> = None;
        let mut place = 0;
        for event in 0..=self.events.len() {
            let has_moved = event == 0 || market.step() == Some(symbol.index());
            if !has_moved {
                continue;
            }
            place += usize::from(event > 0);
            if !(from.saturating_sub(50)..from + 500).contains(&place) {
                continue;
            }
            let levels = levels_of(&market.instruments()[symbol.index()], self.depth);
            let truth: BTreeMap<(bool, i64), i64> = levels.iter().map(|level| ((level.0, level.1), level.2)).collect();
            let of = |book: &BTreeMap<(bool, i64), i64>, key| book.get(key).copied().unwrap_or(0);
            let wrong: Vec<_> = shown
                .keys()
                .chain(truth.keys().filter(|key| !shown.contains_key(key)))
                .filter(|key| of(&shown, key) != of(&truth, key))
                .collect();
            if best.as_ref().is_none_or(|(count, ..)| wrong.len() <= *count) {
                let words = wrong.iter().take(6).map(|key| {
                    let side = if key.0 { "ask" } else { "bid" };
                    format!("{side} {}: {} is {}", key.1, of(&shown, key), of(&truth, key))
                });
                best = Some((wrong.len(), place, words.collect()));
            }
        }
        let (count, place, words) = best.unwrap_or_default();
        format!(
            "{count} levels differ from state {place} of {place_max}: {}",
            words.join("; "),
            place_max = self.symbols[symbol.index()].ids.len() - 1
        )
    }

    fn step(&mut self) {
        if let Some(index) = self.market.step() {
            self.events.push(index);
            self.note(index);
        }
    }

    fn note(&mut self, index: usize) {
        let instrument = &self.market.instruments()[index];
        let history = &mut self.symbols[index];
        let place = history.ids.len();
        history.ids.push(instrument.update_id());
        let hash = hash(&levels_of(instrument, self.depth));
        history.hashes.push(hash);
        history.places.entry(hash).or_default().push(place);
    }

    fn levels(&self, book: &Book, scale: Scale) -> Option<Levels> {
        let unit = unit(scale)?;
        Some(collect(|side| book.levels(side).take(self.depth), unit))
    }
}

fn warm(config: &MarketConfig) -> Market {
    let mut market = Market::new(config);
    market.warm_up();
    market
}

fn levels_of(instrument: &Instrument, depth: usize) -> Levels {
    let unit = unit(instrument.config().scale).expect("no market has more decimals");
    collect(|side| instrument.levels(side).take(depth), unit)
}

fn collect<I: Iterator<Item = Level>>(side: impl Fn(Side) -> I, (price, qty): (i64, i64)) -> Levels {
    let at_decimals = |is_ask| move |level: Level| (is_ask, level.price.0 * price, level.qty.0 * qty);
    let bids = side(Side::Bid).map(at_decimals(false));
    bids.chain(side(Side::Ask).map(at_decimals(true))).collect()
}

fn unit(scale: Scale) -> Option<(i64, i64)> {
    let power = |decimals: u8| Some(10i64.pow(u32::from(DECIMALS.checked_sub(decimals)?)));
    Some((power(scale.price)?, power(scale.qty)?))
}

fn hash(levels: &[(bool, i64, i64)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    levels.hash(&mut hasher);
    hasher.finish()
}

/// At which all numbers are compared: the most that a generated market has.
const DECIMALS: u8 = 8;
