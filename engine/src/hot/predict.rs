//! Book to signal: the sink that a session calls on the hot thread.
//!
//! One [`PredictSink`] serves all feeds of a shard. What leaves it goes to an [`Output`]: the signal ring in an engine, a
//! file or a vector in a replay. Nothing but the session's calls decides what leaves, which is why both agree to the
//! byte; the stamps only reach the histograms.

use std::sync::Arc;

use quantumflow_feeds::offset::ClockOffset;
use quantumflow_feeds::{BookUpdate, Clock, FeedEvent, Instrument, Sink, Stamps, TopOfBook, Trade, UnixNanos, VenueId};

use super::mailbox::{HotEvent, HotNews, Mailbox};
use super::metrics::{HotMetrics, Place};
use crate::features::{FeatureEngine, HorizonWatch, warm_up_of};
use crate::model::{self, Answer, Class, Model, Predictor};
use crate::os::{TimeBase, TscClock};

/// Where an instrument of a shard comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolOrigin {
    /// The feed that carries it, as an index into the configuration.
    pub feed: u16,
    /// Its venue.
    pub venue: VenueId,
    /// The venue's spelling.
    pub symbol: String,
}

/// A prediction on its way out, with everything that a reader needs to judge it.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    /// The instrument's place in the shard.
    pub symbol: u32,
    /// The book that it rests on.
    pub update: &'a BookUpdate<'a>,
    /// What the model saw.
    pub features: &'a [f32],
    /// The model looked further into the book than the book is known: levels may have been missing there.
    pub beyond_horizon: bool,
    /// What the model said.
    pub model: model::Prediction,
    /// What a strategy is told: the class, or flat where the probability is below the threshold.
    pub signal: Class,
    /// When the kernel took the message, if it says so. Times of ours are for judging latency, not inputs to anything.
    pub kernel_time: Option<UnixNanos>,
    /// When the message was read, by the wall clock.
    pub receive_time: UnixNanos,
    /// When the prediction left.
    pub publish_time: UnixNanos,
}

/// Takes predictions.
pub trait Output {
    /// A prediction was made. Called on the hot thread: must not allocate, lock or wait.
    fn publish(&mut self, prediction: &Prediction<'_>);
}

/// Predictions go nowhere: a recorder makes none.
impl Output for () {
    fn publish(&mut self, _prediction: &Prediction<'_>) {}
}

/// What is kept of one instrument between two updates.
#[derive(Debug)]
struct Mind {
    features: FeatureEngine,
    /// Rows before are not for this model: some feature that it looks at does not mean what it says yet.
    warm_up_updates: u16,
    horizon: HorizonWatch,
    predictor: Predictor,
}

/// Turns what a session says into predictions, metrics and log events.
#[derive(Debug)]
pub struct PredictSink<O> {
    /// By place in the shard; empty without a model: then nothing is computed beyond the books.
    minds: Vec<Mind>,
    signal_threshold: f32,
    output: O,
    /// The cells in the region.
    pub metrics: HotMetrics,
    mailbox: Mailbox,
    /// How ticks become nanoseconds.
    pub time: TimeBase,
    /// How each feed's venue's clock runs against ours.
    clocks: Vec<ClockOffset>,
    /// The feed that is being served, and where its instruments begin in the shard's tables.
    feed: u16,
    base: usize,
    bases: Vec<usize>,
}

impl<O: Output> PredictSink<O> {
    /// A sink for the instruments of `symbols`, which must be ordered by feed and, within a feed, by the session's ids.
    pub fn new(
        symbols: &[SymbolOrigin],
        model: Option<&Arc<Model>>,
        signal_threshold: f32,
        output: O,
        mut metrics: HotMetrics,
        mailbox: Mailbox,
        time: TimeBase,
    ) -> Self {
        let mind = |model: &Arc<Model>| Mind {
            features: FeatureEngine::of(model.features()),
            warm_up_updates: warm_up_of(model.features()),
            horizon: HorizonWatch::new(model.features(), model.contract().window),
            predictor: model.predictor(),
        };
        let minds = model
            .iter()
            .flat_map(|model| symbols.iter().map(move |_| mind(model)))
            .collect::<Vec<Mind>>();
        if let Some(mind) = minds.first() {
            metrics.count_features(|feature| mind.features.computes(feature));
        }
        let feeds = symbols
            .iter()
            .map(|origin| usize::from(origin.feed) + 1)
            .max()
            .unwrap_or(0);
        let base_of = |feed| {
            symbols
                .iter()
                .position(|origin| usize::from(origin.feed) == feed)
                .unwrap_or(symbols.len())
        };
        Self {
            minds,
            signal_threshold,
            output,
            metrics,
            mailbox,
            time,
            clocks: (0..feeds).map(|_| ClockOffset::new()).collect(),
            feed: 0,
            base: 0,
            bases: (0..feeds).map(base_of).collect(),
        }
    }

