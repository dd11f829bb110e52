//! Several models at once, and others that take over: nothing is lost, nothing is said twice, and what a new champion says
//! is what it would have said if it had been there from the start.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod model_support;

use std::sync::Arc;
use std::time::Duration;

use model_support::{Graph, contract};
use quantumflow::cold::{LineupError, Models};
use quantumflow::features::{Feature, warm_up_of};
use quantumflow::hot::{
    ColdSide, GENERATIONS_MAX, HotMetrics, Lineup, MODEL_NAMES_MAX, Mailbox, MailboxSizes, Output, PredictSink,
    Prediction, SymbolOrigin,
};
use quantumflow::model::{Model, ModelSet};
use quantumflow::os::TimeBase;
use quantumflow_feeds::book::Book;
use quantumflow_feeds::{
    BookUpdate, Instrument, Price, Qty, Quality, Scale, Side, Sink, Stamps, SymbolId, Trade, UnixNanos, VenueId,
};
use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, catalogue};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "XRPUSDT"];

/// Features whose values are sums over windows: how long before an engine began does not show in them.
const BOUNDED: [Feature; 4] = [
    Feature::QueueImbalance,
    Feature::Imbalance5,
    Feature::Ofi1W10,
    Feature::OfiTo5W50,
];

/// A linear model of these features with its own weights.
fn model(name: &str, features: &[Feature], salt: usize) -> Arc<Model> {
    let graph = Graph {
        input: vec![1, features.len() as i64],
        weights: (0..3 * features.len())
            .map(|at| (((at + salt) * 37 % 23) as f32 - 11.0) / 10.0)
            .collect(),
        ..Graph::linear()
    };
    let mut contract = contract();
    contract["name"] = json!(name);
    let columns = features.iter().map(|feature| {
        let def = feature.def();
        json!({"name": def.name, "version": def.version, "mean": 0.0, "scale": 1.0})
    });
    contract["features"] = columns.collect();
    Model::from_bytes(&graph.file(Some(&contract))).unwrap()
}

/// What left, in order.
#[derive(Debug, Default)]
struct Said {
    champions: Vec<(u16, u64)>,
    predictions: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    symbol: u32,
    update_id: u64,
    generation: u16,
    probabilities: [f32; 3],
}

impl Output for Said {
    fn champion(&mut self, generation: u16, model: &Model) {
        self.champions.push((generation, model.hash()));
    }

    fn publish(&mut self, prediction: &Prediction<'_>) {
        self.predictions.push(Line {
            symbol: prediction.symbol,
            update_id: prediction.update.update_id,
            generation: prediction.generation,
            probabilities: prediction.model.probabilities,
        });
    }
}

/// A hot thread's sink, turned by hand.
struct Rig {
    sink: PredictSink<Said>,
    models: Models,
    cold: ColdSide,
    region: RegionWriter,
    market: Market,
    instruments: Vec<Instrument>,
}

impl Rig {
    fn new(set: ModelSet) -> Self {
        let origins = SYMBOLS.map(|symbol| SymbolOrigin {
            feed: 0,
            venue: VenueId::BinanceSpot,
            symbol: symbol.to_owned(),
        });
        let instruments = SYMBOLS.iter().enumerate().map(|(at, symbol)| Instrument {
            id: SymbolId(at as u16),
            symbol: (*symbol).to_owned(),
            scale: Scale { price: 2, qty: 3 },
        });
        let mut options = RegionOptions::new("test", 1);
        options.bytes = 8 << 20;
        let region = RegionWriter::private(&options).unwrap();
        let metrics = HotMetrics::register(region.writer("hot-0").unwrap(), &origins);
        let mut models = Models::new(&region, SYMBOLS.len());
        let lineup = models.lineup(&set, 0.5).unwrap();
        let sizes = MailboxSizes {
            feeds: 1,
            symbols: SYMBOLS.len(),
            events: 16,
        };
        let (mailbox, cold) = Mailbox::new(sizes);
        let time = TimeBase::calibrate(Duration::from_millis(1));
        Self {
            sink: PredictSink::new(&origins, Some(lineup), Said::default(), metrics, mailbox, time),
            models,
            cold,
            region,
            market: Market::new(),
            instruments: instruments.collect(),
        }
    }

    /// So many events of the market, the same for every rig.
    fn run(&mut self, events: usize) {
        for _ in 0..events {
            self.market.step(&self.instruments, &mut self.sink);
        }
    }

    /// What the models thread does with a set that was loaded.
    fn hand_over(&mut self, set: &ModelSet) {
        let lineup = self.models.lineup(set, 0.5).unwrap();
        self.cold.deliver_lineup(Box::new(lineup)).unwrap();
        self.sink.take_lineup();
    }

    fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        RegionReader::of(&self.region)
            .unwrap()
            .snapshot()
            .unwrap()
            .total(name, labels)
    }
}

