//! A sink that holds every book it is told against the truth, at once.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use quantumflow_feeds::book::Book;
use quantumflow_feeds::event::{BookUpdate, FeedEvent, Stamps, Trade};
use quantumflow_feeds::sim::{MarketConfig, SimHandle};
use quantumflow_feeds::{Instrument, Quality, Sink, SymbolId, VenueId};

use super::truth::Truth;

/// What a venue lets a client know of its books.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// Levels of each side that the venue's proof covers.
    pub depth: usize,
    /// The step of the venue's ids where the market's go up by one; `None` where a message has no id of the book.
    pub id_step: Option<u64>,
    /// What a book is at best.
    pub quality: Quality,
}

impl Proof {
    pub fn of(venue: VenueId) -> Self {
        let (depth, id_step, quality) = match venue {
            VenueId::BinanceSpot => (usize::MAX, Some(1), Quality::Verified),
            VenueId::BinanceUsdm => (usize::MAX, Some(3), Quality::Verified),
            // The checksum is over ten levels: what is wrong below, nothing can tell.
            VenueId::KrakenV2 => (10, None, Quality::Verified),
            VenueId::OkxV5 => (400, Some(1), Quality::Verified),
            // The ids are of the topic's messages, not of the market.
            VenueId::BybitSpot | VenueId::BybitLinear => (50, None, Quality::Verified),
            VenueId::CoinbaseAdvanced => (usize::MAX, None, Quality::Verified),
            // Nothing proves its books, so none may be called proven.
            VenueId::CoinbaseExchange => (usize::MAX, None, Quality::Unverified),
        };
        Self {
            depth,
            id_step,
            quality,
        }
    }
}

/// Where a symbol stands.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// The place, among the true states, of the last book that was told as verified.
    place: usize,
    /// What the market's id was when the venue's ids began: above zero once they have started again.
    base: u64,
    /// What was told last.
    hash: u64,
    /// Books that were told.
    books: u64,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Books that were told as verified, each equal to the truth.
    pub verified: u64,
    /// Books that were told as unverified and were true.
    pub unverified: u64,
    /// Books that were told as unverified and were not: the reason why they are called so.
    pub unverified_wrong: u64,
    /// Books looked at between two messages.
    pub looked_at: u64,
    /// Why books were taken down.
    pub resyncs: BTreeMap<&'static str, u64>,
    /// Ids that started again.
    pub restarts: u64,
    /// What must not be: the first of it.
    pub wrong: Option<String>,
}

/// The judge of one venue.
pub struct Judge {
    sim: Rc<SimHandle>,
    truth: Truth,
    proof: Proof,
    shown: Vec<Shown>,
    horizon: u64,
    last_events: VecDeque<String>,
    pub tally: Tally,
}

