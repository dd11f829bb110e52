//! A market that needs no data: seeded, event-time driven, with order flow that leads the price.
//!
//! Each instrument has a hidden fair value that wanders in regimes (trending, reverting). Traders see it better than
//! the book shows it, and lean: when it lies above the mid they send more market buys, add more bids and pull more asks.
//! The book follows with a delay of some tens of events, because only orders move it. So flow, queue imbalance and
//! microprice carry information about the next moves of the mid, as they do on a real venue; with
//! [`MarketConfig::signal`] zero they carry none, which is the control.
//!
//! Arrivals are a self-exciting process: a trade makes the next events likelier, and now and then a shock does so by a
//! large factor, which gives the bursts that load a feed handler.

mod config;
mod dice;
mod ladder;
mod latent;
#[cfg(test)]
mod tests;

pub use config::{MarketConfig, SymbolConfig};

pub(super) use self::dice::Dice;
use self::ladder::Ladder;
use self::latent::{Arrivals, FairValue};
use crate::book::{Book, Level};
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side, UnixNanos};

/// A print of the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketTrade {
    /// The price of the level that was hit.
    pub price: Price,
    /// How much of it.
    pub qty: Qty,
    /// Who took liquidity.
    pub aggressor: Side,
    /// Consecutive per instrument.
    pub trade_id: u64,
}

/// What one event did to an instrument. Reused between events: the vectors keep their memory.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// When.
    pub time: UnixNanos,
    /// The id of the first change; ids count level changes and never skip, but a fault may let them start again.
    pub first_update_id: u64,
    /// The id of the last change, and of the book after this event.
    pub last_update_id: u64,
    /// The levels that changed, in order, with absolute quantities. Never empty.
    pub changes: Vec<LevelChange>,
    /// The trades, in order.
    pub trades: Vec<MarketTrade>,
    /// Whether the best bid or the best ask changed in price or quantity.
    pub touch_changed: bool,
}

/// One instrument: its book, its hidden state, and the step that it took last.
#[derive(Clone, Debug)]
pub struct Instrument {
    config: SymbolConfig,
    dice: Dice,
    fair: FairValue,
    arrivals: Arrivals,
    ladder: Ladder,
    step: Step,
    signal: f64,
    next_time: UnixNanos,
    update_id: u64,
    trade_id: u64,
}

impl Instrument {
    /// An instrument with a full book, whose first event comes after `start_time`. `stream` makes instruments of one
    /// seed independent.
    pub fn new(config: SymbolConfig, seed: u64, stream: u64, start_time: UnixNanos, signal: f64) -> Self {
        let mut dice = Dice::new(seed, stream);
        let start_tick = config.start_price.0 / config.tick.0;
        let mut instrument = Self {
            fair: FairValue::new(start_tick as f64, config.gap_ticks),
            arrivals: Arrivals::new(config.events_per_second),
            ladder: Ladder::default(),
            step: Step::default(),
            signal,
            next_time: start_time,
            // Large like a venue's, and different per instrument so that a mix-up shows.
            update_id: 50_000_000_000 + stream * 1_000_000_000,
            trade_id: 3_700_000_000 + stream * 100_000_000,
            dice: dice.clone(),
            config,
        };
        instrument.seed_book(start_tick, &mut dice);
        instrument.dice = dice;
        instrument.schedule();
        instrument
    }

    /// How it was configured.
    pub fn config(&self) -> &SymbolConfig {
        &self.config
    }

    /// When the next event comes.
    pub fn next_time(&self) -> UnixNanos {
        self.next_time
    }

    /// The id of the book as it is now.
    pub fn update_id(&self) -> u64 {
        self.update_id
    }

    /// What the last event did.
    pub fn last_step(&self) -> &Step {
        &self.step
    }

    /// Lets the next event happen.
    pub fn step(&mut self) -> &Step {
        let touch_before = (self.ladder.rank(Side::Bid, 0), self.ladder.rank(Side::Ask, 0));
        self.step.time = self.next_time;
        self.step.first_update_id = self.update_id + 1;
        self.step.changes.clear();
        self.step.trades.clear();
        let is_shock = self.arrivals.shock(&mut self.dice);
        self.fair.advance(&mut self.dice, is_shock);
        while self.step.changes.is_empty() {
            self.act();
        }
        self.tend();
        let count = self.step.changes.len() as u64;
        self.update_id += count;
        self.step.last_update_id = self.update_id;
        self.step.touch_changed = touch_before != (self.ladder.rank(Side::Bid, 0), self.ladder.rank(Side::Ask, 0));
        debug_assert!(self.ladder.best_tick(Side::Bid) < self.ladder.best_tick(Side::Ask));
        self.arrivals.excite(self.step.trades.len());
        self.schedule();
        &self.step
    }