/// Books and trades of several instruments, by turns but not evenly.
struct Market {
    rng: ChaCha8Rng,
    mids: [i64; SYMBOLS.len()],
    update_id: u64,
    time_ns: u64,
    has_begun: [bool; SYMBOLS.len()],
}

impl Market {
    fn new() -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(11),
            mids: [50_000; SYMBOLS.len()],
            update_id: 0,
            time_ns: 1_700_000_000_000_000_000,
            has_begun: [false; SYMBOLS.len()],
        }
    }

    fn step(&mut self, instruments: &[Instrument], sink: &mut impl Sink) {
        let mut below = |bound: u64| self.rng.next_u64() % bound;
        let place = [0, 0, 0, 1, 1, 2][below(6) as usize];
        let instrument = &instruments[place];
        self.time_ns += below(30_000_000);
        self.update_id += 1;
        if self.has_begun[place] && below(4) == 0 {
            let trade = Trade {
                instrument,
                price: Price(self.mids[place]),
                qty: Qty(1 + below(100) as i64),
                aggressor: if below(2) == 0 { Side::Bid } else { Side::Ask },
                trade_id: self.update_id,
                exchange_time: UnixNanos(self.time_ns),
            };
            return sink.on_trade(&trade, &Stamps::default());
        }
        self.mids[place] += below(5) as i64 - 2;
        let mut book = Book::new();
        for level in 0..10 {
            book.set(
                Side::Bid,
                Price(self.mids[place] - 1 - level),
                Qty(1 + below(500) as i64),
            );
            book.set(
                Side::Ask,
                Price(self.mids[place] + 1 + level),
                Qty(1 + below(500) as i64),
            );
        }
        let update = BookUpdate {
            instrument,
            book: &book,
            changes: &[],
            update_id: self.update_id,
            exchange_time: UnixNanos(self.time_ns),
            quality: Quality::Verified,
            is_snapshot: !self.has_begun[place],
        };
        self.has_begun[place] = true;
        sink.on_book(&update, &Stamps::default());
    }
}

/// All predictions of a run with one set from the start.
fn alone(model: &Arc<Model>, events: usize) -> Vec<Line> {
    let mut rig = Rig::new(ModelSet::from(Arc::clone(model)));
    rig.run(events);
    rig.sink.into_output().predictions
}

/// Changes models after `before` events and holds everything that was said against the runs of either alone. Returns the
/// events that each instrument waited for, in updates of its own.
fn judged_swap(old: &Arc<Model>, new: &Arc<Model>, before: usize, events: usize) -> [usize; SYMBOLS.len()] {
    let mut rig = Rig::new(ModelSet::from(Arc::clone(old)));
    rig.run(before);
    rig.hand_over(&ModelSet::from(Arc::clone(new)));
    let asked_at = rig.market.update_id;
    rig.run(events - before);
    let spent = rig.cold.take_spent_lineup().expect("every instrument has changed over");
    assert_eq!(spent.waiting(), 0);
    let said = rig.sink.into_output();
    assert_eq!(said.champions, [(0, old.hash()), (1, new.hash())]);

    let (by_old, by_new) = (alone(old, events), alone(new, events));
    let places =
        |lines: &[Line]| -> Vec<(u32, u64)> { lines.iter().map(|line| (line.symbol, line.update_id)).collect() };
    assert_eq!(
        places(&said.predictions),
        places(&by_old),
        "none is lost, none is said twice"
    );
    let mut generations = [0; SYMBOLS.len()];
    let mut waited = [0; SYMBOLS.len()];
    for line in &said.predictions {
        let symbol = line.symbol as usize;
        assert!(line.generation >= generations[symbol], "nobody comes back: {line:?}");
        generations[symbol] = line.generation;
        if line.generation == 0 && line.update_id > asked_at {
            waited[symbol] += 1;
        }
        let alone = if line.generation == 0 { &by_old } else { &by_new };
        let expected = alone.iter().find(|other| other.update_id == line.update_id).unwrap();
        assert_eq!(line.probabilities, expected.probabilities, "{line:?}");
    }
    assert_eq!(generations, [1; SYMBOLS.len()]);
    waited
}

#[test]
fn a_champion_takes_over_each_instrument_between_two_of_its_updates() {
    let (old, new) = (model("linear", &BOUNDED, 0), model("linear", &BOUNDED, 5));
    let waited = judged_swap(&old, &new, 3_000, 6_000);
    let needs = usize::from(warm_up_of(new.features()));
    assert_eq!(
        waited,
        [needs; SYMBOLS.len()],
        "as many updates as its features remember, and no more"
    );
}

