//! Book to signal: the sink that a session calls on the hot thread.
//!
//! For each update the champion predicts and its signal leaves; only then do shadows predict, and models that are to take
//! over rehearse. One [`PredictSink`] serves all feeds of a shard. What leaves it goes to an [`Output`]: the signal ring in an engine, a
//! file or a vector in a replay. Nothing but the session's calls decides what leaves, which is why both agree to the
//! byte; the stamps only reach the histograms.

use quantumflow_feeds::offset::ClockOffset;
use quantumflow_feeds::{
    BookUpdate, Clock, FeedEvent, Instrument, Sink, Stamps, Ticks, TopOfBook, Trade, UnixNanos, VenueId,
};

use super::lineup::{Lineup, Mind};
use super::mailbox::{HotEvent, HotNews, Mailbox, Score};
use super::metrics::{HotMetrics, Place};
use crate::model::{self, Answer, Class, Model};
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
    /// Which champion it was: the number under which [`Output::champion`] was told of it.
    pub generation: u16,
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
    /// Predictions of this generation will come, of this model. Called on the hot thread: must not allocate, lock or wait.
    fn champion(&mut self, _generation: u16, _model: &Model) {}

    /// A prediction was made. Called on the hot thread: must not allocate, lock or wait.
    fn publish(&mut self, prediction: &Prediction<'_>);
}