    /// The levels of a side as they are now, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.ladder.levels(side).map(|(tick, lots)| Level {
            price: self.price(tick),
            qty: self.qty(lots),
        })
    }

    /// How many levels a side has.
    pub fn level_count(&self, side: Side) -> usize {
        self.ladder.level_count(side)
    }

    /// The best level of a side; the generator never empties one.
    pub fn best(&self, side: Side) -> Level {
        let tick = self.ladder.best_tick(side);
        Level {
            price: self.price(tick),
            qty: self.qty(self.ladder.lots_at(side, tick)),
        }
    }

    /// A copy of the truth as a [`Book`].
    pub fn book(&self) -> Book {
        let mut book = Book::new();
        for side in [Side::Bid, Side::Ask] {
            for level in self.levels(side) {
                book.set(side, level.price, level.qty);
            }
        }
        book
    }

    /// The hidden fair value minus the mid, in ticks: what a perfect forecaster would know. For tests and for judging a
    /// model against the best that is possible.
    pub fn mispricing_ticks(&self) -> f64 {
        self.fair.value() - self.mid_tick()
    }

    fn schedule(&mut self) {
        let wait_ns = (self.arrivals.wait_seconds(&mut self.dice) * 1e9) as u64;
        self.next_time = UnixNanos(self.next_time.0 + wait_ns.max(1_000));
    }

    fn mid_tick(&self) -> f64 {
        (self.ladder.best_tick(Side::Bid) + self.ladder.best_tick(Side::Ask)) as f64 / 2.0
    }

    /// One trader does one thing.
    fn act(&mut self) {
        let gap = self.config.gap_ticks;
        // How far traders lean, in (-1, 1): up when they know the book to be too low.
        let lean = self.signal * ((self.fair.value() - self.mid_tick()) / (LEAN_GAPS * gap)).tanh();
        let spread = self.ladder.best_tick(Side::Ask) - self.ladder.best_tick(Side::Bid);
        if spread > 1 && self.dice.chance(INSIDE_CHANCE) {
            return self.quote_inside(lean);
        }
        let market = MARKET_CHANCE * (1.0 + 1.5 * lean * lean) * self.arrivals.trade_boost();
        if self.dice.chance(market) {
            return self.take(lean);
        }
        // Who leans up adds bids and pulls asks. A side that has been eaten thin is refilled, a dense one thins out:
        // that is what keeps the shape of the book while the price walks.
        let rising = self.dice.chance(0.5 + 0.5 * REST_LEAN * lean);
        let adding = self.dice.chance(0.5);
        let side = if rising == adding { Side::Bid } else { Side::Ask };
        let thinness = self.thinness(side);
        let adding = match adding {
            true => self.dice.chance(1.5 * thinness / (0.5 + thinness) - 0.1),
            false => !self.dice.chance(1.2 / (0.2 + thinness)),
        };
        if adding {
            self.add(side, thinness)
        } else {
            self.cancel(side)
        }
    }

    /// How far apart the levels behind the touch are, in gaps: one is the usual.
    fn thinness(&self, side: Side) -> f64 {
        let best = self.ladder.best_tick(side);
        let span = self
            .ladder
            .rank(side, NEAR_LEVELS)
            .map_or(i64::MAX / 2, |(tick, _)| (tick - best).abs());
        span as f64 / (NEAR_LEVELS as f64 * self.config.gap_ticks)
    }

    /// A market order: eats levels until it is filled or has swept enough of them.
    fn take(&mut self, lean: f64) {
        let aggressor = self.pick(Side::Bid, TAKE_LEAN * lean);
        let resting = opposite(aggressor);
        let mut wanted = self.size(0.8, 1.1);
        // Takers name a worst price: nobody sweeps into a void.
        let reach = (SWEEP_GAPS_MAX * self.config.gap_ticks) as i64;
        let start = self.ladder.best_tick(resting);
        for _ in 0..SWEEP_LEVELS_MAX {
            let tick = self.ladder.best_tick(resting);
            if (tick - start).abs() > reach || self.ladder.level_count(resting) <= self.config.level_count / 2 {
                return;
            }
            let lots = self.ladder.lots_at(resting, tick);
            let filled = wanted.min(lots);
            self.set(resting, tick, lots - filled);
            self.trade_id += 1;
            let trade = MarketTrade {
                price: self.price(tick),
                qty: self.qty(filled),
                aggressor,
                trade_id: self.trade_id,
            };
            self.step.trades.push(trade);
            wanted -= filled;
            if wanted == 0 {
                return;
            }
        }
    }

    /// A limit order at the touch or behind it.
    fn add(&mut self, side: Side, thinness: f64) {
        let best = self.ladder.best_tick(side);
        let distance = if self.dice.chance(AT_TOUCH_CHANCE) {
            0
        } else if self.dice.chance(0.5 * thinness) {
            1 + (self.dice.uniform() * NEAR_LEVELS as f64 * self.config.gap_ticks) as i64
        } else {
            self.distance()
        };
        let tick = worse(side, best, distance);
        if tick < 1 {
            return;
        }
        let lots = self.ladder.lots_at(side, tick);
        let more = self.size(1.0, 0.9);
        self.set(side, tick, lots + more);
    }

    /// A cancellation, of a part or of a whole level.
    fn cancel(&mut self, side: Side) {
        let count = self.ladder.level_count(side);
        if count < self.config.level_count / 2 + 2 {
            return;
        }
        let at_touch = self.dice.chance(AT_TOUCH_CHANCE);
        let rank = if at_touch {
            0
        } else {
            1 + (self.dice.lomax(0.7) * 5.0) as usize
        };
        let rank = if rank < count { rank } else { self.dice.below(count) };
        let Some((tick, lots)) = self.ladder.rank(side, rank) else {
            return;
        };
        // Behind the touch a level is mostly one order; at the touch it is a queue, and one order leaves.
        let gone = if at_touch || self.dice.chance(0.4) {
            self.size(0.8, 0.9).min(lots)
        } else {
            lots
        };
        self.set(side, tick, lots - gone);
    }

    /// A better price inside an open spread. Who improves is what moves the mid: the informed side is quicker.
    fn quote_inside(&mut self, lean: f64) {
        let bid = self.ladder.lots_at(Side::Bid, self.ladder.best_tick(Side::Bid)) as f64;
        let ask = self.ladder.lots_at(Side::Ask, self.ladder.best_tick(Side::Ask)) as f64;
        // The heavier queue is the braver one, so the microprice is a forecast here too.
        let queue_imbalance = (bid - ask) / (bid + ask);
        let lean = TAKE_LEAN * lean + self.signal * QUEUE_LEAN * queue_imbalance;
        let side = self.pick(Side::Bid, lean.clamp(-1.0, 1.0));
        let best = self.ladder.best_tick(side);
        let room = (self.ladder.best_tick(opposite(side)) - best).abs();
        // A narrow spread is closed to one tick; a wide one is narrowed by about a gap.
        let step = 1 + (self.config.gap_ticks * (0.5 + self.dice.exponential())) as i64;
        let ticks = if room <= step { room - 1 } else { step };
        let lots = self.size(2.0, 0.9);
        self.set(side, worse(side, best, -ticks.clamp(1, room - 1)), lots);
    }

    /// Keeps the number of levels: the mid wanders, so one side grows a tail and the other loses its own.
    fn tend(&mut self) {
        let target = self.config.level_count;
        for side in [Side::Bid, Side::Ask] {
            let count = self.ladder.level_count(side);
            let worst = self.ladder.worst_tick(side);
            if count > target + target / 8 {
                self.set(side, worst, 0);
            } else if count < target {
                let step = 1 + (self.config.gap_ticks * 2.0 * self.dice.exponential()) as i64;
                let tick = worse(side, worst, step);
                if tick >= 1 {
                    let lots = self.size(1.0, 1.4);
                    self.set(side, tick, lots);
                }
            }
        }
    }

    /// How far behind the touch an order rests, in ticks: mostly a few gaps, sometimes hundreds.
    fn distance(&mut self) -> i64 {
        let gaps = (self.dice.lomax(0.9) * 3.0).min(2.0 * self.config.level_count as f64);
        1 + (gaps * self.config.gap_ticks * self.dice.uniform()) as i64
    }

    /// The size of an order in lots, around `scale` times the typical one.
    fn size(&mut self, scale: f64, sigma: f64) -> i64 {
        let typical = (self.config.typical_qty.0 / self.config.lot.0) as f64;
        ((typical * scale * self.dice.log_normal(sigma)).min(typical * 1_000.0) as i64).max(1)
    }

    /// `side` with probability one half plus `lean` halves.
    fn pick(&mut self, side: Side, lean: f64) -> Side {
        if self.dice.chance(0.5 + 0.5 * lean) {
            side
        } else {
            opposite(side)
        }
    }

    fn set(&mut self, side: Side, tick: i64, lots: i64) {
        let before = self.ladder.set(side, tick, lots);
        if before != lots {
            let change = LevelChange {
                side,
                price: self.price(tick),
                qty: self.qty(lots),
            };
            self.step.changes.push(change);
        }
    }

    fn seed_book(&mut self, start_tick: i64, dice: &mut Dice) {
        for side in [Side::Bid, Side::Ask] {
            let mut tick = match side {
                Side::Bid => start_tick,
                Side::Ask => start_tick + 1,
            };
            for rank in 0..self.config.level_count {
                if tick < 1 {
                    break;
                }
                let typical = (self.config.typical_qty.0 / self.config.lot.0) as f64;
                // Large at the touch, humped a little behind it, thin far away.
                let shape = if rank == 0 {
                    4.0
                } else {
                    1.0 + 1.5 * (-((rank as f64 - 60.0) / 60.0).powi(2)).exp()
                };
                let lots = ((typical * shape * dice.log_normal(0.9)) as i64).max(1);
                self.ladder.set(side, tick, lots);
                let widening = 1.0 + rank as f64 / 200.0;
                let step = 1 + (self.config.gap_ticks * widening * dice.exponential()) as i64;
                tick = worse(side, tick, step);
            }
        }
    }

    fn price(&self, tick: i64) -> Price {
        Price(tick * self.config.tick.0)
    }

    fn qty(&self, lots: i64) -> Qty {
        Qty(lots * self.config.lot.0)
    }
}