impl Judge {
    pub fn new(sim: Rc<SimHandle>, market: &MarketConfig, proof: Proof) -> Self {
        Self {
            sim,
            truth: Truth::new(market, proof.depth),
            proof,
            shown: vec![Shown::default(); market.symbols.len()],
            horizon: 0,
            last_events: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// How many books of a symbol were told.
    pub fn books(&self, symbol: SymbolId) -> u64 {
        self.shown[symbol.index()].books
    }

    /// What is shown between two messages is what was told last.
    pub fn look(&mut self, instrument: &Instrument, book: Option<&Book>) {
        let Some(book) = book else { return };
        self.tally.looked_at += 1;
        let told = self.shown[instrument.id.index()].hash;
        if self.truth.hash(book, instrument.scale) != Some(told) {
            self.condemn(instrument, book, "changed without a word");
        }
    }

    /// Whether a book is the market's after so many events.
    pub fn is_at(&mut self, instrument: &Instrument, book: &Book, events: u64) -> bool {
        self.truth.hash(book, instrument.scale) == Some(self.truth.hash_after(instrument.id, events))
    }

    /// In what a book differs from the truth.
    pub fn difference(&self, instrument: &Instrument, book: &Book) -> String {
        let from = self.shown[instrument.id.index()].place;
        self.truth.difference(instrument.id, book, instrument.scale, from)
    }

    /// The last things that were told, for the words of a failure.
    pub fn last_events(&self) -> String {
        self.last_events.iter().map(|event| format!("    {event}\n")).collect()
    }

    /// The place of a true state like this one, not before the last. The market lives on until it is found, or until
    /// the simulator's cannot have come any further.
    fn place(&mut self, symbol: SymbolId, hash: u64, update_id: u64) -> Option<usize> {
        let Shown { place, base, .. } = self.shown[symbol.index()];
        let id_step = self.proof.id_step;
        let is_right = |ids: &[u64], at: usize| match id_step {
            None => true,
            Some(step) => {
                let begin = ids[at].wrapping_sub(update_id / step);
                let has_restarted = || begin > base && ids[..=at].binary_search(&begin).is_ok();
                update_id.is_multiple_of(step) && (begin == base || has_restarted())
            }
        };
        let found = self.truth.find(symbol, hash, place, self.horizon, is_right);
        if found.is_some() {
            return found;
        }
        // The simulator hands out what it says before it counts the events behind it, some at a time.
        self.horizon = self.sim.stats().market_events + UNCOUNTED_EVENTS_MAX;
        self.truth.find(symbol, hash, place, self.horizon, is_right)
    }

    fn note_restart(&mut self, symbol: SymbolId, place: usize, update_id: u64) {
        let Some(step) = self.proof.id_step else { return };
        let begin = self.truth.id(symbol, place) - update_id / step;
        let base = &mut self.shown[symbol.index()].base;
        self.tally.restarts += u64::from(std::mem::replace(base, begin) != begin);
    }

    /// The first wrong book ends the run; those behind it, in the same read, are wrong for the same reason.
    fn condemn(&mut self, instrument: &Instrument, book: &Book, what: &str) {
        if self.tally.wrong.is_some() {
            return;
        }
        let difference = self.difference(instrument, book);
        let words = format!("{} {what}: {difference}\n{}", instrument.symbol, self.last_events());
        self.tally.wrong = Some(words);
    }

    fn remember(&mut self, event: String) {
        self.last_events.push_back(event);
        if self.last_events.len() > EVENTS_KEPT {
            self.last_events.pop_front();
        }
    }
}

impl Sink for Judge {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let BookUpdate {
            instrument,
            book,
            update_id,
            quality,
            ..
        } = *update;
        let symbol = instrument.id;
        let hash = self.truth.hash(book, instrument.scale);
        let place = hash.and_then(|hash| self.place(symbol, hash, update_id));
        let shown = &mut self.shown[symbol.index()];
        shown.books += 1;
        shown.hash = hash.unwrap_or_default();
        if quality != self.proof.quality {
            self.condemn(instrument, book, &format!("is told as {quality:?}"));
        }
        match (quality, place) {
            (Quality::Verified, Some(place)) => {
                self.shown[symbol.index()].place = place;
                self.note_restart(symbol, place, update_id);
                self.tally.verified += 1;
            }
            (Quality::Verified, None) => {
                let after = self.shown[symbol.index()].place;
                self.condemn(
                    instrument,
                    book,
                    &format!("is told as verified at {update_id}, after state {after}"),
                );
            }
            (_, Some(_)) => self.tally.unverified += 1,
            (_, None) => self.tally.unverified_wrong += 1,
        }
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        if let FeedEvent::ResyncStarted { reason, .. } = event {
            *self.tally.resyncs.entry(reason.name()).or_default() += 1;
        }
        if !matches!(event, FeedEvent::Outdated { .. } | FeedEvent::ChecksumVerified { .. }) {
            self.remember(format!("{event:?}"));
        }
    }
}

/// Events that the simulator may have told and not counted yet: what it handles in one go.
const UNCOUNTED_EVENTS_MAX: u64 = 2_000;
/// How many events the words of a failure have.
const EVENTS_KEPT: usize = 25;
