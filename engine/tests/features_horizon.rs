//! Rows of a book that is known only in part, beside those of the whole book: a row that is not marked is the same.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod features_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use features_support::{book_update, instrument};
use quantumflow::cold::Models;
use quantumflow::config::ModelSource;
use quantumflow::features::{Feature, FeatureEngine, HorizonWatch, REACH_MAX, registry::FEATURES};
use quantumflow::hot::{HotMetrics, Mailbox, MailboxSizes, PredictSink, RingOutput, SymbolOrigin};
use quantumflow::model::{self, Model, ModelSet};
use quantumflow::os::TimeBase;
use quantumflow_feeds::book::Book;
use quantumflow_feeds::{BookUpdate, Price, Qty, Quality, Side, Sink, Stamps, VenueId};
use quantumflow_region::{
    Poll, RegionOptions, RegionReader, RegionWriter, RingOptions, SignalReader, SignalWriter, catalogue,
};
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

/// A market around a price that walks, and the book of somebody who was told its best levels and all changes since.
struct Market {
    whole: Book,
    part: Book,
    middle: i64,
    dice: ChaCha8Rng,
}

impl Market {
    fn new(seed: u64, levels: i64, seeded: usize) -> Self {
        let mut market = Self {
            whole: Book::new(),
            part: Book::new(),
            middle: 100_000,
            dice: ChaCha8Rng::seed_from_u64(seed),
        };
        for side in SIDES {
            for distance in 1..=levels {
                let price = market.price(side, distance);
                market.whole.set(side, price, Qty(distance));
            }
            let best: Vec<_> = market.whole.levels(side).take(seeded).collect();
            for level in &best {
                market.part.set(side, level.price, level.qty);
            }
            market.part.set_horizon(side, best[seeded - 1].price);
        }
        market
    }

    fn price(&self, side: Side, distance: i64) -> Price {
        match side {
            Side::Bid => Price(self.middle - distance),
            Side::Ask => Price(self.middle + distance),
        }
    }

    fn set(&mut self, side: Side, price: Price, qty: i64) {
        self.whole.set(side, price, Qty(qty));
        self.part.set(side, price, Qty(qty));
    }

    /// Walks two ticks at most; what is in the way goes, and the levels at the touch are new.
    fn step(&mut self) {
        self.middle += self.dice.random_range(-2..=2);
        for side in SIDES {
            for distance in 0..3 {
                let taken = self.price(side, -distance);
                self.set(side, taken, 0);
            }
            let qty = self.dice.random_range(1..20);
            self.set(side, self.price(side, 1), qty);
            let (distance, qty) = (self.dice.random_range(2..6), self.dice.random_range(0..20));
            self.set(side, self.price(side, distance), qty);
        }
        self.part.widen_horizons();
    }
}

/// An average over all time forgets, but never wholly; the others have a window.
const AVERAGES: [Feature; 12] = [
    Feature::Return1sBps,
    Feature::Volatility1sBps,
    Feature::Volatility30sBps,
    Feature::Return10sBps,
    Feature::Return60sBps,
    Feature::VolatilityEwmBps,
    Feature::Ema12Bps,
    Feature::Ema26Bps,
    Feature::MacdBps,
    Feature::MacdSignalBps,
    Feature::MacdHistogramBps,
    Feature::Rsi14,
];

#[test]
fn a_row_that_is_not_marked_is_that_of_the_whole_book() {
    let instrument = instrument();
    let (mut rows, mut marked, mut wrong) = (0, 0, 0);
    for seed in 0..20 {
        let mut market = Market::new(seed, 400, 30);
        let (mut whole, mut part) = (FeatureEngine::new(), FeatureEngine::new());
        let mut watches: Vec<_> = FEATURES.map(|def| HorizonWatch::new([def.feature], 1)).into();
        for at in 0..2_000_u64 {
            market.step();
            let time_ns = 1 + at * 50_000_000;
            let wanted = whole.on_book(&book_update(&instrument, &market.whole, time_ns, at == 0));
            let wanted = wanted.copied();
            assert_eq!(whole.known_levels(), REACH_MAX);
            part.on_book(&book_update(&instrument, &market.part, time_ns, at == 0));
            let is_marked: Vec<bool> = watches
                .iter_mut()
                .map(|watch| watch.observe(part.known_levels()))
                .collect();
            let (Some(wanted), Some(found)) = (wanted, part.row()) else {
                continue;
            };
            for def in FEATURES.iter().filter(|def| !AVERAGES.contains(&def.feature)) {
                let at = def.feature as usize;
                let is_same = wanted[at].to_bits() == found[at].to_bits();
                assert!(
                    is_same || is_marked[at],
                    "{} of seed {seed}: {} instead of {}",
                    def.name,
                    found[at],
                    wanted[at]
                );
                rows += 1;
                marked += usize::from(is_marked[at]);
                wrong += usize::from(!is_same);
            }
        }
    }
    println!("of {rows} values {wrong} wrong, {marked} marked");
    assert!(wrong > 10_000 && marked < rows / 2, "both must happen");
}