/// Several instruments, in the order of their events.
#[derive(Clone, Debug)]
pub struct Market {
    instruments: Vec<Instrument>,
}

impl Market {
    /// The market of a configuration.
    pub fn new(config: &MarketConfig) -> Self {
        let instruments = config
            .symbols
            .iter()
            .enumerate()
            .map(|(index, symbol)| {
                Instrument::new(
                    symbol.clone(),
                    config.seed,
                    index as u64,
                    config.start_time,
                    config.signal,
                )
            })
            .collect();
        Self { instruments }
    }

    /// The instruments, in the order of the configuration.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// The place of a symbol in [`Market::instruments`].
    pub fn index_of(&self, symbol: &str) -> Option<usize> {
        self.instruments
            .iter()
            .position(|instrument| instrument.config.symbol == symbol)
    }

    /// Lets it live a while, as a simulator does before its first client can come: books that have been traded.
    pub fn warm_up(&mut self) {
        for _ in 0..WARM_UP_EVENTS * self.instruments.len() {
            self.step();
        }
    }

    /// Lets the ids of an instrument start again, as after a restart of its venue.
    pub(in crate::sim) fn restart_ids(&mut self, index: usize) {
        self.instruments[index].update_id = 0;
    }

    /// When the next event comes, and to which instrument; `None` in a market without instruments.
    pub fn next(&self) -> Option<(UnixNanos, usize)> {
        // Ties go to the first, so that the order never depends on how the search is done.
        self.instruments
            .iter()
            .enumerate()
            .map(|(index, instrument)| (instrument.next_time, index))
            .min()
    }