/// Predictions go nowhere: a recorder makes none.
impl Output for () {
    fn publish(&mut self, _prediction: &Prediction<'_>) {}
}

/// Turns what a session says into predictions, metrics and log events.
#[derive(Debug)]
pub struct PredictSink<O> {
    /// By place in the shard; empty without a model: then nothing is computed beyond the books.
    minds: Vec<Mind>,
    /// Who is to take over.
    next: Option<Box<Lineup>>,
    /// When it came.
    next_came: Ticks,
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
        lineup: Option<Lineup>,
        mut output: O,
        mut metrics: HotMetrics,
        mailbox: Mailbox,
        time: TimeBase,
    ) -> Self {
        let mut minds = Vec::new();
        if let Some(mut lineup) = lineup {
            introduce(&mut lineup, &mut metrics, &mut output);
            minds = lineup.into_minds();
        }
        count_features(&minds, &mut metrics);
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
            next: None,
            next_came: Ticks::default(),
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

    /// Takes over new models, if there are any, to rehearse. Whoever was rehearsing goes back.
    pub fn take_lineup(&mut self) {
        let Some(mut lineup) = self.mailbox.take_lineup() else {
            return;
        };
        introduce(&mut lineup, &mut self.metrics, &mut self.output);
        self.next_came = TscClock.ticks();
        if let Some(superseded) = self.next.replace(lineup) {
            self.mailbox.return_lineup(superseded);
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

impl<O: Output> PredictSink<O> {
    /// The champion's part of an update.
    #[inline]
    fn speak(&mut self, place: usize, update: &BookUpdate<'_>, stamps: &Stamps) {
        let Self {
            minds,
            output,
            metrics,
            mailbox,
            time,
            ..
        } = self;
        let Mind { features, seats } = &mut minds[place];
        let champion = &mut seats.champion;

        let started = TscClock.ticks();
        features.on_book(update);
        let (row, beyond_horizon) = champion.look(features);
        let featured = TscClock.ticks();
        let Some(row) = row else {
            return metrics.stages_to_features(time, stamps, started, featured);
        };
        metrics.row(place, beyond_horizon);
        let mut model = model::Prediction::default();
        metrics.at(Place::Model);
        let answer = champion.predictor.predict(row, &mut model);
        metrics.at(Place::Read);
        match answer {
            Ok(Answer::Ready) => {}
            Ok(Answer::Warming) => return metrics.stages_to_features(time, stamps, started, featured),
            Err(_) => {
                metrics.suppressed();
                return metrics.model_failed(champion.cells, stamps.receive_time, update.update_id);
            }
        }
        let predicted = TscClock.ticks();
        let prediction = Prediction {
            symbol: place as u32,
            update,
            features: row,
            beyond_horizon,
            model,
            generation: seats.generation,
            signal: if model.confidence >= seats.signal_threshold {
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
        mailbox.score(place, Some(Score::of(&model, stamps.receive_time)));
        metrics.prediction(place, champion.cells, &prediction);
        metrics.stages(time, stamps, [started, featured, predicted, published], champion.cells);
    }

    /// The shadows' part of an update.
    fn listen(&mut self, place: usize, update: &BookUpdate<'_>, stamps: &Stamps) {
        let Self {
            minds, metrics, time, ..
        } = self;
        let Mind { features, seats } = &mut minds[place];
        metrics.at(Place::Model);
        for shadow in &mut seats.shadows {
            let Some(row) = shadow.look(features).0 else { continue };
            let mut prediction = model::Prediction::default();
            let started = TscClock.ticks();
            match shadow.predictor.predict(row, &mut prediction) {
                Ok(Answer::Ready) => {
                    let latency_ns = time.nanos(TscClock.ticks().since(started));
                    metrics.shadow(shadow.cells, &prediction, latency_ns);
                }
                Ok(Answer::Warming) => {}
                Err(_) => metrics.model_failed(shadow.cells, stamps.receive_time, update.update_id),
            }
        }
        metrics.at(Place::Read);
    }

    /// The part of those who are to take over.
    #[cold]
    #[inline(never)]
    fn rehearse(&mut self, place: usize, update: &BookUpdate<'_>, stamps: &Stamps) {
        let Self {
            minds, next, metrics, ..
        } = self;
        let Some(lineup) = next else { return };
        metrics.at(Place::Model);
        let is_done = lineup.rehearse(place, &mut minds[place], update, |cells| {
            metrics.model_failed(cells, stamps.receive_time, update.update_id);
        });
        metrics.at(Place::Read);
        if is_done && let Some(lineup) = next.take() {
            let now = TscClock.ticks();
            count_features(minds, metrics);
            let duration_ns = self.time.nanos(now.since(self.next_came));
            let cells = minds[place].seats.champion.cells;
            metrics.swapped(cells, self.time.at(now), duration_ns, lineup.generation());
            self.mailbox.return_lineup(lineup);
        }
    }
}

/// The hot thread gets to know the models of a lineup.
fn introduce(lineup: &mut Lineup, metrics: &mut HotMetrics, output: &mut impl Output) {
    for (place, cells) in lineup.new_cells.drain(..) {
        metrics.add_model(place, cells);
    }
    output.champion(lineup.generation(), lineup.champion());
}

/// What a row has is counted once for all instruments: they have the same.
fn count_features(minds: &[Mind], metrics: &mut HotMetrics) {
    if let Some(mind) = minds.first() {
        metrics.count_features(|feature| mind.features.computes(feature));
    }
}

impl<O: Output> Sink for PredictSink<O> {
    #[inline]
    fn on_book(&mut self, update: &BookUpdate<'_>, stamps: &Stamps) {
        let place = self.place(update.instrument);
        let feed = usize::from(self.feed);
        let delay = self.clocks[feed].observe(stamps.receive_time, update.exchange_time);
        if let Some(delay_ns) = delay {
            self.metrics.lag(feed, delay_ns);
        }
        self.metrics.book(place, update);
        if place >= self.minds.len() {
            return;
        }
        self.speak(place, update, stamps);
        if !self.minds[place].seats.shadows.is_empty() {
            self.listen(place, update, stamps);
        }
        if self.next.is_some() {
            self.rehearse(place, update, stamps);
        }
    }

    #[inline]
    fn on_trade(&mut self, trade: &Trade<'_>, _stamps: &Stamps) {
        let place = self.place(trade.instrument);
        if let Some(Mind { features, .. }) = self.minds.get_mut(place) {
            features.on_trade(trade);
        }
        if let Some(lineup) = &mut self.next {
            lineup.on_trade(place, trade);
        }
        self.metrics.trade(place);
    }

    fn on_top(&mut self, top: &TopOfBook<'_>, _stamps: &Stamps) {
        let place = self.place(top.instrument);
        self.metrics.top(place, top.agrees);
    }

    fn on_event(&mut self, event: FeedEvent) {
        self.metrics.event(self.base, usize::from(self.feed), event);
        match event {
            FeedEvent::ResyncFinished { .. } => self.mailbox.book_shown(self.feed),
            FeedEvent::ResyncStarted { symbol, .. } => self.mailbox.score(self.base + symbol.index(), None),
            _ => {}
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