#[test]
fn features_that_nobody_computed_are_warm_when_the_champion_speaks() {
    let wider: Vec<Feature> = BOUNDED
        .into_iter()
        .chain([Feature::Ofi1T1s, Feature::OfiTo10W10, Feature::Slope10])
        .collect();
    let (narrow, wide) = (model("narrow", &BOUNDED, 0), model("wide", &wider, 3));
    judged_swap(&narrow, &wide, 2_000, 8_000);
    judged_swap(&wide, &narrow, 3_000, 6_000);
}

#[test]
fn models_may_come_before_the_first_prediction() {
    let (old, new) = (model("linear", &BOUNDED, 0), model("linear", &BOUNDED, 5));
    let mut rig = Rig::new(ModelSet::from(Arc::clone(&old)));
    rig.hand_over(&ModelSet::from(Arc::clone(&new)));
    rig.run(3_000);
    let by_new = alone(&new, 3_000);
    let said = rig.sink.into_output().predictions;
    assert_eq!(said.len(), by_new.len());
    // The first prediction of each is the old one's: both were ready at the same update, and the old one has spoken.
    let late = said.iter().filter(|line| line.generation == 0).count();
    assert_eq!(late, SYMBOLS.len());
}

#[test]
fn newer_models_supersede_those_that_still_rehearse() {
    let sets: Vec<ModelSet> = (0..3)
        .map(|salt| ModelSet::from(model("linear", &BOUNDED, salt)))
        .collect();
    let mut rig = Rig::new(sets[0].clone());
    rig.run(3_000);
    rig.hand_over(&sets[1]);
    // Enough for the busiest instrument.
    rig.run(400);
    rig.hand_over(&sets[2]);
    let superseded = rig.cold.take_spent_lineup().expect("it was pushed out");
    assert_eq!(superseded.generation(), 1);
    assert!(
        (1..SYMBOLS.len()).contains(&superseded.waiting()),
        "{}",
        superseded.waiting()
    );
    rig.run(3_000);
    let done = rig.cold.take_spent_lineup().expect("every instrument has changed over");
    assert_eq!((done.generation(), done.waiting()), (2, 0));
    let said = rig.sink.into_output().predictions;
    let alone: Vec<Vec<Line>> = sets.iter().map(|set| alone(&set.champion, 6_400)).collect();
    for (line, first) in said.iter().zip(&alone[0]) {
        assert_eq!((line.symbol, line.update_id), (first.symbol, first.update_id));
        let own = &alone[usize::from(line.generation)];
        assert!(
            own.iter()
                .any(|other| other.update_id == line.update_id && other.probabilities == line.probabilities)
        );
    }
    assert_eq!(said.len(), alone[0].len());
}

#[test]
fn shadows_are_measured_and_not_heard() {
    let champion = model("champion", &BOUNDED, 0);
    let set = ModelSet {
        champion: Arc::clone(&champion),
        shadows: vec![model("first", &BOUNDED, 1), model("second", &[Feature::Slope10], 2)],
    };
    let mut rig = Rig::new(set);
    rig.run(4_000);
    let said = alone(&champion, 4_000);
    let count = |name| rig.total(catalogue::PREDICTIONS.name, &[("model_name", name)]);
    assert_eq!(count("champion"), said.len() as f64);
    assert_eq!(count("first"), said.len() as f64, "it looks at the same features");
    assert_eq!(count("second"), said.len() as f64, "rows begin for all alike");
    assert_eq!(rig.total(catalogue::SIGNALS_PUBLISHED.name, &[]), said.len() as f64);
    let snapshot = RegionReader::of(&rig.region).unwrap().snapshot().unwrap();
    for metric in [&catalogue::PREDICTION_LATENCY, &catalogue::PREDICTION_CONFIDENCE] {
        for series in snapshot.family(metric.name) {
            assert_eq!(series.value.histogram().unwrap().count(), said.len() as u64);
        }
        assert_eq!(snapshot.family(metric.name).count(), 3);
    }
    assert_eq!(
        rig.sink.into_output().predictions,
        said,
        "the champion's word is the same beside them"
    );
}

#[test]
fn an_engine_keeps_no_more_names_than_it_has_room_for() {
    let region = RegionWriter::private(&RegionOptions::new("test", 1)).unwrap();
    let mut models = Models::new(&region, 1);
    let lineups: Vec<Result<Lineup, LineupError>> = (0..=MODEL_NAMES_MAX)
        .map(|at| models.lineup(&ModelSet::from(model(&format!("name_{at}"), &BOUNDED, at)), 0.5))
        .collect();
    let (last, others) = lineups.split_last().unwrap();
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(last.as_ref().unwrap_err(), &LineupError::Names);
    let known = ModelSet::from(model("name_0", &BOUNDED, 0));
    assert!((0..GENERATIONS_MAX - MODEL_NAMES_MAX).all(|_| models.lineup(&known, 0.5).is_ok()));
    assert_eq!(models.lineup(&known, 0.5).unwrap_err(), LineupError::Generations);
}