    /// Lets the next event happen and returns the place of its instrument; see [`Instrument::last_step`].
    pub fn step(&mut self) -> Option<usize> {
        let (_, index) = self.next()?;
        self.instruments[index].step();
        Some(index)
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Bid => Side::Ask,
        Side::Ask => Side::Bid,
    }
}

fn worse(side: Side, tick: i64, distance: i64) -> i64 {
    match side {
        Side::Bid => tick - distance,
        Side::Ask => tick + distance,
    }
}

/// Events of each instrument, about, before the first client can come.
const WARM_UP_EVENTS: usize = 500;
/// The mispricing, in gaps, at which traders lean as far as tanh(1), three quarters.
const LEAN_GAPS: f64 = 1.5;
/// How much of the lean shows in aggressive orders, and in who improves an open spread.
const TAKE_LEAN: f64 = 0.8;
/// How much of it shows in resting orders and cancellations.
const REST_LEAN: f64 = 0.5;
/// How much the heavier queue decides who improves an open spread.
const QUEUE_LEAN: f64 = 0.5;
/// With an open spread, the share of events that improve it.
const INSIDE_CHANCE: f64 = 0.45;
/// The share of events that take, when traders do not lean and nothing excites them.
const MARKET_CHANCE: f64 = 0.10;
/// The share of resting orders and cancellations at the touch.
const AT_TOUCH_CHANCE: f64 = 0.35;
/// A market order reaches this far behind the touch.
const SWEEP_GAPS_MAX: f64 = 4.0;
/// The levels behind the touch whose density is kept.
const NEAR_LEVELS: usize = 12;
/// A market order stops after this many levels: venues cap slippage, and a side must never be emptied.
const SWEEP_LEVELS_MAX: usize = 12;