    /// From now on calls are about instruments of this feed.
    #[inline]
    pub fn select(&mut self, feed: usize) {
        self.feed = feed as u16;
        self.base = self.bases.get(feed).copied().unwrap_or(0);
    }

    /// Publishes how the clock of the selected feed's venue runs.
    pub fn tell_clock(&self, now: UnixNanos) {
        let feed = usize::from(self.feed);
        if let Some(clock) = self.clocks.get(feed) {
            self.metrics.clock(feed, clock, now);
        }
    }

    /// The hot thread's end of the mailbox.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Puts something about the selected feed into the flight recorder and the log.
    #[cold]
    pub fn report(&mut self, news: HotNews) {
        let at = self.time.at(TscClock.ticks());
        let feed = self.feed;
        let event = HotEvent { at, feed, news };
        let recorder = &mut self.metrics.recorder;
        recorder.note(self.base, &event);
        if let Err(dropped) = self.mailbox.report(event) {
            recorder.queue_full(at, dropped, self.mailbox.event_capacity());
        }
    }

    /// What took the predictions.
    pub fn into_output(self) -> O {
        self.output
    }

    #[inline]
    fn place(&self, instrument: &Instrument) -> usize {
        self.base + instrument.id.index()
    }
}

impl<O: Output> Sink for PredictSink<O> {
    #[inline]
    fn on_book(&mut self, update: &BookUpdate<'_>, stamps: &Stamps) {
        let place = self.place(update.instrument);
        let Self {
            minds,
            output,
            metrics,
            time,
            signal_threshold,
            feed,
            clocks,
            ..
        } = self;
        let clock = &mut clocks[usize::from(*feed)];
        if let Some(delay_ns) = clock.observe(stamps.receive_time, update.exchange_time) {
            metrics.lag(usize::from(*feed), delay_ns);
        }
        metrics.book(place, update);
        let Some(mind) = minds.get_mut(place) else {
            return;
        };
        let Mind {
            features,
            warm_up_updates,
            horizon,
            predictor,
        } = mind;

        let started = TscClock.ticks();
        features.on_book(update);
        let beyond_horizon = horizon.observe(features.known_levels());
        let featured = TscClock.ticks();
        let Some(row) = features.row_after(*warm_up_updates) else {
            predictor.reset();
            return metrics.stages_to_features(time, stamps, started, featured);
        };
        metrics.row(place, beyond_horizon);
        let mut model = model::Prediction::default();
        metrics.at(Place::Model);
        let answer = predictor.predict(row, &mut model);
        metrics.at(Place::Read);
        match answer {
            Ok(Answer::Ready) => {}
            Ok(Answer::Warming) => return metrics.stages_to_features(time, stamps, started, featured),
            Err(_) => return metrics.model_failed(stamps.receive_time, update.update_id),
        }
        let predicted = TscClock.ticks();
        let prediction = Prediction {
            symbol: place as u32,
            update,
            features: row,
            beyond_horizon,
            model,
            signal: if model.confidence >= *signal_threshold {
                model.class
            } else {
                Class::Flat
            },
            kernel_time: stamps.kernel,
            receive_time: stamps.receive_time,
            publish_time: time.at(predicted),
        };
        output.publish(&prediction);
        let published = TscClock.ticks();
        metrics.prediction(place, &prediction);
        metrics.stages(time, stamps, [started, featured, predicted, published]);
    }

    #[inline]
    fn on_trade(&mut self, trade: &Trade<'_>, _stamps: &Stamps) {
        let place = self.place(trade.instrument);
        if let Some(Mind { features, .. }) = self.minds.get_mut(place) {
            features.on_trade(trade);
        }
        self.metrics.trade(place);
    }

    fn on_top(&mut self, top: &TopOfBook<'_>, _stamps: &Stamps) {
        let place = self.place(top.instrument);
        self.metrics.top(place, top.agrees);
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.metrics.event(self.base, usize::from(self.feed), event);
        if let FeedEvent::ResyncFinished { .. } = event {
            self.mailbox.book_shown(self.feed);
        }
        // The frequent ones are only counted.
        if !matches!(
            event,
            FeedEvent::Control
                | FeedEvent::ChecksumVerified { .. }
                | FeedEvent::Outdated { .. }
                | FeedEvent::Repeated { .. }
        ) {
            self.report(HotNews::Feed(event));
        }
    }
}