#[test]
fn a_short_book_that_is_wholly_known_is_not_beyond_its_horizon() {
    let instrument = instrument();
    let mut book = Book::new();
    for distance in 1..=3 {
        book.set(Side::Bid, Price(100 - distance), Qty(1));
        book.set(Side::Ask, Price(100 + distance), Qty(1));
    }
    let mut engine = FeatureEngine::new();
    let mut known = |book: &Book| {
        engine.on_book(&book_update(&instrument, book, 1, true));
        engine.known_levels()
    };
    assert_eq!(known(&book), REACH_MAX);
    book.set_horizon(Side::Ask, Price(103));
    assert_eq!(known(&book), 3);
    book.set_horizon(Side::Bid, Price(98));
    assert_eq!(known(&book), 2);
    book.clear();
    assert_eq!(known(&book), REACH_MAX, "an empty book may be known as well");
    book.set_scope(1);
    book.set(Side::Bid, Price(99), Qty(1));
    book.set(Side::Ask, Price(101), Qty(1));
    assert_eq!(known(&book), 1, "the venue speaks of one level");
}

/// The sink of the hot thread with a ring behind it.
struct Rig {
    sink: PredictSink<RingOutput>,
    signals: SignalReader,
    region: RegionReader,
    _region: RegionWriter,
}

fn rig(model: &Arc<Model>) -> Rig {
    let origins = [SymbolOrigin {
        feed: 0,
        venue: VenueId::BinanceSpot,
        symbol: instrument().symbol,
    }];
    let region = RegionWriter::private(&RegionOptions::new("test", 1)).unwrap();
    let lineup = Models::new(&region, origins.len())
        .lineup(&ModelSet::from(Arc::clone(model)), 0.5)
        .unwrap();
    let metrics = HotMetrics::register(region.writer("hot-0").unwrap(), &origins);
    let ring = SignalWriter::private(&RingOptions::new("test", 1)).unwrap();
    let signals = SignalReader::of(&ring).unwrap();
    let output = RingOutput::new(ring, &origins);
    let (mailbox, _cold) = Mailbox::new(MailboxSizes {
        feeds: 1,
        symbols: 1,
        events: 64,
    });
    let time = TimeBase::calibrate(Duration::from_millis(5));
    Rig {
        sink: PredictSink::new(&origins, Some(lineup), output, metrics, mailbox, time),
        signals,
        region: RegionReader::of(&region).unwrap(),
        _region: region,
    }
}

/// The judge looks back from every row over all that each feature of the model remembers.
#[test]
fn a_signal_carries_quality_and_mark_of_the_books_behind_it() {
    let model = model::load_source(&ModelSource::Builtin("mlp_v1".to_owned())).unwrap();
    assert_eq!(model.contract().window, 1);
    let mut rig = rig(&model);
    let instrument = instrument();
    // At 150 the book is known to seven levels, at 300 to none; in between and after to all.
    let known_levels: Vec<usize> = (0..600)
        .map(|at| match at {
            150 | 400 => 7,
            300 => 0,
            _ => REACH_MAX,
        })
        .collect();
    for (at, &known) in known_levels.iter().enumerate() {
        let mut book = Book::new();
        for level in 1..=12 {
            book.set(Side::Bid, Price(10_000 - level), Qty(level + at as i64 % 7));
            book.set(Side::Ask, Price(10_000 + level), Qty(level));
        }
        if known < REACH_MAX {
            book.set_horizon(Side::Ask, Price(10_000 + known as i64));
        }
        let quality = [Quality::Verified, Quality::Unverified][at % 2];
        let update = book_update(&instrument, &book, 1 + at as u64, at == 0);
        let update = BookUpdate {
            quality,
            update_id: at as u64,
            ..update
        };
        rig.sink.on_book(&update, &Stamps::default());
    }
    let is_marked = |at: usize| {
        model.features().map(Feature::def).any(|def| {
            let remembered = &known_levels[at + 1 - usize::from(def.warm_up_updates)..=at];
            remembered.iter().any(|&known| known < usize::from(def.reach_levels))
        })
    };
    let mut marked: BTreeMap<bool, usize> = BTreeMap::new();
    for at in 100..600 {
        let Poll::Signal(signal) = rig.signals.next() else {
            panic!("no signal of update {at}")
        };
        assert_eq!((signal.update_id, usize::from(signal.quality)), (at as u64, at % 2));
        assert_eq!(signal.is_beyond_horizon(), is_marked(at), "update {at}");
        assert!(signal.flags <= 1);
        *marked.entry(signal.is_beyond_horizon()).or_default() += 1;
    }
    assert_eq!(rig.signals.next(), Poll::Empty);
    assert!(marked[&true] > 100 && marked[&false] > 100, "{marked:?}");
    let counted = rig.region.snapshot().unwrap();
    let labels = [("exchange", "binance"), ("symbol", "BTCUSDT")];
    let rows = counted.total(catalogue::FEATURES_BEYOND_HORIZON.name, &labels);
    assert_eq!(rows, marked[&true] as f64);
}
